"""From a class of the description to a mark at a place."""

from __future__ import annotations

import math

import numpy as np

from segmentation.render.blemishes import between
from segmentation.render.description import Defect
from segmentation.render.lines import crack, scratch
from segmentation.render.marks import Mark, Site
from segmentation.render.spots import dent, pit, stain

MAKERS = {"scratch": scratch, "crack": crack, "dent": dent, "pit": pit, "stain": stain}


def make_mark(
    defect: Defect, rng: np.random.Generator, at: tuple[float, float], shape: tuple[int, int], *, margin: float
) -> Mark:
    """A mark of this class; size, direction and course are drawn by lot from what the class allows.

    Args:
        at: its middle, x and y in px of the picture.
        shape: height and width of the picture.
        margin: px around the mark that its box must hold, for the lens.
    """
    length = between(rng, *defect.length_px)
    site = Site(
        at=np.asarray(at, np.float64),
        shape=shape,
        margin=margin,
        length=length,
        width=min(between(rng, *defect.width_px), length),
        heading=math.radians(rng.uniform(*defect.direction_deg)),
        cluster=defect.cluster,
    )
    return MAKERS[defect.kind](rng, site)
