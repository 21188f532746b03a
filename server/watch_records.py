"""Tables of what watches over cameras and models: looks of cameras, alarms, and what a challenger saw."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index, LargeBinary, text
from sqlmodel import Field, SQLModel

from qc.records import UtcDateTime, new_id
from qc.verdict import Verdict


class CameraReference(SQLModel, table=True):
    """What a camera's pictures are compared with: one row for each station, view, product and size of picture."""

    key: str = Field(primary_key=True)
    """`server.camera_health.key_of`."""
    station: str = Field(index=True)
    view: str
    product: str
    height: int
    """Of the edge picture, px; as `width`."""
    width: int
    edges: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """float16, row by row (see `qc.camera.edges`)."""
    cells: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    """What its cells are usually like (`qc.camera_dirt.to_bytes`); None until that is learnt."""
    since: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    """Looks from here on are learnt from; a person's word that all is well begins anew."""


class CameraLook(SQLModel, table=True):
    """What one picture told about its camera (see `qc.camera.Look`)."""

    inspection_id: str = Field(foreign_key="inspection.id", primary_key=True)
    n: int = Field(primary_key=True)
    key: str = Field(index=True)
    """Of its camera, as in CameraReference."""
    station: str
    view: str
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    fingerprint: str
    level: float
    sharpness: float | None = None
    column_shift: float | None = None
    row_shift: float | None = None
    fault: str = ""
    """One of `qc.camera.Fault`; empty: a good picture."""
    message: str = ""


IS_OPEN = text("closed_at IS NULL")


class Alarm(SQLModel, table=True):
    """Something is not as usual since some moment, on some station; open until a person closes it or it heals."""

    __table_args__ = (Index("ix_alarm_open", "id", sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),)

    id: str = Field(default_factory=new_id, primary_key=True)
    kind: str = Field(index=True)
    """camera, rate, score, disk, plant, …; each module that raises them names its own."""
    station: str = Field(index=True)
    what: str
    """What of it, such as a view and a measure; at most one alarm is open for kind, station and this."""
    message: str
    """In one sentence."""
    since: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    """When it began, by the chart; before `raised_at`."""
    raised_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    before: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """Ids of the last inspections before it began, newest last."""
    after: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """Ids of the first inspections since it began."""
    figures: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    closed_by: str = ""
    reason: str = ""


class ShadowVerdict(SQLModel, table=True):
    """What a challenger said of a production part after the answer had left. It never reaches the line."""

    inspection_id: str = Field(foreign_key="inspection.id", primary_key=True)
    model: str = Field(primary_key=True, index=True)
    """`sha256:…` of the challenger."""
    champion: str = Field(index=True)
    """`sha256:…` of the model whose verdict counted."""
    champion_verdict: Verdict
    verdict: Verdict
    score: float
    defects: int
    """How many count."""
    elapsed_ms: float
    """Processor time that it took; it stands still whenever the line needs the machine."""
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    for_product: str = ""
    """Whose challenger it was (`server.where.Where`); with `for_station` empty: the one of everywhere."""
    for_station: str = ""
