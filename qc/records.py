"""Tables of what was inspected and what people said about it.

Rows with `table=True` are not validated when constructed: outside data passes through a request class or a
value first. Times are UTC; SQLite gives them back without a zone, so `UtcDateTime` puts it on again.
"""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Column, DateTime, Index, UniqueConstraint, text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from qc.verdict import Verdict


class _Clock:
    """Numbers of 122 bits that rise: 48 bits of Unix milliseconds, then 74 random ones.

    Within one millisecond, or when the machine's clock is set back, the next number is the last one plus a random
    step (RFC 9562, section 6.2, method 2), so that what one process made later also sorts later.
    """

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        fresh = (time.time_ns() // 1_000_000) << 74 | secrets.randbits(73)
        with self._lock:
            later = fresh >> 74 > self._last >> 74
            self._last = fresh if later else self._last + 1 + secrets.randbits(32)
            return self._last


_clock = _Clock()


def new_id() -> str:
    """A new identifier, made without asking anybody: UUID version 7 (RFC 9562).

    Ids of one process sort in the order in which they were made; those of several processes by the millisecond.
    """
    number = _clock.next()
    high, middle, low = number >> 74, number >> 62 & 0xFFF, number & (1 << 62) - 1
    return str(uuid.UUID(int=high << 80 | 0x7 << 76 | middle << 64 | 0x2 << 62 | low))


def made_at(id: str) -> datetime | None:
    """When an identifier of version 7 was made, to the millisecond; None for any other text."""
    try:
        number = uuid.UUID(id)
    except ValueError:
        return None
    if number.version != 7 or str(number) != id:
        return None
    return datetime.fromtimestamp((number.int >> 80) / 1000, UTC)


def first_id(seconds: float) -> str:
    """What every identifier sorts behind that is made so many seconds after 1970 or later, and no earlier one."""
    milliseconds = min(max(int(seconds * 1000), 0), (1 << 48) - 1)
    return str(uuid.UUID(int=milliseconds << 80))


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, with its zone on the way in and on the way out, on every database, whatever zone that lives in:
    moments are also written out, into seals for instance."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Progress(StrEnum):
    """How far an inspection has come."""

    RECEIVED = "received"
    """The camera's bytes are stored; nothing is lost from here on."""
    DONE = "done"
    FAILED = "failed"
    """It could not be inspected; `problem` says why. Never an ok."""


NOT_JUDGED = text("progress = 'RECEIVED'")
"""For `where`: what is to be judged yet, a handful among millions; spelt out, as only so its own index is used."""


class Inspection(SQLModel, table=True):
    """One look at one part, with one exposure or several."""

    __table_args__ = (
        UniqueConstraint("station", "trigger_id"),
        # by its name, and by how it begins: PostgreSQL's index in the order of a country's letters knows only the first
        Index("ix_inspection_part", "part", postgresql_ops={"part": "text_pattern_ops"}),
        Index("ix_inspection_station_id", "station", "id"),  # pages of a station, and its newest
        Index("ix_inspection_verdict_id", "verdict", "id"),
        Index("ix_inspection_station_verdict_id", "station", "verdict", "id"),  # also where a station has none of it
        Index("ix_inspection_received", "id", sqlite_where=NOT_JUDGED, postgresql_where=NOT_JUDGED),
        # a month of a product is counted without looking at its rows
        Index("ix_inspection_product_month", "product", "received_at", "progress", "verdict", "model_verdict", "id"),
    )

    id: str = Field(default_factory=new_id, primary_key=True)
    part: str
    station: str
    trigger_id: str | None = None
    """The line's name for this trigger; the same trigger again is the same inspection."""
    product: str = ""
    progress: Progress = Progress.RECEIVED
    problem: str | None = None
    verdict: Verdict | None = None
    score: float | None = None
    model: str | None = None
    """`sha256:…` of the model that judged."""
    elapsed_ms: float | None = None
    """From the last byte received to the verdict."""
    received_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))
    process_values: dict[str, float] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """`step.setting` and `step.measurement` values known when it was inspected, if the sender gave any."""
    mode: str = Field(default="decide", sa_column_kwargs={"server_default": "decide"})
    """`shadow`, `advise` or `decide`: what its station's verdicts might do when it was judged."""
    model_verdict: str | None = None
    """What the model said, where the line was told `review` instead (modes shadow and advise)."""
    policy: str | None = None
    """SHA-256 of the product's file by which it was judged; its text is kept in the blob store."""
    runtime: str | None = None
    """What computed the model, such as `torch 2.13.0`: the same runtime gives the same score to the last bit."""
    keeper: str | None = None
    """The data folder (`server.home_id`) whose server took it in, and judges it after a stop: its pictures are there.
    None: of an earlier version."""

    @property
    def said(self) -> Verdict | None:
        """What the model said, whatever the line was told."""
        return Verdict(self.model_verdict) if self.model_verdict else self.verdict


class Exposure(SQLModel, table=True):
    """One image of an inspection: where its bytes lie and what was found on it."""

    inspection_id: str = Field(foreign_key="inspection.id", primary_key=True)
    n: int = Field(primary_key=True)
    """0 and up, in the order in which the images were sent."""
    view: str = ""
    name: str = ""
    """The file name the sender gave."""
    format: str
    """JPEG, PNG, BMP or TIFF."""
    width: int
    height: int
    sha256: str
    """Of the camera's bytes, in hexadecimal."""
    original_key: str
    """The camera's bytes, untouched, in the blob store."""
    instances_key: str | None = None
    """16-bit PNG in the blob store: 0 background, else 1 + the place of the pixel's defect in `defects`."""
    score: float | None = None
    verdict: Verdict | None = None
    defects: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """As in the contract (section 3), each with `counts` and `outline` (rings of `[x, y]`) besides."""


class Decision(SQLModel, table=True):
    """A person's word on an inspection. The newest stands; the older ones stay."""

    id: str = Field(default_factory=new_id, primary_key=True)
    inspection_id: str = Field(foreign_key="inspection.id", index=True)
    verdict: Verdict
    """`ok` or `ng`."""
    reason: str = ""
    by: str
    """Name of the account or key."""
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
