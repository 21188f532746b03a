"""frame -> segmenter -> defects -> verdict, as one pure function."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qc.defects import Defect, find_defects, frame_score
from qc.features import Features, pooled
from qc.frame import Frame, to_8bit
from qc.ports import Segmenter
from qc.verdict import Policy, Verdict


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found on one frame."""

    verdict: Verdict
    score: float
    """How likely the frame shows a defect, in [0, 1]; orders frames, higher is worse."""
    defects: tuple[Defect, ...]
    """Those that count first, surest first; then the doubtful ones."""
    instances: NDArray[np.uint16]
    """`H x W`: 0 background, else 1 + the place of the pixel's defect in `defects`."""
    features: Features | None = None
    """What the encoder made of the frame and of each defect; None where the segmenter does not say."""


def at_depth(frame: Frame, policy: Policy, *, station: str = "") -> Frame:
    """The frame with 8 bit a channel where the policy tells the depth of its camera, else as it is.

    Raises:
        InvalidInput: a pixel is brighter than the camera can be.
    """
    told = policy.depth(station=station, view=frame.view)
    return frame if told is None else replace(frame, pixels=to_8bit(frame.pixels, told))


def inspect(frame: Frame, segmenter: Segmenter, policy: Policy, *, station: str = "") -> Findings:
    """Look at one frame and judge it; raises as `at_depth`."""
    frame = at_depth(frame, policy, station=station)
    seen = segmenter.segment(frame.pixels)
    defects, instances = find_defects(
        seen,
        segmenter.classes,
        threshold=segmenter.threshold,
        edge=segmenter.edge,
        mm_per_px=policy.scale(station=station, view=frame.view),
        pixels=frame.pixels,
    )
    return Findings(
        verdict=policy.judge(defects, view=frame.view),
        score=frame_score(seen),
        defects=defects,
        instances=instances,
        features=None
        if seen.cells is None
        else pooled(
            seen.cells, instances, [defect.box for defect in defects], cell_px=seen.cell_px, sample=seen.sample
        ),
    )
