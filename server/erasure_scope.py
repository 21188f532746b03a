"""What can be erased at once: the parts of a batch or of a customer, and the name of a person.

A batch is what process data calls one: outcomes and recommendations name it. A customer is named in the files of
products (`customer:`). Of a person who worked here the account, badges and log-ins go, and wherever tables say who did
something stands a word in place of the name, the same everywhere, so that a labeller's agreement with others or the
number of reviews stay what they were; likewise in the manifests of frozen sets. Logs lose it. Entries of the audit
trail keep it: who released a part is what a trail is for, and its seal covers the name.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Table, delete, func, or_, select, update
from sqlmodel import Session, col

from process_opt.records import Outcome, Recommendation
from qc.errors import Conflict, NotFound
from qc.records import Inspection, new_id
from server import audit, erasure_files, schema, servers
from server.access import Role
from server.audit import AuditEntry
from server.context import Context
from server.gate_records import GateApproval
from server.golden_records import GoldenLook
from server.home_id import home_id
from server.jobs import queue
from server.jobs.records import Job
from server.jobs.runner import JobRun
from server.oidc_records import Badge, OutsideAccount
from server.policies import Policies
from server.records import BrowserSession, User

PERSON = "person_erasure"
"""Kind of the trail's entry."""
FILES = "erase_person_in_files"
"""The job for what lies in files, on each server."""

NAMES_A_PERSON = ("by", "answered_by", "closed_by")
"""Columns, of whatever table, that say who did something; a test compares them with all tables."""

SENTENCES = ((GoldenLook, "why"), (GateApproval, "words"))
"""Tables and their columns in which we write who did something among other words."""

KEPT = "auditentry"


def of_batch(session: Session, batch: str) -> list[str]:
    """Names of the parts of a batch, sorted; raises NotFound where no part is known of it."""
    parts = set(session.scalars(select(col(Outcome.part)).where(col(Outcome.batch) == batch)))
    parts |= set(session.scalars(select(col(Recommendation.part)).where(col(Recommendation.batch) == batch)))
    if not parts:
        raise NotFound("no part is known of this batch; batches are those that outcomes and recommendations name")
    return sorted(parts)


def of_customer(session: Session, customer: str, policies: Policies) -> list[str]:
    """Names of the parts of a customer's products, sorted.

    Raises:
        NotFound: no product's file names this customer, or none of its parts is known.
        InvalidInput: the file of a product makes no sense, so that nobody knows whose it is.
    """
    seen = session.scalars(select(col(Inspection.product)).distinct())
    products = [name for name in seen if policies.rules(name or policies.default).customer == customer]
    parts = session.scalars(select(col(Inspection.part)).where(col(Inspection.product).in_(products)).distinct())
    if not (found := sorted(parts)):
        raise NotFound("no part is known of this customer; whose parts they are is said by `customer:` of a product")
    return found


def forget_person(session: Session, home: Path, name: str, reason: str, *, by: str, now: datetime) -> dict[str, Any]:
    """Erase a person's name from all tables, and ask for the same in files; the caller commits.

    Args:
        home: QC_HOME.

    Returns:
        `pseudonym`, in how many `rows` it took the name's place, whether there was an `account`, and how many entries
        of the audit trail go on to name the person.

    Raises:
        NotFound: nothing bears this name.
        Conflict: it is the account of the only administrator.
    """
    account = session.get(User, name)
    if account is not None and account.role == Role.ADMIN and _administrators(session) == 1:
        raise Conflict("this is the only administrator; make another one first")
    pseudonym = f"someone-{secrets.token_hex(4)}"
    rows = 0
    for table, column in people_columns():
        rows += session.execute(update(table).where(column == name).values({column: pseudonym})).rowcount  # type: ignore[attr-defined]
    if account is not None:
        for kind in (BrowserSession, Badge, OutsideAccount):
            session.execute(delete(kind).where(col(kind.user) == name))
        session.delete(account)
    for job in session.scalars(select(Job)):
        if (told := _without(job.arguments, name, pseudonym)) != job.arguments:
            job.arguments = told
            rows += 1
    rows += _rename_in_sentences(session, name, pseudonym)
    if account is None and not rows:
        raise NotFound("nothing bears this name")
    quoted = audit.canonical({"": name})[4:-1]
    here = home_id(home)
    for each in (here, *servers.others(session, here)):
        asked = {"name": name, "pseudonym": pseudonym}
        queue.enqueue(session, FILES, asked, now=now, home=each, max_attempts=1000)
    named = or_(
        col(AuditEntry.by) == name,
        col(AuditEntry.subject) == name,
        col(AuditEntry.body).contains(quoted, autoescape=True),
    )
    told = {
        "pseudonym": pseudonym,
        "rows": rows,
        "account": account is not None,
        "entries_that_still_name_it": session.scalar(select(func.count()).select_from(AuditEntry).where(named)) or 0,
    }
    audit.record(session, PERSON, new_id(), {**told, "reason": reason}, by=by, at=now)
    return told


def in_files(context: Context, run: JobRun) -> dict[str, Any]:
    """The same in this server's logs and frozen sets."""
    if run.arguments:
        home, name = context.settings.home.resolve(), str(run.arguments["name"])
        erasure_files.rename_in_datasets(home, name, str(run.arguments["pseudonym"]))
        erasure_files.blot_out_person_in_logs(home / "logs", name)
    with context.database.write() as session:
        run.finish(session)
        session.execute(update(Job).where(col(Job.id) == run.id).values(arguments={}))
        session.commit()
    return {}


def _without(arguments: dict[str, Any], name: str, pseudonym: str) -> dict[str, Any]:
    """What a job was asked for, by somebody else: `by` is a name, `why` a sentence."""
    told = dict(arguments)
    if told.get("by") == name:
        told["by"] = pseudonym
    if isinstance(why := told.get("why"), str):
        told["why"] = _told_without(why, name, pseudonym)
    return told


def _told_without(sentence: str, name: str, pseudonym: str) -> str:
    return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", pseudonym, sentence)


def _rename_in_sentences(session: Session, name: str, pseudonym: str) -> int:
    """What tables keep of sentences that name who asked; in how many rows it was."""
    rows = 0
    for table, column in SENTENCES:
        named = col(getattr(table, column)).contains(name, autoescape=True)
        for row in session.scalars(select(table).where(named)):
            before = getattr(row, column)
            if (told := _told_without(before, name, pseudonym)) != before:
                setattr(row, column, told)
                rows += 1
    return rows


def people_columns() -> Iterator[tuple[Table, Any]]:
    """Columns of all tables that say who did something, but the trail's own."""
    for table in schema.all_tables().sorted_tables:
        for column in table.columns:
            if column.name in NAMES_A_PERSON and table.name != KEPT:
                yield table, column


def _administrators(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(User).where(col(User.role) == Role.ADMIN)) or 0
