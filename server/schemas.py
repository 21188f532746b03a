"""What leaves the server about inspections, as JSON; the frontend's types are made from these."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class DefectOut(BaseModel):
    """One blemish. Lengths in pixels of the original image; in mm where the view is calibrated."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    class_name: str = Field(alias="class")
    class_id: int
    score: float
    bbox: list[int] = Field(description="x, y, width, height")
    area_px: int
    length_px: float
    width_px: float
    area_mm2: float | None
    length_mm: float | None
    width_mm: float | None
    counts: bool = Field(description="At or above the model's threshold; otherwise it is doubtful.")
    outline: list[list[list[int]]] = Field(default=[], description="Closed rings of [x, y]; left out of lists.")


class ImageOut(BaseModel):
    """One image of an inspection."""

    n: int
    view: str
    name: str
    width: int
    height: int
    sha256: str
    score: float | None
    verdict: Literal["ok", "review", "ng"] | None
    defects: list[DefectOut]
    camera_fault: str | None = Field(
        default=None, description="black, white, frozen, blurred, exposure or shifted: the camera is at fault."
    )


class DecisionOut(BaseModel):
    """A person's word."""

    id: str
    verdict: Literal["ok", "ng"]
    reason: str
    by: str
    at: datetime
    undo_until: datetime = Field(description="Until then whoever said it can take it back.")


class CallOut(BaseModel):
    """The team leader was called to a part, as somebody was unsure."""

    id: str
    question: str
    by: str
    at: datetime
    due_at: datetime = Field(description="Then the part stands as its product's file says for doubt, never as ok.")
    state: Literal["open", "answered", "expired"]
    verdict: Literal["ok", "ng", "review"] | None = Field(description="How the part stands by it; null while open.")
    answered_by: str
    reason: str


class LabelTaskRef(BaseModel):
    """The label task that an inspection became."""

    id: str
    state: str
    url: str | None


class InspectionOut(BaseModel):
    """One look at one part."""

    id: str
    part: str
    station: str
    product: str
    trigger_id: str | None
    progress: Literal["received", "done", "failed"]
    problem: str | None = Field(description="Why it could not be inspected; its verdict is then `review`, never `ok`.")
    verdict: Literal["ok", "review", "ng"] | None
    score: float | None
    model: str | None
    elapsed_ms: float | None
    received_at: datetime
    process_values: dict[str, float]
    images: list[ImageOut]
    mode: Literal["shadow", "advise", "decide"] = Field(
        default="decide",
        description="What the station's verdicts may do: in shadow and advise the line is told `review`.",
    )
    model_verdict: Literal["ok", "review", "ng"] | None = Field(
        default=None, description="What the model said, in shadow (to people) and advise; null where that is `verdict`."
    )
    decision: DecisionOut | None
    call: CallOut | None = Field(default=None, description="The newest call to it that was not taken back.")
    label_task: LabelTaskRef | None


class InspectionPage(BaseModel):
    """A page of inspections, newest first."""

    items: list[InspectionOut]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class StationOut(BaseModel):
    """One station and what it saw."""

    name: str
    product: str
    inspected: int
    ok: int
    review: int
    ng: int
    last_at: datetime | None
    mode: Literal["shadow", "advise", "decide"] = "decide"


class DecisionIn(BaseModel):
    """The operator's word."""

    verdict: Literal["ok", "ng"]
    reason: str = Field(default="", max_length=500)
    id: str | None = Field(
        default=None,
        max_length=36,
        description="Whoever may have to send it twice, as its connection broke, makes a UUID of version 7 when it is "
        "said: it is then recorded once, and where it was said before another word, that one stands.",
    )


Json = dict[str, Any]
