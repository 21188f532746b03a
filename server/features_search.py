"""A class that people drew or named on a few parts, looked for at every place of past pictures.

Quick heads (`features_heads`) are asked about what the model found; what it never saw is not among that. Here every
place that its encoder looked at is asked (`segmentation.places`), in a durable job that goes on in the line's pauses:
when somebody asks for it, and once by itself after a quick head of the class was made.
What looks most like the class becomes label tasks, for a person to say what it is. No verdict changes, and nothing
else is kept of the search.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import structlog
from scipy.special import expit
from sqlmodel import Session, col, select

from labeling.records import LabelTask, Reason
from qc.errors import InvalidInput, QcError
from qc.geometry import Box
from qc.ports import Segmenter
from qc.records import Exposure, Inspection, Progress
from segmentation.find import cells_of, surest
from segmentation.places import PlaceHead, learn
from server import audit
from server.asking import open_place
from server.context import Context
from server.features_examples import gather, pixels_of, serving
from server.features_job import TOLD_EVERY, line_first, step_back
from server.features_records import Head
from server.inspections import exposures_of
from server.jobs import queue
from server.jobs.records import Job
from server.jobs.runner import JobRun
from server.retention import GONE

log = structlog.get_logger(__name__)

KIND = "search_class"
PARTS, TASKS = 200, 8
"""Parts that are looked at, and parts that people are asked about at most, unless somebody says otherwise."""
AT_ONCE = 100
"""Inspections read in one transaction."""
SUREST = 0.95
"""A chance that no calibration stands behind is not told as more."""


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """A picture, and its place that looks most like the class. The likeliest is the largest."""

    score: float
    inspection_id: str
    n: int
    chance: float
    """Of its surest place, as far as the head believes."""
    box: tuple[int, int, int, int]
    part: str


def ask(session: Session, name: str, *, parts: int, tasks: int, by: str, now: datetime) -> Job:
    """Ask for a class to be looked for; joins a search for it that is under way. The caller commits.

    Args:
        parts: inspections that are looked at, newest first.
        tasks: parts that people are asked about, at most.
    """
    if not name.strip() or len(name) > 64 or not name.isprintable():
        raise InvalidInput("a class has a name of 1 to 64 printable characters")
    wish = {"class": name, "parts": parts, "tasks": tasks, "by": by}
    return queue.enqueue(session, KIND, wish, now=now, key=f"{KIND}:{name}")


def ask_once(session: Session, name: str, *, by: str, now: datetime) -> Job | None:
    """Ask for a class to be looked for that somebody just made a quick head of, the first of that name; the caller
    commits. None: there was one before. Where there is too little to learn from the job says so, and fails not."""
    if len(session.exec(select(Head.id).where(Head.name == name).limit(2)).all()) != 1:
        return None
    wish = {"class": name, "parts": PARTS, "tasks": TASKS, "by": by, "once": True}
    return queue.enqueue(session, KIND, wish, now=now, key=f"{KIND}:{name}")


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Learn, look, and open the tasks in one transaction; a job that was cut off begins anew.

    Raises:
        InvalidInput: as `features_examples.gather`, where somebody asked for it.
    """
    step_back()
    name, parts, most = str(run.arguments["class"]), int(run.arguments["parts"]), int(run.arguments["tasks"])
    run.report(0.0, f"reading drawings of {name}")
    try:
        examples = gather(context, run, name)
        head = learn(examples.having, examples.lacking)
    except InvalidInput as why:
        if not run.arguments.get("once"):
            raise
        return {"waits": why.message}
    segmenter = examples.segmenter
    best: list[Candidate] = []
    looked = 0
    for inspection in _past(context, segmenter.model_id, parts):
        if inspection.id in examples.named:
            continue
        line_first(context, run)
        try:
            found = _looked(context, inspection, segmenter, head)
        except QcError as error:  # one that was erased or is damaged stops no search
            log.warning("a part cannot be searched", inspection=inspection.id, problem=error.message)
            continue
        looked += 1
        if found is not None:
            best = heapq.nlargest(most, _one_a_part([*best, found]))
        if looked % TOLD_EVERY == 1:
            run.report(min(looked / parts, 1.0), f"looked for {name} on {looked} of {parts} parts")
    told = {"examples": len(examples.having), "others": len(examples.lacking), "parts": looked, "tasks": 0}
    with context.database.write() as session:
        for candidate in best:
            told["tasks"] += _asked(context, session, candidate, name)
        audit.record(session, "class search", name, told, by=str(run.arguments["by"]), at=context.now())
        run.finish(session, told)
        session.commit()
    return told


def _past(context: Context, model_id: str, number: int) -> Iterator[Inspection]:
    """The newest inspections at stations of this model of which nobody is asked anything yet."""
    last: str | None = None
    while number > 0:
        asked = select(LabelTask.id).where(col(LabelTask.inspection_id) == col(Inspection.id)).exists()
        wanted = select(Inspection).where(Inspection.progress == Progress.DONE, ~asked)
        if last is not None:
            wanted = wanted.where(col(Inspection.id) < last)
        with context.database.read() as session:
            page = session.exec(wanted.order_by(col(Inspection.id).desc()).limit(AT_ONCE)).all()
        for inspection in page:
            last = inspection.id
            if number > 0 and serving(context, inspection).model_id == model_id:
                number -= 1
                yield inspection
        if len(page) < AT_ONCE:
            return


def _looked(context: Context, inspection: Inspection, segmenter: Segmenter, head: PlaceHead) -> Candidate | None:
    """The picture of a part that looks most like the class; None where no place does."""
    with context.database.read() as session:
        exposures = [one for one in exposures_of(session, inspection.id) if one.original_key != GONE]
    found = list[Candidate]()
    for exposure in exposures:
        pixels = pixels_of(context, inspection, exposure)
        cells, cell_px = cells_of(pixels, segmenter)
        odds = head.log_odds(cells)
        if np.isfinite(odds).any() and (peak := float(np.nanmax(odds))) > 0:
            box = surest(odds, cell_px, height=pixels.shape[0], width=pixels.shape[1])
            place = (box.x, box.y, box.width, box.height)
            chance = min(float(expit(peak)), SUREST)
            found.append(Candidate(head.score(cells), inspection.id, exposure.n, chance, place, inspection.part))
    return max(found, default=None)


def _one_a_part(found: list[Candidate]) -> list[Candidate]:
    """Of each part the likeliest."""
    best: dict[str, Candidate] = {}
    for one in sorted(found):
        best[one.part] = one
    return list(best.values())


def _asked(context: Context, session: Session, candidate: Candidate, name: str) -> bool:
    """Open the task of one place; False where the part was erased meanwhile."""
    inspection = session.get(Inspection, candidate.inspection_id)
    exposure = session.get(Exposure, (candidate.inspection_id, candidate.n))
    if inspection is None or exposure is None or exposure.original_key == GONE:
        return False
    likely = {name: candidate.chance}
    why = f"It looks like {name}, which was looked for in past pictures"
    open_place(
        context, session, inspection, exposure, Box(*candidate.box), reason=Reason.REVIEW, likely=likely, why=why
    )
    return True
