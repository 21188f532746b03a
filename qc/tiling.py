"""A frame is looked at through tiles. Which tiles is arithmetic, and lives here; what is seen does not.

A tile has a *core*, for which it answers, and a *halo* around it, which it only looks at. Cores cover a frame
exactly once, so nothing is blended. If the halo is at least the network's reach (the half of its
receptive field, and a multiple of its stride), an answer does not depend on where the tiles fall.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qc.errors import InvalidInput
from qc.geometry import Box


@dataclass(frozen=True, slots=True)
class Tile:
    """A window on a frame: a place, not a picture. All lengths in frame pixels."""

    core: Box
    """The pixels this tile answers for; inside the frame."""
    left: int
    """First column that the tile looks at; negative where the halo reaches beyond the frame."""
    top: int
    """First row that the tile looks at; may be negative likewise."""
    width: int
    """Number of columns that the tile looks at: core and halo."""
    height: int
    """Number of rows that the tile looks at: core and halo."""


def tiles(height: int, width: int, *, core: tuple[int, int], halo: int, stride: int = 1) -> Iterator[Tile]:
    """Cover a frame with tiles, row by row; every pixel lies in the core of exactly one.

    Args:
        height, width: of the frame, in pixels, at least 1.
        core: height and width of a core in pixels, positive multiples of `stride`; the last row and column may be
            smaller.
        halo: pixels looked at around the core, a multiple of `stride`, so that every tile starts
            on the same phase of the network's grid.
        stride: the coarsest step of the network, in pixels.

    Raises:
        InvalidInput: a size is not positive or not a multiple of `stride`.
    """
    if height < 1 or width < 1:
        raise InvalidInput(f"a frame of {width} x {height} px cannot be tiled")
    rows, columns = core
    if min(core) < 1 or rows % stride or columns % stride or halo < 0 or halo % stride:
        raise InvalidInput(f"core {core} and halo {halo} must be multiples of the network's stride {stride}")
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            box = Box(left, top, min(columns, width - left), min(rows, height - top))
            looked_at_width = -(-box.width // stride) * stride + 2 * halo
            looked_at_height = -(-box.height // stride) * stride + 2 * halo
            yield Tile(box, left - halo, top - halo, looked_at_width, looked_at_height)
