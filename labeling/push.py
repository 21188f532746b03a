"""Open label tasks go to Label Studio: the crop at native resolution, with what the model saw drawn on it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

import cv2
import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, col, select

from labeling.beside import MOST_CELLS, Cell, Rgb, cells, sheet, shrunk
from labeling.config import BESIDE
from labeling.places import Places
from labeling.proposed import proposals
from labeling.records import LabelTask, TaskState
from labeling.studio import KEY, Studio, Wanted
from labeling.studio_view import PRIORITY, SHOWN, shown_words
from qc.errors import InvalidInput, NotFound
from qc.frame import decode, to_8bit
from qc.geometry import Box
from qc.ports import BlobStore
from qc.records import Exposure

TOGETHER = 8
"""Tasks made in one go: what costs is the number of requests, not their size, and the first shall be there soon."""

KEPT_BYTES = 300_000_000
"""Of decoded frames; eight colour views of 12 Mpx."""

KEPT_SMALL = 100
"""Of whole views as they stand beside a crop; 70 MB."""


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
    sources, pushed = _Sources(session, Pictures(blobs), {}), Pushed()
    for start in range(0, len(tasks), TOGETHER):
        chunk = tasks[start : start + TOGETHER]
        done = _push(sources, studio, chunk, now)
        pushed = Pushed(pushed.created + done.created, pushed.found + done.found, pushed.failed + done.failed)
        session.add_all(chunk)
        session.commit()
        if progress is not None:
            progress(start + len(chunk))
    return pushed


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where a round of pushing reads from."""

    session: Session
    pictures: Pictures
    places: dict[str, Places]
    """Of the stations that were met."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """A task with what is seen on it."""

    task: LabelTask
    exposure: Exposure
    pixels: NDArray[np.uint8]
    """The crop."""
    beside: Sequence[Cell]
    """What stands beside it."""
    instances: NDArray[np.uint16] | None
    """What the model saw on the crop."""

    def names(self) -> list[str]:
        """Of its pictures: the crop, then what stands beside it, if anything does."""
        return [f"{self.task.id}.png", *[f"{self.task.id}-views.jpg"] * bool(self.beside)]

    def files(self) -> dict[str, bytes]:
        """Its pictures by their names."""
        views = sheet(self.beside)
        return dict(zip(self.names(), [png(self.pixels), *([] if views is None else [views])], strict=True))


def _push(sources: _Sources, studio: Studio, chunk: Sequence[LabelTask], now: datetime) -> Pushed:
    """Make these tasks there, in four requests.

    Looking them up goes on beside cutting the crops, and writing and sending the pictures beside drawing the proposals.
    """
    refused: dict[str, InvalidInput | NotFound] = {}
    with ThreadPoolExecutor(1) as line:
        looked_up = line.submit(studio.find_tasks, [task.id for task in chunk])
        ready = []
        for task in chunk:
            try:
                ready.append(_cut(sources, task))
            except (InvalidInput, NotFound) as error:
                refused[task.id] = error
        numbers = {key: listed.id for key, listed in looked_up.result().items()}
        found = len(numbers)
        fresh = [one for one in ready if one.task.id not in numbers]
        sent = line.submit(_upload, studio, fresh)
        wanted = [_wanted(one, proposals(one.exposure, one.instances, studio.classes)) for one in fresh]
        try:
            numbers |= _create(studio, fresh, wanted, sent.result())
        except InvalidInput:  # of one of them; the others shall not wait for it
            for one, each in zip(fresh, wanted, strict=True):
                try:
                    numbers |= _create(studio, [one], [each], _upload(studio, [one]))
                except InvalidInput as error:
                    refused[one.task.id] = error
    for task in chunk:
        if task.id in numbers:
            if task.people > 1:
                studio.ask_people(numbers[task.id], task.people)
            task.studio_task_id, task.studio_project, task.studio_seen = numbers[task.id], studio.identity, None
            task.state, task.pushed_at, task.problem = TaskState.PUSHED, now, None
        else:
            task.state, task.closed_at, task.problem = TaskState.CANCELLED, now, refused[task.id].message
    return Pushed(len(numbers) - found, found, len(chunk) - len(numbers))


def _upload(studio: Studio, cut: Sequence[_Cut]) -> dict[str, str]:
    """Write the pictures and store them there; the address of each by its name."""
    return studio.upload_all({name: data for one in cut for name, data in one.files().items()})


def _create(
    studio: Studio, cut: Sequence[_Cut], wanted: Sequence[Wanted], addresses: Mapping[str, str]
) -> dict[str, int]:
    """Make the tasks, all or none; their numbers by our ids."""
    complete = []
    for one, each in zip(cut, wanted, strict=True):
        image, *beside = (addresses[name] for name in one.names())
        complete.append(replace(each, data={"image": image, BESIDE: beside, **each.data}))
    numbers = studio.create_tasks(complete) if complete else []
    return {one.task.id: number for one, number in zip(cut, numbers, strict=True)}


def _cut(sources: _Sources, task: LabelTask) -> _Cut:
    """Cut the crop, lay out what stands beside it."""
    exposure = sources.session.get(Exposure, (task.inspection_id, task.n))
    if exposure is None:
        raise NotFound(f"inspection {task.inspection_id} has no exposure {task.n}")
    crop, pictures = task.crop, sources.pictures
    if crop.x < 0 or crop.y < 0 or crop.right > exposure.width or crop.bottom > exposure.height:
        raise InvalidInput(f"the crop {crop.as_list()} leaves the frame of {exposure.width} x {exposure.height} px")
    if task.station not in sources.places:
        sources.places[task.station] = Places(pictures.blobs, task.station)
    beside = _beside(sources, sources.places[task.station], exposure, crop)
    return _Cut(task, exposure, pictures.crop(exposure, crop), beside, pictures.instances(exposure, crop))


def _wanted(cut: _Cut, proposed: Sequence[Sequence[Mapping[str, object]]]) -> Wanted:
    """The task in Label Studio's words, but for the addresses of its pictures."""
    task = cut.task
    data = {
        KEY: task.id,
        "inspection": task.inspection_id,
        "n": task.n,
        "crop": task.crop.as_list(),
        "part": task.part,
        "view": task.view,
        "station": task.station,
        "reason": task.reason.value,
        PRIORITY: round(task.urgency, 4),
        SHOWN: shown_words(task.grounds.get("shown")),
        "sha256": cut.exposure.sha256,
    }
    return Wanted(data, proposed, task.urgency, task.model or "none")


def _beside(sources: _Sources, places: Places, own: Exposure, crop: Box) -> list[Cell]:
    """What stands beside the crop; views that cannot be read are left out, the crop is what counts."""
    of_part = select(Exposure).where(Exposure.inspection_id == own.inspection_id, Exposure.n != own.n)
    others = []
    for other in sources.session.exec(of_part.order_by(col(Exposure.n)).limit(MOST_CELLS)).all():
        try:
            sources.pictures.small(other)
            others.append(other)
        except (InvalidInput, NotFound):
            continue
    return cells(crop, own, others, sources.pictures, places)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Lossless bytes of a grey or RGB picture.

    Only runs are sought: on metal that takes a third of the fastest level's time, and the file is as large.
    """
    turned = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    written, data = cv2.imencode(".png", turned, [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE])
    if not written:
        raise InvalidInput(f"a picture of shape {pixels.shape} cannot be written as PNG")
    return data.tobytes()


class Pictures:
    """Frames read from the blob store; the last ones are kept, because the crops of a part come one after another."""

    def __init__(self, blobs: BlobStore) -> None:
        self.blobs = blobs
        self._frames: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()
        self._small: OrderedDict[str, Rgb] = OrderedDict()
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

    def small(self, exposure: Exposure) -> Rgb:
        """The whole frame as it stands beside a crop, in colour; kept, since all crops of a part show it."""
        key = exposure.original_key
        if key not in self._small:
            self._small[key] = shrunk(self.frame(exposure))
            if len(self._small) > KEPT_SMALL:
                self._small.popitem(last=False)
        return self._small[key]

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
