"""Tables of golden parts: what is known for certain, frozen, so that every model can be asked about it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, UniqueConstraint
from sqlmodel import Field, SQLModel

from qc.records import UtcDateTime, new_id


class GoldenSet(SQLModel, table=True):
    """One version of a product's golden parts. Never changed: a change is the next version."""

    __table_args__ = (UniqueConstraint("product", "number"),)

    id: str = Field(primary_key=True)
    """`sha256:…` over product, number and `leaves` (`server.golden.identity`)."""
    product: str = Field(index=True)
    number: int
    """1 and up for each product."""
    leaves: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """SHA-256 of every part's content, in their order. An erased part leaves its hash here and nothing else."""
    reason: str
    by: str
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class GoldenPart(SQLModel, table=True):
    """One part of a version."""

    golden_set: str = Field(foreign_key="goldenset.id", primary_key=True)
    place: int = Field(primary_key=True)
    """Of its hash among the version's `leaves`."""
    inspection_id: str = Field(foreign_key="inspection.id", index=True)
    part: str = Field(index=True)
    station: str
    truth: str
    """`ok` or `ng`."""
    pictures: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """`view`, `sha256` of the camera's bytes, and `key` of the set's own copy, which outlives the original."""


class GoldenLook(SQLModel, table=True):
    """What one model said of one version."""

    id: str = Field(default_factory=new_id, primary_key=True)
    golden_set: str = Field(foreign_key="goldenset.id", index=True)
    model: str = Field(index=True)
    """`sha256:…`"""
    policy: str
    """SHA-256 of the product's file when it looked: the verdict hangs on it, too."""
    why: str
    """`challenger`, `shift`, or whoever asked."""
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    results: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """For each part: `place`, `truth`, `verdict`, `score`, `wrong` (`escape`, `false_reject` or empty)."""
    escapes: int
    """Parts that are not good and that it would let pass."""
    false_rejects: int
    """Parts that are ok and that it would not let pass."""
    passed: bool
    """Within the bounds of the product's file."""
