"""The audit trail of labels: each drawing that comes home, is changed or taken back is an entry, in its transaction.

Labels come home in several places of `labeling`, which knows nothing of a trail: so a session is watched, whatever
writes on it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import event, inspect
from sqlmodel import Session

from labeling.records import Annotation, LabelTask
from server import audit
from server.db import with_an_end

DRAWN = "label"
TAKEN_BACK = "label.removed"
TELLING = ("mask_key", "deleted")
"""Columns whose change is another word; a drawing that another one superseded is none."""


def keep(session: Session, now: Callable[[], datetime]) -> Session:
    """From now on each commit of the session has an entry for each drawing that it writes; gives it back."""
    written: dict[str, Annotation] = {}

    def note(_: Session, *__: Any) -> None:
        for row in (*session.new, *session.dirty):
            if isinstance(row, Annotation) and (row in session.new or _is_another_word(row)):
                written[row.id] = row

    def tell(_: Session) -> None:
        if session.in_nested_transaction():
            return
        session.flush()
        rows = list(written.values())
        written.clear()
        for row in rows:
            kind = TAKEN_BACK if row.deleted else DRAWN
            audit.record(session, kind, row.id, _body(session, row), by=row.by, at=now())

    with_an_end(session)
    event.listen(session, "before_flush", note)
    event.listen(session, "before_commit", tell, insert=True)  # before what is done last of all: the trail's entries
    event.listen(session, "after_rollback", lambda _: written.clear())
    return session


def _is_another_word(row: Annotation) -> bool:
    state = inspect(row)
    return any(state.attrs[name].history.has_changes() for name in TELLING)


def _body(session: Session, row: Annotation) -> dict[str, Any]:
    """What a drawing says; the part's name lets an erasure find the entry. The mask's name is a hash of its content."""
    task = session.get(LabelTask, row.label_task_id)
    place = {"inspection": task.inspection_id, "part": task.part, "image": task.n} if task is not None else {}
    return place | {"task": row.label_task_id, "mask": row.mask_key, "drawn": row.drawn}
