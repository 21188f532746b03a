"""The parity gate: whatever computes a network must say of every frame what the model itself says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qc.dataset import Sample
from qc.defects import class_mask
from qc.frame import Frame
from qc.inspection import Findings, inspect
from qc.ports import Segmenter
from qc.progress import Progress
from qc.verdict import Policy
from segmentation.predict import Remembering

Picture = Sample | NDArray[Any]
"""An image of a data set, read when it is needed, or a frame: `H x W` or `H x W x 3`."""

LARGEST_STEP = 0.02
"""Log-odds of a float32 runtime may differ by this much: 0.5 % of a probability, and a rounding of half precision
at 20."""


def pixels_of(picture: Picture) -> NDArray[Any]:
    """The frame."""
    return picture.pixels() if isinstance(picture, Sample) else picture


def compare_verdicts(
    own: Segmenter, other: Segmenter, frames: Sequence[Picture], progress: Progress | None = None
) -> dict[str, Any]:
    """Both on every frame: how many verdicts, defect lists and mask pixels differ, and the log-odds by how much."""
    return compare_all(own, {"other": other}, frames, progress)["other"]


def compare_all(
    own: Segmenter,
    others: Mapping[str, Segmenter],
    frames: Sequence[Picture],
    progress: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """As `compare_verdicts`, for several beside one, which looks at each frame only once."""
    found = {name: _Differences() for name in others}
    for number, picture in enumerate(frames):
        frame = Frame(pixels_of(picture), view="", sha256="")
        said = _answer(own, frame)
        for name, eyes in others.items():
            found[name].count(said, _answer(eyes, frame))
        if progress:
            progress((number + 1) / len(frames), "comparing verdicts")
    return {name: {"images": len(frames), **differences.as_json()} for name, differences in found.items()}


def _answer(eyes: Segmenter, frame: Frame) -> tuple[Findings, NDArray[np.float16]]:
    remembering = Remembering(eyes)
    findings = inspect(frame, remembering, Policy(product=""))
    if remembering.last is None:
        raise AssertionError("an inspection looks at its frame")
    return findings, remembering.last.log_odds


@dataclass(slots=True)
class _Differences:
    verdicts: int = 0
    pixels: int = 0
    largest: float = 0.0

    def count(self, own: tuple[Findings, NDArray[np.float16]], other: tuple[Findings, NDArray[np.float16]]) -> None:
        (a, x), (b, y) = own, other
        self.verdicts += _said(a) != _said(b)
        self.pixels += int((class_mask(a.defects, a.instances) != class_mask(b.defects, b.instances)).sum())
        apart = np.abs(np.clip(x.astype(np.float32), -20, 20) - np.clip(y.astype(np.float32), -20, 20))
        self.largest = max(self.largest, float(apart.max()))

    def as_json(self) -> dict[str, Any]:
        return {
            "verdicts_that_differ": self.verdicts,
            "mask_pixels_that_differ": self.pixels,
            "largest_log_odds_difference": round(self.largest, 6),
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
