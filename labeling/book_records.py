"""Tables of the label book: what each class is, examples from real parts, and disputes that were settled."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Column
from sqlmodel import Field, SQLModel

from qc.geometry import Box
from qc.records import UtcDateTime, new_id


class BookPage(SQLModel, table=True):
    """What the book says of a class from one version on. A row is never changed; the newest of a class holds."""

    version: int = Field(primary_key=True)
    """Of the whole book: 1 and up, one more with every change of any class."""
    class_name: str = Field(index=True)
    definition: str
    limits: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """As `labeling.book.Limit`."""
    examples: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """Ids of the examples that stand on it, in the order in which they are shown."""
    change: str
    """What was changed, in words."""
    by: str
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class Shows(StrEnum):
    """What an example is an example of."""

    IS = "is"
    """This is the class, drawn as it should be."""
    IS_NOT = "is_not"
    """This looks like it, and is not."""


class ExampleState(StrEnum):
    """Does an example stand in the book?"""

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    DECLINED = "declined"


class BookExample(SQLModel, table=True):
    """A place on a real part that shows a class, or what is mistaken for it. Its picture is kept with it."""

    id: str = Field(default_factory=new_id, primary_key=True)
    class_name: str = Field(index=True)
    shows: Shows
    note: str
    inspection_id: str = Field(foreign_key="inspection.id", index=True)
    n: int
    """Which exposure of the inspection."""
    part: str
    view: str
    label_task_id: str | None = None
    """The label task whose drawing it shows; None: what the model saw."""
    crop_x: int
    """First column of the place, in frame pixels; the other three likewise."""
    crop_y: int
    crop_width: int
    crop_height: int
    picture_key: str
    """PNG of the place at native resolution, in the blob store: it outlives the frame."""
    mask_key: str
    """8-bit PNG of the same size: 255 where the example is drawn, else 0."""
    state: ExampleState = Field(default=ExampleState.PROPOSED, index=True)
    by: str
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    answered_by: str = ""
    answered_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))

    @property
    def crop(self) -> Box:
        """Where it lies on the frame."""
        return Box(self.crop_x, self.crop_y, self.crop_width, self.crop_height)


class Ruling(SQLModel, table=True):
    """A dispute about labels that an engineer settled."""

    id: str = Field(default_factory=new_id, primary_key=True)
    dispute: str = Field(index=True)
    """Key of the dispute: another drawing makes it another one, and it is asked about anew."""
    part: str = Field(index=True)
    tasks: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    """The label tasks it was about."""
    annotation_id: str | None = None
    """Whose drawing is right; None: all drawings stand."""
    note: str
    by: str
    at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
