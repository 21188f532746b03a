"""Calls: somebody at a station is unsure, and a team leader has a limited time to decide. Functions take the session.

A call ends by a decision on the part (whoever decides it), by whoever called, or by its time: then the part stands as
the product's file says for doubt (`server.call_rules`), which is never `ok`. That is no decision: the figures by which
models are proved count people's words alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from qc.errors import Conflict, InvalidInput, NotFound
from qc.records import Decision, Exposure, Inspection, Progress, new_id
from qc.verdict import Verdict
from server import audit
from server.context import Context
from server.deciding import check_id, decide
from server.inspections import get_inspection, newest_decision
from server.word_records import CallState, OperatorCall


def call(
    context: Context, session: Session, inspection_id: str, question: str, *, by: str, id: str | None = None
) -> OperatorCall:
    """Call the team leader to a part; the caller commits. The same person's second press is the first call.

    Args:
        question: what they are unsure of; may be empty.
        id: made by the sender when it was said (UUID 7), where it may come twice.

    Raises:
        NotFound: there is no such inspection.
        Conflict: it is not judged yet, decided, or somebody else called already.
        InvalidInput: the id was not made between the part's arrival and now.
    """
    inspection = get_inspection(session, inspection_id)
    if inspection.progress == Progress.RECEIVED:
        raise Conflict(f"part {inspection.part} is not judged yet; wait for its verdict")
    if id is not None and (known := session.get(OperatorCall, id)) is not None:
        if (known.inspection_id, known.by) != (inspection_id, by):
            raise Conflict("another call was recorded under this id; make a new one for each")
        return known
    now = context.now()
    if id is not None:
        check_id(id, inspection, now)
    if (decision := newest_decision(session, inspection_id)) is not None:
        raise Conflict(f"part {inspection.part} was decided by {decision.by}; take that word back before you call")
    if (waiting := open_of(session, inspection_id)) is not None:
        if waiting.by == by:
            return waiting
        raise Conflict(f"{waiting.by} has called the team leader to part {inspection.part} already")
    part, limit = inspection.part, context.policies.rules(inspection.product).calls.limit(inspection.station)
    made = OperatorCall(
        id=id or new_id(),
        inspection_id=inspection_id,
        station=inspection.station,
        question=" ".join(question.split()),
        by=by,
        at=now,
        due_at=now + timedelta(seconds=limit),
    )
    session.add(made)
    try:
        session.flush()
    except IntegrityError as error:  # in the same moment, on a database that lets two write at once
        session.rollback()
        first = open_of(session, inspection_id)
        who = first.by if first else "somebody else"
        raise Conflict(f"{who} has called the team leader to part {part} already") from error
    body = {"inspection": inspection_id, "question": made.question, "due": made.due_at.isoformat()}
    audit.record(session, "call", made.id, body, by=by, at=now)
    _tell(context, session, made, inspection)
    return made


def get(session: Session, call_id: str) -> OperatorCall:
    """One call; raises NotFound."""
    if found := session.get(OperatorCall, call_id):
        return found
    raise NotFound(f"there is no call {call_id}")


def open_of(session: Session, inspection_id: str) -> OperatorCall | None:
    """The open call to an inspection."""
    wanted = select(OperatorCall).where(
        OperatorCall.inspection_id == inspection_id, OperatorCall.state == CallState.OPEN
    )
    return session.exec(wanted).first()


def of_inspections(session: Session, ids: Iterable[str]) -> dict[str, OperatorCall]:
    """Inspection -> its newest call."""
    wanted = select(OperatorCall).where(col(OperatorCall.inspection_id).in_(list(ids)))
    return {row.inspection_id: row for row in session.exec(wanted.order_by(col(OperatorCall.id)))}


def listed(session: Session, *, only_open: bool, limit: int) -> list[tuple[OperatorCall, Inspection]]:
    """Calls with their inspections: open ones first, those due soonest on top; then the others, newest first."""
    both = select(OperatorCall, Inspection).join(Inspection, col(Inspection.id) == col(OperatorCall.inspection_id))
    waiting = both.where(OperatorCall.state == CallState.OPEN).order_by(col(OperatorCall.due_at)).limit(limit)
    found = list(session.exec(waiting))
    if only_open or len(found) >= limit:
        return found
    past = both.where(OperatorCall.state != CallState.OPEN).order_by(col(OperatorCall.id).desc())
    return found + list(session.exec(past.limit(limit - len(found))))


def answer(
    context: Context, session: Session, call_id: str, verdict: Verdict, reason: str, *, by: str, id: str | None = None
) -> OperatorCall:
    """Decide the part that somebody called to, with a reason; the caller commits.

    Raises:
        NotFound: there is no such call.
        Conflict: it is not open any more.
        InvalidInput: no reason is given.
    """
    found = get(session, call_id)
    if found.state == CallState.ANSWERED and id is not None and found.decision_id == id:
        return found
    if found.state != CallState.OPEN:
        raise Conflict(f"this call is {found.state} already; look at the part, and decide it where that is wrong")
    if not reason.strip():
        raise InvalidInput("say why, so that whoever called knows it the next time")
    decide(context, session, found.inspection_id, verdict, reason.strip(), by=by, id=id)
    session.flush()
    if found.state == CallState.OPEN:  # a decision that was said before the call does not answer it
        raise Conflict("this answer was given before the call; answer anew")
    return found


def withdraw(context: Context, session: Session, call_id: str, *, by: str) -> OperatorCall:
    """Whoever called needs nobody any more; the caller commits. Raises NotFound, and Conflict for others' calls."""
    found = get(session, call_id)
    if found.by != by:
        raise Conflict(f"only {found.by}, who called, can take the call back; decide the part instead")
    if found.state == CallState.WITHDRAWN:
        return found
    if found.state != CallState.OPEN:
        raise Conflict(f"this call is {found.state} already")
    _close(context, session, found, CallState.WITHDRAWN, by=by)
    return found


def after_decision(
    context: Context, session: Session, inspection: Inspection, exposures: list[Exposure], decision: Decision
) -> None:
    """A hook: a decision answers the part's open call, unless it was said before somebody was unsure."""
    found = open_of(session, inspection.id)
    if found is None or decision.id < found.id:
        return
    found.verdict, found.reason, found.decision_id = str(decision.verdict), decision.reason, decision.id
    found.answered_by = decision.by
    _close(context, session, found, CallState.ANSWERED, by=decision.by)


def reopen(context: Context, session: Session, decision_id: str, *, by: str) -> None:
    """The decision that answered a call was taken back: the call is open again, with the time it had; commits not."""
    found = session.exec(select(OperatorCall).where(OperatorCall.decision_id == decision_id)).first()
    if found is None or found.state != CallState.ANSWERED:
        return
    found.state, found.closed_at, found.verdict, found.decision_id = CallState.OPEN.value, None, None, None
    found.answered_by = found.reason = ""
    session.add(found)
    audit.record(session, "call reopened", found.id, {"inspection": found.inspection_id}, by=by, at=context.now())
    _tell(context, session, found, get_inspection(session, found.inspection_id))


def expire(context: Context, session: Session, found: OperatorCall) -> None:
    """Nobody came in time: the part stands as its product's file says for doubt; the caller commits."""
    inspection = get_inspection(session, found.inspection_id)
    found.verdict = str(context.policies.rules(inspection.product).calls.then)
    _close(context, session, found, CallState.EXPIRED, by="server")


def as_json(found: OperatorCall) -> dict[str, Any]:
    """A call in the words of the interface."""
    told: dict[str, Any] = found.model_dump()
    moments = {name: told[name].isoformat() if told[name] else None for name in ("at", "due_at", "closed_at")}
    return told | moments


def _close(context: Context, session: Session, found: OperatorCall, state: CallState, *, by: str) -> None:
    found.state, found.closed_at = state.value, context.now()
    session.add(found)
    body = {"inspection": found.inspection_id, "verdict": found.verdict, "decision": found.decision_id}
    audit.record(session, f"call {state}", found.id, body, by=by, at=found.closed_at)
    _tell(context, session, found, get_inspection(session, found.inspection_id))


def _tell(context: Context, session: Session, found: OperatorCall, inspection: Inspection) -> None:
    context.events.on_commit(session, "call", {**as_json(found), "part": inspection.part})
