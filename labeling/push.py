"""Open label tasks go to Label Studio: the crop at native resolution, with what the model saw drawn on it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, col, select

from labeling.beside import MOST_CELLS, Cell, Rgb, cells, sheet, shrunk
from labeling.config import BESIDE
from labeling.places import Places
from labeling.proposed import proposals
from labeling.records import LabelTask, TaskState
from labeling.studio import KEY, Listed, Studio, Wanted
from labeling.studio_view import PRIORITY, SHOWN, WHY, shown_words
from qc.errors import InvalidInput, NotFound
from qc.frame import decode, to_8bit
from qc.geometry import Box
from qc.ports import BlobStore
from qc.records import Exposure

TOGETHER = 8
"""Tasks made in one go: what costs is the number of requests, not their size, and the first shall be there soon."""

LOOKED_UP = 3 * TOGETHER
"""Tasks looked up in one request; their ids stand in its address, which servers take up to 8 kB of."""

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
    anywhere is finished by the next: tasks are looked up by our id before they are created. While Label Studio works on
    some, the next are made ready: requests have a thread of their own, which knows neither the session nor its rows.

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
    chunks = [tasks[start : start + TOGETHER] for start in range(0, len(tasks), TOGETHER)]
    pushed, done = Pushed(), 0
    with ThreadPoolExecutor(1) as line, ThreadPoolExecutor(1) as writer:
        sources = _Sources(session, Pictures(blobs), {}, writer)
        found = _looked_up(studio, line, tasks)
        sent = (_sent(sources, studio, line, chunk, next(found)) for chunk in [*chunks, []])
        for chunk, (told, _) in zip(chunks, pairwise(sent), strict=True):  # the next are on their way by then
            pushed = _noted(chunk, told.result(), studio.identity, now, pushed)
            session.add_all(chunk)
            session.commit()
            done += len(chunk)
            if progress is not None:
                progress(done)
    return pushed


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where a round of pushing reads from."""

    session: Session
    pictures: Pictures
    places: dict[str, Places]
    """Of the stations that were met."""
    writer: Executor
    """Unpacks masks and packs pictures, beside everything else."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A task as it is sent."""

    wanted: Wanted
    """But for the addresses of its pictures."""
    people: int
    """How many shall label it."""
    names: tuple[str, str]
    """Of its pictures: the crop, then what stands beside it."""
    files: Future[dict[str, bytes]]
    """Its pictures by their names."""

    @property
    def key(self) -> str:
        return str(self.wanted.data[KEY])


@dataclass(frozen=True, slots=True)
class _Told:
    """What became of some tasks there, by our ids."""

    numbers: Mapping[str, int]
    found: int
    """So many of them were there already."""
    refused: Mapping[str, InvalidInput | NotFound]


def _looked_up(studio: Studio, line: Executor, tasks: Sequence[LabelTask]) -> Iterator[Future[dict[str, Listed]]]:
    """For one chunk of tasks after another, which tasks are there already: one request for every `LOOKED_UP`."""
    for start in range(0, len(tasks), LOOKED_UP):
        some = tasks[start : start + LOOKED_UP]
        asked = line.submit(studio.find_tasks, [task.id for task in some])
        for _ in range(0, len(some), TOGETHER):
            yield asked
    yield line.submit(dict)  # for no tasks


def _sent(
    sources: _Sources,
    studio: Studio,
    line: Executor,
    chunk: Sequence[LabelTask],
    looked_up: Future[dict[str, Listed]],
) -> Future[_Told]:
    """Make tasks ready and have them sent, in three requests."""
    ready, refused = list[_Ready](), dict[str, InvalidInput | NotFound]()
    for task in chunk:
        try:
            ready.append(_ready(sources, task, studio.classes))
        except (InvalidInput, NotFound) as error:
            refused[task.id] = error
    return line.submit(_send, studio, [task.id for task in chunk], ready, looked_up, refused)


def _send(
    studio: Studio,
    keys: Sequence[str],
    ready: Sequence[_Ready],
    looked_up: Future[dict[str, Listed]],
    refused: dict[str, InvalidInput | NotFound],
) -> _Told:
    """Create there what is not there, all in one go; one by one where that is refused."""
    there = looked_up.result()
    numbers = {key: there[key].id for key in keys if key in there}
    found, fresh = len(numbers), [one for one in ready if one.key not in numbers]
    try:
        numbers |= _create(studio, fresh)
    except InvalidInput:  # of one of them; the others shall not wait for it
        for one in fresh:
            try:
                numbers |= _create(studio, [one])
            except InvalidInput as error:
                refused[one.key] = error
    for one in ready:
        if one.people > 1 and one.key in numbers:
            studio.ask_people(numbers[one.key], one.people)
    return _Told(numbers, found, refused)


def _create(studio: Studio, ready: Sequence[_Ready]) -> dict[str, int]:
    """Store the pictures and make the tasks, all or none; their numbers by our ids."""
    addresses = studio.upload_all({name: data for one in ready for name, data in one.files.result().items()})
    complete = []
    for one in ready:
        image, beside = (addresses[name] for name in one.names)
        complete.append(replace(one.wanted, data={"image": image, BESIDE: [beside], **one.wanted.data}))
    numbers = studio.create_tasks(complete) if complete else []
    return {one.key: number for one, number in zip(ready, numbers, strict=True)}


def _noted(chunk: Sequence[LabelTask], told: _Told, project: str, now: datetime, before: Pushed) -> Pushed:
    """Write down what became of tasks; the sum of the round so far."""
    for task in chunk:
        if task.id in told.numbers:
            task.studio_task_id, task.studio_project, task.studio_seen = told.numbers[task.id], project, None
            task.state, task.pushed_at, task.problem = TaskState.PUSHED, now, None
        else:
            task.state, task.closed_at, task.problem = TaskState.CANCELLED, now, told.refused[task.id].message
    there = len(told.numbers)
    created = before.created + there - told.found
    return Pushed(created, before.found + told.found, before.failed + len(chunk) - there)


def _ready(sources: _Sources, task: LabelTask, classes: Mapping[int, str]) -> _Ready:
    """Cut the crop, lay out what stands beside it, draw what the model saw."""
    exposure = sources.session.get(Exposure, (task.inspection_id, task.n))
    if exposure is None:
        raise NotFound(f"inspection {task.inspection_id} has no exposure {task.n}")
    crop, pictures = task.crop, sources.pictures
    if crop.x < 0 or crop.y < 0 or crop.right > exposure.width or crop.bottom > exposure.height:
        raise InvalidInput(f"the crop {crop.as_list()} leaves the frame of {exposure.width} x {exposure.height} px")
    if task.station not in sources.places:
        sources.places[task.station] = Places(pictures.blobs, task.station)
    unpacked = sources.writer.submit(pictures.instances, exposure.instances_key, (exposure.height, exposure.width))
    pixels = pictures.crop(exposure, crop)
    beside = _beside(sources, sources.places[task.station], exposure, crop)
    names = f"{task.id}.png", f"{task.id}-views.jpg"
    instances = unpacked.result()
    files = sources.writer.submit(_files, names, pixels, beside)
    on_crop = None if instances is None else instances[crop.y : crop.bottom, crop.x : crop.right]
    proposed = proposals(exposure, on_crop, classes)
    return _Ready(_wanted(task, exposure.sha256, proposed), task.people, names, files)


def _files(names: tuple[str, str], crop: NDArray[np.uint8], beside: Sequence[Cell]) -> dict[str, bytes]:
    """A task's pictures by their names."""
    return dict(zip(names, (png(crop), sheet(beside)), strict=True))


def _wanted(task: LabelTask, sha256: str, proposed: Sequence[Sequence[Mapping[str, object]]]) -> Wanted:
    """The task in Label Studio's words, but for the addresses of its pictures."""
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
        "sha256": sha256,
    }
    if sentence := task.grounds.get("sentence"):
        data[WHY] = sentence
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

    def instances(self, key: str | None, size: tuple[int, int]) -> NDArray[np.uint16] | None:
        """What the model saw on a whole frame of this height and width; None if nothing is stored."""
        if key is None:
            return None
        if self._instances is None or self._instances[0] != key:
            stored = cv2.imdecode(np.frombuffer(self.blobs.get(key), np.uint8), cv2.IMREAD_UNCHANGED)
            if stored is None or stored.shape != size:
                raise InvalidInput(f"the mask {key} is damaged or of another size than its frame")
            self._instances = key, stored.astype(np.uint16, copy=False)
        return self._instances[1]


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
