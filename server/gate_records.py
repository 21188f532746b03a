"""Tables of what a model must show, who approved it, and where it serves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column
from sqlmodel import Field, SQLModel

from qc.records import UtcDateTime, new_id


class Measured(SQLModel, table=True):
    """What challenger and champion cost on this machine, measured side by side."""

    challenger: str = Field(primary_key=True)
    champion: str = Field(primary_key=True)
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    figures: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """See `server.gate_cost.Cost`."""


class GateApproval(SQLModel, table=True):
    """A named person lets a challenger serve that has proved itself, or declines it."""

    id: str = Field(default_factory=new_id, primary_key=True)
    challenger: str = Field(index=True)
    champion: str
    approved: bool
    by: str
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    reason: str
    words: str
    """What the gate said when the person decided."""
    for_product: str = ""
    """Where it may serve (`server.where.Where`); with `for_station` empty: everywhere."""
    for_station: str = ""


class Assignment(SQLModel, table=True):
    """A product or a station with a champion of its own; everything else has the registry's."""

    product: str = Field(primary_key=True)
    """Empty: whatever the product."""
    station: str = Field(primary_key=True)
    """Empty: at every station."""
    champion: str = Field(foreign_key="modelversion.id")
    before: str | None = None
    """The champion of its own before this one; None: there was none."""
    challenger: str | None = None
    """Looks on beside the champion there; None: nobody does."""
    challenger_served: bool = False
    """The challenger served there before the champion did: it comes back by the wagers and its golden parts alone."""
    since: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    by: str


class StationMode(SQLModel, table=True):
    """How much a station's verdicts may do. A station without a row decides."""

    station: str = Field(primary_key=True)
    mode: str
    """`shadow`, `advise` or `decide`."""
    since: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    """Evidence for the next step counts from here."""
    limit_a_day: float | None = None
    """Money that wrong verdicts may cost there in a day; None: no limit."""
    limit_a_part: float | None = None
    """Mean cost of a part's verdict to be proved for a step up; None: the day's limit over the parts of a day."""
    by: str
    reason: str
