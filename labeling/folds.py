"""Sides for cross-validation: every image is judged by a model that saw nothing of its part."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from qc.dataset import Sample
from qc.errors import InvalidInput


def folds(samples: Sequence[Sample], *, count: int, defective: Sequence[bool]) -> list[int]:
    """The fold of each sample, 0 to `count - 1`; a group is never on two sides.

    Groups with defects are dealt out first, then clean ones, each to the fold that has fewest of their images; ties and
    the order of equals are settled by a hash of the name, so that the same set gives the same folds.

    Raises:
        InvalidInput: fewer groups with defects than folds.
    """
    groups: dict[str, list[int]] = {}
    for place, sample in enumerate(samples):
        groups.setdefault(sample.group, []).append(place)
    bad = {name: sum(defective[k] for k in places) for name, places in groups.items()}
    if not 2 <= count <= sum(n > 0 for n in bad.values()):
        raise InvalidInput(
            f"{sum(n > 0 for n in bad.values())} groups with defects cannot be dealt out to {count} folds; take fewer"
        )
    load, fold = [[0, 0] for _ in range(count)], [0] * len(samples)
    for name in sorted(groups, key=lambda g: (-bad[g], -len(groups[g]), hashlib.sha256(g.encode()).digest())):
        kind = 0 if bad[name] else 1
        best = min(range(count), key=lambda k: (load[k][kind], load[k][1 - kind], k))
        load[best][0] += bad[name]
        load[best][1] += len(groups[name]) - bad[name]
        for place in groups[name]:
            fold[place] = best
    return fold
