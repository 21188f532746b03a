"""Tables of the outbox: what is to be told, to whom it has not been told yet, and how each address is doing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Text
from sqlmodel import Field, SQLModel

from qc.records import UtcDateTime, new_id


class OutboundMessage(SQLModel, table=True):
    """Something to tell; it goes once the last address has been told."""

    __table_args__ = {"sqlite_autoincrement": True}  # a number never comes back

    n: int | None = Field(default=None, primary_key=True)
    """Their order: not a time, so that a clock that jumps changes no order."""
    id: str = Field(default_factory=new_id, unique=True)
    """The same at every attempt, by which a receiver knows what it has already."""
    kind: str
    """inspection, decision, part, alarm or recommendation."""
    cell: str = ""
    """The station or step it is about."""
    part: str = Field(default="", index=True)
    """The part it is about; empty for none."""
    body: str = Field(sa_column=Column(Text, nullable=False))
    """The JSON exactly as it is sent."""
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class OutboundDelivery(SQLModel, table=True):
    """A message that an address has not been told yet."""

    address: str = Field(primary_key=True)
    message_n: int = Field(foreign_key="outboundmessage.n", primary_key=True, index=True)


class OutboundAddress(SQLModel, table=True):
    """How telling one address goes."""

    name: str = Field(primary_key=True)
    """As in `outbound.yaml`."""
    delivered: int = 0
    dropped: int = 0
    """Never told: skipped by a person, or the oldest of too many."""
    failures: int = 0
    """In a row, since the last success."""
    failing_since: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    last_error: str = ""
    last_attempt_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    last_delivered_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    off_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    """Since when nothing is kept for it or told to it; None: it is on."""
    off_reason: str = ""
