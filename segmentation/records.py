"""The registry of models: one row for each model that was ever trained or installed here."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Column
from sqlmodel import Field, SQLModel

from qc.records import UtcDateTime


class ModelState(StrEnum):
    """Where a model stands."""

    CANDIDATE = "candidate"
    """Trained, not yet compared or waiting for a person's word."""
    SERVING = "serving"
    """The champion."""
    REJECTED = "rejected"
    """Compared with the champion and found no better."""
    RETIRED = "retired"
    """Served once; may serve again by a rollback."""


class ModelVersion(SQLModel, table=True):
    """One trained model."""

    id: str = Field(primary_key=True)
    """`sha256:…`, of its content (see `segmentation.model.identity`)."""
    folder: str
    """Where its files lie, relative to the data folder of the installation."""
    state: ModelState = Field(default=ModelState.CANDIDATE, index=True)
    alias: str | None = Field(default=None, unique=True)
    """`champion`, `challenger`, or nothing."""
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))
    served_since: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    """When it last became the champion; a rollback goes to the newest but one."""
    classes: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    figures: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """On its validation parts, as in the model's card."""
    dataset: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """Name, licence, source and counts of what it was trained on."""
    decision: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON, nullable=True))
    """The comparison with the champion of its time (see `segmentation.challenge.Comparison.as_json`)."""
