"""In which order people label what waits: every task's urgency, from what is known of it and of all the others.

When a task is opened, what speaks for it is written down (`grounds`), so that weighing thousands again reads no picture
and no defect. `rank` weighs them (`labeling.priority`) whenever labels came in or other models spoke: a class that was
rare yesterday is not rare today.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, col, select

from labeling.evidence import counted
from labeling.priority import CLEAN, Candidate, labelling_seconds, novelties, reasons, uncertainty, weigh
from labeling.records import Annotation, LabelTask, Reason, TaskState
from qc.errors import NotFound
from qc.geometry import Box
from qc.ports import BlobStore
from qc.records import Exposure
from qc.verdict import UNKNOWN

OVERRULED = 0.9
"""Urgency from which on the parts stand on which a person disagreed: the model was certainly wrong there. Among them,
and below among all others, the worth decides."""

OTHER_VIEW = 0.5
"""How far it counts that another view of the part looks worse: mostly a scratch shows at one angle only."""

WAITING = (TaskState.OPEN, TaskState.PUSHED)

CHANGED = 0.005
"""A smaller change of an urgency is none: nobody sees it, and Label Studio need not be told."""

OLD = 200
"""Drawings of earlier versions that are counted in one round."""


def grounds(exposure: Exposure, exposures: Sequence[Exposure], crop: Box) -> dict[str, Any]:
    """What speaks for labelling a crop, from what the model saw.

    Args:
        exposures: all of the inspection, for comparing views.

    Returns:
        `uncertainty`: of the most doubtful blemish; `novelty`: the score of what is unlike every clean surface that the
        model remembers, 0 for a model without a memory; `views`: how much worse the worst other view looks; each in
        [0, 1]. `classes`: name to the highest score. `cost_s`: seconds a person will need.
    """
    inside = [d for d in exposure.defects if _meet(Box(*d["bbox"]), crop)]
    known = [d for d in inside if d["class"] != UNKNOWN]
    worst = max((float(d["score"]) for d in inside), default=0.0)
    others = max((e.score or 0.0 for e in exposures if e.n != exposure.n), default=0.0)
    classes: dict[str, float] = {}
    for d in known:
        classes[d["class"]] = round(max(classes.get(d["class"], 0.0), float(d["score"])), 4)
    return {
        "uncertainty": round(uncertainty([float(d["score"]) for d in known]), 4),
        "novelty": round(max((float(d["score"]) for d in inside if d["class"] == UNKNOWN), default=0.0), 4),
        "views": round(OTHER_VIEW * max(others - worst, 0.0), 4),
        "classes": classes,
        "cost_s": round(labelling_seconds(len(inside), crop.width * crop.height / 1e6), 1),
    }


def rank(
    session: Session,
    *,
    models: Mapping[str, float] | None = None,
    looks: Mapping[str, NDArray[np.float32]] | None = None,
    known: Sequence[NDArray[np.float32]] = (),
) -> list[str]:
    """Weigh everything that waits against each other and store the urgencies. The caller commits.

    What was drawn by chance is put at a random place of the upper half, always the same for a task: among the worthiest
    it would be chosen for its worth, and at the end it would never be labelled.

    Args:
        models: inspection id to how far apart two models' scores of it are, in [0, 1].
        looks: task id to where its most doubtful blemish lies among all surfaces; of ten that look alike the first is
            worth more than the others.
        known: the same of what people labelled; what is unlike all of it is worth more.

    Returns:
        Ids of the tasks whose urgency changed.
    """
    waiting = [t for t in session.exec(select(LabelTask).where(col(LabelTask.state).in_(WAITING))) if t.grounds]
    labelled, clean = labelled_defects(session)
    names = sorted({*labelled, *(name for t in waiting for name in t.grounds["classes"])})
    ids = {name: k for k, name in enumerate(names, start=1)}
    counts = {CLEAN: clean} | {ids[name]: count for name, count in labelled.items()}
    space = standardised(looks or {}, known)
    chosen = {t.id: _candidate(t, ids, (models or {}).get(t.inspection_id, 0.0), space[0].get(t.id)) for t in waiting}
    picked = [t for t in waiting if t.reason is not Reason.SAMPLE]
    worth = weigh([chosen[t.id] for t in picked], labelled=counts, known=space[1])
    novel = novelties(list(chosen.values()), space[1])
    places = {t.id: _band(t.reason, worth[t.id]) for t in picked}
    others = np.array(sorted(v for v in places.values() if v < OVERRULED) or [0.5])
    changed = []
    for task in waiting:
        if task.reason is Reason.SAMPLE:
            places[task.id] = float(np.quantile(others, 0.5 + 0.5 * _chance(task.id)))
        if abs(task.urgency - places[task.id]) > CHANGED:
            task.urgency = round(places[task.id], 4)
            changed.append(task.id)
        why = {k: round(v, 3) for k, v in (reasons(chosen[task.id], counts) | {"novelty": novel[task.id]}).items()}
        if task.grounds.get("reasons") != why:
            task.grounds = {**task.grounds, "reasons": why}
        session.add(task)
    return changed


def alone(task: LabelTask) -> float:
    """A task's urgency before it is weighed against others: what `rank` gives it where nothing else waits."""
    if task.reason is Reason.SAMPLE:
        return task.urgency
    ids = {name: k for k, name in enumerate(task.grounds["classes"], start=1)}
    return round(_band(task.reason, weigh([_candidate(task, ids, 0.0, None)], labelled={})[task.id]), 4)


def standardised(
    looks: Mapping[str, NDArray[np.float32]], known: Sequence[NDArray[np.float32]]
) -> tuple[dict[str, list[float]], list[list[float]]]:
    """Each number divided by its spread over all of them, so that none counts for its unit."""
    rows = [*looks.values(), *known]
    if not rows:
        return {}, []
    all_of_them = np.asarray(rows, np.float64)
    scaled = (all_of_them / (all_of_them.std(axis=0) + 1e-9)).tolist()
    return dict(zip(looks, scaled, strict=False)), scaled[len(looks) :]


def labelled_defects(session: Session) -> tuple[dict[str, int], int]:
    """Class name to the number of defects that people drew, in drawings that stand; and how many of these have none."""
    rows = session.exec(
        select(Annotation.drawn).where(
            ~col(Annotation.deleted), ~col(Annotation.superseded), col(Annotation.drawn).is_not(None)
        )
    )
    total, clean = Counter[str](), 0
    for drawn in rows:
        total.update(drawn or {})
        clean += not drawn
    return dict(total), clean


def count_old(session: Session, blobs: BlobStore) -> int:
    """Count what was drawn on annotations of earlier versions, at most `OLD` at once; how many. The caller commits."""
    wanted = select(Annotation).where(col(Annotation.drawn).is_(None), ~col(Annotation.deleted)).limit(OLD)
    rows = list(session.exec(wanted))
    for row in rows:
        try:
            mask = cv2.imdecode(np.frombuffer(blobs.get(row.mask_key), np.uint8), cv2.IMREAD_UNCHANGED)
        except NotFound:
            mask = None
        known = {int(class_id): name for class_id, name in row.classes.items()}
        row.drawn = {} if mask is None else counted(np.asarray(mask, np.uint8), known)
        session.add(row)
    return len(rows)


def _candidate(task: LabelTask, ids: Mapping[str, int], models: float, look: Sequence[float] | None) -> Candidate:
    said = task.grounds
    overruled = 1.0 if task.reason is Reason.OVERRULED else 0.0
    return Candidate(
        id=task.id,
        uncertainty=said["uncertainty"],
        disagreement=max(overruled, said["views"], min(models, 1.0)),
        classes={ids[name]: score for name, score in said["classes"].items()},
        embedding=look,
        novelty=said["novelty"],
        cost_s=said["cost_s"],
    )


def _band(reason: Reason, worth: float) -> float:
    if reason is Reason.OVERRULED:
        return OVERRULED + (1.0 - OVERRULED) * worth
    return min(OVERRULED * worth, OVERRULED - 1e-4)


def _chance(key: str) -> float:
    """Uniform in [0, 1), by a hash."""
    return int.from_bytes(hashlib.sha256(f"place {key}".encode()).digest()[:8], "big") / 2**64


def _meet(one: Box, other: Box) -> bool:
    return one.x < other.right and other.x < one.right and one.y < other.bottom and other.y < one.bottom
