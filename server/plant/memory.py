"""What a station keeps over a restart, in files of its own.

The number of its triggers and its last result; and, while the database is away, what is to stand in the audit trail.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError
from sqlmodel import col, select

from qc.durable import flush_folder, write_whole
from qc.errors import QcError
from qc.records import Inspection
from qc.verdict import Verdict
from server.context import Context
from server.plant.handshake import Fault, Reply, State

PLC = "plc:"
"""Begins the trigger ids of parts that a PLC triggered; the number of the trigger follows."""
AGAIN_S = 0.5
"""Between two attempts at a database that does not answer, in seconds."""
PATIENCE_S = 10.0
"""For so long a station that starts waits for a database that does not answer, in seconds."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A result that is to stand in the audit trail."""

    subject: str
    body: dict[str, Any]
    noted: bool = False
    """It has been on disk, so that it may stand in the trail already."""

    def without(self, part: str) -> Entry:
        """The same where it is of another part; else what it tells of a part without a name."""
        if self.body["part"] != part:
            return self
        return replace(self, subject=str(self.body["station"]), body={**self.body, "part": "", "inspection": ""})


def note(memory: Path, entries: Sequence[Entry]) -> None:
    """Write down entries that the trail cannot take now, behind those that are there; they survive a power cut."""
    file = _untold(memory)
    is_new = not file.exists()
    with file.open("a", encoding="utf-8") as out:
        for entry in entries:
            out.write(json.dumps({"subject": entry.subject, "body": entry.body}) + "\n")
        out.flush()
        os.fsync(out.fileno())
    if is_new:
        flush_folder(file.parent)


def noted(memory: Path) -> list[Entry]:
    """The entries that were written down and may not stand in the trail; a line that was cut off never counted."""
    try:
        lines = _untold(memory).read_text(encoding="utf-8").split("\n")[:-1]
        told = [json.loads(line) for line in lines]
        return [Entry(str(one["subject"]), dict(one["body"]), noted=True) for one in told]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise QcError(
            f"{_untold(memory)} is damaged ({error}); put it aside: it holds results for the trail"
        ) from error


def note_instead(memory: Path, entries: Sequence[Entry]) -> None:
    """Put these in the place of all that was written down, at once."""
    lines = [json.dumps({"subject": entry.subject, "body": entry.body}) + "\n" for entry in entries]
    write_whole(_untold(memory), "".join(lines))


def forget_part(memory: Path, part: str) -> None:
    """A part was erased, and the station of this file does not run: nothing in it names the part any more."""
    state = remembered(memory)
    if state is not None and (named := unnamed(state, part)) is not state:
        keep(memory, named)
    entries = noted(memory)
    if any(entry.body["part"] == part for entry in entries):
        note_instead(memory, [entry.without(part) for entry in entries])


def unnamed(state: State, part: str) -> State:
    """The same without the part's name in its last result; the very same where that is of another part."""
    if state.reply is None or state.reply.part != part:
        return state
    return replace(state, reply=replace(state.reply, part="", inspection=""))


def forget_noted(memory: Path) -> None:
    """All of them stand in the trail."""
    _untold(memory).unlink(missing_ok=True)


def _untold(memory: Path) -> Path:
    return memory.with_suffix(".untold")


def keep(memory: Path, state: State) -> None:
    """Write down how many triggers there were, and the last result; it survives a power cut."""
    write_whole(memory, json.dumps({"triggers": state.number, "reply": _plain(state.reply)}))


def told(station: str, reply: Reply) -> dict[str, Any]:
    """What the trail keeps of a result."""
    return {
        "station": station,
        "part": reply.part,
        "triggers": [reply.since, reply.number],
        "told": "ok" if reply.ok else "ng",
        "verdict": str(reply.verdict),
        "fault": reply.fault.name.lower(),
        "inspection": reply.inspection,
        "elapsed_ms": round(reply.elapsed_ms, 1),
    }


def _plain(reply: Reply | None) -> dict[str, Any] | None:
    if reply is None:
        return None
    names = ("number", "since", "part", "fault", "verdict", "inspection", "score", "defects", "elapsed_ms")
    told = {name: getattr(reply, name) for name in names}
    return {**told, "fault": int(reply.fault), "verdict": str(reply.verdict)}


def remembered(memory: Path) -> State | None:
    """The state after a restart: not ready, the last result marked old. None: nothing is kept."""
    try:
        told = json.loads(memory.read_text(encoding="utf-8"))
        last = told["reply"]
        reply = None
        if last is not None:
            reply = Reply(**{**last, "fault": Fault(last["fault"]), "verdict": Verdict(last["verdict"])})
        return State(number=int(told["triggers"]), reply=reply)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise QcError(
            f"{memory} is damaged ({error}); put it back from a backup, or delete it to count anew"
        ) from error


def counted(context: Context, station: str) -> int:
    """The number of the newest trigger that became an inspection; 0: none did."""
    wanted = select(Inspection.trigger_id).where(
        Inspection.station == station, col(Inspection.trigger_id).startswith(PLC)
    )
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            with context.database.read() as session:
                newest = session.exec(wanted.order_by(col(Inspection.id).desc()).limit(1)).first()
            return int(newest.removeprefix(PLC)) if newest else 0
        except OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(AGAIN_S)
