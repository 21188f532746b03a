"""What was recommended lately, so that people who try other settings on the same part need not wait for a plan."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass

from process_opt.request import Question

REMEMBERED = 1024
"""Questions; a plan of 50 steps takes a few hundred bytes."""


@dataclass(frozen=True, slots=True)
class Advised:
    """A decision and its plan; for `scrap` the best that could still be done."""

    decision: str
    v: tuple[float, ...]
    """`S` settings, standardised."""
    run: frozenset[int]


_plans: OrderedDict[tuple[str, str], Advised] = OrderedDict()
_lock = threading.Lock()


def keep(model: str, question: Question, advised: Advised) -> None:
    """Remember what the model (its id) recommends; the oldest are forgotten."""
    with _lock:
        _plans[model, _told(question)] = advised
        while len(_plans) > REMEMBERED:
            _plans.popitem(last=False)


def find(model: str, question: Question) -> Advised | None:
    """What the model recommended when it was asked the same, whatever the part is called."""
    with _lock:
        return _plans.get((model, _told(question)))


def _told(question: Question) -> str:
    return json.dumps(
        [question.at, question.batch, question.machines, question.observed, question.times, question.decided],
        sort_keys=True,
    )
