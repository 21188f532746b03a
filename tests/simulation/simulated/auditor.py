"""The auditor: compares what the outside was told with what lies in the database and on the disk. Trusts nobody."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path

from sqlmodel import col, select

from qc.errors import QcError
from qc.records import Exposure, Inspection, Progress
from qc.verdict import Verdict
from server.audit import AuditEntry
from server.audit_check import verify
from server.blobs.local import LocalBlobs
from server.db import Database, sqlite_url
from server.plant.station import WHOSE_PICTURE

from .plant import DECIDE_BY_S
from .record import Record

SLACK_MS = 0.1
"""`elapsed_ms` is rounded to this."""


def audit(record: Record, home: Path) -> None:
    """Adds every broken promise to the record's violations; the server is down."""
    database = Database(sqlite_url(home / "qc.sqlite3"))
    try:
        with database.read() as session:
            rows = list(session.exec(select(Inspection)))
            images: dict[str, list[Exposure]] = defaultdict(list)
            for exposure in session.exec(select(Exposure).order_by(col(Exposure.n))):
                images[exposure.inspection_id].append(exposure)
            results = session.exec(select(AuditEntry.body).where(AuditEntry.kind == "plc.result")).all()
            try:
                verify(session)
            except QcError as error:
                record.violated(f"the audit trail: {error.message}")
    finally:
        database.close()
    _check_rows(record, rows, images, LocalBlobs(home / "blobs"))
    _check_told(record, {row.id: row for row in rows})
    _check_trail(record, [json.loads(body) for body in results])
    _check_answers(record, {row.id: row for row in rows})
    _check_inbox(record, rows, home)
    _check_life(record)
    for death in record.world.deaths:
        record.violated(death)


def _check_rows(record: Record, rows: list[Inspection], images: dict[str, list[Exposure]], blobs: LocalBlobs) -> None:
    parts = Counter((row.station, row.part) for row in rows)
    for (station, part), count in parts.items():
        if count > 1:
            record.violated(f"{part} of {station} was stored {count} times")
    for row in rows:
        piece = record.pieces[row.part]
        if row.progress == Progress.RECEIVED or row.verdict is None:
            record.violated(f"{row.part} of {row.station} is stored and was never judged")
        if row.progress == Progress.FAILED and row.verdict == Verdict.OK:
            record.violated(f"{row.part} of {row.station} failed and is ok")
        if piece.bad and row.verdict == Verdict.OK:
            record.violated(f"{row.part} of {row.station} has a defect and is ok")
        due_ms = 1000 * DECIDE_BY_S.get(row.station, float("inf"))
        if row.verdict == Verdict.OK and (row.elapsed_ms or 0.0) > due_ms + SLACK_MS:
            record.violated(f"{row.part} of {row.station} became ok {row.elapsed_ms} ms after its trigger")
        if not images[row.id]:
            record.violated(f"{row.part} of {row.station} is stored without a picture")
        for image in images[row.id]:
            if image.sha256 not in piece.hashes and not _says_so(row):
                record.violated(f"{row.part} of {row.station} was judged by the picture of another piece")
            if not blobs.exists(image.original_key):
                record.violated(f"a picture of {row.part} of {row.station} is lost")
            elif hashlib.sha256(blobs.get(image.original_key)).hexdigest() != image.sha256:
                record.violated(f"a picture of {row.part} of {row.station} was altered")


def _says_so(row: Inspection) -> bool:
    """A part that was overrun: its record says that nobody knows whose picture it holds, and has no verdict by it."""
    return row.progress == Progress.FAILED and (row.problem or "").startswith(WHOSE_PICTURE)


def _check_told(record: Record, rows: dict[str, Inspection]) -> None:
    for told in record.told:
        if told.inspection and told.inspection not in rows:
            record.violated(f"{told.station}, trigger {told.number}: its inspection is lost")
        if told.calm and told.fault != "NONE":
            record.violated(f"{told.station}, trigger {told.number}: {told.fault} although nothing was wrong")
        if not told.passed:
            continue
        row = rows.get(told.inspection)
        if told.piece.bad:
            record.violated(
                f"{told.station}, trigger {told.number}: {told.piece.name} has a defect and was let through"
            )
        if told.fault != "NONE" or row is None or row.verdict != Verdict.OK or row.progress != Progress.DONE:
            record.violated(f"{told.station}, trigger {told.number}: let through without an ok on record")
        elif row.part != told.piece.name:
            record.violated(f"{told.station}, trigger {told.number}: {told.piece.name} got the verdict of {row.part}")


def _check_life(record: Record) -> None:
    for station in DECIDE_BY_S:
        if not any(told.calm and told.station == station for told in record.told):
            record.violated(f"{station}: no part went through once nothing was wrong any more")


def _check_trail(record: Record, results: list[dict[str, object]]) -> None:
    seen: dict[str, Counter[int]] = defaultdict(Counter)
    for result in results:
        first, last = result["triggers"]  # type: ignore[misc]
        seen[str(result["station"])].update(range(first, last + 1))
    for station, numbers in seen.items():
        for number, count in numbers.items():
            if count > 1:
                record.violated(f"{station}: the trail tells {count} results of trigger {number}")
    for told in record.told:
        if told.calm and seen[told.station][told.number] != 1:
            record.violated(f"{told.station}: the trail does not tell the result of trigger {told.number}")


def _check_answers(record: Record, rows: dict[str, Inspection]) -> None:
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for answer in record.answers:
        ids[answer.station, answer.trigger_id].add(answer.inspection)
        row = rows.get(answer.inspection)
        if row is None:
            record.violated(f"{answer.trigger_id} was answered for and is lost")
        elif answer.verdict is None:
            record.violated(f"{answer.trigger_id} was answered without a verdict ({answer.progress})")
        elif (answer.verdict, answer.progress) != (row.verdict, row.progress):
            record.violated(f"{answer.trigger_id} was told {answer.verdict}, and {row.verdict} is on record")
    for (_, trigger), found in ids.items():
        if len(found) > 1:
            record.violated(f"{trigger} was answered with {len(found)} inspections")


def _check_inbox(record: Record, rows: list[Inspection], home: Path) -> None:
    stored = {row.part for row in rows if row.station == "inbox-1"}
    for name in record.dropped:
        if name not in stored:
            record.violated(f"{name} was put into the inbox and never inspected")
    left = [file for file in (home / "inbox" / "inbox-1").glob("*") if file.is_file()]
    if left:
        record.violated(f"{len(left)} files stay in the inbox, such as {left[0].name}")
    claims = list((home / "inbox" / ".claims").glob("*.json"))
    if claims:
        record.violated(f"{len(claims)} claims stay in the inbox")
