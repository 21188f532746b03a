"""What processes told of parts, beside what cameras saw of them. Functions take the session."""

from __future__ import annotations

from collections.abc import Collection

from sqlmodel import Session, col, select

from process_opt.records import Outcome, Recommendation

Values = dict[str, dict[str, float]]
"""Process -> `step.setting` or `step.measurement` -> value."""


def told_of(session: Session, parts: Collection[str]) -> dict[str, Values]:
    """Part -> its process values, of each process that told of it; other parts are left out.

    Of a value that was told more than once the outcome's counts, before it the newest that advice was asked with.
    """
    names = list(parts)
    asked = select(Recommendation.part, Recommendation.process, Recommendation.request)
    done = select(Outcome.part, Outcome.process, Outcome.content)
    told = [
        *session.exec(asked.where(col(Recommendation.part).in_(names)).order_by(col(Recommendation.id))),
        *session.exec(done.where(col(Outcome.part).in_(names))),
    ]
    found: dict[str, Values] = {}
    for part, process, content in told:
        values = {name: float(value) for name, value in (content.get("observed") or {}).items() if value is not None}
        if values:
            found.setdefault(part, {}).setdefault(process, {}).update(values)
    return found
