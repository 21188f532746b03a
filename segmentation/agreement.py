"""Does the model agree with the inspectors as well as they agree with each other? An attribute gauge study.

What inspectors said stands in columns of split.csv that begin with `inspector`: `inspector:anna`, and for a second look
of the same person `inspector:anna:2`. Each field is `ok`, `ng`, or empty where that person did not look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qc.dataset import Sample
from qc.errors import InvalidInput

Floats = NDArray[np.float64]
Said = NDArray[np.float64]
"""One value an image: 1 ng, 0 ok, NaN nothing said."""

PREFIX = "inspector"


def said_by_inspectors(samples: Sequence[Sample]) -> dict[str, dict[str, Said]]:
    """Inspector to trial to what they said; empty without such columns. Raises InvalidInput naming a wrong field."""
    columns = sorted({c for s in samples for c in s.columns if c.split(":")[0].strip() == PREFIX})
    people = dict[str, dict[str, Said]]()
    for column in columns:
        _, *name = (piece.strip() for piece in column.split(":"))
        values = []
        for sample in samples:
            field = sample.columns.get(column, "").lower()
            if field not in ("", "ok", "ng"):
                raise InvalidInput(f"{sample.image.name}: {column} must be ok, ng or empty, not {field!r}")
            values.append({"": np.nan, "ok": 0.0, "ng": 1.0}[field])
        trials = people.setdefault(name[0] if name else "", {})
        trials[name[1] if len(name) > 1 else "1"] = np.array(values)
    return people


def cohen_kappa(one: Said, other: Said, weight: Floats | None = None) -> float:
    """Agreement of two beyond what chance gives: `(p_o - p_e) / (1 - p_e)`; NaN where both always say the same word.

    Args:
        one, other: what they said; images on which either said nothing are left out.
        weight: how much each image counts.

    Source:
        Cohen 1960, doi:10.1177/001316446002000104.
    """
    both = np.isfinite(one) & np.isfinite(other)
    w = np.ones(len(one)) if weight is None else weight
    w = np.where(both, w, 0.0)
    total = w.sum()
    if not total:
        return float("nan")
    a, b = np.where(both, one, 0.0), np.where(both, other, 0.0)
    agreed = (w * (a == b)).sum() / total
    first, second = (w * a).sum() / total, (w * b).sum() / total
    by_chance = first * second + (1 - first) * (1 - second)
    return float((agreed - by_chance) / (1 - by_chance)) if by_chance < 1 - 1e-12 else float("nan")


def fleiss_kappa(said: Sequence[Said], weight: Floats | None = None) -> float:
    """Agreement of several inspectors at once; images that fewer than two looked at are left out.

    Source:
        Fleiss 1971, doi:10.1037/h0031619, with each image's pairs counted by the number who looked at it (the
        generalisation to missing values in Gwet 2014, chapter 2).
    """
    votes = np.stack(list(said))
    looked = np.isfinite(votes).sum(axis=0).astype(np.float64)
    bad = np.nansum(votes, axis=0)
    w = np.where(looked >= 2, 1.0 if weight is None else weight, 0.0)
    if not w.sum():
        return float("nan")
    pairs = np.where(looked >= 2, looked * (looked - 1), 1.0)
    agreed = (bad * (bad - 1) + (looked - bad) * (looked - bad - 1)) / pairs
    share = (w * bad / np.maximum(looked, 1)).sum() / w.sum()
    by_chance = share**2 + (1 - share) ** 2
    observed = (w * agreed).sum() / w.sum()
    return float((observed - by_chance) / (1 - by_chance)) if by_chance < 1 - 1e-12 else float("nan")


Interval = Callable[[Callable[[Floats], float]], Mapping[str, float | None]]
"""From a figure of image weights to its value and 95 % interval."""


def agreement_report(
    samples: Sequence[Sample], model_ng: NDArray[np.bool_], truth_ng: NDArray[np.bool_], interval: Interval
) -> dict[str, Any] | None:
    """Model against inspectors, inspectors against each other, themselves, and the truth; None without columns."""
    people = said_by_inspectors(samples)
    if not people:
        return None
    first = {name: trials[min(trials)] for name, trials in people.items()}
    model, truth = model_ng.astype(np.float64), truth_ng.astype(np.float64)

    def kappa(one: Said, other: Said) -> Mapping[str, float | None]:
        return interval(lambda w: cohen_kappa(one, other, w))

    def mean_with_model(w: Floats) -> float:
        return _mean([cohen_kappa(model, said, w) for said in first.values()])

    def mean_between(w: Floats) -> float:
        return _mean([cohen_kappa(a, b, w) for a, b in combinations(first.values(), 2)])

    return {
        "inspectors": {
            name: {
                "images": int(np.isfinite(first[name]).sum()),
                "kappa_with_truth": kappa(first[name], truth),
                "kappa_with_model": kappa(first[name], model),
                "kappa_with_oneself": kappa(*(trials[t] for t in sorted(trials)[:2])) if len(trials) > 1 else None,
            }
            for name, trials in people.items()
        },
        "model_kappa_with_truth": kappa(model, truth),
        "model_with_inspectors": interval(mean_with_model),
        "inspectors_with_each_other": interval(mean_between) if len(first) > 1 else None,
        "fleiss_kappa": interval(lambda w: fleiss_kappa(list(first.values()), w)) if len(first) > 1 else None,
    }


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")
