"""A segmenter on a split of a data set: how often it misses, how often it cries wolf, how exactly it draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qc.dataset import DataSet
from qc.errors import InvalidInput
from qc.ports import Segmenter
from segmentation.matching import ImageFacts, facts
from segmentation.metrics import report

Progress = Callable[[float, str], None]
"""Called with the share done, in [0, 1], and a few words."""


def image_facts(
    segmenter: Segmenter, dataset: DataSet, *, split: str, progress: Progress | None = None
) -> list[ImageFacts]:
    """Look at every labelled image of a split.

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
        if truth.shape != pixels.shape[:2]:
            raise InvalidInput(f"mask {sample.name}.png does not have the size of its image")
        seen = segmenter.segment(pixels)
        found.append(
            facts(
                seen,
                truth,
                classes,
                threshold=segmenter.threshold,
                image=sample.image.name,
                part=sample.part,
            )
        )
        if progress:
            progress((number + 1) / len(samples), sample.image.name)
    return found


def all_classes(segmenter: Segmenter, dataset: DataSet) -> dict[int, str]:
    """The classes of both; a class that the model does not know is one that it never finds."""
    for class_id, name in dataset.classes.items():
        if (known := segmenter.classes.get(class_id, name)) != name:
            raise InvalidInput(
                f"class {class_id} is {known!r} to the model but {name!r} in {dataset.name}; they do not fit"
            )
    return dict(sorted({**segmenter.classes, **dataset.classes}.items()))


def evaluate(
    segmenter: Segmenter, dataset: DataSet, *, split: str = "test", progress: Progress | None = None
) -> dict[str, Any]:
    """The report of `qc evaluate`: JSON values only. See the README for the meaning of every figure."""
    found = image_facts(segmenter, dataset, split=split, progress=progress)
    return {
        "model": segmenter.model_id,
        "dataset": dataset.name,
        "split": split,
        "threshold": segmenter.threshold,
        **report(found, all_classes(segmenter, dataset)),
        "per_image": [
            {
                "image": f.image,
                "part": f.part,
                "score": round(f.score, 6),
                "defective": f.defective,
                "missed": sum(d.found_at is None for d in f.defects),
                "false_alarms": len(f.alarms),
            }
            for f in found
        ],
    }
