"""How far labels can be trusted: people against each other, and against tasks whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from sqlmodel import Session, col, select

from labeling.agreement import Drift, Pair, drift, golden_score
from labeling.masks import drawn_mask
from labeling.people import newest_of_each
from labeling.records import IS_GOLDEN, IS_SEVERAL, Annotation, LabelTask, TaskState
from qc.errors import Conflict, NotFound
from qc.ports import BlobStore

EVERYBODY = 100
"""People asked to label a golden task: more than a plant has labellers."""


def pairs(session: Session, blobs: BlobStore, classes: Mapping[int, str]) -> list[Pair]:
    """Every two people's masks of one crop, in the order of their names.

    Whoever changed another's drawing saw it first: that is a correction, and says nothing of how two people see.
    """
    found = []
    for task, rows in newest_of_each(session, IS_SEVERAL):
        for one, two in combinations(sorted(rows, key=lambda a: a.by), 2):
            if (one.studio_project, one.studio_annotation_id) != (two.studio_project, two.studio_annotation_id):
                first, second = (drawn_mask(blobs, task, a.mask_key, a.classes, classes) for a in (one, two))
                found.append(Pair(task.part, first, second))
    return found


@dataclass(frozen=True, slots=True)
class Marks:
    """How one person did on golden tasks."""

    person: str
    times: tuple[datetime, ...]
    scores: tuple[float, ...]
    """F1 with the known truth, in [0, 1]; one for each golden task."""
    tasks: tuple[str, ...]
    """Which golden task each is of."""

    @property
    def drift(self) -> Drift | None:
        """Is the person getting better or worse?"""
        return drift(self.times, self.scores)


def marks(session: Session, blobs: BlobStore, classes: Mapping[int, str]) -> list[Marks]:
    """Every person's scores on golden tasks, oldest first; what made a task golden is not marked itself."""
    found: dict[str, list[tuple[datetime, float, str]]] = {}
    for task, rows in newest_of_each(session, IS_GOLDEN):
        if task.golden_key is None:
            continue
        truth = drawn_mask(blobs, task, task.golden_key, task.golden_classes, classes)
        for annotation in rows:
            if annotation.mask_key != task.golden_key:
                drawn = drawn_mask(blobs, task, annotation.mask_key, annotation.classes, classes)
                score = golden_score(drawn, truth, classes)
                found.setdefault(annotation.by, []).append((annotation.updated_at, score, task.id))
    marked = []
    for person, seen in sorted(found.items()):
        times, scores, tasks = zip(*sorted(seen), strict=True)
        marked.append(Marks(person, times, scores, tasks))
    return marked


def golden_tasks(session: Session) -> list[LabelTask]:
    """The tasks whose truth is known, the newest first."""
    known = select(LabelTask).where(IS_GOLDEN)
    return list(session.exec(known.order_by(col(LabelTask.id).desc())))


def make_golden(session: Session, task_id: str) -> LabelTask:
    """What is drawn on this task is the truth from now on, and everybody is asked to label it. The caller commits.

    Of several people's drawings it is the one that an engineer called right, else the newest.

    Raises:
        NotFound: there is no such task. Conflict: nobody has labelled it yet.
    """
    task = session.get(LabelTask, task_id)
    if task is None:
        raise NotFound(f"there is no label task {task_id}")
    drawn = session.exec(
        select(Annotation)
        .where(Annotation.label_task_id == task_id, ~col(Annotation.superseded), ~col(Annotation.deleted))
        .order_by(col(Annotation.updated_at).desc(), col(Annotation.id).desc())
    ).all()
    if task.state is not TaskState.DONE or not drawn:
        raise Conflict(f"label task {task_id} is {task.state}; only a finished one can become golden")
    standing = next((row for row in drawn if row.mask_key == task.settled_key), drawn[0])
    task.golden_key, task.golden_classes, task.people = standing.mask_key, dict(standing.classes), EVERYBODY
    session.add(task)
    return task
