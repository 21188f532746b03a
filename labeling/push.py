"""Open label tasks go to Label Studio: the crop at native resolution, with what the model saw drawn on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import cv2
import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, col, select

from labeling.convert import to_results
from labeling.records import LabelTask, TaskState
from labeling.studio import KEY, PRIORITY, Studio
from labeling.tasks import DOUBT
from qc.errors import InvalidInput, NotFound
from qc.frame import decode, to_8bit
from qc.geometry import Box
from qc.ports import BlobStore
from qc.records import Exposure

MOST_PROPOSED = 20
"""Regions drawn beforehand on one crop, surest first; Label Studio's page grows slow from about 30."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What one round of pushing did, in tasks."""

    created: int = 0
    found: int = 0
    """Already there: an earlier round was cut off after it had created them."""
    failed: int = 0
    """Cancelled, since their picture cannot be shown; `problem` says why."""


def push_open_tasks(
    session: Session,
    studio: Studio,
    blobs: BlobStore,
    now: datetime,
    *,
    limit: int = 100,
    progress: Callable[[int], None] | None = None,
) -> Pushed:
    """Create what is open in Label Studio, most urgent first.

    Commits after each task, because what Label Studio has cannot be rolled back. A round that is cut off anywhere is
    finished by the next: a task is looked up by our id before it is created.

    Args:
        studio: after `ensure_project`.
        limit: tasks in this round at most.
        progress: is told how many are done.

    Raises:
        Unavailable: Label Studio does not answer; what is done stays done.
    """
    waiting = select(LabelTask).where(LabelTask.state == TaskState.OPEN)
    urgent = waiting.order_by(col(LabelTask.urgency).desc(), col(LabelTask.opened_at), col(LabelTask.id)).limit(limit)
    created = found = failed = 0
    pictures = Pictures(blobs)
    for done, task in enumerate(session.exec(urgent).all(), start=1):
        try:
            there = studio.find_task(task.id)
            if there is None:
                number = _create(session, studio, pictures, task)
                created += 1
            else:
                number = there.id
                found += 1
            if task.people > 1:
                studio.ask_people(number, task.people)
            task.studio_task_id, task.studio_project, task.studio_seen = number, studio.identity, None
            task.state, task.pushed_at, task.problem = TaskState.PUSHED, now, None
        except (InvalidInput, NotFound) as error:
            task.state, task.closed_at, task.problem = TaskState.CANCELLED, now, error.message
            failed += 1
        session.add(task)
        session.commit()
        if progress is not None:
            progress(done)
    return Pushed(created, found, failed)


def _create(session: Session, studio: Studio, pictures: Pictures, task: LabelTask) -> int:
    """Upload the crop and create the task with its proposal."""
    exposure = session.get(Exposure, (task.inspection_id, task.n))
    if exposure is None:
        raise NotFound(f"inspection {task.inspection_id} has no exposure {task.n}")
    crop = task.crop
    if crop.x < 0 or crop.y < 0 or crop.right > exposure.width or crop.bottom > exposure.height:
        raise InvalidInput(f"the crop {crop.as_list()} leaves the frame of {exposure.width} x {exposure.height} px")
    address = studio.upload(png(pictures.crop(exposure, crop)), name=f"{task.id}.png")
    data = {
        "image": address,
        KEY: task.id,
        "inspection": task.inspection_id,
        "n": task.n,
        "crop": crop.as_list(),
        "part": task.part,
        "view": task.view,
        "station": task.station,
        "reason": task.reason.value,
        PRIORITY: round(task.urgency, 4),
        "sha256": exposure.sha256,
    }
    results = proposal(exposure, pictures.instances(exposure, crop), studio)
    return studio.create_task(data, results, score=task.urgency, model=task.model or "none")


def proposal(exposure: Exposure, instances: NDArray[np.uint16] | None, studio: Studio) -> list[dict[str, object]]:
    """The model's masks on a crop, as regions that a person can edit; nothing where the model saw nothing.

    Args:
        instances: `H x W` of the crop: 0 background, else 1 + the place of the pixel's defect in `exposure.defects`.
    """
    if instances is None:
        return []
    ids = {name: class_id for class_id, name in studio.classes.items()}
    known = [(k, d) for k, d in enumerate(exposure.defects, start=1) if d["class"] in ids and (instances == k).any()]
    sure = [(k, d) for k, d in known if d.get("counts") or d["score"] >= DOUBT] or known[:3]
    classes = np.zeros(max(len(exposure.defects), int(instances.max())) + 1, np.uint8)
    scores = np.zeros(len(classes), np.float32)
    for k, defect in sorted(sure, key=lambda each: -each[1]["score"])[:MOST_PROPOSED]:
        classes[k], scores[k] = ids[defect["class"]], defect["score"]
    mask = classes[instances]
    return to_results(mask, studio.classes, scores=scores[instances]) if mask.any() else []


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Lossless bytes of a grey or RGB picture; at the fastest level, since it only travels to the next process."""
    turned = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    written, data = cv2.imencode(".png", turned, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not written:
        raise InvalidInput(f"a picture of shape {pixels.shape} cannot be written as PNG")
    return data.tobytes()


class Pictures:
    """Frames read from the blob store; the last one is kept, because crops of a frame come one after the other."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._frame: tuple[str, NDArray[np.uint8]] | None = None
        self._instances: tuple[str, NDArray[np.uint16]] | None = None

    def crop(self, exposure: Exposure, box: Box) -> NDArray[np.uint8]:
        """A window of the frame, 8 bit; the depth is judged on the whole frame, so that crops are equally bright."""
        if self._frame is None or self._frame[0] != exposure.original_key:
            self._frame = exposure.original_key, to_8bit(decode(self._blobs.get(exposure.original_key)))
        return np.ascontiguousarray(self._frame[1][box.y : box.bottom, box.x : box.right])

    def instances(self, exposure: Exposure, box: Box) -> NDArray[np.uint16] | None:
        """The same window of what the model saw; None if nothing is stored."""
        key = exposure.instances_key
        if key is None:
            return None
        if self._instances is None or self._instances[0] != key:
            stored = cv2.imdecode(np.frombuffer(self._blobs.get(key), np.uint8), cv2.IMREAD_UNCHANGED)
            if stored is None or stored.shape != (exposure.height, exposure.width):
                raise InvalidInput(f"the mask {key} is damaged or of another size than its frame")
            self._instances = key, stored.astype(np.uint16)
        return self._instances[1][box.y : box.bottom, box.x : box.right]
