"""A model for other runtimes, written only after its verdicts were compared with the model's own."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qc.dataset import Sample
from qc.defects import class_mask
from qc.errors import Conflict, InvalidInput
from qc.frame import Frame
from qc.inspection import Findings, inspect
from qc.ports import Segmentation
from qc.verdict import Policy
from segmentation.answering import Answer, Answering, Look
from segmentation.config import network_config
from segmentation.model import (
    CARD,
    answer_frame,
    load_segmenter,
    load_weights,
    read_calibration,
    read_card,
    read_weights,
    refuse_foreign,
    replace_folder,
)
from segmentation.networks import build
from segmentation.predict import Remembering
from segmentation.tiled import SMALLEST_PX

Progress = Callable[[float, str], None]

FORMATS = ("onnx", "openvino")
FILES = {"onnx": "model.onnx", "openvino": "model.xml"}

LARGEST_STEP = 0.02
"""Log-odds may differ by this much: 0.5 % of a probability at most, and a rounding of half precision at 20."""


def export(
    folder: Path,
    *,
    format: str,
    out: Path,
    samples: Sequence[Sample] | Sequence[NDArray[np.uint8]],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the model in `folder` as `onnx` or `openvino`; returns what `artefact.json` says.

    The artefact folder holds the model file(s), `model.json` and `artefact.json`, which says how to feed it, what
    comes out, and with what result it was compared.

    Args:
        folder: the model.
        format: `onnx` or `openvino`.
        out: created; replaced if it is there.
        samples: images on which both must give the same verdict, the same defects and nearly the same log-odds.

    Raises:
        InvalidInput: an unknown format, or nothing to compare on.
        Conflict: the verdicts differ; nothing is written.
    """
    if format not in FORMATS:
        raise InvalidInput(f"the format must be one of {FORMATS}, not {format!r}")
    if not samples:
        raise InvalidInput("an export needs images to compare the verdicts on; give some")
    refuse_foreign(out)
    card, own = read_card(folder), load_segmenter(folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        write_onnx(folder, working / FILES["onnx"])
        if format == "openvino":
            _to_openvino(working)
        look = open_artefact(working, format)
        parity = compare_verdicts(own, look, card, samples, progress)
        if parity["verdicts_that_differ"] or parity["largest_log_odds_difference"] > LARGEST_STEP:
            raise Conflict(
                f"the {format} model is another one: {parity['verdicts_that_differ']} of {parity['images']} verdicts "
                f"differ, log-odds by up to {parity['largest_log_odds_difference']:.3g}; nothing was written",
                **parity,
            )
        about = _about(card, format, parity)
        shutil.copyfile(folder / CARD, working / CARD)
        (working / "artefact.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        replace_folder(working, out)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return about


def write_onnx(folder: Path, path: Path) -> None:
    """The network as one ONNX file with free height and width."""
    card = read_card(folder)
    config = network_config(card["network"])
    network = build(config, len(card["classes"]))
    load_weights(network, read_weights(folder), folder)
    size = 8 * config.stride
    example = torch.zeros(1, size, size, 3, dtype=torch.uint8)
    height, width = torch.export.Dim("height"), torch.export.Dim("width")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter's advice to its own developers
        torch.onnx.export(
            Answering(network).eval(),
            (example,),
            str(path),
            dynamo=True,
            external_data=False,
            input_names=["picture"],
            output_names=["log_odds", "class_place"],
            dynamic_shapes=({1: config.stride * height, 2: config.stride * width},),
            verbose=False,
        )


def _to_openvino(folder: Path) -> None:
    import openvino

    source = folder / FILES["onnx"]
    openvino.save_model(openvino.convert_model(source), folder / FILES["openvino"], compress_to_fp16=False)
    source.unlink()


def open_artefact(folder: Path, format: str) -> Look:
    """The runtime at work, in float32."""
    if format == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(folder / FILES["onnx"]), options, providers=["CPUExecutionProvider"])
        return lambda window: tuple(session.run(None, {"picture": window[None]}))
    import openvino

    exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.Core().compile_model(folder / FILES["openvino"], "CPU", exact)

    def look(window: NDArray[np.uint8]) -> Answer:
        said = compiled(window[None])
        return np.array(said[0]), np.array(said[1])

    return look


class _Foreign:
    """An artefact as a `qc.ports.Segmenter`, tiled as the model is."""

    def __init__(self, look: Look, card: dict[str, Any]) -> None:
        self._look, self._card = look, card
        self.model_id, self.threshold = str(card["id"]), float(card["threshold"])
        self.classes = {int(k): str(v) for k, v in card["classes"].items()}
        self._stride = network_config(card["network"]).stride

    def segment(self, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Segmentation:
        return answer_frame(
            pixels,
            self._look,
            classes=self.classes,
            reach=int(self._card["reach_px"]),
            stride=self._stride,
            calibration=read_calibration(self._card),
        )


def compare_verdicts(
    own: Any, look: Look, card: dict[str, Any], samples: Sequence[Any], progress: Progress | None = None
) -> dict[str, Any]:
    """Both on every image: how many verdicts, defect lists and pixels differ, and the log-odds by how much."""
    both, policy = (Remembering(own), Remembering(_Foreign(look, card))), Policy(product="")
    differing, pixels_differing, largest = 0, 0, 0.0
    for number, sample in enumerate(samples):
        pixels = sample.pixels() if isinstance(sample, Sample) else sample
        frame = Frame(pixels, view="", sha256="")
        a, b = (inspect(frame, eyes, policy) for eyes in both)
        x, y = (eyes.last.log_odds.astype(np.float32) for eyes in both if eyes.last is not None)
        largest = max(largest, float(np.abs(np.clip(x, -20, 20) - np.clip(y, -20, 20)).max()))
        differing += _said(a) != _said(b)
        pixels_differing += int((class_mask(a.defects, a.instances) != class_mask(b.defects, b.instances)).sum())
        if progress:
            progress((number + 1) / len(samples), "comparing verdicts")
    return {
        "images": len(samples),
        "verdicts_that_differ": differing,
        "mask_pixels_that_differ": pixels_differing,
        "largest_log_odds_difference": round(largest, 6),
    }


def _said(findings: Findings) -> tuple[Any, ...]:
    return findings.verdict, [d.class_id for d in findings.defects if d.counts]


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
        "tiles": {
            "stride": stride,
            "halo": -(-reach // stride) * stride,
            "rule": "place tiles at multiples of the stride, look at the halo around each (cut off at the frame), "
            "keep the core only; the result is that of the whole frame",
        },
        "compared_with_the_model": parity,
    }
