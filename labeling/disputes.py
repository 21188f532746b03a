"""Where labels contradict each other: two people on one crop, or two views of one piece. A person settles it.

Settling never changes a drawing. It says whose drawing counts, or that all of them stand; a new drawing reopens it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, col, select

from labeling.agreement import golden_score
from labeling.book_records import Ruling
from labeling.evidence import components, counted
from labeling.masks import drawn_mask
from labeling.people import newest_of_each
from labeling.records import IS_SEVERAL, Annotation, LabelTask
from labeling.views import ERROR, Contradiction, PieceQuestion, ViewLabels, contradictions
from qc.errors import Conflict, InvalidInput
from qc.ports import BlobStore
from qc.records import Exposure

UNSURE = 0.5
"""Certainty at most of a question of names where crops alone were seen: `views` asks first whether something is missing
wherever it takes two names for less likely than not."""

Mask = NDArray[np.uint8]
Drawn = tuple[LabelTask, list[Annotation]]


class DisputeKind(StrEnum):
    """Who is at odds."""

    PEOPLE = "people"
    VIEWS = "views"


@dataclass(frozen=True, slots=True)
class Voice:
    """One drawing in a dispute."""

    task: LabelTask
    annotation: Annotation
    drawn: Mapping[str, int]
    """Class name to the number of drawn defects."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """A contradiction between drawings that nobody has settled."""

    key: str
    kind: DisputeKind
    part: str
    question: str
    """In one sentence."""
    classes: tuple[str, ...]
    certainty: float
    """In [0, 1]: that a label is wrong; 1 where two people drew differently on the same picture."""
    voices: tuple[Voice, ...]


def open_disputes(session: Session, blobs: BlobStore, classes: Mapping[int, str], *, limit: int = 50) -> list[Dispute]:
    """What is not settled yet, surest first.

    People: crops on which two drew different defects (F1 below 1, class by class); golden tasks are not disputed.
    Views: `labeling.views.contradictions`. That something is drawn in one view and not in another is asked about only
    where people saw the whole frame: a crop says nothing of what lies beside it. A view takes part once the people who
    drew on it are at one, or their dispute is settled: until then nobody knows what it says.

    Args:
        classes: class id to name; a drawing with a class that is not among them is left out.
        limit: at most so many.
    """
    tasks = newest_of_each(session, IS_SEVERAL)
    settled = set(session.exec(select(Ruling.dispute)).all())
    people = [d for d in _between_people(tasks, blobs, classes) if d.key not in settled]
    at_odds = {voice.task.id for d in people for voice in d.voices}
    agreed = [drawn for drawn in tasks if drawn[0].id not in at_odds]
    views = [d for d in _between_views(session, agreed, blobs, classes) if d.key not in settled]
    return sorted([*people, *views], key=lambda d: (-d.certainty, d.key))[:limit]


def settle(
    session: Session,
    blobs: BlobStore,
    key: str,
    *,
    annotation_id: str | None,
    note: str,
    by: str,
    now: datetime,
    classes: Mapping[int, str],
) -> tuple[Ruling, Dispute]:
    """Say whose drawing is right (between people), or that all stand. The caller commits.

    Raises:
        Conflict: there is no such open dispute: it was settled, or its drawings changed.
        InvalidInput: the annotation is not in the dispute, or it is one between views, where each view has its own.
    """
    dispute = next((d for d in open_disputes(session, blobs, classes, limit=10_000) if d.key == key), None)
    if dispute is None:
        raise Conflict("this dispute was settled, or somebody drew anew meanwhile; read the list again")
    if annotation_id is not None:
        voice = next((v for v in dispute.voices if v.annotation.id == annotation_id), None)
        if voice is None or dispute.kind is DisputeKind.VIEWS:
            raise InvalidInput(
                "name one of the two people's drawings; views are mended in Label Studio, or their drawings all stand"
            )
        voice.task.settled_key = voice.annotation.mask_key
        voice.task.settled_classes = dict(voice.annotation.classes)
        session.add(voice.task)
    ruling = Ruling(
        dispute=key,
        part=dispute.part,
        tasks=sorted({v.task.id for v in dispute.voices}),
        annotation_id=annotation_id,
        note=note.strip(),
        by=by,
        at=now,
    )
    session.add(ruling)
    session.flush()
    return ruling, dispute


def rulings(session: Session, *, limit: int = 50) -> list[Ruling]:
    """What was settled, newest first."""
    return list(session.exec(select(Ruling).order_by(col(Ruling.id).desc()).limit(limit)))


def _read(blobs: BlobStore, task: LabelTask, row: Annotation, classes: Mapping[int, str]) -> Mask | None:
    """A drawing; None where it has a class that is not known any more, or its file is damaged."""
    try:
        return drawn_mask(blobs, task, row.mask_key, row.classes, classes)
    except InvalidInput:
        return None


def _key(kind: DisputeKind, voices: Iterable[Voice]) -> str:
    """Of what was drawn: the same drawings are the same dispute."""
    drawn = sorted(f"{v.task.id} {v.annotation.mask_key}" for v in voices)
    return hashlib.sha256("\n".join([kind, *drawn]).encode()).hexdigest()[:32]


def _between_people(tasks: list[Drawn], blobs: BlobStore, classes: Mapping[int, str]) -> list[Dispute]:
    found = []
    for task, rows in tasks:
        if len(rows) < 2 or task.golden_key is not None:
            continue
        masks = [(row, mask) for row in rows if (mask := _read(blobs, task, row, classes)) is not None]
        odds = [
            name
            for class_id, name in sorted(classes.items())
            if any(golden_score(m, masks[0][1], {class_id: name}) < 1.0 for _, m in masks[1:])
        ]
        if not odds:
            continue
        voices = tuple(Voice(task, row, counted(mask, classes)) for row, mask in masks)
        question = f"Which drawing of {task.part} is right?"
        key = _key(DisputeKind.PEOPLE, voices)
        found.append(Dispute(key, DisputeKind.PEOPLE, task.part, question, tuple(odds), 1.0, voices))
    return found


def _between_views(session: Session, tasks: list[Drawn], blobs: BlobStore, classes: Mapping[int, str]) -> list[Dispute]:
    views = _views(tasks, blobs, classes)
    images = {f"{i}/{n}": voices for (i, n), (voices, _) in views.items()}
    labels = [ViewLabels(i, voices[0].task.view, f"{i}/{n}", areas) for (i, n), (voices, areas) in views.items()]
    found = []
    for question in contradictions(labels):
        voices = tuple(v for image in question.images for v in images[image])
        part, odds, certainty = voices[0].task.part, question.classes, question.priority
        words = question.sentence(classes).replace(question.part, part)
        if question.kind is not Contradiction.CLASS and not _whole(session, question, images):
            names_differ = next((q for q in question.also if q.kind is Contradiction.CLASS), None)
            if names_differ is None:
                continue  # what is missing may lie beside the crop that people saw
            odds = names_differ.classes
            certainty = min(certainty, UNSURE)
            words = f"Is it one defect of {part}? Its views call it {' or '.join(classes[c] for c in odds)}."
        if certainty < ERROR:
            continue
        key = _key(DisputeKind.VIEWS, voices)
        names = tuple(classes[c] for c in odds if c in classes)
        found.append(Dispute(key, DisputeKind.VIEWS, part, words, names, certainty, voices))
    return found


def _place(image: str) -> tuple[str, int]:
    inspection, _, n = image.rpartition("/")
    return inspection, int(n)


def _views(
    tasks: list[Drawn], blobs: BlobStore, classes: Mapping[int, str]
) -> dict[tuple[str, int], tuple[list[Voice], dict[int, int]]]:
    """(inspection, picture) -> its drawings that count, and class id to drawn pixels; of pieces with several views."""
    pictures: dict[str, set[tuple[str, int]]] = {}
    for task, _ in tasks:
        pictures.setdefault(task.inspection_id, set()).add((task.inspection_id, task.n))
    found: dict[tuple[str, int], tuple[list[Voice], dict[int, int]]] = {}
    for task, rows in tasks:
        right = task.golden_key or task.settled_key
        row = next((r for r in rows if r.mask_key == right), rows[-1])
        mask = _read(blobs, task, row, classes) if len(pictures[task.inspection_id]) > 1 else None
        if mask is None:
            continue
        voices, areas = found.setdefault((task.inspection_id, task.n), ([], {}))
        voices.append(Voice(task, row, counted(mask, classes)))
        for class_id, _, pixels in components(mask):
            areas[class_id] = areas.get(class_id, 0) + int(pixels.sum())
    return found


def _whole(session: Session, question: PieceQuestion, images: Mapping[str, list[Voice]]) -> bool:
    """Did people see the whole frame of each doubted picture?"""
    for image in question.doubted:
        exposure = session.get(Exposure, _place(image))
        if exposure is None:
            return False
        seen = np.zeros((exposure.height, exposure.width), bool)
        for voice in images[image]:
            crop = voice.task.crop
            seen[crop.y : crop.bottom, crop.x : crop.right] = True
        if not seen.all():
            return False
    return True
