"""Tables: which process model is served, what it advised, what came of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Column, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from qc.records import UtcDateTime, new_id


class ProcessVersion(SQLModel, table=True):
    """A fitted process model under the name that people call it by."""

    id: str = Field(default_factory=new_id, primary_key=True)
    name: str = Field(index=True)
    model: str
    """`sha256:…` of the model folder."""
    folder_key: str
    """Where the model folder lies."""
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    report: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    current: bool = Field(default=True, index=True)
    """The one that answers; at most one of a name."""


class Recommendation(SQLModel, table=True):
    """What was asked about a part and what was answered."""

    __table_args__ = (
        Index("ix_recommendation_batch", "batch", "process"),
        Index("ix_recommendation_decision", "process", "decision", "id"),
    )

    id: str = Field(default_factory=new_id, primary_key=True)
    process: str = Field(index=True)
    part: str = Field(index=True)
    at: str
    """The next step to run when it was asked."""
    batch: str | None = None
    """As `request` names it."""
    decision: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """As `answer` has it."""
    request: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    answer: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    asked_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))


class Outcome(SQLModel, table=True):
    """What was done with a part and what came of it. Told once; a second telling is a duplicate."""

    __table_args__ = (UniqueConstraint("process", "part"), Index("ix_outcome_batch", "batch", "process"))

    id: str = Field(default_factory=new_id, primary_key=True)
    process: str = Field(index=True)
    part: str = Field(index=True)
    batch: str | None = None
    """As `content` names it."""
    content: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """`part`, `batch`, `disposition`, `scrapped_at`, `assignment`, `observed`."""
    received_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))
    learnt_in: str | None = Field(default=None, index=True)
    """The ProcessVersion that learnt from it; None: none yet."""


class Answer(StrEnum):
    """What a person said to a rework that was proposed."""

    APPROVED = "approved"
    DECLINED = "declined"


class Approval(SQLModel, table=True):
    """A person's word on the rework that a recommendation proposes. The newest on a step of a part stands."""

    id: str = Field(default_factory=new_id, primary_key=True)
    process: str = Field(index=True)
    part: str = Field(index=True)
    recommendation_id: str = Field(foreign_key="recommendation.id", index=True)
    """What was in front of the person: settings, chance, money, cause."""
    steps: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """The rework steps that it was about."""
    answer: Answer
    risk: str
    """What may go wrong with the part and what follows for whoever uses it, in the person's words."""
    by: str
    """Name of the account."""
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class BatchDecision(SQLModel, table=True):
    """What a person decided for the parts of a batch as a whole. Each part it is about has a `Recommendation` that
    names it (`batch_decision` of the answer); names of parts are only there, so that erasing a part reaches them."""

    id: str = Field(default_factory=new_id, primary_key=True)
    process: str = Field(index=True)
    batch: str
    at: str
    """The step before which the parts waited."""
    plan: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """As `process_opt.batch_plan.decide_batch` tells a plan: what was in front of the person."""
    model: str
    """`sha256:…` of the process model by which it was judged."""
    parts: int
    """That it was about; the others of the batch were left to what each was advised by itself."""
    reason: str
    """Why, in the person's words."""
    by: str
    """Name of the account."""
    decided_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
