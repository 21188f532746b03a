"""Taking a word back: within a stated time, by whoever said it, as a word of its own. Functions take the session.

The decision stays in its table and in the trail; it counts no more, for the page, for money, or for the proof of a
model. What stood before it stands again. What came of it meanwhile:

- its label task is cancelled while it is known here only; in Label Studio it stays, as somebody may be drawing;
- the call that it answered is open again, with the time that it had;
- a line or a PLC was told the verdict when the part was judged, and nothing of a decision: nothing is taken back there.
  Addresses that are told decisions (`outbound.yaml`) are told of this one, too;
- a model that was promoted, or a station that stepped down because of it, stays so: an engineer sees to it.
"""

from __future__ import annotations

from sqlmodel import Session, select

from labeling.tasks import take_back
from qc.errors import Conflict, NotFound
from qc.records import Decision, made_at, new_id
from server import audit, calling
from server.context import Context
from server.deciding import check_id
from server.inspections import get_inspection, newest_decision
from server.word_records import UNDO_WITHIN, Undo


def undo(
    context: Context, session: Session, inspection_id: str, decision_id: str, *, by: str, id: str | None = None
) -> Undo:
    """Take a decision back; the caller commits. A second time changes nothing.

    Args:
        decision_id: the word meant, so that a late press does not hit another one.
        id: made by the sender when it was said (UUID 7), where it may come twice, or late: the time counts up to then.

    Raises:
        NotFound: there is no such word on this inspection.
        Conflict: it is another person's, was said too long ago, or another word was said since.
        InvalidInput: the id was not made between the part's arrival and now.
    """
    inspection = get_inspection(session, inspection_id)
    decision = session.get(Decision, decision_id)
    if decision is None or decision.inspection_id != inspection_id:
        raise NotFound(f"there is no word {decision_id} on part {inspection.part}")
    if decision.by != by:
        raise Conflict(f"only {decision.by} can take this word back; say another one, with your reason")
    if (known := session.exec(select(Undo).where(Undo.decision_id == decision_id)).first()) is not None:
        return known
    now = context.now()
    if id is not None:
        check_id(id, inspection, now)
    said, undone = made_at(decision.id) or decision.at, (made_at(id) if id else None) or now
    if undone - said > UNDO_WITHIN:
        limit = UNDO_WITHIN.total_seconds()
        raise Conflict(f"a word can be taken back within {limit:.0f} s; say another one, with your reason")
    newest = newest_decision(session, inspection_id)
    if newest is None or newest.id != decision_id:
        raise Conflict(f"another word was said on part {inspection.part} since; nothing was taken back")
    row = Undo(id=id or new_id(), decision_id=decision_id, inspection_id=inspection_id, by=by, at=now)
    session.add(row)
    session.flush()
    body = {"inspection": inspection_id, "decision": decision_id}
    audit.record(session, "decision undone", row.id, body, by=by, at=now)
    _cancel_tasks(context, session, decision)
    calling.reopen(context, session, decision_id, by=by)
    stands = newest_decision(session, inspection_id)
    context.events.on_commit(
        session,
        "decision",
        {
            "id": row.id,
            "undoes": decision_id,
            "inspection_id": inspection_id,
            "station": inspection.station,
            "verdict": stands.verdict if stands else None,
            "reason": stands.reason if stands else "",
            "by": by,
            "at": now.isoformat(),
        },
    )
    return row


def _cancel_tasks(context: Context, session: Session, decision: Decision) -> None:
    taken = take_back(session, decision.inspection_id, since=decision.at, now=context.now())
    for task in taken:
        told = {"id": task.id, "inspection_id": task.inspection_id, "state": str(task.state)}
        context.events.on_commit(session, "label_task", told)
