"""The parts of a split judged from all of their views, beside the plain worst view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qc.part_places import Between, Look
from qc.part_settings import PartSettings
from qc.part_verdict import PartVerdict, judge_part
from qc.verdict import Policy, Verdict
from segmentation.metrics import RESAMPLES, Floats, average_precision, share_interval
from segmentation.sections import binomial

EVERY_DEFECT = Policy("")
"""The policy of an evaluation: whatever is a defect is not good."""


def part_report(
    parts: Mapping[str, Sequence[Look]],
    defective: Mapping[str, bool],
    between: Between,
    settings: PartSettings | None,
    *,
    threshold: float,
    seed: int = 0,
) -> dict[str, Any] | None:
    """Figures of parts by the worst view, and by all views together where the model learnt about views.

    Args:
        parts: the looks of each part.
        defective: whether any view of the part shows a defect, by its labels.
        threshold: the model's; both rules use it.

    Returns:
        JSON values; None where no part has two views.
    """
    if not any(len(looks) > 1 for looks in parts.values()):
        return None
    names = list(parts)
    true = np.array([defective[name] for name in names], np.bool_)
    weights = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    draws = np.concatenate([np.ones((1, len(names))), weights])

    def figures(rule: PartSettings | None) -> dict[str, Any]:
        said = [judge_part(parts[name], between, EVERY_DEFECT, rule, threshold=threshold) for name in names]
        score = np.array([_score(one, parts[n], rule) for one, n in zip(said, names, strict=True)])
        rejected = np.array([one.verdict is Verdict.NG for one in said])
        passed = np.array([one.verdict is Verdict.OK for one in said])
        return {
            "part_ap": share_interval([average_precision(score, true, w) for w in draws], int(true.sum())),
            "recall": binomial(int((rejected & true).sum()), int(true.sum())),
            "false_alarms": binomial(int((rejected & ~true).sum()), int((~true).sum())),
            "escapes": binomial(int((passed & true).sum()), int(true.sum())),
            "reviews": binomial(int((~passed & ~rejected).sum()), len(names)),
            **({} if rule is None else {"calibration": reliability(score, true)}),
        }

    return {
        "parts": len(names),
        "views": sorted({look.view for looks in parts.values() for look in looks}),
        "threshold": threshold,
        "worst_view": figures(None),
        "all_views": figures(settings) if settings else None,
        "note": None if settings else "the model has not learnt which view shows what; teach it with qc part-views",
    }


def _score(said: PartVerdict, looks: Sequence[Look], rule: PartSettings | None) -> float:
    """How likely the part has a defect that some view shows: that orders the parts."""
    if rule is not None:
        return 1.0 - float(np.prod([1.0 - (one.chance or 0.0) for one in said.defects]))
    return max((d.score for look in looks for d in look.defects), default=0.0)


def reliability(chance: Floats, true: Any, *, groups: int = 5) -> dict[str, Any]:
    """Are the chances the shares? By equally large groups of parts, and the Brier score (0 is perfect)."""
    rows = [
        {"said": round(float(chance[own].mean()), 4), "were": round(float(true[own].mean()), 4), "parts": len(own)}
        for own in np.array_split(np.argsort(chance, kind="stable"), min(groups, len(chance)))
    ]
    return {"brier": round(float(((chance - true) ** 2).mean()), 5), "groups": rows}
