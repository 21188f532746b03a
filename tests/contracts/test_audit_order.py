"""Who lengthens the audit trail waits for nobody who waits for it, whatever else its transaction changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from locks import wait_until_somebody_waits
from sqlalchemy import update
from sqlmodel import Session, col, select

from server import audit, schema
from server.audit_check import verify
from server.clock import now
from server.db import Database
from server.outbound.records import OutboundAddress

NAMES = ("one", "two", "three")
THREADS, TURNS = 4, 12


@pytest.fixture
def database(postgres_url):
    """A real PostgreSQL with today's tables and a row for each of NAMES."""
    database = Database(postgres_url)
    schema.upgrade(database)
    with database.write() as session:
        session.add_all(OutboundAddress(name=name) for name in NAMES)
        session.commit()
    yield database
    database.close()


def change(session: Session, name: str) -> None:
    """Change a row, whose lock is the transaction's from then on."""
    row = update(OutboundAddress).where(col(OutboundAddress.name) == name)
    session.execute(row.values(delivered=OutboundAddress.delivered + 1))


def tell(session: Session, who: str) -> None:
    audit.record(session, "a change", who, {}, by=who, at=now())


def test_a_row_and_the_trail_may_be_asked_for_in_either_order(database):
    def the_trail_first() -> None:
        with database.write() as session:
            tell(session, "eva")
            change(session, "one")
            session.commit()

    with ThreadPoolExecutor() as pool:
        with database.write() as session:
            change(session, "one")
            other = pool.submit(the_trail_first)
            wait_until_somebody_waits(database, other)
            tell(session, "adam")  # once, each waited here for the other, and PostgreSQL ended one of them
            session.commit()
        other.result(60)
    with database.read() as session:
        told = session.exec(select(audit.AuditEntry.by).order_by(col(audit.AuditEntry.n))).all()
        assert (told, verify(session)[0]) == (["adam", "eva"], 2)
        assert session.get_one(OutboundAddress, "one").delivered == 2


def test_many_who_tell_at_other_moments_of_their_transactions_end_in_one_chain(database):
    def work(thread: int) -> None:
        for turn in range(TURNS):
            with database.write() as session:
                for place, name in enumerate(NAMES):
                    if (thread + turn) % len(NAMES) == place:
                        tell(session, f"{thread} {turn}")
                    change(session, name)
                tell(session, f"{thread} {turn}, at the end")
                session.commit()

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work, thread) for thread in range(THREADS)]:
            done.result(120)
    with database.read() as session:
        assert verify(session)[0] == 2 * THREADS * TURNS
        assert {row.delivered for row in session.exec(select(OutboundAddress))} == {THREADS * TURNS}
