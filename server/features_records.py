"""Tables of what the encoder saw: vectors of images and defects, quick heads, and what those suggest."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from qc.records import UtcDateTime, new_id

IMAGE = -1
"""`Feature.defect` of the vector of a whole image."""


class Feature(SQLModel, table=True):
    """What the encoder of one model made of an image, or of one defect on it."""

    __table_args__ = (Index("ix_feature_encoder_defect", "encoder", "defect", "at"),)

    inspection_id: str = Field(foreign_key="inspection.id", primary_key=True)
    n: int = Field(primary_key=True)
    """Which image of the inspection."""
    defect: int = Field(primary_key=True)
    """Place in `Exposure.defects`, 0 and up; `IMAGE` for the image as a whole."""
    encoder: str
    """`sha256:…` of the model whose encoder it was; vectors of two models cannot be compared."""
    runtime: str = ""
    """What computed it (`segmentation.runtimes`): rounding moves a vector a little."""
    station: str
    product: str = ""
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))
    """When the part came."""
    kind: str = ""
    """The class that the model gave it; empty for an image."""
    score: float = 0.0
    """The model's, in [0, 1]."""
    label: str | None = None
    """The class that a person gave it; empty: a person looked and there is no defect; None: nobody said."""
    vector: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """float16, little endian (see `qc.features`)."""


class AnonymousFeature(SQLModel, table=True):
    """What an encoder saw of a part, without the part: nothing here leads back to it (`server.features_anonymous`).

    Rows lie in the order of their ids, which are random, so that not even their place tells when they came.
    """

    __table_args__ = (Index("ix_anonymousfeature_encoder", "encoder", "whole", "month"), {"sqlite_with_rowid": False})

    id: str = Field(default_factory=lambda: uuid.uuid4().hex, primary_key=True)
    encoder: str
    """`sha256:…` of the model whose encoder it was."""
    station: str
    product: str = ""
    month: str
    """In which the part came: `2026-11`."""
    whole: bool
    """Of a whole image; else of one defect."""
    kind: str = ""
    """The class that the model gave it; empty for an image."""
    label: str | None = None
    """As of a `Feature`."""
    vector: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """float16, little endian (see `qc.features`)."""


class Head(SQLModel, table=True):
    """A class learnt from a few examples on the features of one encoder; it suggests, the model beside it decides."""

    id: str = Field(default_factory=new_id, primary_key=True)
    name: str = Field(index=True)
    """The class it knows."""
    encoder: str = Field(index=True)
    """`sha256:…` of the model on whose features it rests; it is silent beside another."""
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    by: str
    retired_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    """From then on it suggests nothing."""
    weights: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """As `segmentation.heads.to_json` writes it."""
    figures: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """The held-out estimate: see `segmentation.heads.Estimate`."""
    examples: list[list[Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """`[inspection, image, defect]` of each example a person named."""
    to_review: bool = False
    """May it send a part that the model calls ok to a person?"""


class Suggestion(SQLModel, table=True):
    """What a head said of a defect when the part was judged."""

    inspection_id: str = Field(foreign_key="inspection.id", primary_key=True)
    n: int = Field(primary_key=True)
    defect: int = Field(primary_key=True)
    head_id: str = Field(foreign_key="head.id", primary_key=True)
    name: str
    """The class."""
    probability: float
    """In [0, 1], as the head believes."""
    moved: bool = False
    """It sent the part to review, which the model alone would have called ok."""
