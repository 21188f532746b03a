"""What can be erased at once: the parts of a batch or of a customer, and the name of a person.

A batch is what process data calls one: outcomes and recommendations name it. A customer is named in the files of
products (`customer:`). Of a person who worked here the account, badges and log-ins go, and wherever tables say who did
something stands a word in place of the name, the same everywhere, so that a labeller's agreement with others or the
number of reviews stay what they were. Entries of the audit trail keep it: who released a part is what a trail is for,
and its seal covers the name.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Table, delete, func, or_, select, update
from sqlmodel import Session, col

from process_opt.records import Outcome, Recommendation
from qc.errors import Conflict, NotFound
from qc.records import Inspection, new_id
from server import audit, schema
from server.access import Role
from server.audit import AuditEntry
from server.jobs.records import Job
from server.oidc_records import Badge, OutsideAccount
from server.policies import Policies
from server.records import BrowserSession, User

PERSON = "person_erasure"
"""Kind of the trail's entry."""

NAMES_A_PERSON = ("by", "answered_by", "closed_by")
"""Columns, of whatever table, that say who did something; a test compares them with all tables."""

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


def forget_person(session: Session, name: str, reason: str, *, by: str, now: datetime) -> dict[str, Any]:
    """Erase a person's name; the caller commits.

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
        if job.arguments.get("by") == name:
            job.arguments = {**job.arguments, "by": pseudonym}
            rows += 1
    if account is None and not rows:
        raise NotFound("nothing bears this name")
    quoted = audit.canonical({"": name})[4:-1]
    named = or_(col(AuditEntry.by) == name, col(AuditEntry.body).contains(quoted, autoescape=True))
    told = {
        "pseudonym": pseudonym,
        "rows": rows,
        "account": account is not None,
        "entries_that_still_name_it": session.scalar(select(func.count()).select_from(AuditEntry).where(named)) or 0,
    }
    audit.record(session, PERSON, new_id(), {**told, "reason": reason}, by=by, at=now)
    return told


def people_columns() -> Iterator[tuple[Table, Any]]:
    """Columns of all tables that say who did something, but the trail's own."""
    for table in schema.all_tables().sorted_tables:
        for column in table.columns:
            if column.name in NAMES_A_PERSON and table.name != KEPT:
                yield table, column


def _administrators(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(User).where(col(User.role) == Role.ADMIN)) or 0
