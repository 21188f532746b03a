"""Tables of what people are asked to label and what they drew."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Column, Connection, Index, UniqueConstraint, event, text, update
from sqlalchemy import select as sql_select
from sqlmodel import Field, SQLModel, col

from qc.geometry import Box
from qc.records import UtcDateTime, new_id


class Reason(StrEnum):
    """Why a person is asked."""

    REVIEW = "review"
    """The policy could not decide."""
    OVERRULED = "overruled"
    """The operator said otherwise."""
    SAMPLE = "sample"
    """Drawn at random, whatever the model said: only from such parts can one tell how often it is wrong."""
    DRIFT = "drift"
    """Parts or verdicts have shifted, and this is among those that look least like the parts before."""


class TaskState(StrEnum):
    """How far a request for labels has come."""

    OPEN = "open"
    """Known here only."""
    PUSHED = "pushed"
    """In Label Studio, waiting for a person."""
    DONE = "done"
    """Labelled by at least one person."""
    CANCELLED = "cancelled"
    """Nobody will label it: deleted in Label Studio, or `problem` says why it cannot be shown."""


IS_GOLDEN = text("golden_key IS NOT NULL")
IS_SEVERAL = text("several")
"""As the indexes' conditions are written: by them PostgreSQL and SQLite know that an index will do."""


class LabelTask(SQLModel, table=True):
    """A request to a person: outline the defects on this crop of an exposure."""

    __table_args__ = (
        UniqueConstraint(
            "inspection_id", "n", "crop_x", "crop_y", "crop_width", "crop_height", name="uq_labeltask_crop"
        ),
        UniqueConstraint("studio_project", "studio_task_id", name="uq_labeltask_studio"),
        Index("ix_labeltask_reason", "reason", "inspection_id"),  # those drawn at random
        Index("ix_labeltask_golden", "id", sqlite_where=IS_GOLDEN, postgresql_where=IS_GOLDEN),
        Index("ix_labeltask_several", "id", sqlite_where=IS_SEVERAL, postgresql_where=IS_SEVERAL),
    )

    id: str = Field(default_factory=new_id, primary_key=True)
    inspection_id: str = Field(foreign_key="inspection.id", index=True)
    n: int
    """Which exposure of the inspection."""
    part: str = Field(index=True)
    station: str
    view: str = ""
    reason: Reason
    urgency: float
    """1 is next, 0 is whenever."""
    crop_x: int
    """First column of the crop, in frame pixels; the other three likewise."""
    crop_y: int
    crop_width: int
    crop_height: int
    model: str | None = None
    """`sha256:…` of the model whose masks are shown as a first proposal."""
    chance: float = 1.0
    """With which a part like this becomes a task, in (0, 1]; its weight in an estimate is 1 / `chance`."""
    people: int = 1
    """How many people are asked to label it: two for a share of the tasks, everybody for a golden one."""
    golden_key: str | None = None
    """The mask that is known to be right, in the blob store: a golden task, by which people are judged."""
    golden_classes: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """Class id (as text) to name in that mask."""
    settled_key: str | None = None
    """The drawing that an engineer declared right where people were at odds, in the blob store; it alone counts."""
    settled_classes: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """Class id (as text) to name in that drawing."""
    grounds: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """Why it is worth a person's time, as `labeling.order.grounds` found when it was opened; `urgency` follows from
    it and from what is known of all the others."""
    several: bool = False
    """Its drawings may have to be compared: several people drew on it, or another picture of the inspection has a task.
    Kept with every drawing (`_note_several`), and stays true, also when one of them is removed."""
    state: TaskState = TaskState.OPEN
    studio_task_id: int | None = None
    studio_project: str | None = None
    """Which project of which installation `studio_task_id` belongs to: a new installation gets the task again."""
    studio_seen: str | None = None
    """The task's fingerprint in Label Studio when it was last read; another one means that something changed."""
    problem: str | None = None
    """What is wrong with the picture or with what a person drew, in one sentence."""
    opened_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    pushed_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime))
    closed_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, index=True))

    @property
    def crop(self) -> Box:
        """Where the crop lies on the frame."""
        return Box(self.crop_x, self.crop_y, self.crop_width, self.crop_height)


_tasks = SQLModel.metadata.tables["labeltask"].columns
# pages of the list, the most urgent first
Index("ix_labeltask_urgency", _tasks.urgency.desc(), _tasks.id)
Index("ix_labeltask_state_urgency", _tasks.state, _tasks.urgency.desc(), _tasks.id)


class Annotation(SQLModel, table=True):
    """What one person drew on one crop.

    Whoever changes another's annotation in Label Studio gets a row beside the other's, with the same number.
    """

    __table_args__ = (UniqueConstraint("studio_project", "studio_annotation_id", "by", name="uq_annotation_studio"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    label_task_id: str = Field(foreign_key="labeltask.id", index=True)
    studio_project: str
    studio_annotation_id: int
    updated_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    """When the person last changed it, by Label Studio's clock."""
    by: str
    """The person's e-mail address in Label Studio."""
    mask_key: str
    """8-bit PNG in the blob store, of the crop's size: 0 background, 255 unknown, else a class id of `classes`."""
    classes: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """Class id (as text, for JSON) to class name when it was read; ids may mean something else to a later model."""
    lead_time_s: float | None = None
    """Seconds the person spent on it."""
    specks: int = 0
    """Stray marks at the border that were removed (see labeling.convert)."""
    drawn: dict[str, int] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    """Class name to the number of drawn defects; None for what was collected before this was counted."""
    received_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))
    superseded: bool = False
    """Somebody else labelled the same crop later; that one counts."""
    deleted: bool = False
    """It was removed in Label Studio."""


@event.listens_for(Annotation, "after_insert")
def _note_several(_mapper: object, connection: Connection, row: Annotation) -> None:
    """Say of the tasks whose drawings this one may have to be compared with, and of its own, that they are `several`.

    Drawings to compare are few among many, and finding them anew for each page would read all of them.
    """
    own, key = col(LabelTask.id), row.label_task_id
    place = sql_select(col(LabelTask.inspection_id), col(LabelTask.n)).where(own == key)
    inspection, n = connection.execute(place).one()
    beside = sql_select(own).where(col(LabelTask.inspection_id) == inspection, col(LabelTask.n) != n)
    ids = [id for (id,) in connection.execute(beside)]
    by_another = sql_select(col(Annotation.id)).where(col(Annotation.label_task_id) == key)
    if ids or connection.execute(by_another.where(col(Annotation.by) != row.by).limit(1)).first():
        known = update(LabelTask).where(own.in_([*ids, key]), col(LabelTask.several).is_(False))
        connection.execute(known.values(several=True))
