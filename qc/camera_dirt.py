"""Is there something on the lens? A spot that lies at the same place of every picture, whatever part is on it. Pure.

A picture is cut into a few cells, and each is compared with those around it, so that lamp and exposure do not count.
What a cell is usually like is learnt from the camera's first good pictures: holes and edges of the part are there, too,
in a fixture. From then on a chart for each cell adds up what is darker or brighter than that, part after part; a single
part, with a defect or without, moves it by little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.camera import grey_of
from qc.charts import CLIP
from qc.frame import Pixels

Floats = NDArray[np.float32]

CELLS = 32
"""Along the longer side of a picture. What is smaller than half a cell hardly darkens one; what is wider than four of
them is taken for the surroundings."""
DARKEST = 4.0
"""Grey level (0..255) below which brightness is noise, and no logarithm is taken."""
LEARN = 100
"""Pictures from which the usual is learnt; its mean is then known to a tenth of a standard deviation."""
FLOOR = 0.015
"""Smallest standard deviation believed: a cell that is darker by less than 1.5 % is not worth a person's time."""
SLACK, LIMIT = 0.8, 20.0
"""Of the charts: with a thousand cells, and means learnt wrong by a third of a standard deviation in the worst of
them, one false alarm in some hundred thousand normal pictures; a cell that is off by two standard deviations is found
after 17."""
FEW = 0.1
"""Share of the cells that a spot covers at most: where more have changed, the camera, the lamp or the part has."""
GROSS, GROSS_SD = 0.1, 6.0
"""A single picture is at fault where the spot that the charts have found makes a cell darker or brighter by so much (as
a logarithm), and by so many standard deviations."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where something lies, and how strong it is."""

    column: float
    """Its middle, from the left, in shares of the width; `row` likewise, from the top."""
    row: float
    size: float
    """By how much the cell differs from what is usual there: a logarithm, below 0 where it is darker."""
    parts: int
    """How many pictures ago it came, by the chart."""

    def words(self) -> str:
        """After "the camera is"."""
        how = f"{'darker' if self.size < 0 else 'brighter'} by {abs(math.expm1(self.size)):.0%}"
        return (
            f"dirty or shaded {self.column:.0%} from the left and {self.row:.0%} from the top ({how} there than before)"
        )


def cells(pixels: Pixels) -> Floats:
    """How bright each cell of a picture is against those around it, as a logarithm.

    Args:
        pixels: `H x W` or `H x W x 3`, 8 or 16 bit.

    Returns:
        `h x w`, the longer side `CELLS`.
    """
    step = max(1, max(pixels.shape[:2]) // 1024)
    grey = grey_of(pixels[::step, ::step])
    scale = CELLS / max(grey.shape)
    size = (max(3, round(grey.shape[1] * scale)), max(3, round(grey.shape[0] * scale)))
    small = cv2.resize(grey.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small = np.log(np.maximum(small, DARKEST))
    return np.asarray(small - cv2.medianBlur(small, 5 if min(size) >= 5 else 3), np.float32)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a camera's cells are usually like, and their charts."""

    number: int = 0
    """Pictures learnt from, up to `LEARN`."""
    mean: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    squares: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """Sum of squared deviations of the pictures learnt from."""
    sums: Floats = field(default_factory=lambda: np.zeros((2, 0, 0), np.float32))
    """The charts: upwards and downwards."""
    runs: NDArray[np.int32] = field(default_factory=lambda: np.zeros((2, 0, 0), np.int32))
    """Pictures since each was last zero."""
    away: Floats = field(default_factory=lambda: np.zeros((2, 0, 0), np.float32))
    """What the cells differed by in these, added up."""

    @property
    def spread(self) -> Floats:
        """Standard deviation of each cell, at least `FLOOR`."""
        return np.asarray(np.maximum(np.sqrt(self.squares / max(self.number - 1, 1)), FLOOR), np.float32)

    @property
    def learnt(self) -> bool:
        """Is the usual known?"""
        return self.number >= LEARN

    def moved(self, seen: Floats) -> Ground:
        """After one more good picture of the same size."""
        if not self.learnt:
            mean = self.mean if self.number else np.zeros_like(seen)
            squares = self.squares if self.number else np.zeros_like(seen)
            new = mean + (seen - mean) / np.float32(self.number + 1)
            return replace(
                self, number=self.number + 1, mean=new, squares=squares + (seen - mean) * (seen - new)
            ).begun()
        away = seen - self.mean
        step = np.clip(away / self.spread, -CLIP, CLIP)
        sums = np.maximum(self.sums + np.stack([step, -step]) - np.float32(SLACK), 0)
        runs = np.where(sums > 0, self.runs + 1, 0).astype(np.int32)
        total = np.where(sums > 0, self.away + away, 0)
        return replace(self, sums=sums.astype(np.float32), runs=runs, away=total.astype(np.float32))

    def begun(self) -> Ground:
        """With charts that begin anew; what is usual stays."""
        zero = np.zeros((2, *self.mean.shape), np.float32)
        return replace(self, sums=zero, runs=zero.astype(np.int32), away=zero)

    def spot(self) -> Spot | None:
        """What lies on the lens; None: nothing, or so much that it is no spot."""
        over = self.sums >= LIMIT
        if not over.any() or over.any(axis=0).mean() > FEW:
            return None
        size = self.away / np.maximum(self.runs, 1)
        most = np.where(over, np.abs(size), -1.0)
        side, row, column = (int(n) for n in np.unravel_index(int(most.argmax()), most.shape))
        height, width = self.mean.shape
        return Spot(
            column=(column + 0.5) / width,
            row=(row + 0.5) / height,
            size=float(size[side, row, column]),
            parts=int(self.runs[side, row, column]),
        )

    def gross(self, seen: Floats) -> Spot | None:
        """The spot, where it is on this very picture and strong."""
        if (spot := self.spot()) is None:
            return None
        over = (self.sums >= LIMIT).any(axis=0)
        away = np.abs(seen - self.mean)
        strong = over & (away >= GROSS) & (away >= GROSS_SD * self.spread)
        return spot if strong.any() else None


def to_bytes(ground: Ground) -> bytes:
    """What is usual, to be stored; charts begin anew after a start. float32: the mean, then the sums of squares."""
    return np.stack([ground.mean, ground.squares]).astype("<f4").tobytes()


def from_bytes(data: bytes, shape: tuple[int, int]) -> Ground:
    """The inverse, for cells of this shape; one that knows nothing where they were of another."""
    if len(data) != 8 * shape[0] * shape[1]:
        return Ground()
    mean, squares = np.frombuffer(data, "<f4").reshape(2, *shape).astype(np.float32)
    return Ground(number=LEARN, mean=mean, squares=squares).begun()
