"""What `qc data errors` and `qc data conflicts` ask becomes label tasks: only a person who draws changes a label.

Only labels that people drew here can be asked about: the manifest of a frozen set says which picture is which exposure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, func, select

from labeling.manifest import read_manifest
from labeling.order import alone
from labeling.records import Annotation, LabelTask, Reason, TaskState
from labeling.tasks import open_place
from qc.errors import InvalidInput
from qc.geometry import Box
from qc.records import Exposure, Inspection
from server.jobs import queue
from server.label_jobs import RANK
from server.retention import GONE
from server.studio_service import PUSH, SWEEP


@dataclass(frozen=True, slots=True)
class Question:
    """A doubt about one place of one picture, as the file says it."""

    image: str
    """Name of the picture in the data set, without its ending."""
    place: Box
    """In pixels of the picture."""
    label: str
    """Class that is drawn there, or that should be."""
    certainty: float
    """In [0, 1]: that the label is wrong."""
    sentence: str


@dataclass(slots=True)
class Asked:
    """What became of the questions, in numbers."""

    opened: int = 0
    """New tasks."""
    another: int = 0
    """Tasks that were done: one more person is asked to label them."""
    waiting: int = 0
    """Asked already: a task for the very place waits for a person."""
    elsewhere: int = 0
    """About pictures that are not kept here: from another source, or erased."""

    def sentence(self) -> str:
        """In words."""
        return (
            f"{self.opened} new tasks, {self.another} done ones for one more person, {self.waiting} asked already; "
            f"{self.elsewhere} about pictures that are not kept here"
        )


def read_questions(path: Path) -> list[Question]:
    """The questions of a file that name a place, in its order; those about a piece as a whole are left out.

    Raises:
        InvalidInput: there is no such file, or a line is no question; says which.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            question = _question(json.loads(line))
        except (ValueError, KeyError, TypeError, IndexError, InvalidInput) as error:
            raise InvalidInput(f"line {number} of {path} is no question of `qc data errors` or `conflicts`") from error
        if question is not None:
            found.append(question)
    return found


def _question(said: Any) -> Question | None:
    """Raises ValueError, KeyError, TypeError, IndexError or InvalidInput where it is none."""
    if not isinstance(said, Mapping):
        raise TypeError("a question is an object")
    if "bbox" in said:
        image, place, label = said["image"], said["bbox"], said["proposed"] or said["drawn"]
    elif "there" in said:
        image, place, label = said["doubted"][0], said["there"], said["classes"][0]
    else:
        return None
    certainty = float(said["certainty"])
    if not 0 <= certainty <= 1:
        raise ValueError("a certainty lies between 0 and 1")
    return Question(str(image), Box(*(int(v) for v in place)), str(label), certainty, str(said["question"]))


def ask(
    session: Session, dataset: Path, questions: Sequence[Question], *, most: int, studio: bool, now: datetime
) -> Asked:
    """Ask people about the first `most` questions that can be asked here. The caller commits.

    Around each place a crop is opened as a task, with the question as its reason. Where that very crop was labelled
    before, one more person is asked, and their consensus counts then. Asking again changes nothing.

    Args:
        dataset: the frozen set that was questioned.
        studio: is Label Studio in use? Else tasks wait until it is.

    Raises:
        InvalidInput: the set has no manifest, or a place lies outside of its picture.
    """
    frames = {Path(frame["file"]).stem: frame for frame in read_manifest(dataset)["frames"]}
    asked = Asked()
    for question in questions:
        if asked.opened + asked.another >= most:
            break
        frame = frames.get(question.image)
        if frame is None or not _ask(session, question, str(frame["inspection"]), int(frame["n"]), asked, now):
            asked.elsewhere += 1
    jobs = [RANK, *([PUSH, SWEEP] if studio else [])] if asked.opened + asked.another else []
    for job in jobs:
        queue.enqueue(session, job, now=now, key=job, again=True)
    return asked


def _ask(session: Session, question: Question, inspection_id: str, n: int, asked: Asked, now: datetime) -> bool:
    """Ask one, and count it; False where its picture is not kept any more."""
    inspection, exposure = session.get(Inspection, inspection_id), session.get(Exposure, (inspection_id, n))
    if inspection is None or exposure is None or exposure.original_key == GONE:
        return False
    frame = Box(0, 0, exposure.width, exposure.height)
    if frame.around(question.place) != frame:
        raise InvalidInput(
            f"the place {question.place.as_list()} is not on {question.image} of {frame.width} x {frame.height} px; "
            "ask about the set that the questions are of"
        )
    likely = {question.label: question.certainty}
    task = open_place(
        session,
        inspection,
        exposure,
        question.place,
        reason=Reason.REVIEW,
        likely=likely,
        now=now,
        why=question.sentence,
    )
    if task.opened_at == now:
        task.urgency = alone(task)
        asked.opened += 1
    elif task.state is TaskState.DONE and task.people <= (drew := _people(session, task)):
        task.people = drew + 1
        task.grounds = {**task.grounds, "sentence": question.sentence}
        asked.another += 1
    else:
        asked.waiting += 1
    session.add(task)
    return True


def _people(session: Session, task: LabelTask) -> int:
    """How many have drawn on it."""
    standing = (Annotation.label_task_id == task.id, col(Annotation.deleted).is_(False))
    return session.exec(select(func.count(func.distinct(Annotation.by))).where(*standing)).one()
