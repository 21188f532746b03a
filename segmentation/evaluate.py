"""A segmenter on a split of a data set: how often it misses, how often it cries wolf, how exactly it draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qc.dataset import IGNORE, DataSet, Sample
from qc.errors import InvalidInput
from qc.given import read_given
from qc.part_places import Look
from qc.part_settings import PartSettings
from qc.ports import Segmentation, Segmenter
from qc.progress import Progress, within
from segmentation import sections
from segmentation.matching import ImageFacts, facts
from segmentation.metrics import Figures, collect, report
from segmentation.part_looks import answered, as_given
from segmentation.part_report import part_report
from segmentation.risk import Costs
from segmentation.segmenter import FrameSegmenter


def image_facts(
    segmenter: Segmenter,
    dataset: DataSet,
    *,
    split: str,
    progress: Progress | None = None,
    each: Callable[[Sample, Segmentation, NDArray[np.uint8]], None] | None = None,
) -> list[ImageFacts]:
    """Look at every labelled image of a split of which somebody knows something: not all of its mask is IGNORE.

    Args:
        each: called with every image, the answer to it, and its truth.

    Raises:
        InvalidInput: nothing is labelled there, an image or mask is damaged, or the model and the data set
            call the same class id by different names.
    """
    classes = all_classes(segmenter, dataset)
    samples = dataset.split(split)
    if not samples:
        raise InvalidInput(f"the split {split} of {dataset.name} has no labelled image; choose another --split")
    found = []
    for number, sample in enumerate(samples):
        pixels = sample.pixels()
        truth = sample.labels(dataset.classes)
        if (truth == IGNORE).all():
            continue
        seen = segmenter.segment(pixels)
        if each:
            each(sample, seen, truth)
        found.append(
            facts(
                seen,
                truth,
                classes,
                threshold=segmenter.threshold,
                edge=segmenter.edge,
                image=sample.image.name,
                part=sample.part,
                image_score=segmenter.image_score if isinstance(segmenter, FrameSegmenter) else None,
            )
        )
        if progress:
            progress((number + 1) / len(samples), sample.image.name)
    if not found:
        raise InvalidInput(
            f"every mask of the split {split} of {dataset.name} says {IGNORE}, that nobody knows; draw what is there"
        )
    return found


def all_classes(segmenter: Segmenter, dataset: DataSet) -> dict[int, str]:
    """The classes of both; a class that the model does not know is one that it never finds."""
    for class_id, name in dataset.classes.items():
        if (known := segmenter.classes.get(class_id, name)) != name:
            raise InvalidInput(
                f"class {class_id} is {known!r} to the model but {name!r} in {dataset.name}; they do not fit"
            )
    return dict(sorted({**segmenter.classes, **dataset.classes}.items()))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was seen, and the report of it."""

    report: dict[str, Any]
    """JSON values only."""
    facts: tuple[ImageFacts, ...]


@dataclass(frozen=True, slots=True)
class RiskChoice:
    """How thresholds are to be chosen from money and a bound on escapes."""

    costs: Costs
    alpha: float = 0.05
    """The share of defective parts that may pass."""
    level: float | None = None
    """How sure the bound is; None: on average."""
    prevalence: float | None = None
    """Share of defective parts in production; None: as among the calibration parts."""
    calibrate_on: str = "val"
    """The split whose parts settle the thresholds; the evaluated one where this one has no labelled image."""


def evaluate(
    segmenter: Segmenter, dataset: DataSet, *, split: str = "test", progress: Progress | None = None
) -> dict[str, Any]:
    """The report of `qc evaluate`: JSON values only. See the README for the meaning of every figure."""
    return evaluation(segmenter, dataset, split=split, progress=progress).report


def evaluation(
    segmenter: Segmenter,
    dataset: DataSet,
    *,
    split: str = "test",
    risk: RiskChoice | None = None,
    parts: PartSettings | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Look at a split and report.

    Args:
        risk: also choose thresholds from money, and say what becomes of the split's parts under them.
        parts: what the model learnt about the views of a part, if it did.

    Raises:
        InvalidInput: as `image_facts`.
    """
    elsewhere = risk is not None and split != risk.calibrate_on and bool(dataset.split(risk.calibrate_on))
    first = 0.5 if elsewhere else 1.0
    looks: dict[str, list[Look]] = {}

    def look(sample: Sample, seen: Segmentation, truth: NDArray[np.uint8]) -> None:
        looks.setdefault(sample.part, []).append(answered(seen, segmenter, sample, truth))

    found = image_facts(segmenter, dataset, split=split, progress=within(progress, 0.0, first), each=look)
    figures = collect(found)
    draws = sections.Resamples(figures)
    judged = {f.image for f in found}
    about = {
        "model": segmenter.model_id,
        "dataset": dataset.name,
        "split": split,
        "threshold": segmenter.threshold,
        "edge": segmenter.edge,
        **_figures(found, figures, draws, segmenter, dataset),
        "decisions": sections.decisions(
            figures,
            draws,
            ok_below=segmenter.threshold,
            ng_from=segmenter.threshold,
            costs=risk.costs if risk else None,
            prevalence=risk.prevalence if risk else None,
        ),
        "inspectors": sections.people(
            [sample for sample in dataset.split(split) if sample.image.name in judged],
            figures,
            draws,
            segmenter.threshold,
        ),
        "parts_from_all_views": part_report(
            looks,
            {part: any(f.defective for f in found if f.part == part) for part in looks},
            as_given(read_given(dataset.root)),
            parts,
            threshold=segmenter.threshold,
        ),
        "risk": None,
        "per_image": [_in_short(f) for f in found],
    }
    if risk is not None:
        calibration = found
        if elsewhere:
            rest = within(progress, first, 1 - first)
            calibration = image_facts(segmenter, dataset, split=risk.calibrate_on, progress=rest)
        about["risk"] = sections.risk(
            found,
            figures,
            draws,
            calibration,
            calibrated_on=f"the {risk.calibrate_on} parts" if elsewhere else "the parts of this split themselves",
            costs=risk.costs,
            alpha=risk.alpha,
            level=risk.level,
            prevalence=risk.prevalence,
        )
    return Evaluation(about, tuple(found))


def _figures(
    found: Sequence[ImageFacts],
    figures: Figures,
    draws: sections.Resamples,
    segmenter: Segmenter,
    dataset: DataSet,
) -> dict[str, Any]:
    """What was found and drawn: over all, by class, by size, and as curves."""
    classes = all_classes(segmenter, dataset)
    of_all = report(found, classes)
    for name, further in sections.by_class(found, figures, draws, classes).items():
        of_all["classes"][name] |= further
    return {
        **of_all,
        "aupro": sections.overlap(found, figures, draws),
        "by_size": sections.by_size(figures, draws, dataset.mm_per_px),
        "detection": sections.detection(figures, classes, segmenter.threshold, dataset.mm_per_px),
        "curves": sections.curves(found, figures, draws),
    }


def _in_short(image: ImageFacts) -> dict[str, Any]:
    return {
        "image": image.image,
        "part": image.part,
        "score": round(image.score, 6),
        "defective": image.defective,
        "missed": sum(d.found_at is None for d in image.defects),
        "false_alarms": len(image.alarms),
    }
