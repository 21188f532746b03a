"""Pictures that a class is learnt from at every place: crops on which people drew it, defects that they named, and
pictures without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray
from sqlmodel import col, select

from labeling.records import Annotation, LabelTask
from qc.dataset import IGNORE
from qc.errors import InvalidInput, QcError
from qc.frame import Frame
from qc.geometry import Box
from qc.inspection import at_depth
from qc.ports import Segmenter
from qc.records import Exposure, Inspection, Progress
from qc.verdict import Verdict
from segmentation.find import EXAMPLES, OTHERS, cells_of, covered, everywhere
from segmentation.places import FEWEST, Seen
from segmentation.segmenter import FrameSegmenter
from server.context import Context
from server.features import Key
from server.features_job import line_first
from server.features_records import Head
from server.inspections import exposures_of, newest_decision
from server.jobs.runner import JobRun
from server.judging import read_instances, received
from server.retention import GONE

log = structlog.get_logger(__name__)

DRAWINGS = 1000
"""Drawings that are read for examples, newest first, at most."""
CELLS_BYTES = 300_000_000
"""What is kept of the pictures that are learnt from, at most; one of 1 Mpx is 1.2 MB."""
AROUND_PX = 1024
"""Side of what is looked at around a defect that somebody named, and of a picture without the class."""
CONFIRMED = 12
"""Pictures of good parts that are enough where few labelled crops are without the class."""
PASSED = 300
"""Parts among which good ones are looked for, newest first, at most."""


@dataclass
class Examples:
    """What a class is learnt from."""

    segmenter: Segmenter
    """The model that serves where it was met last, looking at every place; all of them are described by it."""
    having: list[Seen] = field(default_factory=list)
    lacking: list[Seen] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    """Inspections with a defect that somebody named."""
    spent: int = 0
    """Bytes of their cells."""

    def take(self, seen: Seen | None, *, shows: bool) -> None:
        """Take one in, if there is something on it to learn from."""
        if seen is not None and (seen.drawn.any() or not shows):
            (self.having if shows else self.lacking).append(seen)
            self.spent += seen.cells.nbytes

    def full(self, *, shows: bool) -> bool:
        """Is there no room for another one?"""
        many = len(self.having) >= EXAMPLES if shows else len(self.lacking) >= OTHERS
        return many or self.spent > CELLS_BYTES


def gather(context: Context, run: JobRun, name: str) -> Examples:
    """Drawings with the class and without it, newest first; then defects that people named as examples of its quick
    head; then, where fewer than `FEWEST` labelled crops are without it, pictures of good parts.

    The model is that of the station of the newest drawing with the class, else of the newest named defect; what was
    taken at stations with another one is left out.

    Raises:
        InvalidInput: too few with the class, or without it; or the model has no encoder.
    """
    drawings, named = _drawings(context), _named(context, name)
    met = next((inspection for drawing, _, inspection in drawings if _shows(context, drawing, name)), None)
    if met is None and named:
        with context.database.read() as session:
            met = session.get(Inspection, named[0][0])
    if met is None:
        raise _too_few(name, 0)
    examples = Examples(everywhere_of(serving(context, met)))
    for drawing, task, inspection in drawings:
        labels = _mask(context, drawing)
        if labels is None or (labels == IGNORE).all():
            continue
        shows = bool(np.isin(labels, _ids(drawing, name)).any())
        if examples.full(shows=shows) or not _same_model(context, inspection, examples):
            continue
        line_first(context, run)
        examples.take(_crop(context, task, inspection, labels, _ids(drawing, name), examples.segmenter), shows=shows)
    boxes = list[Box]()
    for key in named:
        if not examples.full(shows=True):
            line_first(context, run)
            _take_named(context, key, examples, boxes)
    if len(examples.lacking) < FEWEST:
        _take_good(context, run, examples, boxes)
    _enough(name, examples)
    return examples


def everywhere_of(segmenter: Segmenter) -> Segmenter:
    """The model that serves, looking at every place."""
    return everywhere(segmenter) if isinstance(segmenter, FrameSegmenter) else segmenter


def serving(context: Context, inspection: Inspection) -> Segmenter:
    """The model that serves where a part was inspected."""
    return context.need_champion().serving(inspection.product, inspection.station)


def pixels_of(context: Context, inspection: Inspection, exposure: Exposure) -> NDArray[np.uint8]:
    """A stored picture as the model sees it; raises QcError for one that is gone or damaged."""
    frame = Frame(context.decode(received(exposure, context.blobs)), exposure.view, exposure.sha256)
    return np.asarray(at_depth(frame, context.policies.get(inspection.product), station=inspection.station).pixels)


def _enough(name: str, examples: Examples) -> None:
    having, lacking = len(examples.having), len(examples.lacking)
    if having < FEWEST:
        raise _too_few(name, having)
    if lacking < FEWEST:
        raise InvalidInput(
            f"{lacking} labelled crops are without {name}, too few to tell it apart from; label {FEWEST} or more"
        )


def _too_few(name: str, having: int) -> InvalidInput:
    return InvalidInput(f"{name} is drawn on {having} crops, too few to learn from; draw it on {FEWEST} or more")


def _same_model(context: Context, inspection: Inspection, examples: Examples) -> bool:
    return serving(context, inspection).model_id == examples.segmenter.model_id


def _drawings(context: Context) -> list[tuple[Annotation, LabelTask, Inspection]]:
    """What people drew, newest first."""
    with context.database.read() as session:
        rows = session.exec(
            select(Annotation, LabelTask, Inspection)
            .join(LabelTask, col(LabelTask.id) == col(Annotation.label_task_id))
            .join(Inspection, col(Inspection.id) == col(LabelTask.inspection_id))
            .where(~col(Annotation.deleted), ~col(Annotation.superseded))
            .order_by(col(Annotation.received_at).desc())
            .limit(DRAWINGS)
        ).all()
    return [(drawing, task, inspection) for drawing, task, inspection in rows]


def _ids(drawing: Annotation, name: str) -> list[int]:
    return [int(number) for number, known in drawing.classes.items() if known == name]


def _shows(context: Context, drawing: Annotation, name: str) -> bool:
    ids = _ids(drawing, name)
    labels = _mask(context, drawing) if ids else None
    return labels is not None and bool(np.isin(labels, ids).any())


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
        pixels = pixels_of(context, inspection, exposure)[box.y : box.bottom, box.x : box.right]
    except QcError as error:
        log.warning("a drawing cannot be learnt from", task=task.id, problem=error.message)
        return None
    if pixels.shape[:2] != labels.shape:
        return None
    return _seen(pixels, np.isin(labels, ids), labels == IGNORE, segmenter)


def _seen(
    pixels: NDArray[np.uint8], drawn: NDArray[np.bool_], unclear: NDArray[np.bool_], segmenter: Segmenter
) -> Seen:
    cells, cell_px = cells_of(np.ascontiguousarray(pixels), segmenter)
    grid = (cells.shape[1], cells.shape[2])
    return Seen(cells, covered(drawn, cell_px, grid), covered(unclear, cell_px, grid) > 0)


def _named(context: Context, name: str) -> list[Key]:
    """Defects that people named as examples of the class, of heads that are not retired."""
    with context.database.read() as session:
        heads = session.exec(select(Head).where(Head.name == name, col(Head.retired_at).is_(None))).all()
    return [(str(i), int(n), int(defect)) for head in heads for i, n, defect in head.examples]


def _take_named(context: Context, key: Key, examples: Examples, boxes: list[Box]) -> None:
    """A named defect as the model outlined it; other defects around it may be of the class or not."""
    inspection_id, n, defect = key
    with context.database.read() as session:
        inspection, exposure = session.get(Inspection, inspection_id), session.get(Exposure, (inspection_id, n))
    if inspection is None or exposure is None or exposure.original_key == GONE:
        return
    if defect >= len(exposure.defects) or not _same_model(context, inspection, examples):
        return
    try:
        pixels, pieces = pixels_of(context, inspection, exposure), read_instances(exposure, context.blobs)
    except QcError as error:
        log.warning("a named defect cannot be learnt from", inspection=inspection_id, problem=error.message)
        return
    x, y, width, height = (int(v) for v in exposure.defects[defect]["bbox"])
    box = _around(x + width // 2, y + height // 2, exposure)
    inside = (slice(box.y, box.bottom), slice(box.x, box.right))
    mine, other = pieces[inside] == defect + 1, (pieces[inside] != 0) & (pieces[inside] != defect + 1)
    examples.take(_seen(pixels[inside], mine, other, examples.segmenter), shows=True)
    examples.named.add(inspection_id)
    boxes.append(box)


def _around(x: int, y: int, exposure: Exposure) -> Box:
    """`AROUND_PX` or the whole side, with a place in its middle as far as the picture goes."""
    width, height = min(AROUND_PX, exposure.width), min(AROUND_PX, exposure.height)
    left, top = x - width // 2, y - height // 2
    left, top = max(0, min(left, exposure.width - width)), max(0, min(top, exposure.height - height))
    return Box(left, top, width, height)


def _take_good(context: Context, run: JobRun, examples: Examples, boxes: list[Box]) -> None:
    """Pictures of parts without a defect: those that a person called good first, then as many as it needs at least.

    One may show the class all the same, as nobody drew on it; among several it does little harm."""
    confirmed, unsaid = list[Inspection](), list[Inspection]()
    for inspection, said in _good(context, examples):
        (confirmed if said else unsaid).append(inspection)
    wanted = [*((one, CONFIRMED) for one in confirmed), *((one, FEWEST) for one in unsaid)]
    for place, (inspection, number) in enumerate(wanted):
        if len(examples.lacking) >= number or examples.full(shows=False):
            continue
        line_first(context, run)
        try:
            examples.take(_good_one(context, inspection, examples.segmenter, boxes, place), shows=False)
        except QcError as error:
            log.warning("a good part cannot be learnt from", inspection=inspection.id, problem=error.message)


def _good_one(
    context: Context, inspection: Inspection, segmenter: Segmenter, boxes: list[Box], place: int
) -> Seen | None:
    """What its first picture shows where an example has the class, else in its middle; None where none is left."""
    with context.database.read() as session:
        exposures = [one for one in exposures_of(session, inspection.id) if one.original_key != GONE]
    if not exposures:
        return None
    exposure = exposures[0]
    like = boxes[place % len(boxes)] if boxes else Box(0, 0, exposure.width, exposure.height)
    box = _around(like.x + like.width // 2, like.y + like.height // 2, exposure)
    pixels = pixels_of(context, inspection, exposure)[box.y : box.bottom, box.x : box.right]
    nothing = np.zeros(pixels.shape[:2], bool)
    return _seen(pixels, nothing, nothing, segmenter)


def _good(context: Context, examples: Examples) -> Iterator[tuple[Inspection, bool]]:
    """The newest parts that passed, without a defect, at stations of this model; has a person said so, too?"""
    wanted = select(Inspection).where(Inspection.progress == Progress.DONE, Inspection.verdict == Verdict.OK)
    with context.database.read() as session:
        for inspection in session.exec(wanted.order_by(col(Inspection.id).desc()).limit(PASSED)).all():
            if any(one.defects for one in exposures_of(session, inspection.id)):
                continue
            if _same_model(context, inspection, examples):
                decision = newest_decision(session, inspection.id)
                if decision is None or decision.verdict == Verdict.OK:
                    yield inspection, decision is not None
