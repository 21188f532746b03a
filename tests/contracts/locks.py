"""Waiting until one transaction waits for another, as PostgreSQL tells of its locks."""

from __future__ import annotations

import time
from concurrent.futures import Future

from sqlalchemy import text

from server.db import Database


def wait_until_somebody_waits(database: Database, waiter: Future[None]) -> None:
    """Until a lock is asked for that another transaction holds, while `waiter` has not ended."""
    until = time.monotonic() + 60
    while True:
        with database.read() as session:
            if session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                return
        assert not waiter.done(), "it had to wait"
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
