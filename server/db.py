"""The database: SQLite (WAL) beside the data by default, PostgreSQL by its URL.

Two kinds of session, and the caller says which: `read()` sees one consistent state; `write()` takes SQLite's
write lock when it begins (BEGIN IMMEDIATE), so that it waits for other writers instead of failing half-way.
A session is a context manager and commits only where the code says `session.commit()`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import SessionTransaction
from sqlmodel import Session, SQLModel, create_engine

from qc.errors import InvalidInput

POSTGRESQL = "postgresql+psycopg://"
"""What the address of a PostgreSQL begins with; clouds and other programs tell it as postgres:// or postgresql://."""

BUSY_TIMEOUT_MS = 15_000
"""How long a writer waits for another; the longest transaction of ours takes well under a second."""


def sqlite_url(file: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{file}"


class Database:
    """An engine, and sessions on it. Safe to share between threads; a session is not."""

    def __init__(self, url: str) -> None:
        """Asks nothing of it yet. Raises InvalidInput for an address that is none, and does not show it: a password
        may stand in it."""
        self.url = url
        self.engine = _engine(url)
        self._writing = self.engine.execution_options(qc_write=True)
        self._patient = self.engine.execution_options(qc_patient=True)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    def read(self) -> Session:
        """A session that only looks."""
        return Session(self.engine, expire_on_commit=False)

    def write(self) -> Session:
        """A session that may change things; nothing is kept without `session.commit()`."""
        return Session(self._writing, expire_on_commit=False)

    def write_connection(self) -> Connection:
        """A bare connection that may change things, for migrations."""
        return self._writing.connect()

    def patient(self) -> Session:
        """A session for work that waits for others (Label Studio) between reading and writing.

        It holds no lock while it waits: each reading sees the newest state, and the write lock is taken only when the
        changes are written, at `commit()`. It does not flush by itself before a query.
        """
        session = Session(self._patient, expire_on_commit=False, autoflush=False)
        event.listen(session, "before_flush", _lock_late)
        return session

    def check(self) -> None:
        """Raises if the database does not answer."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def after_commit(session: Session, function: Callable[[], None]) -> None:
    """Call a quick function once what the session does now is committed; those asked for earlier come first.

    A savepoint's end is no commit: SQLAlchemy's own event is told of both. What is rolled back with a savepoint calls
    nothing; what came before that savepoint waits on.
    """
    left = [function]
    around = set(_transactions(session))

    def committed(_: Session) -> None:
        if left and not session.in_nested_transaction():
            left.pop()()

    def rolled_back(_: Session, ended: SessionTransaction) -> None:
        if ended in around:
            left.clear()

    event.listen(session, "after_commit", committed)
    event.listen(session, "after_soft_rollback", rolled_back)


def last_of_all(session: Session, function: Callable[[], None]) -> None:
    """Call a function as the last thing that a writing session does before it commits, those asked for earlier first.

    By then every row is written and holds its lock. So what all transactions have to lock (the end of the audit trail)
    is locked after everything else, by all in this order, and held for as short as can be: nobody who has it waits for
    a row of somebody who waits for it. What is rolled back, with a savepoint or altogether, calls nothing.
    """
    with_an_end(session)
    session.info[_END].append((set(_transactions(session)), function))


_END = "qc last of all"


def with_an_end(session: Session) -> None:
    """From now on `last_of_all` may be asked of the session, also by what it calls itself before it commits."""
    if _END in session.info:
        return
    waiting: list[tuple[set[SessionTransaction], Callable[[], None]]] = []
    session.info[_END] = waiting

    def rolled_back(_: Session, ended: SessionTransaction) -> None:
        waiting[:] = [one for one in waiting if ended not in one[0]]

    event.listen(session, "before_commit", at_the_end)
    event.listen(session, "after_soft_rollback", rolled_back)


def at_the_end(session: Session) -> None:
    """Do now what is to be done last in the session's transaction; its commit does so by itself."""
    waiting = session.info.get(_END)
    if not waiting or session.in_nested_transaction():
        return
    _lock_late(session)
    session.flush()
    now = session.get_transaction()
    while waiting:
        around, function = waiting.pop(0)
        if now in around:  # else it was closed without a commit
            function()


def inserting(session: Session, table: type[SQLModel], values: Mapping[str, Any]) -> postgresql.Insert | sqlite.Insert:
    """INSERT of a row, in the words of the session's database, of which `on_conflict_do_nothing` can be asked: it waits
    for whoever enters the same row in another transaction, where looking first would see nothing of it."""
    insert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[session.get_bind().dialect.name]
    row: postgresql.Insert | sqlite.Insert = insert(table).values(**values)
    return row


def _transactions(session: Session) -> Iterator[SessionTransaction]:
    """The transaction that the session is in, from the innermost savepoint outwards; begun if there is none."""
    if not session.in_transaction():
        session.begin()
    inner = session.get_nested_transaction() or session.get_transaction()
    while inner is not None:
        yield inner
        inner = inner.parent


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        if not url.startswith(POSTGRESQL):
            raise InvalidInput(
                f"the address of a PostgreSQL begins with {POSTGRESQL}; that of QC_DATABASE_URL does not"
            )
        try:
            return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=30)
        except (ArgumentError, ValueError):
            raise InvalidInput(
                f"the address of the database cannot be read; write {POSTGRESQL}USER:PASSWORD@HOST:5432/DATABASE, with "
                "%40 for an @ in the password and so on"
            ) from None
        except ModuleNotFoundError as error:
            raise InvalidInput(
                "PostgreSQL needs the extra qc-line[postgres]: pip install 'qc-line[postgres]'"
            ) from error
    database = make_url(url).database
    if database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_size=10, max_overflow=60, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        _write_ahead(cursor)
        cursor.execute("PRAGMA synchronous = FULL")  # an answer given is an answer kept, power cut or not
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA secure_delete = ON")  # what is erased is written over
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        if connection.get_execution_options().get("qc_patient", False):
            return
        writes = connection.get_execution_options().get("qc_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Keep a log beside the database's file, as it has one from its first connection on.

    Two connections that make a fresh one so at the same time would wait for each other, and SQLite refuses one of them
    at once, whatever `busy_timeout` says: it asks again.
    """
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _lock_late(session: Session, *_: Any) -> None:
    connection = session.connection()
    if connection.dialect.name == "sqlite" and not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _session(request: Request) -> Iterator[Session]:
    database: Database = request.app.state.context.database
    reads = request.method in ("GET", "HEAD", "OPTIONS")
    with database.read() if reads else database.write() as session:
        yield session


SessionDep = Annotated[Session, Depends(_session)]
"""A session for a route: reading for GET, writing otherwise. The route commits. A route that computes for long
takes `context.database.read()` and `.write()` itself instead, so as not to hold the write lock meanwhile."""
