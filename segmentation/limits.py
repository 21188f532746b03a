"""What a model was not shown, or too little of: what its card says against trusting it there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qc.dataset import DataSet, Sample
from segmentation.plan import Plan

FEW_LEARNT = 20
"""With fewer examples of a class, what it looks like on another part is hardly known."""

FEW_JUDGED = 10
"""Of fewer held-back defects, a recall of all of them is still one of 70 % (exact binomial, 95 %)."""

PLACES = ("station", "source", "view")
"""Columns of split.csv that tell where a picture comes from."""


def limits(
    data: DataSet, plan: Plan, detection: Mapping[str, Any], pictures: Sequence[NDArray[np.uint8]]
) -> dict[str, Any]:
    """For a model's card.

    Args:
        detection: as `segmentation.finding` tells it of the held-back parts.
        pictures: crops of the held-back images.

    Returns:
        `few_examples`, by class the drawn defects that it learnt from and was judged on, where those are fewer than
        `FEW_LEARNT` or `FEW_JUDGED`; `lengths_seen`, of held-back defects, and `not_shown_below`, by class the length
        from which on nine of ten are found with 95 % confidence (a90/95), null where no length is shown, both with
        their `unit`; `parts` that it learnt from; their `stations`, `sources` and `views` as far as split.csv tells
        them; `surface`, the lowest and the highest mean and standard deviation of the crops in grey levels (0 to 255):
        another surface or light is nothing that it knows.
    """
    found = {name: own["defects"] for name, own in detection["classes"].items()}
    learnt = {name: sum(b.class_id == c for b in plan.index.blemishes) for c, name in data.classes.items()}
    few = {
        name: {"learnt": learnt[name], "judged": found[name]}
        for name in data.classes.values()
        if learnt[name] < FEW_LEARNT or found[name] < FEW_JUDGED
    }
    drawn = [("all", detection["all"]), *detection["classes"].items()]
    return {
        "few_examples": few,
        "unit": detection["unit"],
        "lengths_seen": detection.get("sizes", []),
        "not_shown_below": {name: own["a90_95"] for name, own in drawn if own["defects"]},
        "parts": len({sample.part for sample in plan.train}),
        **_places(plan.train),
        "surface": _surface(pictures),
    }


def _places(samples: Sequence[Sample]) -> dict[str, list[str]]:
    told = {f"{name}s": sorted({s.columns.get(name) or "" for s in samples} - {""}) for name in PLACES}
    return {name: values for name, values in told.items() if values}


def _surface(pictures: Sequence[NDArray[np.uint8]]) -> dict[str, list[float]]:
    if not pictures:
        return {}
    means, spreads = [p.mean() for p in pictures], [p.std() for p in pictures]
    return {
        name: [round(float(min(values)), 1), round(float(max(values)), 1)]
        for name, values in (("mean", means), ("deviation", spreads))
    }
