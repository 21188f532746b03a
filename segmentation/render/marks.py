"""What a described defect does to the surface at one place: light it swallows, slopes it makes, finish it takes away.

Everything is worked out as the average over each pixel (or close to it), not at its middle, so that a line thinner
than a pixel, or between two of them, comes out as a camera would see it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qc.geometry import Box
from segmentation.render.surface import Field

Curve = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """Where a mark is made, and how large. Lengths in px."""

    at: Curve
    """Its middle on the picture: x, y."""
    shape: tuple[int, int]
    """Height and width of the picture; what would lie outside is cut off."""
    margin: float
    """How much more than the mark its box must hold, for the lens."""
    length: float
    width: float
    heading: float
    """Of its longer side, radians counter-clockwise as seen."""
    cluster: tuple[int, int] = (1, 1)
    """Fewest and most holes (pits)."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One defect at its place. Arrays are `box.height x box.width` float32."""

    box: Box
    """On the picture, in px; holds all that changes, the lens's blur included."""
    loss: Field
    """Light that is swallowed, 1 where most is."""
    lean_x: Field
    """Slope to the right, about 1 where steepest."""
    lean_y: Field
    """Slope downwards."""
    worn: Field
    """Share of the old finish (tool marks, grain) that is gone, in [0, 1]."""
