"""Places on a frame, and the way from pixels to millimetres."""

from __future__ import annotations

from dataclasses import dataclass

from qc.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle of whole pixels: columns `x .. x + width - 1`, rows `y .. y + height - 1`."""

    x: int
    """First column, counted from the left edge of the frame."""
    y: int
    """First row, counted from the top edge of the frame."""
    width: int
    """Number of columns, at least 1."""
    height: int
    """Number of rows, at least 1."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise InvalidInput(f"a box of {self.width} x {self.height} px holds no pixel")

    @property
    def right(self) -> int:
        """The first column behind the box."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row below the box."""
        return self.y + self.height

    def shifted(self, *, dx: int, dy: int) -> Box:
        """The same box, `dx` columns to the right and `dy` rows down."""
        return Box(self.x + dx, self.y + dy, self.width, self.height)

    def grown(self, margin: int, *, width: int, height: int) -> Box:
        """The box with `margin` pixels more on every side, cut at the edges of a `width x height` frame."""
        left, top = max(self.x - margin, 0), max(self.y - margin, 0)
        right, bottom = min(self.right + margin, width), min(self.bottom + margin, height)
        return Box(left, top, right - left, bottom - top)

    def touches(self, other: Box) -> bool:
        """Do the two share at least one pixel?"""
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom

    def around(self, other: Box) -> Box:
        """The smallest box that holds both."""
        left, top = min(self.x, other.x), min(self.y, other.y)
        return Box(left, top, max(self.right, other.right) - left, max(self.bottom, other.bottom) - top)

    def as_list(self) -> list[int]:
        """`[x, y, width, height]`, as it stands in JSON."""
        return [self.x, self.y, self.width, self.height]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How large a pixel is on the part. One number: square pixels, camera at a right angle."""

    mm_per_px: float
    """Millimetres on the part for one pixel; positive."""

    def __post_init__(self) -> None:
        if not 0 < self.mm_per_px < float("inf"):
            raise InvalidInput(f"mm_per_px must be a positive number, not {self.mm_per_px}")

    def mm(self, px: float) -> float:
        """A length in pixels, in millimetres."""
        return px * self.mm_per_px

    def mm2(self, px: float) -> float:
        """An area in pixels, in square millimetres."""
        return px * self.mm_per_px**2
