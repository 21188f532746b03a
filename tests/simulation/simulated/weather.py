"""What goes wrong around a server: a full disk, a database that is away, and single calls that fail.

The product's own code runs on a real folder and a real SQLite file; what is wrong is injected where it calls the
system: `os.fsync` of the blob store, of claims and of a station's memory, moving a file, writing a thumbnail, every
statement and every commit.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from server.db import BUSY_TIMEOUT_MS, Database

from .threads import Lock
from .world import World, is_dead


class Weather:
    """What is wrong now."""

    def __init__(self, world: World, *, flaky: float) -> None:
        """
        Args:
            flaky: chance that a single call fails, on top of disks that are full and databases that are away.
        """
        self.world, self.flaky = world, flaky
        self.disk_full = self.database_away = False
        self.failed = 0
        """Calls that failed so far."""

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        self.flaky, self.disk_full, self.database_away = 0.0, False, False
        self.world.calm = True
        self.world.clock_off_s = 0.0

    def disk(self) -> None:
        """A step of the disk: others may run, and it may fail. Raises OSError."""
        if is_dead():
            return
        self.world.step()
        if self.disk_full or self.world.chance(self.flaky):
            self.failed += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def statement(self) -> None:
        """A step of the database. Raises OperationalError."""
        if is_dead():
            return
        self.world.step()
        if self.database_away or self.world.chance(self.flaky / 4):
            self.failed += 1
            raise away("the database does not answer")


def away(words: str) -> OperationalError:
    """What SQLAlchemy raises when a database is not there."""
    return OperationalError("statement", {}, sqlite3.OperationalError(words))


class _Session(Session):
    """A session whose commits may fail afterwards: done, but nobody was told."""

    weather: Weather

    def commit(self) -> None:
        super().commit()
        weather = self.weather
        if is_dead():
            return
        weather.world.step()
        if weather.world.chance(weather.flaky / 4):
            weather.failed += 1
            raise away("the connection was lost after the commit")


class WeatheredDatabase(Database):
    """The product's database on SQLite; writers wait for each other in virtual time."""

    def __init__(self, url: str, weather: Weather) -> None:
        super().__init__(url)
        self._weather, self._lock = weather, Lock(weather.world)
        self._writer: Any = None
        """The driver's connection that writes."""
        event.listen(self.engine, "connect", _unflushed)
        event.listen(self.engine, "commit", self._ending)
        event.listen(self.engine, "rollback", self._ended)
        event.listen(self.engine, "before_cursor_execute", self._stated)
        event.listen(self.engine, "checkin", lambda connection, _record: self._released(connection))

    def read(self) -> Session:
        return self._session(self.engine)

    def write(self) -> Session:
        return self._session(self._writing)

    def _session(self, engine: Engine) -> Session:
        session = _Session(engine, expire_on_commit=False)
        session.weather = self._weather
        return session

    def _stated(self, connection: Connection, _c: Any, statement: str, *_: Any) -> None:
        self._weather.statement()
        if statement == "BEGIN IMMEDIATE":
            if not self._lock.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
                raise away("database is locked")
            self._writer = connection.connection.dbapi_connection

    def _ending(self, connection: Connection) -> None:
        self._weather.statement()
        self._ended(connection)

    def _ended(self, connection: Connection) -> None:
        self._released(connection.connection.dbapi_connection)

    def _released(self, connection: Any) -> None:
        """SQLite lets go when a transaction ends, however it does: also where its very beginning failed."""
        if self._writer is not None and self._writer is connection:
            self._writer = None
            self._lock.release()


def _unflushed(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous = OFF")  # a power cut is not simulated
    connection.execute("PRAGMA busy_timeout = 0")  # nobody waits in real time: `WeatheredDatabase._stated`


class Os:
    """`os`, with a disk that may refuse to flush."""

    def __init__(self, weather: Weather) -> None:
        self._weather = weather

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, handle: int) -> None:
        self._weather.disk()


class Shutil:
    """`shutil`, with a disk that may refuse to move."""

    def __init__(self, weather: Weather) -> None:
        self._weather = weather

    def __getattr__(self, name: str) -> Any:
        return getattr(shutil, name)

    def move(self, file: Path, to: Path) -> Any:
        self._weather.disk()
        return shutil.move(file, to)


def failing(weather: Weather, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that writes to the disk, and may fail before it does."""

    def called(*arguments: Any, **options: Any) -> Any:
        weather.disk()
        return function(*arguments, **options)

    return called
