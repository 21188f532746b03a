"""Can the model follow how people chose their settings, or do their rows contradict those that were drawn at random?

People's settings are read as answers to the part, seen or logged (`habits.py`). What else they have in common is then
taken for something that people saw: each operator's own way of standing a little high on every step, on the shifts that
are his, is not told from a part that needs it. Rows whose settings were drawn at random say what steps do whatever
people think. So some of these are kept back and foretold twice, from all rows and from the others that were drawn
alone. All rows are more, so that they foretell better unless they mislead (the idea of Hausman 1978, Econometrica 46,
p. 1251; here by what is foretold, as there are too many weights to compare one by one).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from process_opt.climb import climb
from process_opt.em import em
from process_opt.estimate import Data, Estimate, log_likelihood
from process_opt.hands import HERE, Hands
from process_opt.nonlinear import wanted_terms

Floats = NDArray[np.float64]

FEWEST = 150
"""Drawn rows below which they alone foretell too badly to be compared; and rows that people chose."""
MOST = 1200
"""Rows of each kind that are looked at: what misleads enough to matter is seen in them."""
ASKED = 3
"""Every so-manieth of the drawn rows is kept back."""
BLOCKS = 25
"""Groups of the rows kept back, whose differences say how sure the difference is."""
SURE = 1.5
"""Standard errors by which drawn rows alone must foretell better. It was chosen with some simulated lines in sight;
what it finds on others is in the README."""
HARDLY = 0.01
"""Share of missing readings that is not worth asking about."""
MOST_WEIGHTS = 2600
"""Of the whole process: beyond them two more fits would cost more than all the rest of it."""
PASSES, ROUNDS = 6, 4
"""Of EM, and of climbing: enough to compare."""


def people_mislead(start: Callable[[Data], Estimate], data: Data, hands: Hands = HERE) -> bool:
    """Do rows whose settings were drawn at random foretell each other better without those that people chose?

    Args:
        start: the first estimate, from the rows of the first passes.
        data: rows of both kinds; with few of either, or very many weights, it is not asked.
    """
    drawn, chosen = _some(np.flatnonzero(~data.people)), _some(np.flatnonzero(data.people))
    if min(drawn.size, chosen.size) < FEWEST:
        return False
    if start(data.rows(drawn[:FEWEST])).flat().size > MOST_WEIGHTS:
        return False
    kept_back = np.arange(drawn.size) % ASKED == 0
    asked, rest = drawn[kept_back], drawn[~kept_back]
    alone = _learnt(start, data.rows(rest), hands)
    together = _learnt(start, data.rows(np.sort(np.concatenate([rest, chosen]))), hands)
    groups = [data.rows(asked[first::BLOCKS]) for first in range(BLOCKS)]
    better = np.array([log_likelihood(alone, g) - log_likelihood(together, g) for g in groups])
    return bool(better.mean() > SURE * better.std(ddof=1) / np.sqrt(BLOCKS))


def _some(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Evenly spread, so that what drifts is in both."""
    return rows[:: max(1, -(-rows.size // MOST))]


def _learnt(start: Callable[[Data], Estimate], data: Data, hands: Hands) -> Estimate:
    estimate = as_people_saw(em(start(data), data, passes=PASSES, hands=hands), data, hands)
    estimate, _ = climb(estimate, data, rounds=ROUNDS, hands=hands)
    extra = wanted_terms(estimate, data)  # a bend that is left out looks like people who mislead: they go further
    return climb(estimate.with_terms(extra), data, rounds=2, hands=hands)[0] if any(extra) else estimate


def as_people_saw(estimate: Estimate, data: Data, hands: Hands = HERE) -> Estimate:
    """Where readings are missing that people may have answered to: did they see them, or were none taken? As the
    settings say, by their likelihood."""
    due = sum(int((data.last >= k).sum()) for k, _ in estimate.process.measurements.values())
    if not estimate.habits or np.isfinite(data.y).sum() > (1 - HARDLY) * due:
        return estimate
    other = em(replace(estimate, unlogged=not estimate.unlogged), data, passes=4, hands=hands)
    return max((em(estimate, data, passes=4, hands=hands), other), key=lambda e: log_likelihood(e, data))
