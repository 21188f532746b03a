"""Rework needs permission: its risk assessed and it approved by a named person, before it is carried out.

IATF 16949:2016 asks for it (8.7.1.4 rework, 8.7.1.5 repair): assess the risk before deciding, have it approved where
that is required, confirm conformance afterwards, and keep what was decided about which part by whom. A process says
which of its rework steps that holds for (`needs_approval`). The word is about steps of a part, not about one answer of
the optimiser: asked again at a later reading, what was approved stays approved. Functions take a session; the caller
commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlmodel import Session, col, select

from process_opt.process import Process
from process_opt.records import Answer, Approval, Outcome, Recommendation
from qc.errors import Conflict, InvalidInput, NotFound
from server import audit
from server.wording import count_words

LEAST_WORDS = 3
"""A risk in fewer words than these is not assessed but waved through."""


class Permission(StrEnum):
    """May a plan be carried out?"""

    NOT_NEEDED = "not needed"
    WAITING = "waiting"
    APPROVED = "approved"
    DECLINED = "declined"


def needed(row: Recommendation) -> list[str]:
    """The rework steps of a plan that need permission."""
    return [str(step) for step in row.answer.get("needs_approval", [])]


def said(session: Session, name: str, parts: Iterable[str]) -> dict[str, list[Approval]]:
    """What people said about the rework of parts, oldest first."""
    wanted = select(Approval).where(Approval.process == name, col(Approval.part).in_(list(parts)))
    found: dict[str, list[Approval]] = {}
    for row in session.exec(wanted.order_by(col(Approval.id))):
        found.setdefault(row.part, []).append(row)
    return found


def permission(steps: Sequence[str], approvals: Sequence[Approval]) -> Permission:
    """Whether rework steps may be carried out on a part; `approvals` are those of the part, oldest first."""
    if not steps:
        return Permission.NOT_NEEDED
    standing = {step: each.answer for each in approvals for step in each.steps}
    if any(standing.get(step) == Answer.DECLINED for step in steps):
        return Permission.DECLINED
    return Permission.APPROVED if all(step in standing for step in steps) else Permission.WAITING


def decide(
    session: Session, name: str, id: str, answer: Answer, risk: str, *, by: str, now: datetime
) -> tuple[Recommendation, Approval]:
    """Keep a person's word on the rework that a recommendation proposes, and write it into the trail.

    Raises:
        NotFound: the process has no such recommendation.
        InvalidInput: the risk is not assessed.
        Conflict: it proposes no rework that needs permission, is not the part's newest, or the part's fate is known.
    """
    row = session.get(Recommendation, id)
    if row is None or row.process != name:
        raise NotFound(f"{name} has no recommendation {id}")
    risk = " ".join(risk.split())
    if count_words(risk) < LEAST_WORDS:
        raise InvalidInput("say in a few words what may go wrong with the part if it is reworked, or if it is not")
    steps = needed(row)
    if not steps:
        raise Conflict(f"this recommendation for {row.part} proposes no rework that needs permission")
    newest = _newest(session, name, row.part)
    if newest is not None and newest.id != row.id:
        raise Conflict(f"{row.part} has a newer recommendation; decide on that one", newest=newest.id)
    if session.exec(select(Outcome.id).where(Outcome.process == name, Outcome.part == row.part)).first():
        raise Conflict(f"what came of {row.part} is known already; nothing can be approved any more")
    word = Approval(
        process=name, part=row.part, recommendation_id=row.id, steps=steps, answer=answer, risk=risk, by=by, at=now
    )
    session.add(word)
    session.flush()
    plan = {k: row.answer.get(k) for k in ("run", "settings", "p_conform", "expected_value", "model")}
    body = {"process": name, "part": row.part, "steps": steps, "risk": risk, "plan": plan}
    audit.record(session, f"rework.{answer.value}", row.id, body, by=by, at=now)
    return row, word


def executable(session: Session, name: str, part: str) -> Recommendation:
    """The newest plan for a part, if it may be carried out now.

    Raises:
        NotFound: nothing was asked about the part.
        Conflict: it waits for permission, or permission was declined.
    """
    row = _newest(session, name, part)
    if row is None:
        raise NotFound(f"nobody asked {name} about a part {part}")
    steps = needed(row)
    state = permission(steps, said(session, name, [part]).get(part, []))
    where = ", ".join(steps)
    if state == Permission.WAITING:
        raise Conflict(f"the plan for {part} reworks it in {where}: an engineer must approve that", permission=state)
    if state == Permission.DECLINED:
        raise Conflict(f"the rework of {part} in {where} was declined; ask for another plan", permission=state)
    return row


def keep_rework(
    session: Session, name: str, process: Process, outcome: Mapping[str, Any], id: str, *, by: str, now: datetime
) -> bool:
    """Write into the trail which rework a finished or scrapped part went through, and what it then measured.

    Returns:
        Whether it was permitted; also true where the part went through no rework that needs permission.
    """
    observed: Mapping[str, Any] = outcome["observed"]
    steps = [s for s in process.steps if s.needs_approval and any(n.startswith(f"{s.name}.") for n in observed)]
    if not steps:
        return True
    part, names = str(outcome["part"]), [s.name for s in steps]
    state = permission(names, said(session, name, [part]).get(part, []))
    first = min(process.place[n] for n in names)
    readings = {n: observed[n] for n, (k, _) in process.measurements.items() if k >= first and n in observed}
    body = {
        "process": name,
        "part": part,
        "steps": names,
        "permission": state.value,
        "measured_since": readings,
        "disposition": outcome["disposition"],
    }
    audit.record(session, "rework.carried_out", id, body, by=by, at=now)
    return state == Permission.APPROVED


def _newest(session: Session, name: str, part: str) -> Recommendation | None:
    wanted = select(Recommendation).where(Recommendation.process == name, Recommendation.part == part)
    return session.exec(wanted.order_by(col(Recommendation.id).desc()).limit(1)).first()
