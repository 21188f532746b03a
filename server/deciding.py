"""A person's word on an inspection. The newest stands; the older ones stay."""

from __future__ import annotations

from sqlmodel import Session

from qc.errors import Conflict
from qc.records import Decision, Progress
from qc.verdict import Verdict
from server import audit, gate
from server.context import Context
from server.inspections import exposures_of, get_inspection, newest_decision


def decide(
    context: Context, session: Session, inspection_id: str, verdict: Verdict, reason: str, *, by: str
) -> Decision:
    """Record a decision with its audit entry and whatever hooks want; the caller commits.

    The same word of the same person again changes nothing, so that a key pressed twice counts once.

    Raises:
        NotFound: there is no such inspection.
        Conflict: it is not judged yet.
    """
    inspection = get_inspection(session, inspection_id)
    if inspection.progress == Progress.RECEIVED:
        raise Conflict(f"part {inspection.part} is not judged yet; wait for its verdict")
    last = newest_decision(session, inspection_id)
    if last is not None and (last.verdict, last.reason, last.by) == (verdict, reason, by):
        return last
    now = context.now()
    decision = Decision(inspection_id=inspection_id, verdict=verdict, reason=reason, by=by, at=now)
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


def decision_body(decision: Decision) -> dict[str, object]:
    """What the audit trail keeps of a decision, made from its row."""
    return {"inspection": decision.inspection_id, "verdict": str(decision.verdict), "reason": decision.reason}
