"""A cheap look at every cell of a frame before the network is asked: where is surely nothing, it need not look.

A cell of `CELL_PX` pixels is described by how far its brightest and darkest spots stand out from their surroundings, at
four sizes, beside what is usual on the same frame. A small network, fitted to what people drew, makes one number of
it: the cell's *interest*. From the threshold on, a cell is looked at, and its eight neighbours with it. Where the
threshold lies, and what is known of the recall it costs, is `segmentation.first_look_proof`'s business.

A defect that is looked at somewhere is answered whole: where the network's answer reaches the border of what was looked
at, the next cells are looked at too, until it ends (`beyond`).

Limits: it knows brightness only, not colour; what is larger than some 60 px and smooth does not stand out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput
from qc.geometry import Box

FORMAT = 1
FILE = "first_look.json"

CELL_PX = 32
"""Side of a cell, in pixels; a multiple of every stride our networks have."""

SIZES = (1, 2, 4, 8)
"""The frame is looked at in its own size, and reduced by these factors."""

SURROUND = 7
"""Side of the square that is a pixel's surroundings, in pixels of the reduced frame; a speck or line half as wide
stands out from it in full."""

BAND_PX = 512
"""Rows that are looked at together: memory does not grow with the height of the frame."""

MARGIN_PX = 32
"""Rows around a band that its cells' surroundings may need: `SURROUND // 2 * max(SIZES)`, rounded up."""

FEATURES = 2 * 3 * len(SIZES)

SURELY = -30.0
"""Log-odds of what was not looked at: background, surely."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FirstLook:
    """Which cells of a frame the network must look at."""

    hidden: Floats
    """`(FEATURES + 1) x H`; the last row is the bias."""
    out: Floats
    """`H + 1`; the last is the bias."""
    threshold: float
    """Interest from which on a cell is looked at."""

    def interest(self, pixels: NDArray[Any]) -> Floats:
        """`rows x columns` of cells: the highest interest of the cell and its eight neighbours."""
        return widened(interest(features(pixels), self.hidden, self.out))

    def cells(self, pixels: NDArray[Any]) -> NDArray[np.bool_]:
        """`rows x columns` of cells: which are looked at."""
        return self.interest(pixels) >= self.threshold


def beyond(log_odds: NDArray[np.float16], looked: NDArray[np.bool_], level: float) -> NDArray[np.bool_]:
    """Cells not yet looked at into which an answer of at least `level` goes on, by one of eight neighbours.

    Args:
        log_odds: `H x W`, below `level` where nobody looked.
        looked: `rows x columns` of cells.
        level: log-odds of what must be seen whole.
    """
    (height, width), (rows, columns) = log_odds.shape, looked.shape
    last = [*range(CELL_PX - 1, height, CELL_PX), height - 1][:rows], [*range(CELL_PX - 1, width, CELL_PX), width - 1]
    ys = {-1: np.arange(0, height, CELL_PX), 1: np.array(last[0])}
    xs = {-1: np.arange(0, width, CELL_PX), 1: np.array(last[1][:columns])}
    wanted = np.zeros((rows + 2, columns + 2), np.bool_)
    for step, y in ys.items():
        line = np.pad(log_odds[y] >= level, ((0, 0), (0, columns * CELL_PX - width)))
        wanted[1 + step : 1 + step + rows, 1:-1] |= line.reshape(rows, columns, CELL_PX).any(axis=2)
    for step, x in xs.items():
        line = np.pad(log_odds[:, x] >= level, ((0, rows * CELL_PX - height), (0, 0)))
        wanted[1:-1, 1 + step : 1 + step + columns] |= line.reshape(rows, CELL_PX, columns).any(axis=1)
    for down, y in ys.items():
        for along, x in xs.items():
            wanted[1 + down : 1 + down + rows, 1 + along : 1 + along + columns] |= log_odds[np.ix_(y, x)] >= level
    result: NDArray[np.bool_] = wanted[1:-1, 1:-1] & ~looked
    return result


def mark(looked: NDArray[np.bool_], cores: Iterable[Box]) -> None:
    """Note which cells lie in `cores`."""
    for box in cores:
        looked[box.y // CELL_PX : -(-box.bottom // CELL_PX), box.x // CELL_PX : -(-box.right // CELL_PX)] = True


def widened(values: Floats) -> Floats:
    """The highest of each cell and its eight neighbours."""
    highest: Floats = cv2.dilate(values, np.ones((3, 3), np.uint8)).astype(np.float32, copy=False)
    return highest


def interest(found: Floats, hidden: Floats, out: Floats) -> Floats:
    """`... x FEATURES` -> `...`: a layer of rectified units, and their weighted sum."""
    units = np.maximum(found @ hidden[:-1] + hidden[-1], 0.0)
    result: Floats = (units @ out[:-1] + out[-1]).astype(np.float32, copy=False)
    return result


def features(pixels: NDArray[Any]) -> Floats:
    """What the cells of a frame look like: `rows x columns x FEATURES`.

    For every size: how much the brightest spot exceeds its surroundings, the same for the darkest, and how far pixels
    differ from their surroundings on average; as logarithms, to base 2, of one plus grey levels of 8 bit; and the same
    three less their median over the frame.
    """
    height, width = pixels.shape[:2]
    rows, columns = -(-height // CELL_PX), -(-width // CELL_PX)
    found = np.empty((rows, columns, 3 * len(SIZES)), np.float32)
    for first, band in _bands(pixels):
        for place, size in enumerate(SIZES):
            own = found[first : first + BAND_PX // CELL_PX, :, 3 * place : 3 * place + 3]
            own[:] = _stands_out(band, size, first * CELL_PX, len(own), columns)
    logs = np.log2(1.0 + found)
    return np.concatenate([logs, logs - np.median(logs, axis=(0, 1))], axis=2)


def _bands(pixels: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """First row of cells, and the grey band of it, with its margins (none at the top of the frame)."""
    height, width = pixels.shape[:2]
    for top in range(0, height, BAND_PX):
        piece = pixels[max(0, top - MARGIN_PX) : top + BAND_PX + MARGIN_PX]
        piece = np.ascontiguousarray(piece)
        grey = cv2.cvtColor(piece, cv2.COLOR_RGB2GRAY) if piece.ndim == 3 else piece
        below, right = -len(grey) % CELL_PX, -width % CELL_PX
        if below or right:
            grey = cv2.copyMakeBorder(grey, 0, below, 0, right, cv2.BORDER_REPLICATE)
        yield top // CELL_PX, grey.astype(np.uint8, copy=False)


def _stands_out(band: NDArray[np.uint8], size: int, top: int, rows: int, columns: int) -> Floats:
    """`rows x columns x 3`: highest excess, highest deficit, mean difference, in grey levels."""
    if size == 1:
        own = cv2.blur(band, (3, 3))
    else:
        own = cv2.resize(band, (band.shape[1] // size, band.shape[0] // size), interpolation=cv2.INTER_AREA)
    around = cv2.blur(own, (SURROUND, SURROUND))
    cell, margin = CELL_PX // size, (MARGIN_PX if top else 0) // size
    brighter, darker = cv2.subtract(own, around), cv2.subtract(around, own)
    inside = np.s_[margin : margin + rows * cell]
    result = np.empty((rows, columns, 3), np.float32)
    for place, found in enumerate((brighter[inside], darker[inside])):
        tallest = found.reshape(rows, cell, columns * cell).max(axis=1)
        result[..., place] = tallest.reshape(rows, columns, cell).max(axis=2)
    both = cv2.add(brighter[inside], darker[inside])
    # In two steps: the large one in whole grey levels is several times faster, and its rounding averages out.
    fine = 4 if cell % 8 == 0 else 1
    quarter = cv2.resize(both, (columns * cell // fine, rows * cell // fine), interpolation=cv2.INTER_AREA)
    result[..., 2] = cv2.resize(quarter.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return result


def to_json(look: FirstLook) -> dict[str, Any]:
    """As the model folder keeps it."""
    return {
        "format": FORMAT,
        "cell_px": CELL_PX,
        "threshold": look.threshold,
        "hidden": [[float(f"{v:.9g}") for v in row] for row in look.hidden.tolist()],
        "out": [float(f"{v:.9g}") for v in look.out.tolist()],
    }


def from_json(said: Mapping[str, Any]) -> FirstLook:
    """The inverse of `to_json`; raises InvalidInput for what is damaged or from another version."""
    if said.get("format") != FORMAT or said.get("cell_px") != CELL_PX:
        raise InvalidInput(f"the first look is of format {said.get('format')}; make it again with qc first-look")
    try:
        hidden, out = np.array(said["hidden"], np.float32), np.array(said["out"], np.float32)
        threshold = float(said["threshold"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"the first look is damaged: {error}") from error
    if hidden.ndim != 2 or hidden.shape != (FEATURES + 1, len(out) - 1) or not np.isfinite(threshold):
        raise InvalidInput(f"the first look is damaged: its weights are {hidden.shape} and {out.shape}")
    return FirstLook(hidden, out, threshold)


def save(look: FirstLook, path: Path) -> None:
    """Write it."""
    path.write_text(json.dumps(to_json(look)) + "\n", encoding="utf-8")


def load(path: Path) -> FirstLook:
    """From a file; raises InvalidInput for a damaged one."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} is damaged: {error}") from error
    if not isinstance(said, dict):
        raise InvalidInput(f"{path} is damaged: it holds no JSON object")
    return from_json(said)
