"""Batches of parts in the making: what was advised of them, what one decision for all would bring, what came of them.

A batch is what requests and outcomes call one. Its parts are those of which something was asked under that name; a part
waits as long as no outcome of it was told. Functions take a session; who approves commits.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, func
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from process_opt.batch_plan import Member, decide_batch
from process_opt.model import ProcessModel
from process_opt.records import Answer, Approval, Outcome, Recommendation
from qc.errors import Conflict, NotFound
from server import permission, process_money, process_shared
from server.permission import Permission

MOST_BATCHES = 200
"""In the list; older ones are found by their name."""


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A batch in the list."""

    batch: str
    parts: int
    waiting: int
    """Parts of which no outcome was told."""
    asked_at: datetime
    """When something was asked about one of its parts last."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is on record of a batch."""

    batch: str
    newest: list[Recommendation]
    """Of each part, its newest."""
    came_of: dict[str, Outcome]
    """By part."""

    @property
    def waiting(self) -> list[Recommendation]:
        """Of parts whose fate is open."""
        return [row for row in self.newest if row.part not in self.came_of]


def listed(session: Session, name: str) -> list[BatchLine]:
    """The newest batches of a process."""
    batch = col(Recommendation.batch)
    same = and_(col(Outcome.process) == col(Recommendation.process), col(Outcome.part) == col(Recommendation.part))
    open_part = case((col(Outcome.id).is_(None), col(Recommendation.part)))
    wanted = (
        sql_select(
            batch,
            func.count(func.distinct(col(Recommendation.part))),
            func.count(func.distinct(open_part)),
            func.max(col(Recommendation.asked_at)),
        )
        .outerjoin(Outcome, same)
        .where(col(Recommendation.process) == name, batch.is_not(None))
        .group_by(batch)
        .order_by(func.max(col(Recommendation.id)).desc())
        .limit(MOST_BATCHES)
    )
    return [BatchLine(*row) for row in session.execute(wanted)]


def known(session: Session, name: str, batch: str, model: ProcessModel) -> Known:
    """What is on record of a batch; raises NotFound. What was asked when the process had other steps is left out."""
    wanted = (
        select(Recommendation)
        .where(Recommendation.process == name, Recommendation.batch == batch)
        .order_by(col(Recommendation.id))
    )
    rows = [row for row in session.exec(wanted) if process_money.speaks_of(model.process, row)]
    if not rows:
        raise NotFound(f"nothing was asked about a batch {batch}; batches are those that requests name")
    newest = {row.part: row for row in rows}
    came = select(Outcome).where(Outcome.process == name, col(Outcome.part).in_(list(newest)))
    return Known(batch, list(newest.values()), {outcome.part: outcome for outcome in session.exec(came)})


def decision(session: Session, name: str, found: Known, model: ProcessModel, at: str | None) -> dict[str, Any] | None:
    """One decision for the parts that wait before step `at`; left out: the step where most wait. None: nobody waits.

    Raises:
        NotFound: no part of the batch waits before that step.
    """
    before = Counter(row.at for row in found.waiting)
    if not before:
        return None
    step = at or before.most_common(1)[0][0]
    here = [row for row in found.waiting if row.at == step]
    if not here:
        raise NotFound(f"no part of batch {found.batch} waits before {step}; they wait before {', '.join(before)}")
    stands = process_shared.run_with(session, name, model.process, found.batch, step)
    told = decide_batch(model, [Member(row.request, row.answer) for row in here], stands)
    for part, row in zip(told["parts"], here, strict=True):
        part["id"] = row.id
    return told


def fates(found: Known, model: ProcessModel) -> dict[str, int]:
    """Of the parts whose outcome was told: how many ended in, out, scrapped or unknown."""
    process = model.process
    ended = [o.content for o in found.came_of.values() if process_money.ended_in(process, o.content)]
    return dict(Counter(process_money.fate(process, content) for content in ended))


def unapproved(session: Session, name: str, rows: list[Recommendation]) -> list[Recommendation]:
    """Those of these whose rework waits for a person's word."""
    words = permission.said(session, name, {row.part for row in rows})
    return [
        row
        for row in rows
        if permission.permission(permission.needed(row), words.get(row.part, [])) == Permission.WAITING
    ]


def approve(
    session: Session, name: str, found: Known, answer: Answer, risk: str, *, by: str, now: datetime
) -> list[Approval]:
    """One word on the rework of every part of the batch that waits for one. The caller commits.

    Raises:
        Conflict: no part of the batch waits for permission.
        InvalidInput: the risk is not assessed.
    """
    rows = unapproved(session, name, found.waiting)
    if not rows:
        raise Conflict(f"no part of batch {found.batch} waits for permission to be reworked")
    return [permission.decide(session, name, row.id, answer, risk, by=by, now=now)[1] for row in rows]
