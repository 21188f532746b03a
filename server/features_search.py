"""A class that people drew on a few parts, looked for at every place of past pictures.

Quick heads (`features_heads`) are asked about what the model found; what it never saw is not among that. Here every
place that its encoder looked at is asked (`segmentation.places`), in a durable job that goes on in the line's pauses.
What looks most like the class becomes label tasks, for a person to say what it is. No verdict changes, and nothing
else is kept of the search.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray
from scipy.special import expit
from sqlmodel import Session, col, select

from labeling.records import Annotation, LabelTask, Reason
from qc.dataset import IGNORE
from qc.errors import InvalidInput, QcError
from qc.frame import Frame
from qc.geometry import Box
from qc.inspection import at_depth
from qc.ports import Segmenter
from qc.records import Exposure, Inspection, Progress
from segmentation.find import EXAMPLES, OTHERS, cells_of, covered, everywhere, surest
from segmentation.places import FEWEST, PlaceHead, Seen, learn
from segmentation.segmenter import FrameSegmenter
from server import audit
from server.asking import open_place
from server.context import Context
from server.features_job import TOLD_EVERY, line_first, step_back
from server.inspections import exposures_of
from server.jobs import queue
from server.jobs.records import Job
from server.jobs.runner import JobRun
from server.judging import received
from server.retention import GONE

log = structlog.get_logger(__name__)

KIND = "search_class"
DRAWINGS = 1000
"""Drawings that are read for examples, newest first, at most."""
CELLS_BYTES = 300_000_000
"""What is kept of the crops that are learnt from, at most; one of 1 Mpx is 1.2 MB."""
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


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Learn, look, and open the tasks in one transaction; a job that was cut off begins anew.

    Raises:
        InvalidInput: too few drawings with the class, or without it; or the model has no encoder.
    """
    step_back()
    name, parts, most = str(run.arguments["class"]), int(run.arguments["parts"]), int(run.arguments["tasks"])
    run.report(0.0, f"reading drawings of {name}")
    segmenter, having, lacking = _drawn(context, run, name)
    head = learn(having, lacking)
    best: list[Candidate] = []
    looked = 0
    for inspection in _past(context, segmenter.model_id, parts):
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
    told = {"examples": len(having), "others": len(lacking), "parts": looked, "tasks": 0}
    with context.database.write() as session:
        for candidate in best:
            told["tasks"] += _asked(context, session, candidate, name)
        audit.record(session, "class search", name, told, by=str(run.arguments["by"]), at=context.now())
        run.finish(session, told)
        session.commit()
    return told


def _drawn(context: Context, run: JobRun, name: str) -> tuple[Segmenter, list[Seen], list[Seen]]:
    """The model whose places are asked, and what it makes of crops with the class and without it, newest first.

    The model is that of the station of the newest drawing with the class; crops of stations with another are left out.
    """
    with context.database.read() as session:
        rows = session.exec(
            select(Annotation, LabelTask, Inspection)
            .join(LabelTask, col(LabelTask.id) == col(Annotation.label_task_id))
            .join(Inspection, col(Inspection.id) == col(LabelTask.inspection_id))
            .where(~col(Annotation.deleted), ~col(Annotation.superseded))
            .order_by(col(Annotation.received_at).desc())
            .limit(DRAWINGS)
        ).all()
    segmenter: Segmenter | None = None
    having, lacking = list[Seen](), list[Seen]()
    waiting = list[tuple[Annotation, LabelTask, Inspection]]()
    spent = 0

    def take(drawing: Annotation, task: LabelTask, inspection: Inspection, labels: NDArray[np.uint8]) -> None:
        nonlocal spent
        shows = bool(np.isin(labels, _ids(drawing, name)).any())
        into, room = (having, EXAMPLES) if shows else (lacking, OTHERS)
        if segmenter is None or len(into) >= room or spent > CELLS_BYTES or (labels == IGNORE).all():
            return
        if _serving(context, inspection).model_id != segmenter.model_id:
            return
        line_first(context, run)
        seen = _crop(context, task, inspection, labels, _ids(drawing, name), segmenter)
        if seen is not None and (seen.drawn.any() or not shows):
            into.append(seen)
            spent += seen.cells.nbytes

    for drawing, task, inspection in rows:
        labels = _mask(context, drawing)
        if labels is None:
            continue
        if segmenter is None and np.isin(labels, _ids(drawing, name)).any():
            segmenter = everywhere_of(_serving(context, inspection))
        if segmenter is None:
            waiting.append((drawing, task, inspection))  # it is not known yet whose model is meant
        else:
            take(drawing, task, inspection, labels)
    for drawing, task, inspection in waiting if segmenter is not None else ():
        if len(lacking) < OTHERS and (labels := _mask(context, drawing)) is not None:
            take(drawing, task, inspection, labels)
    if segmenter is None or len(having) < FEWEST:
        raise InvalidInput(
            f"{name} is drawn on {len(having)} crops, too few to learn from; draw it on {FEWEST} or more"
        )
    if len(lacking) < FEWEST:
        raise InvalidInput(
            f"{len(lacking)} labelled crops are without {name}, too few to tell it apart from; label {FEWEST} or more"
        )
    return segmenter, having, lacking


def everywhere_of(segmenter: Segmenter) -> Segmenter:
    """The model that serves, looking at every place."""
    return everywhere(segmenter) if isinstance(segmenter, FrameSegmenter) else segmenter


def _serving(context: Context, inspection: Inspection) -> Segmenter:
    return context.need_champion().serving(inspection.product, inspection.station)


def _ids(drawing: Annotation, name: str) -> list[int]:
    return [int(number) for number, known in drawing.classes.items() if known == name]


def _mask(context: Context, drawing: Annotation) -> NDArray[np.uint8] | None:
    """What was drawn on a crop; None for what is gone."""
    try:
        data = context.blobs.get(drawing.mask_key)
    except QcError:
        return None
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return None if mask is None else np.asarray(mask, np.uint8)


def _crop(
    context: Context,
    task: LabelTask,
    inspection: Inspection,
    labels: NDArray[np.uint8],
    ids: list[int],
    segmenter: Segmenter,
) -> Seen | None:
    """A labelled crop's cells and what is drawn on it; None where its picture is gone."""
    with context.database.read() as session:
        exposure = session.get(Exposure, (task.inspection_id, task.n))
    if exposure is None or exposure.original_key == GONE:
        return None
    box = task.crop
    try:
        pixels = _pixels(context, inspection, exposure)[box.y : box.bottom, box.x : box.right]
    except QcError as error:
        log.warning("a drawing cannot be learnt from", task=task.id, problem=error.message)
        return None
    if pixels.shape[:2] != labels.shape:
        return None
    cells, cell_px = cells_of(np.ascontiguousarray(pixels), segmenter)
    grid = (cells.shape[1], cells.shape[2])
    return Seen(cells, covered(np.isin(labels, ids), cell_px, grid), covered(labels == IGNORE, cell_px, grid) > 0)


def _pixels(context: Context, inspection: Inspection, exposure: Exposure) -> NDArray[np.uint8]:
    """A stored picture as the model sees it."""
    frame = Frame(context.decode(received(exposure, context.blobs)), exposure.view, exposure.sha256)
    return np.asarray(at_depth(frame, context.policies.get(inspection.product), station=inspection.station).pixels)


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
            if number > 0 and _serving(context, inspection).model_id == model_id:
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
        pixels = _pixels(context, inspection, exposure)
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
