"""The table of jobs."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Column, Index, text
from sqlmodel import Field, SQLModel

from qc.records import UtcDateTime, new_id


class JobState(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """Given up: it failed for good, or as often as it may."""
    CANCELLED = "cancelled"


UNFINISHED = (JobState.WAITING, JobState.RUNNING)

_UNFINISHED_SQL = text("state IN ('waiting', 'running')")


def _moment(*, nullable: bool = True) -> Any:
    return Field(default=None, sa_column=Column(UtcDateTime, nullable=nullable))


class Job(SQLModel, table=True):
    """A piece of work that is done even if the process that began it dies. Arguments are ids and paths, in JSON."""

    __table_args__ = (
        Index(
            "ix_job_key_unfinished",
            "key",
            unique=True,
            sqlite_where=_UNFINISHED_SQL,
            postgresql_where=_UNFINISHED_SQL,
        ),
        Index("ix_job_next", "state", "not_before"),
    )

    id: str = Field(default_factory=new_id, primary_key=True)
    kind: str = Field(index=True)
    """Which handler does it."""
    arguments: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    key: str | None = None
    """While a job with this key is unfinished, asking for it again gives that job."""
    again: bool = False
    """Asked for again while it was running: when it ends, a fresh one waits."""
    home: str | None = None
    """Name of a data folder (`server.home_id`) whose server alone does it; None: any server on this database."""
    state: str = JobState.WAITING.value
    attempts: int = 0
    """How often it was begun; also the fence: who holds an older number has lost the job."""
    max_attempts: int = 5
    not_before: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    """Not begun earlier: a delay that was asked for, or the pause after a failure."""
    lease_until: datetime | None = _moment()
    """Running, and nobody else's until then; the holder's heartbeat moves it on."""
    worker: str | None = None
    """`machine:pid:birth` of the process that holds it."""
    heartbeat_at: datetime | None = _moment()
    progress: float | None = None
    """0..1, or unknown."""
    message: str = ""
    """What it is doing, for a person."""
    problem: str | None = None
    """Why the last attempt failed."""
    result: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON, nullable=True))
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))
    started_at: datetime | None = _moment()
    finished_at: datetime | None = _moment()
