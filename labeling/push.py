"""Open label tasks go to Label Studio: the crop at native resolution, with what the model saw drawn on it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import cv2
import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, col, select

from labeling.beside import MOST_CELLS, cells, sheet
from labeling.config import BESIDE
from labeling.convert import to_results
from labeling.places import Places
from labeling.records import LabelTask, TaskState
from labeling.studio import KEY, PRIORITY, Studio, Wanted
from labeling.tasks import DOUBT
from qc.errors import InvalidInput, NotFound
from qc.frame import decode, to_8bit
from qc.geometry import Box
from qc.ports import BlobStore
from qc.records import Exposure

MOST_PROPOSED = 20
"""Regions drawn beforehand on one crop, surest first; Label Studio's page grows slow from about 30."""

TOGETHER = 8
"""Tasks made in one go: what costs is the number of requests, not their size. As many as one inspection may have."""

KEPT_BYTES = 300_000_000
"""Of decoded frames; eight colour views of 12 Mpx."""


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

    Commits after every `TOGETHER` tasks, because what Label Studio has cannot be rolled back. A round that is cut off
    anywhere is finished by the next: tasks are looked up by our id before they are created.

    Args:
        studio: after `ensure_project`.
        limit: tasks in this round at most.
        progress: is told how many are done.

    Raises:
        Unavailable: Label Studio does not answer; what is done stays done.
    """
    waiting = select(LabelTask).where(LabelTask.state == TaskState.OPEN)
    urgent = waiting.order_by(col(LabelTask.urgency).desc(), col(LabelTask.opened_at), col(LabelTask.id)).limit(limit)
    tasks = list(session.exec(urgent).all())
    pictures, places, pushed = Pictures(blobs), dict[str, Places](), Pushed()
    for start in range(0, len(tasks), TOGETHER):
        chunk = tasks[start : start + TOGETHER]
        there = studio.find_tasks([task.id for task in chunk])
        fresh, failed = [], 0
        for task in chunk:
            if task.id in there:
                continue
            try:
                fresh.append(_prepared(session, studio, pictures, places, task))
            except (InvalidInput, NotFound) as error:
                _give_up(task, error, now)
                failed += 1
        numbers = {key: listed.id for key, listed in there.items()} | _create_all(studio, fresh, now)
        for task in (task for task in chunk if task.id in numbers):
            if task.people > 1:
                studio.ask_people(numbers[task.id], task.people)
            task.studio_task_id, task.studio_project, task.studio_seen = numbers[task.id], studio.identity, None
            task.state, task.pushed_at, task.problem = TaskState.PUSHED, now, None
        created = sum(one.task.id in numbers for one in fresh)
        pushed = Pushed(
            pushed.created + created, pushed.found + len(there), pushed.failed + failed + len(fresh) - created
        )
        session.add_all(chunk)
        session.commit()
        if progress is not None:
            progress(start + len(chunk))
    return pushed


def _give_up(task: LabelTask, error: InvalidInput | NotFound, now: datetime) -> None:
    task.state, task.closed_at, task.problem = TaskState.CANCELLED, now, error.message


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A task with all that goes to Label Studio."""

    task: LabelTask
    pictures: Mapping[str, bytes]
    """File name to PNG or JPEG: the crop first, then what stands beside it, if anything does."""
    data: Mapping[str, object]
    proposals: Sequence[Sequence[Mapping[str, object]]]

    def wanted(self, addresses: Mapping[str, str]) -> Wanted:
        """The task with its pictures where Label Studio keeps them."""
        image, *beside = (addresses[name] for name in self.pictures)
        data = {"image": image, BESIDE: beside, **self.data}
        return Wanted(data, self.proposals, self.task.urgency, self.task.model or "none")


def _create_all(studio: Studio, fresh: Sequence[_Prepared], now: datetime) -> dict[str, int]:
    """Make the tasks; their numbers by our ids. Where Label Studio refuses them together, one after the other."""
    try:
        addresses = studio.upload_all({name: data for one in fresh for name, data in one.pictures.items()})
        numbers = studio.create_tasks([one.wanted(addresses) for one in fresh]) if fresh else []
    except InvalidInput as error:
        if len(fresh) == 1:
            _give_up(fresh[0].task, error, now)
            return {}
        return {key: number for one in fresh for key, number in _create_all(studio, [one], now).items()}
    return {one.task.id: number for one, number in zip(fresh, numbers, strict=True)}


def _prepared(
    session: Session, studio: Studio, pictures: Pictures, places: dict[str, Places], task: LabelTask
) -> _Prepared:
    """Cut the crop, lay out what stands beside it, draw the proposals."""
    exposure = session.get(Exposure, (task.inspection_id, task.n))
    if exposure is None:
        raise NotFound(f"inspection {task.inspection_id} has no exposure {task.n}")
    crop = task.crop
    if crop.x < 0 or crop.y < 0 or crop.right > exposure.width or crop.bottom > exposure.height:
        raise InvalidInput(f"the crop {crop.as_list()} leaves the frame of {exposure.width} x {exposure.height} px")
    files = {f"{task.id}.png": png(pictures.crop(exposure, crop))}
    if task.station not in places:
        places[task.station] = Places(pictures.blobs, task.station)
    beside = _beside(session, pictures, places[task.station], exposure, crop)
    if beside is not None:
        files[f"{task.id}-views.jpg"] = beside
    data = {
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
    return _Prepared(task, files, data, proposals(exposure, pictures.instances(exposure, crop), studio))


def _beside(session: Session, pictures: Pictures, places: Places, own: Exposure, crop: Box) -> bytes | None:
    """What stands beside the crop, as JPEG; views that cannot be read are left out, the crop is what counts."""
    of_part = select(Exposure).where(Exposure.inspection_id == own.inspection_id, Exposure.n != own.n)
    others, shown = [], [pictures.frame(own)]
    for other in session.exec(of_part.order_by(col(Exposure.n)).limit(MOST_CELLS)).all():
        try:
            shown.append(pictures.frame(other))
            others.append(other)
        except (InvalidInput, NotFound):
            continue
    return sheet(cells(crop, own, others, shown, places))


def proposals(
    exposure: Exposure, instances: NDArray[np.uint16] | None, studio: Studio
) -> list[list[dict[str, object]]]:
    """The model's masks on a crop, as polygons and then as brush strokes; one empty proposal where it saw nothing.

    Label Studio's page begins with the last, which is exact; where all regions are the same in both, there is but one.

    Args:
        instances: `H x W` of the crop: 0 background, else 1 + the place of the pixel's defect in `exposure.defects`.
    """
    strokes, polygons = (proposal(exposure, instances, studio, polygons=kind) for kind in (False, True))
    return [strokes] if strokes == polygons else [polygons, strokes]


def proposal(
    exposure: Exposure, instances: NDArray[np.uint16] | None, studio: Studio, *, polygons: bool = False
) -> list[dict[str, object]]:
    """The model's masks on a crop, as regions that a person can edit; nothing where the model saw nothing.

    The `MOST_PROPOSED` surest are regions of their own, the rest of a class is one region.

    Args:
        instances: as for `proposals`.
        polygons: simplified polygons, where a polygon can hold the blemish.
    """
    if instances is None:
        return []
    ids = {name: class_id for class_id, name in studio.classes.items()}
    here = set(np.unique(instances).tolist())
    known = [(k, d) for k, d in enumerate(exposure.defects, start=1) if d["class"] in ids and k in here]
    sure = [(k, d) for k, d in known if d.get("counts") or d["score"] >= DOUBT] or known[:3]
    classes = np.zeros(max(len(exposure.defects), int(instances.max())) + 1, np.uint8)
    scores = np.zeros(len(classes), np.float32)
    for k, defect in sure:
        classes[k], scores[k] = ids[defect["class"]], defect["score"]
    mask = classes[instances]
    if not mask.any():
        return []
    return to_results(mask, studio.classes, scores=scores[instances], most=MOST_PROPOSED, polygons=polygons)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Lossless bytes of a grey or RGB picture; at the fastest level, since it only travels to the next process."""
    turned = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    written, data = cv2.imencode(".png", turned, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not written:
        raise InvalidInput(f"a picture of shape {pixels.shape} cannot be written as PNG")
    return data.tobytes()


class Pictures:
    """Frames read from the blob store; the last ones are kept, because the crops of a part come one after another."""

    def __init__(self, blobs: BlobStore) -> None:
        self.blobs = blobs
        self._frames: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()
        self._instances: tuple[str, NDArray[np.uint16]] | None = None

    def frame(self, exposure: Exposure) -> NDArray[np.uint8]:
        """The whole frame, 8 bit."""
        key = exposure.original_key
        if key not in self._frames:
            self._frames[key] = to_8bit(decode(self.blobs.get(key)))
        self._frames.move_to_end(key)
        while len(self._frames) > 1 and sum(f.nbytes for f in self._frames.values()) > KEPT_BYTES:
            self._frames.popitem(last=False)
        return self._frames[key]

    def crop(self, exposure: Exposure, box: Box) -> NDArray[np.uint8]:
        """A window of the frame, 8 bit; the depth is judged on the whole frame, so that crops are equally bright."""
        return np.ascontiguousarray(self.frame(exposure)[box.y : box.bottom, box.x : box.right])

    def instances(self, exposure: Exposure, box: Box) -> NDArray[np.uint16] | None:
        """The same window of what the model saw; None if nothing is stored."""
        key = exposure.instances_key
        if key is None:
            return None
        if self._instances is None or self._instances[0] != key:
            stored = cv2.imdecode(np.frombuffer(self.blobs.get(key), np.uint8), cv2.IMREAD_UNCHANGED)
            if stored is None or stored.shape != (exposure.height, exposure.width):
                raise InvalidInput(f"the mask {key} is damaged or of another size than its frame")
            self._instances = key, stored.astype(np.uint16)
        return self._instances[1][box.y : box.bottom, box.x : box.right]


def learn_places(session: Session, blobs: BlobStore, now: datetime, *, most: int = 3) -> int:
    """Find out where a place in one view lies in the others, for stations whose tasks wait; how many pairs were tried.

    Takes seconds a pair, so that it is done after tasks were pushed and helps the next ones. Newest parts first.
    """
    waiting = select(LabelTask.inspection_id, LabelTask.station).where(LabelTask.state == TaskState.PUSHED)
    newest = waiting.order_by(col(LabelTask.opened_at).desc()).limit(50)
    pictures, tried = Pictures(blobs), 0
    for inspection, station in dict.fromkeys((i, s) for i, s in session.exec(newest).all()):
        exposures = session.exec(select(Exposure).where(Exposure.inspection_id == inspection)).all()
        places = Places(blobs, station)
        for one, two in places.unknown(exposures, now):
            if tried == most:
                return tried
            try:
                places.learn(one, two, (pictures.frame(one), pictures.frame(two)), now)
            except (InvalidInput, NotFound):
                continue  # a picture that cannot be read; the push of its own task says so
            tried += 1
    return tried
