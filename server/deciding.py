"""A person's word on an inspection. The newest that was not taken back stands; all stay where they are."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlmodel import Session

from qc.errors import Conflict, InvalidInput
from qc.records import Decision, Inspection, Progress, made_at, new_id
from qc.verdict import Verdict
from server import audit, gate
from server.context import Context
from server.inspections import exposures_of, get_inspection, newest_decision

AHEAD = timedelta(minutes=1)
"""So far a sender's clock may differ from ours; a page corrects its own by the time that our answers bear."""


def decide(
    context: Context,
    session: Session,
    inspection_id: str,
    verdict: Verdict,
    reason: str,
    *,
    by: str,
    id: str | None = None,
) -> Decision:
    """Record a decision with its audit entry and whatever hooks want; the caller commits.

    The same word of the same person again changes nothing, so that a key pressed twice counts once.

    Args:
        id: made by the sender when the word was said, where it may come twice, or late; decisions stand in the order
            of their ids, so that a word that comes late does not outdo one that was said after it.

    Raises:
        NotFound: there is no such inspection.
        Conflict: it is not judged yet, or another word came under this id.
        InvalidInput: the id was not made between the part's arrival and now.
    """
    inspection = get_inspection(session, inspection_id)
    if inspection.progress == Progress.RECEIVED:
        raise Conflict(f"part {inspection.part} is not judged yet; wait for its verdict")
    if id is not None and (known := session.get(Decision, id)) is not None:
        if (known.inspection_id, known.verdict, known.reason, known.by) != (inspection_id, verdict, reason, by):
            raise Conflict("another word was recorded under this id; make a new one for each")
        return known
    now = context.now()
    if id is not None:
        check_id(id, inspection, now)
    last = newest_decision(session, inspection_id)
    if last is not None and (last.verdict, last.reason, last.by) == (verdict, reason, by):
        return last
    decision = Decision(id=id or new_id(), inspection_id=inspection_id, verdict=verdict, reason=reason, by=by, at=now)
    session.add(decision)
    session.flush()
    audit.record(session, "decision", decision.id, decision_body(decision), by=by, at=now)
    for hook in context.after_decision:
        hook(session, inspection, exposures_of(session, inspection_id), decision)
    gate.after_decision(context, session, inspection_id)
    context.events.on_commit(
        session,
        "decision",
        {
            "id": decision.id,
            "inspection_id": inspection_id,
            "station": inspection.station,
            "verdict": decision.verdict,
            "reason": reason,
            "by": by,
            "at": now.isoformat(),
        },
    )
    return decision


def check_id(id: str, inspection: Inspection, now: datetime) -> None:
    """The id that a sender made for a word; raises InvalidInput unless that was while somebody could see the part."""
    said = made_at(id)
    if said is None:
        raise InvalidInput("the id of a word must be a UUID of version 7, in small letters")
    if not inspection.received_at - AHEAD <= said <= now + AHEAD:
        raise InvalidInput(f"this word bears the time {said:%Y-%m-%d %H:%M:%S} UTC, at which it cannot have been said")


def decision_body(decision: Decision) -> dict[str, object]:
    """What the audit trail keeps of a decision, made from its row."""
    return {"inspection": decision.inspection_id, "verdict": str(decision.verdict), "reason": decision.reason}
