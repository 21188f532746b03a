"""How capable a process was before its recommendations, and how it is on the parts that followed them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from sqlmodel import Session, col, select

from process_opt.capability import capability
from process_opt.history import History
from process_opt.process import Process
from process_opt.records import Outcome


class ReadingCapability(BaseModel):
    """Of a reading with a limit; null where parts are too few, or it is a count (`within` says how many keep it)."""

    cp: float | None
    cpk: float | None
    """Spread from part to part (mean moving range over 1.128)."""
    pp: float | None
    ppk: float | None
    """Spread over all."""
    parts: int
    within: float | None
    """Share inside the limits."""


class Capability(BaseModel):
    """Of some parts."""

    parts: int
    readings: dict[str, ReadingCapability]
    rolled_yield: float | None
    """Product over the steps of the share of parts whose readings there were all inside."""
    first_yield: float | None
    """Share finished with every deciding reading inside, without what is unknown."""
    poor_quality: float | None
    """Money lost for each part: scrapped, finished outside, or reworked."""


class BeforeAndAfter(BaseModel):
    """The parts of the history that the model was fitted on, beside those that followed a recommendation since."""

    currency: str
    before: Capability | None
    """Null: the model is of a version that did not keep it."""
    after: Capability | None
    """Null: no outcome with the assignment `recommendation` was told yet."""
    others: Capability | None = Field(default=None)
    """All other outcomes told since: the same time without the advice."""


def before_and_after(session: Session, name: str, process: Process, report: dict[str, Any]) -> BeforeAndAfter:
    """Counted from the fit's report and the outcomes that were told, in the order in which they came."""
    told = list(
        session.exec(select(Outcome).where(Outcome.process == name).order_by(col(Outcome.received_at), col(Outcome.id)))
    )
    followed = [o.content for o in told if o.content.get("assignment") == "recommendation"]
    rest = [o.content for o in told if o.content.get("assignment") != "recommendation"]
    history = report.get("history", {})
    before = history.get("capability")
    return BeforeAndAfter(
        currency=process.currency,
        before=Capability(parts=history.get("parts", 0), **before) if before else None,
        after=of_outcomes(process, followed),
        others=of_outcomes(process, rest),
    )


def of_outcomes(process: Process, outcomes: list[dict[str, Any]]) -> Capability | None:
    """Of parts as they were told; None without any."""
    if not outcomes:
        return None
    return Capability(parts=len(outcomes), **capability(process, as_history(process, outcomes)))


def as_history(process: Process, outcomes: list[dict[str, Any]]) -> History:
    """Parts as they were told, as rows of a history; not checked again: every outcome was when it was told."""
    size, last = len(outcomes), len(process.steps) - 1
    return History(
        settings=_table(outcomes, list(process.settings)),
        readings=_table(outcomes, list(process.measurements)),
        last=np.array([process.place.get(o["scrapped_at"] or "", last) for o in outcomes], dtype=np.int64),
        scrapped=np.array([o["disposition"] == "scrapped" for o in outcomes], dtype=bool),
        dithered=np.zeros(size, dtype=bool),
        advised=np.zeros(size, dtype=bool),
        batch=np.full(size, -1, dtype=np.int64),
        batches=(),
        machine=np.full((len(process.machines), size), -1, dtype=np.int64),
        parts=tuple(o["part"] for o in outcomes),
    )


def _table(outcomes: list[dict[str, Any]], names: list[str]) -> NDArray[np.float64]:
    """`N x len(names)`; NaN where nothing was told."""
    rows = [[o["observed"].get(name, np.nan) for name in names] for o in outcomes]
    return np.array(rows, dtype=np.float64).reshape(len(outcomes), len(names))
