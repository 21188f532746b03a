"""A model for other runtimes, written only after its verdicts were compared with the model's own."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qc.errors import Conflict, InvalidInput
from qc.progress import Progress
from segmentation.config import network_config
from segmentation.model import CARD, load_network, refuse_foreign, replace_folder
from segmentation.parity import Picture, compare_verdicts, refusal
from segmentation.runtimes import FILES, open_look, write
from segmentation.segmenter import from_card
from segmentation.tiled import SMALLEST_PX
from segmentation.torch_look import torch_look

FORMATS = ("onnx", "openvino")

LACKS = {
    "first_look": "the first look: every place is looked at, also where the model itself need not look",
    "part_views": "what the model knows of the views of a part: each picture is answered alone",
}
"""What the card of a model may have that the file of a network has no place for, in words."""


def export(
    folder: Path,
    *,
    format: str,
    out: Path,
    samples: Sequence[Picture],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the model in `folder` as `onnx` or `openvino`; returns what `artefact.json` says.

    The artefact folder holds the model file(s), `model.json` and `artefact.json`, which says how to feed it, what
    comes out, what of the model it lacks, and with what result it was compared.

    Args:
        folder: the model.
        format: `onnx` or `openvino`.
        out: created; replaced if it is there.
        samples: images on which both must give the same verdict, the same defects and nearly the same log-odds.

    Raises:
        InvalidInput: an unknown format, nothing to compare on, or a model with a memory of clean parts.
        Conflict: the verdicts differ; nothing is written.
    """
    if format not in FORMATS:
        raise InvalidInput(f"the format must be one of {FORMATS}, not {format!r}")
    if not samples:
        raise InvalidInput("an export needs images to compare the verdicts on; give some")
    refuse_foreign(out)
    card, network = load_network(folder)
    refuse_memory(folder, card, asks="an exported file")
    own = from_card(card, torch_look(network), runtime="torch")
    out.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        write(format, network, own.stride, working)
        other = from_card(card, open_look(format, working), runtime=format)
        parity = compare_verdicts(own, other, samples, progress)
        if why := refusal(parity, exact=True):
            raise Conflict(f"the {format} model is another one: {why}; nothing was written", **parity)
        about = _about(card, format, parity)
        shutil.copyfile(folder / CARD, working / CARD)
        (working / "artefact.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        replace_folder(working, out)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return about


def refuse_memory(folder: Path, card: Mapping[str, Any], *, asks: str) -> None:
    """Raises InvalidInput for a model that remembers clean parts: what `asks` would answer as another model."""
    if "novelty" in card:
        raise InvalidInput(
            f"{folder} remembers clean parts, and {asks} cannot ask a memory yet; export the model it was made from"
        )


def _about(card: dict[str, Any], format: str, parity: dict[str, Any]) -> dict[str, Any]:
    stride = network_config(card["network"]).stride
    reach = int(card["reach_px"])
    return {
        "model": card["id"],
        "format": format,
        "file": FILES[format],
        "input": {
            "name": "picture",
            "shape": [1, "height", "width", 3],
            "type": "uint8",
            "channels": "RGB; a grey picture three times (16-bit pictures: the highest 8 of the camera's bits)",
            "size": f"height and width are multiples of {stride}, {SMALLEST_PX} or more; continue the picture by "
            "reflection, right and below",
        },
        "output": {
            "log_odds": "float32, height x width: of any defect, before calibration",
            "class_place": "uint8, height x width: 0 is the first of the classes by ascending id",
        },
        "classes": card["classes"],
        "calibration": {**card["calibration"], "rule": "probability = 1 / (1 + exp(-(scale * log_odds + offset)))"},
        "threshold": card["threshold"],
        "edge": card.get("edge", card["threshold"]),
        "tiles": {
            "stride": stride,
            "halo": -(-reach // stride) * stride,
            "rule": "place tiles at multiples of the stride, look at the halo around each (cut off at the frame), "
            "keep the core only; the result is that of the whole frame",
        },
        "lacks": [words for name, words in LACKS.items() if name in card],
        "compared_with_the_model": parity,
    }
