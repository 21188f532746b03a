"""A few validation crops that travel with a model: whoever exports it can compare verdicts without the data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.dataset import FALSE_ALARMS, IGNORE, QUALITY, Sample, open_dataset
from qc.errors import InvalidInput
from qc.frame import decode, to_8bit

FOLDER = "samples"
COUNT = 8
SIDE_PX = 512
"""With eight crops of at most this side a folder grows by two megabytes at most."""

_LEARNT = (FALSE_ALARMS, QUALITY)

MOST = 60
"""So many of a model's own val images prove enough; each costs every runtime a look."""

MOST_LEARNT = 400
"""Among so many images that it learnt from there are enough with defects; each costs a look at its mask."""


def crops(
    images: Iterable[tuple[NDArray[np.uint8] | NDArray[np.uint16], NDArray[np.uint8]]],
) -> list[NDArray[np.uint8]]:
    """Of the first images (pixels, truth) a crop each, around the defects where there are any; 8 bit."""
    kept = []
    for pixels, truth in images:
        rows, columns = np.nonzero((truth > 0) & (truth != IGNORE))
        height, width = truth.shape
        y, x = (int(rows.mean()), int(columns.mean())) if len(rows) else (height // 2, width // 2)
        top = min(max(y - SIDE_PX // 2, 0), max(height - SIDE_PX, 0))
        left = min(max(x - SIDE_PX // 2, 0), max(width - SIDE_PX, 0))
        kept.append(to_8bit(pixels)[top : top + SIDE_PX, left : left + SIDE_PX].copy())
        if len(kept) == COUNT:
            break
    return kept


def write(folder: Path, pictures: Iterable[NDArray[np.uint8]]) -> None:
    """Put the crops into a model folder, without loss."""
    (folder / FOLDER).mkdir()
    for number, picture in enumerate(pictures):
        stored = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".png", stored)
        if not done:
            raise InvalidInput(f"validation crop {number} cannot be written as a PNG")
        (folder / FOLDER / f"{number}.png").write_bytes(data.tobytes())


def carried(folder: Path) -> list[NDArray[np.uint8]]:
    """The crops that a model folder carries, in order; empty if it has none."""
    return [to_8bit(decode(p.read_bytes(), name=p.name)) for p in sorted((Path(folder) / FOLDER).glob("*.png"))]


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_of(sample: Sample) -> list[str]:
    """All that can be learnt from a sample: SHA-256 of picture, mask and weights, and what split.csv adds; else ""."""
    files = (sample.image, sample.mask, sample.weight)
    return [*("" if f is None else sha256_of(f) for f in files), *(sample.columns.get(c, "") for c in _LEARNT)]


def some_of(samples: Sequence[Sample], most: int) -> list[Sample]:
    """At most so many, evenly over all."""
    return list(samples[:: max(1, -(-len(samples) // most))])


def found_again(
    card: Mapping[str, Any], folders: Iterable[Path], most: int = MOST, *, learnt: bool = False
) -> list[Sample]:
    """The images on which a model was judged, as far as they still lie unaltered in one of the data sets.

    Args:
        card: of the model; its manifest names the images and their SHA-256.
        folders: data sets, looked through in this order; what is not there any more, or no data set, is passed over.
        most: as many at most, evenly over all.
        learnt: those that it learnt from instead.
    """
    wanted = card.get("dataset", {}).get("train_files" if learnt else "val_files", {})
    for folder in folders:
        if not wanted or not (folder / "dataset.yaml").is_file():
            continue
        there = [s for s in open_dataset(folder).samples if s.image.name in wanted and s.image.is_file()]
        chosen = some_of(there, most)
        same = [s for s in chosen if sha256_of(s.image) == wanted[s.image.name]["image"]]
        if same:
            return same
    return []
