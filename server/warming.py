"""A model looks at a blank tile before it serves: what is set up at the first look must not cost the first part.

With torch on a CPU that is little (the starter model's first look at 1024 x 1024 px took 1.62 s of processor time, the
second 1.59 s), with other runtimes and on a GPU more. And a model that cannot look at anything is found out here,
while the one before it still serves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from segmentation.segmenter import FrameSegmenter

SIDE_PX = 512
"""Side of the tile: wider than the halo of a network, and 0.4 s of processor time for the starter model."""


def warm(model: FrameSegmenter) -> None:
    """Look once; what the model says is nobody's, what it raises goes to whoever loads it."""
    blank = np.full((SIDE_PX, SIDE_PX), 128, np.uint8)
    model.segment(blank)
    if model.first_look is not None:  # it may have seen that there is nothing for the network to look at
        replace(model, first_look=None).segment(blank)
