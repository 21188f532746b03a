"""The held-back parts: looked at during a run without a given end, and once at the end of every run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from qc.dataset import IGNORE, Sample
from qc.errors import InvalidInput
from qc.ports import Segmentation
from segmentation.finding import finding
from segmentation.image_score import ImageScore, choose, counts, summary
from segmentation.matching import ImageFacts, as_far_as_known, facts
from segmentation.metrics import report
from segmentation.networks import Network
from segmentation.operating_point import Calibration, Tally, calibrated, settle
from segmentation.plan import Plan
from segmentation.samples import crops
from segmentation.schedule import Clock
from segmentation.segmenter import FrameSegmenter
from segmentation.torch_look import torch_look

LOOK_PX = 12_000_000
"""Looks during a run stay below about ten seconds on one core."""

FINAL_PX = 250_000_000
"""The answers of the last look are kept in memory, 4 bytes a pixel."""

SHARE_OF_TIME = 0.2
"""Validation never takes more than this share of a limited run; it then sees fewer images, defective ones first."""

SAVING_SECONDS = 1.5
"""What loading torch's kernels, hashing the files and writing the model may take besides."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the held-back parts say about a finished network."""

    calibration: tuple[float, float]
    """Scale and offset of the log-odds."""
    threshold: float
    edge: float
    figures: dict[str, Any]
    pictures: list[NDArray[np.uint8]]
    """Crops that travel with the model."""
    image_score: ImageScore | None = None
    """How the score of an image comes about; None: from its surest pixel."""


class Validator:
    """Looks at held-back images with a network."""

    def __init__(self, plan: Plan, reach: int, device: str, clock: Clock, *, mm_per_px: float | None = None) -> None:
        self._mm_per_px = mm_per_px
        self._plan, self._reach, self._device, self._clock = plan, reach, device, clock
        self._kept: dict[str, tuple[NDArray[Any], NDArray[np.uint8]]] = {}
        self._order = _interleaved(plan)
        self._final_px = FINAL_PX

    def plan_time(self, net: Network, *, total: float) -> float:
        """Seconds to reserve at the end of a run of `total` seconds: measured, not guessed."""
        began = self._clock()
        pixels, _ = self._open(self._order[0])
        segmenter = self._segmenter(net, {})
        segmenter.segment(pixels)
        once = self._clock()
        segmenter.segment(pixels)
        now = self._clock()
        per_px = 1.4 * (now - once + 0.1 * (once - began)) / pixels.shape[0] / pixels.shape[1]
        sizes = [p.shape[0] * p.shape[1] for p, _ in (self._open(s) for s in self._order[:16])]
        wanted = per_px * float(np.mean(sizes)) * len(self._order)
        allowed = SHARE_OF_TIME * total
        if wanted > allowed:
            self._final_px = min(self._final_px, max(int(allowed / per_px), 1))
        return min(wanted, allowed) + SAVING_SECONDS + 0.02 * total

    def look(self, net: Network, average: Mapping[str, Tensor]) -> float:
        """The mean IoU of the drawn classes at their best threshold, on some images, with the averaged weights."""
        current = {n: w.clone() for n, w in net.state_dict().items()}
        net.load_state_dict({**current, **average})
        tally, seen_px = Tally(self._plan.classes), 0
        segmenter = self._segmenter(net, self._plan.classes)
        for sample in self._order:
            pixels, truth = self._open(sample)
            tally.add(segmenter.segment(pixels), truth)
            seen_px += truth.size
            if seen_px > LOOK_PX:
                break
        net.load_state_dict(current)
        return tally.best()[1]

    def final(self, net: Network, *, deadline: float | None) -> Judgement:
        """Calibration, threshold, and the figures with them; stops looking in time for the deadline."""
        fit, seen_px = Calibration(), 0
        segmenter = self._segmenter(net, self._plan.classes)
        answers: list[tuple[Sample, Segmentation, NDArray[np.uint8]]] = []
        longest = 0.0
        for sample in self._order:
            began = self._clock()
            out_of_time = deadline is not None and began + 2 * longest + SAVING_SECONDS > deadline
            if answers and (seen_px >= self._final_px or out_of_time):
                break
            pixels, truth = self._open(sample)
            seen = segmenter.segment(pixels)
            fit.add(seen, truth)
            answers.append((sample, seen, truth))
            seen_px += truth.size
            longest = max(longest, self._clock() - began)
        calibration = fit.fit()
        answers = [(s, Segmentation(calibrated(a.log_odds, *calibration), a.class_id), t) for s, a, t in answers]
        threshold, edge = settle([(seen, truth) for _, seen, truth in answers], self._plan.classes)
        judged = [as_far_as_known(seen, truth, threshold=threshold, edge=edge) for _, seen, truth in answers]
        trial = choose(
            np.array([summary(seen, edge=edge) for seen in judged]),
            np.array([counts(seen, threshold=threshold) for seen in judged]),
            np.array([bool(((truth > 0) & (truth != IGNORE)).any()) for _, _, truth in answers]),
            [sample.part for sample, _, _ in answers],
            threshold=threshold,
        )
        if score := trial.score:
            answers = [(s, replace(a, score=score(a, threshold=threshold, edge=edge)), t) for s, a, t in answers]
        found = self._compared(answers, threshold, edge, trial.score)
        figures = {**report(found, self._plan.classes), "image_score": trial.about}
        figures |= finding(found, self._plan.classes, threshold=threshold, mm_per_px=self._mm_per_px)
        remembered = crops((self._open(s)[0], truth) for s, _, truth in answers)
        named = {"split": "val", "val_images_used": len(found), **figures}
        return Judgement(calibration, threshold, edge, named, remembered, trial.score)

    def _compared(
        self,
        answers: list[tuple[Sample, Segmentation, NDArray[np.uint8]]],
        threshold: float,
        edge: float,
        image_score: ImageScore | None,
    ) -> list[ImageFacts]:
        classes = self._plan.classes
        return [
            facts(
                seen,
                truth,
                classes,
                threshold=threshold,
                edge=edge,
                image=s.image.name,
                part=s.part,
                image_score=image_score,
            )
            for s, seen, truth in answers
        ]

    def _segmenter(self, net: Network, classes: Mapping[int, str]) -> FrameSegmenter:
        look = torch_look(net, device=self._device)
        return FrameSegmenter(look, classes or self._plan.classes, self._reach, self._plan.network.stride)

    def _open(self, sample: Sample) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        if sample.name in self._kept:
            return self._kept[sample.name]
        pixels = sample.pixels()
        truth = sample.labels(self._plan.classes)
        if sum(p.nbytes for p, _ in self._kept.values()) < 4 * LOOK_PX:
            self._kept[sample.name] = pixels, truth
        return pixels, truth


def _interleaved(plan: Plan) -> list[Sample]:
    """Defective and clean images by turns, so that a shortened look sees both; an order that never changes.

    Raises:
        InvalidInput: every mask is IGNORE all over; images of which nobody knows anything are left out.
    """
    defective: list[Sample] = []
    clean: list[Sample] = []
    for sample in plan.val:
        labels = sample.labels(plan.classes)
        if (labels != IGNORE).any():
            (defective if ((labels > 0) & (labels != IGNORE)).any() else clean).append(sample)
    if not defective and not clean:
        raise InvalidInput(f"every val mask says {IGNORE}, that nobody knows; a model cannot be judged by them")
    longer, shorter = (defective, clean) if len(defective) >= len(clean) else (clean, defective)
    order = []
    for place, sample in enumerate(longer):
        order.append(sample)
        if place < len(shorter):
            order.append(shorter[place])
    return order
