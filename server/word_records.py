"""Tables of what people say at a station besides a verdict: that they are unsure, and that a word was not meant."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, Index, text
from sqlmodel import Field, SQLModel, col, select

from qc.records import Decision, UtcDateTime, new_id

UNDO_WITHIN = timedelta(minutes=2)
"""So long a slip of the finger can be taken back; what is thought better of later is another word, with its reason."""


class CallState(StrEnum):
    """How far a call has come."""

    OPEN = "open"
    ANSWERED = "answered"
    """Somebody decided the part."""
    WITHDRAWN = "withdrawn"
    """Whoever called took it back."""
    EXPIRED = "expired"
    """Nobody came in time; `verdict` is what the product's file says for doubt, never `ok`."""


class OperatorCall(SQLModel, table=True):
    """Somebody at a station is unsure of a part and called the team leader. At most one is open for an inspection."""

    __table_args__ = (
        Index(
            "ix_operatorcall_open",
            "inspection_id",
            unique=True,
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
    )

    id: str = Field(default_factory=new_id, primary_key=True)
    inspection_id: str = Field(foreign_key="inspection.id", index=True)
    station: str = Field(index=True)
    question: str = ""
    """What they are unsure of, in their words."""
    by: str
    """Name of whoever called."""
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    """When the server had it: from here the time runs."""
    due_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    state: str = Field(default=CallState.OPEN.value, index=True)
    """One of `CallState`."""
    closed_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    verdict: str | None = None
    """How the part stands by it: `ok`, `ng`, or `review` where it stays set aside; None while open or withdrawn."""
    answered_by: str = ""
    """Who decided; empty where nobody did."""
    reason: str = ""
    decision_id: str | None = None
    """The decision that answered it."""


class Undo(SQLModel, table=True):
    """A decision was taken back by whoever had said it. The decision stays; it counts no more."""

    id: str = Field(default_factory=new_id, primary_key=True)
    decision_id: str = Field(foreign_key="decision.id", unique=True)
    inspection_id: str = Field(foreign_key="inspection.id", index=True)
    by: str
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


def counts() -> Any:
    """For `where`: decisions that nobody took back."""
    return col(Decision.id).not_in(select(Undo.decision_id))
