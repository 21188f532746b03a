"""The parity gate: whatever computes a network must say of every frame what the model itself says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qc.dataset import Sample
from qc.defects import class_mask
from qc.frame import Frame
from qc.inspection import Findings, inspect
from qc.ports import Segmenter
from qc.verdict import Policy
from segmentation.predict import Remembering

Picture = Sample | NDArray[Any]
"""An image of a data set, read when it is needed, or a frame: `H x W` or `H x W x 3`."""

LARGEST_STEP = 0.02
"""Log-odds of a float32 runtime may differ by this much: 0.5 % of a probability, and a rounding of half precision
at 20."""

Progress = Callable[[float, str], None]


def pixels_of(picture: Picture) -> NDArray[Any]:
    """The frame."""
    return picture.pixels() if isinstance(picture, Sample) else picture


def compare_verdicts(
    own: Segmenter, other: Segmenter, frames: Sequence[Picture], progress: Progress | None = None
) -> dict[str, Any]:
    """Both on every frame: how many verdicts, defect lists and mask pixels differ, and the log-odds by how much."""
    both, policy = (Remembering(own), Remembering(other)), Policy(product="")
    differing, pixels_differing, largest = 0, 0, 0.0
    for number, picture in enumerate(frames):
        frame = Frame(pixels_of(picture), view="", sha256="")
        a, b = (inspect(frame, eyes, policy) for eyes in both)
        x, y = (eyes.last.log_odds.astype(np.float32) for eyes in both if eyes.last is not None)
        largest = max(largest, float(np.abs(np.clip(x, -20, 20) - np.clip(y, -20, 20)).max()))
        differing += _said(a) != _said(b)
        pixels_differing += int((class_mask(a.defects, a.instances) != class_mask(b.defects, b.instances)).sum())
        if progress:
            progress((number + 1) / len(frames), "comparing verdicts")
    return {
        "images": len(frames),
        "verdicts_that_differ": differing,
        "mask_pixels_that_differ": pixels_differing,
        "largest_log_odds_difference": round(largest, 6),
    }


def refusal(parity: dict[str, Any], *, exact: bool) -> str:
    """Why a runtime with this comparison may not serve; empty if it may."""
    if parity["verdicts_that_differ"]:
        return f"{parity['verdicts_that_differ']} of {parity['images']} verdicts differ from the model's own"
    if exact and parity["largest_log_odds_difference"] > LARGEST_STEP:
        return f"log-odds differ by up to {parity['largest_log_odds_difference']:.3g}, more than rounding explains"
    return ""


def _said(findings: Findings) -> tuple[Any, ...]:
    return findings.verdict, sorted(d.class_id for d in findings.defects if d.counts)
