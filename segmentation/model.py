"""A model folder: `weights.safetensors` and `model.json` (the card), and what is made of it.

Never pickle: safetensors holds numbers only, so a model from a stranger can be opened without running their code.
The id is a hash over the weights and over everything that changes an answer, so equal ids give equal verdicts.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from qc import part_settings
from qc.errors import Conflict, InvalidInput, NotFound
from qc.part_settings import PartSettings
from segmentation import samples
from segmentation.config import NetworkConfig, as_json, network_config
from segmentation.device import on_device
from segmentation.first_look import FILE as FIRST_LOOK
from segmentation.first_look import FirstLook
from segmentation.first_look_network import FirstLookNetwork
from segmentation.first_look_network import load as load_first_look
from segmentation.first_look_network import save as save_first_look
from segmentation.image_score import ImageScore
from segmentation.networks import Network, build
from segmentation.novelty import Novelty
from segmentation.novelty import load as load_novelty
from segmentation.novelty import save as save_novelty
from segmentation.segmenter import FrameSegmenter, from_card, unknown_id
from segmentation.torch_look import torch_look

FORMAT = 1
"""Version of the model folder's layout."""

WEIGHTS = "weights.safetensors"
CARD = "model.json"
NOVELTY = "novelty.safetensors"
PART_VIEWS = "part_views.json"
"""What the model knows of the views of a part (`qc.part_settings`)."""


def read_card(folder: Path) -> dict[str, Any]:
    """The model's card; raises NotFound where there is no model, InvalidInput where the card is damaged or too new."""
    path = Path(folder) / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"{folder} holds no model ({CARD} is missing); train one with qc train") from error
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        found = card.get("format") if isinstance(card, dict) else None
        raise InvalidInput(f"{path} is of format {found}; this version reads format {FORMAT}")
    if missing := {"id", "classes", "network", "reach_px", "calibration", "threshold", "weights"} - set(card):
        raise InvalidInput(f"{path} lacks {sorted(missing)}")
    return card


def model_id(folder: Path) -> str:
    """`sha256:…` of a model folder, from its content; raises InvalidInput if the weights are not the card's."""
    card = read_card(folder)
    weights = Path(folder) / WEIGHTS
    try:
        digest = _sha256(weights)
    except OSError as error:
        raise InvalidInput(f"{weights} cannot be read: {error}") from error
    if digest != card["weights"].get("sha256"):
        raise InvalidInput(f"{weights} is damaged or belongs to another model; fetch the folder again")
    for name, file in (("novelty", NOVELTY), ("first_look", FIRST_LOOK), ("part_views", PART_VIEWS)):
        if name in card and _sha256_or_none(Path(folder) / file) != card[name].get("sha256"):
            raise InvalidInput(f"{Path(folder) / file} is damaged or belongs to another model; fetch the folder again")
    found = identity(card)
    if found != card["id"]:
        raise InvalidInput(f"{Path(folder) / CARD} was changed after training; fetch the folder again")
    return found


def identity(card: Mapping[str, Any]) -> str:
    """`sha256:…` over the weights' hash and all that changes an answer: network, classes, threshold, reach, depth."""
    deciding = {k: card[k] for k in ("format", "classes", "network", "reach_px", "calibration", "threshold")}
    deciding["weights"] = card["weights"]["sha256"]
    if "edge" in card:
        deciding["edge"] = card["edge"]
    if card.get("camera_bits"):
        deciding["camera_bits"] = card["camera_bits"]
    if image_score := card.get("image_score"):
        deciding["image_score"] = {k: image_score[k] for k in ("weights", "offset")}
    for name in ("novelty", "first_look", "part_views"):
        if name in card:
            deciding[name] = card[name]["sha256"]
    text = json.dumps(deciding, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def load_segmenter(folder: Path, *, device: str = "cpu", threads: int | None = None) -> FrameSegmenter:
    """The model in a folder, ready to look at frames.

    Args:
        folder: as `qc train` wrote it.
        device: `cpu`, `cuda` or `auto` (`segmentation.device`).
        threads: CPU threads for one frame; None leaves torch's choice.

    Raises:
        NotFound, InvalidInput: there is no model, or it is damaged; or there is no such device.
    """
    device = on_device(device)
    card, network = load_network(folder)
    look = torch_look(network, device=device, threads=threads)
    first_look = read_first_look(folder, card, device=device, threads=threads)
    return from_card(card, look, runtime="torch", novelty=read_novelty(folder, card), first_look=first_look)


def read_novelty(folder: Path, card: Mapping[str, Any]) -> Novelty | None:
    """What the model remembers of clean parts; None for a model without a memory."""
    return load_novelty(Path(folder) / NOVELTY) if "novelty" in card else None


def read_first_look(
    folder: Path, card: Mapping[str, Any], *, device: str = "cpu", threads: int | None = None
) -> FirstLook | None:
    """Where the model need not look, computed in torch; None for a model that looks everywhere."""
    network = first_look_network(folder, card)
    return None if network is None else network.look(device=device, threads=threads)


def first_look_network(folder: Path, card: Mapping[str, Any]) -> FirstLookNetwork | None:
    """What says where the model need not look; None for a model that looks everywhere."""
    return load_first_look(Path(folder) / FIRST_LOOK) if "first_look" in card else None


def read_part_views(folder: Path, card: Mapping[str, Any]) -> PartSettings | None:
    """What the model knows of the views of a part; None for a model that learnt nothing of them.

    Raises:
        InvalidInput: the file is damaged.
    """
    if "part_views" not in card:
        return None
    path = Path(folder) / PART_VIEWS
    try:
        return part_settings.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} is damaged: {error}") from error


def with_novelty(folder: Path, novelty: Novelty, out: Path, *, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write the model in `folder` with a memory of clean parts into `out`: another model, with another id.

    Args:
        folder: a model; a memory that it has is replaced.
        novelty: the memory.
        out: created; a model that is already there is replaced.
        about: where the memory comes from, for the card.

    Raises:
        InvalidInput: `folder` holds no intact model, or one whose classes leave no id for `UNKNOWN`.
        Conflict: `out` holds something else.
    """
    unknown_id(map(int, read_card(folder)["classes"]))
    return _with(folder, out, "novelty", NOVELTY, lambda path: save_novelty(novelty, path), about)


def with_first_look(folder: Path, look: FirstLookNetwork, out: Path, *, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write the model in `folder` with a first look into `out`: another model, with another id.

    Args: as `with_novelty`.

    Raises:
        InvalidInput: `folder` holds no intact model. Conflict: `out` holds something else.
    """
    return _with(folder, out, "first_look", FIRST_LOOK, lambda path: save_first_look(look, path), about)


def with_part_views(folder: Path, settings: PartSettings, out: Path, *, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write the model in `folder` with what it should know of views into `out`: another model, with another id.

    Args, Raises: as `with_first_look`.
    """
    text = json.dumps(part_settings.to_json(settings), indent=1, ensure_ascii=False) + "\n"
    return _with(folder, out, "part_views", PART_VIEWS, lambda path: path.write_text(text, encoding="utf-8"), about)


def _with(
    folder: Path, out: Path, name: str, file: str, save: Callable[[Path], object], about: Mapping[str, Any]
) -> dict[str, Any]:
    """The model in `folder`, with one more file that changes its answers, as the model `out`; its card."""
    model_id(folder)
    refuse_foreign(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        shutil.copytree(folder, working, dirs_exist_ok=True)
        save(working / file)
        card = read_card(folder)
        card[name] = {"file": file, "sha256": _sha256(working / file), **about}
        card["id"] = identity(card)
        (working / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        replace_folder(working, out)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return card


def load_network(folder: Path) -> tuple[dict[str, Any], Network]:
    """The card and the network of a model whose files are intact; raises NotFound, InvalidInput."""
    card = read_card(folder)
    card["id"] = model_id(folder)
    network = build(network_config(card["network"]), len(card["classes"]))
    load_weights(network, read_weights(folder), folder)
    return card, network


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The stored weights, in float32; raises InvalidInput for a damaged file."""
    path = Path(folder) / WEIGHTS
    try:
        stored = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InvalidInput(f"{path} is damaged: {error}") from error
    return {n: w.float() if w.is_floating_point() else w for n, w in stored.items()}


def load_weights(network: Network, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Put weights into a network; raises InvalidInput if they are those of another network."""
    try:
        network.load_state_dict(dict(weights), strict=True)
    except RuntimeError as error:
        raise InvalidInput(f"the weights in {folder} do not fit the network that its card describes") from error


def stored_form(weights: Mapping[str, Tensor], *, half: bool) -> dict[str, Tensor]:
    """Weights as a file holds them: contiguous, on the CPU, in float16 if `half`; batch counters are not needed."""
    return {
        n: (w.half() if half and w.is_floating_point() else w).detach().cpu().contiguous().clone()
        for n, w in weights.items()
    }


def as_served(weights: Mapping[str, Tensor], *, half: bool) -> dict[str, Tensor]:
    """Weights as they come back from a file; what is validated must be exactly what is served."""
    return {n: w.float() if w.is_floating_point() else w for n, w in stored_form(weights, half=half).items()}


def save_model(
    folder: Path,
    weights: Mapping[str, Tensor],
    *,
    config: NetworkConfig,
    classes: Mapping[int, str],
    reach: int,
    calibration: tuple[float, float],
    threshold: float,
    edge: float,
    half: bool,
    about: Mapping[str, Any],
    image_score: ImageScore | None = None,
    camera_bits: int | None = None,
    pictures: Iterable[NDArray[np.uint8]] = (),
) -> dict[str, Any]:
    """Write a model folder: all of it or nothing. Returns the card.

    Args:
        folder: created; a model that is already there is replaced.
        about: the rest of the card: figures, training, data, versions.
        image_score: how the score of an image comes about; None: from its surest pixel.
        camera_bits: depth of the 16-bit pictures it learnt from; None: there were none, or of several.
        pictures: validation crops that travel with the model (`segmentation.samples`).

    Raises:
        Conflict: `folder` holds something else, which is not overwritten.
    """
    folder = Path(folder)
    refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        save_file(stored_form(weights, half=half), working / WEIGHTS)
        (working / WEIGHTS).chmod(0o644)
        card = {
            "format": FORMAT,
            "classes": {str(k): v for k, v in sorted(classes.items())},
            "threshold": threshold,
            "edge": edge,
            "calibration": {"scale": calibration[0], "offset": calibration[1]},
            **({"image_score": asdict(image_score)} if image_score else {}),
            **({"camera_bits": camera_bits} if camera_bits else {}),
            "network": as_json(config),
            "reach_px": reach,
            "input": "RGB (grey repeated), 8 bit, divided by 127.5, less 1; native resolution",
            "output": "logits of background and of each class in ascending order of class id; softmax over them",
            "weights": {
                "file": WEIGHTS,
                "sha256": _sha256(working / WEIGHTS),
                "type": "float16" if half else "float32",
            },
        }
        card = {"id": identity(card), **card, **about}
        (working / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        samples.write(working, pictures)
        replace_folder(working, folder)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return card


def refuse_foreign(folder: Path) -> None:
    """Raises Conflict if `folder` is there and is neither empty nor a model: nobody's files are replaced by mistake."""
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / CARD).is_file())):
        raise Conflict(f"{folder} is there and is no model folder; choose another --out")


def replace_folder(working: Path, folder: Path) -> None:
    """Give a finished folder its name; what had the name before is gone afterwards."""
    working.chmod(0o755)
    if folder.exists():
        old = working.with_name(working.name + ".old")
        os.rename(folder, old)
        os.rename(working, folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.rename(working, folder)


def _sha256_or_none(path: Path) -> str | None:
    """None for a file that is not there."""
    return _sha256(path) if path.is_file() else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
