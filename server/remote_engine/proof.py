"""Does the other server compute the champion's network? The same gate as for every runtime, and a way to know it again.

What a model says of a few windows is its **fingerprint**. The proof holds for that fingerprint: as long as it comes out
the same, the conclusion stands, whether it was yes or no; once it does not, the proof is made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qc.frame import to_8bit
from qc.ports import Segmenter
from segmentation.parity import LARGEST_STEP, Picture, compare_verdicts, pixels_of, refusal
from segmentation.tiled import look_at, window_inside

WINDOW_PX = 512
"""Side of a fingerprint's windows, at most."""

WINDOWS = 8
"""Windows of a fingerprint, at most: two million numbers, which no other network gets right by chance."""

FRAMES_FOR_ROUNDING = 50
"""An engine whose log-odds differ by more than rounding explains (half precision, 8 bit) needs at least so many frames
to show that no verdict changes; as for runtimes on this machine (`segmentation.ready`)."""

Fingerprint = tuple[NDArray[np.float32], ...]
"""Log-odds of the windows."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of the comparison with the model itself."""

    model: str
    """Id of the champion."""
    version: str
    """What the other server calls the version that was asked."""
    why_not: str
    """Empty: it may serve."""
    compared: dict[str, Any]
    """As `segmentation.parity` counts: `images`, `verdicts_that_differ`, `mask_pixels_that_differ`,
    `largest_log_odds_difference`."""
    fingerprint: Fingerprint


def windows_of(pictures: Sequence[Picture], stride: int) -> list[NDArray[np.uint8]]:
    """The windows of a fingerprint, `H x W x 3` each, from the middle of the first pictures."""
    found = []
    for picture in pictures[:WINDOWS]:
        pixels = pixels_of(picture)
        window = window_inside(pixels.shape, WINDOW_PX, stride)
        found.append(look_at(to_8bit(pixels), window))
    return found


def same(known: NDArray[np.float32], now: NDArray[np.float32]) -> bool:
    """Is that the same answer, but for rounding?"""
    return known.shape == now.shape and float(np.abs(_clipped(known) - _clipped(now)).max()) <= LARGEST_STEP


def _clipped(log_odds: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(log_odds, -20, 20)


def compare(
    own: Segmenter, other: Segmenter, pictures: Sequence[Picture], before_each: Callable[[], None]
) -> tuple[str, dict[str, Any]]:
    """Both look at the pictures, one by one, and no further than until it is clear that the answer is no.

    Args:
        own: the model as it is computed here.
        other: as the other server computes it.
        before_each: called before each picture.

    Returns:
        Why `other` may not serve, empty if it may; and the counts.
    """
    total: dict[str, Any] = {
        "images": 0,
        "verdicts_that_differ": 0,
        "mask_pixels_that_differ": 0,
        "largest_log_odds_difference": 0.0,
    }
    enough = len(pictures) >= FRAMES_FOR_ROUNDING
    for picture in pictures:
        before_each()
        found = compare_verdicts(own, other, [picture])
        largest = "largest_log_odds_difference"
        total = {n: max(total[n], found[n]) if n == largest else total[n] + found[n] for n in total}
        if refusal(total, exact=not enough):
            break
    why = refusal(total, exact=not enough)
    if why and not total["verdicts_that_differ"]:
        why += f"; to show that no verdict changes all the same, {FRAMES_FOR_ROUNDING} pictures are needed"
        why += f", and there are {len(pictures)}"
    return why, total
