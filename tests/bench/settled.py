"""Waits until the jobs that a server's start asks for are done: they would take the processor from what is measured."""

from __future__ import annotations

import time

from sqlmodel import col, select

from server.context import Context
from server.jobs.records import UNFINISHED, Job, JobState

QUIET_S = 2.0
"""Jobs ask for others: so long must nothing have been to be done."""


def settle(context: Context) -> None:
    """Return when nothing has been to be done for a while."""
    quiet_since = time.monotonic()
    while time.monotonic() < quiet_since + QUIET_S:
        with context.database.read() as session:
            due = (col(Job.state) == JobState.RUNNING) | (col(Job.not_before) <= context.now())
            if session.exec(select(Job.id).where(col(Job.state).in_(UNFINISHED), due)).first() is not None:
                quiet_since = time.monotonic()
        time.sleep(0.2)
