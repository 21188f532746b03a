"""Opening a label task: which crops of an inspection a person should look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from labeling.order import grounds
from labeling.priority import drawn_by_chance, uncertainty
from labeling.records import LabelTask, Reason, TaskState
from qc.errors import InvalidInput
from qc.geometry import Box
from qc.records import Exposure, Inspection
from qc.verdict import Verdict

CONTEXT_PX = 96
"""Shown around a doubt on every side: enough surface to tell a scratch from the grain of the metal."""

SMALLEST_PX = 512
"""A crop is at least this wide and high where the frame is; a person needs surroundings."""

LARGEST_PX = 1024
"""About 1 Mpx: the size up to which Label Studio's brush stays fluent."""

TAKEN_BACK = "the word that asked for it was taken back"
"""Why a task was cancelled that is open again when the same is wanted again."""
SEARCH_PX = 2048
"""Largest crop where a person has to search for what the model missed; four of them cover a 12 Mpx frame."""

DOUBT = 0.2
"""Blemishes below this score are shown only if nothing surer is there; policies review from here by default."""

MOST = 32
"""Crops of one inspection at most, most suspicious first. A 12 Mpx frame with blemishes all over takes 20 to 24; that
something is beyond them is told with the tasks (`Shown`)."""

Place = tuple[int, int, int, int, int]
"""Which exposure; x, y, width and height of the crop."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How much of what a person should see of an inspection is on its tasks; the rest is beyond `MOST`."""

    defects: int
    """Blemishes that lie on the crops."""
    of: int
    """Blemishes that should; 0 where there is none, or where what the model missed is searched for."""
    area: float
    """Share of the frames' area that the crops show, in (0, 1]; 1 where a search covers everything."""


def open_task(
    session: Session,
    inspection: Inspection,
    exposures: Sequence[Exposure],
    *,
    reason: Reason | str,
    urgency: float,
    now: datetime,
    twice: float = 0.0,
    chance: float = 1.0,
) -> list[LabelTask]:
    """Ask a person to label what is doubtful about an inspection.

    A doubtful or rejected part is shown around its blemishes. A part that the model passed and an operator rejected
    holds something we have not seen, so that whole frames are shown. Both as far as `MOST` crops go; each task's
    grounds say how much of it the tasks show together (`shown`: the fields of `Shown`).

    Asking again gives the same tasks; a higher urgency wins. The caller commits.

    Args:
        exposures: those of the inspection, with `defects` as stored.
        urgency: in [0, 1], until it is weighed against the others (`labeling.order`); 1 is next.
        twice: share of the tasks that two people label, in [0, 1]; which ones is settled by a hash of the crop.
        chance: with which an inspection like this becomes tasks, in (0, 1].

    Raises:
        InvalidInput: `urgency` is outside [0, 1], or an exposure belongs to another inspection.
    """
    if not 0 <= urgency <= 1:
        raise InvalidInput(f"urgency must be between 0 and 1, not {urgency}")
    if strange := [e.n for e in exposures if e.inspection_id != inspection.id]:
        raise InvalidInput(f"exposures {strange} do not belong to inspection {inspection.id}")
    reason = Reason(reason)
    missed = reason is Reason.OVERRULED and inspection.said is Verdict.OK
    places = _places(exposures, missed=missed)
    told = asdict(_shown(exposures, places, missed=missed))
    wishes = dict[Place, dict[str, Any]]()
    for exposure, box in places:
        people = 2 if drawn_by_chance(f"twice {inspection.id} {exposure.n} {box.as_list()}", twice) else 1
        found = {**grounds(exposure, exposures, box), "shown": told}
        wishes[exposure.n, box.x, box.y, box.width, box.height] = {
            "view": exposure.view,
            "reason": reason,
            "urgency": urgency,
            "people": people,
            "chance": chance,
            "grounds": found,
        }
    return _all_of(session, inspection, wishes, now=now)


def open_place(
    session: Session,
    inspection: Inspection,
    exposure: Exposure,
    place: Box,
    *,
    reason: Reason,
    likely: Mapping[str, float],
    now: datetime,
    why: str,
) -> LabelTask:
    """Ask a person to label one place of one exposure, whatever the model saw there. Asking again gives the same task.

    Args:
        place: in pixels of the frame, inside it; of one that is larger than a crop may be, its middle.
        likely: what may be there: class to its chance, in [0, 1]. By it and the model's word the task is weighed.
        why: in one sentence; shown with the task.
    """
    around = _in_context(place, exposure.width, exposure.height)
    width, height = min(around.width, LARGEST_PX), min(around.height, LARGEST_PX)
    middle = Box(around.x + (around.width - width) // 2, around.y + (around.height - height) // 2, width, height)
    box = _window(middle, exposure.width, exposure.height)
    known = grounds(exposure, [exposure], box)
    classes = {**known["classes"], **{name: round(chance, 4) for name, chance in likely.items()}}
    doubt = max(known["uncertainty"], uncertainty(list(likely.values())))
    wish = {
        "view": exposure.view,
        "reason": reason,
        "urgency": 0.5,
        "people": 1,
        "chance": 1.0,
        "grounds": {**known, "classes": classes, "uncertainty": round(doubt, 4), "sentence": why},
    }
    (task,) = _all_of(session, inspection, {(exposure.n, box.x, box.y, box.width, box.height): wish}, now=now)
    return task


def _places(exposures: Sequence[Exposure], *, missed: bool) -> list[tuple[Exposure, Box]]:
    """Crops of all exposures, most suspicious exposure first, shared out evenly, at most `MOST`."""
    worst_first = sorted(exposures, key=lambda e: (-(e.score or 0.0), e.n))
    if not missed:
        around = [[(e, box) for box in crops(e.width, e.height, e.defects)] for e in worst_first]
        if any(around):
            return _in_turns(around)[:MOST]
    return _in_turns([[(e, box) for box in cover(e.width, e.height, largest=SEARCH_PX)] for e in worst_first])[:MOST]


def _shown(exposures: Sequence[Exposure], places: Sequence[tuple[Exposure, Box]], *, missed: bool) -> Shown:
    """What these crops show of the exposures."""
    boxes: dict[int, list[Box]] = {e.n: [box for of, box in places if of.n == e.n] for e in exposures}
    asked = [] if missed else [(e.n, d) for e in exposures for d in _asked_about(e.defects)]
    on = sum(all(any(_holds(box, piece) for box in boxes[n]) for piece in _pieces(d)) for n, d in asked)
    there = sum(e.width * e.height for e in exposures)
    area = sum(box.width * box.height for _, box in places) / there if there else 1.0  # a part without a picture
    return Shown(on, len(asked), round(min(area, 1.0), 3))


def _in_turns(lists: list[list[tuple[Exposure, Box]]]) -> list[tuple[Exposure, Box]]:
    """The first of each list, then the second of each, and so on."""
    longest = max((len(each) for each in lists), default=0)
    return [each[k] for k in range(longest) for each in lists if k < len(each)]


def _asked_about(defects: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a frame's blemishes those that a person should see, surest first."""
    ordered = sorted(defects, key=lambda d: -float(d["score"]))
    return [d for d in ordered if d.get("counts") or float(d["score"]) >= DOUBT] or ordered[:3]


def crops(width: int, height: int, defects: Sequence[dict[str, Any]]) -> list[Box]:
    """Windows of a `width x height` frame around its blemishes, surest first; blemishes that lie close share one.

    A blemish that is longer than a crop may be is covered by several. Every blemish at or above `DOUBT` (or, if there
    is none, the surest three) lies in the union of the crops.
    """
    pieces = [piece for d in _asked_about(defects) for piece in _pieces(d)]
    places = np.array([(p.x, p.y, p.right, p.bottom) for p in (_in_context(p, width, height) for p in pieces)])
    waiting = np.ones(len(pieces), bool)
    found = []
    while waiting.any():
        around = _fullest(places, int(waiting.argmax()), waiting)
        waiting &= ~_inside(places, around)
        x, y, right, bottom = (int(v) for v in around)
        found.append(_window(Box(x, y, right - x, bottom - y), width, height))
    return found


def _fullest(places: NDArray[np.int64], k: int, waiting: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Around place `k` and as many others that wait as a crop has room for: left, top, right and bottom edge.

    A window that holds the most can be moved until its left and top edges touch those of places it holds, so that no
    others need be tried.
    """
    one = places[k]
    with_it = np.concatenate([np.minimum(places[:, :2], one[:2]), np.maximum(places[:, 2:], one[2:])], axis=1)
    near = places[waiting & (with_it[:, 2:] - with_it[:, :2] <= LARGEST_PX).all(axis=1)]
    lefts, tops = (np.unique(near[near[:, axis] <= one[axis], axis]) for axis in (0, 1))
    across = (near[:, 0] >= lefts[:, None]) & (near[:, 2] <= lefts[:, None] + LARGEST_PX)  # window x place
    down = (near[:, 1] >= tops[:, None]) & (near[:, 3] <= tops[:, None] + LARGEST_PX)
    left, top = np.unravel_index(int((across.astype(int) @ down.T.astype(int)).argmax()), (len(lefts), len(tops)))
    held = near[across[left] & down[top]]
    return np.concatenate([held[:, :2].min(axis=0), held[:, 2:].max(axis=0)])


def _inside(places: NDArray[np.int64], edges: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray((places[:, :2] >= edges[:2]).all(axis=1) & (places[:, 2:] <= edges[2:]).all(axis=1))


def _in_context(box: Box, width: int, height: int) -> Box:
    return box.grown(CONTEXT_PX, width=width, height=height)


def _pieces(defect: Mapping[str, Any]) -> list[Box]:
    """A blemish's box, or, where it is too long for one crop, the pieces of it that the outline passes through."""
    box, room = Box(*defect["bbox"]), LARGEST_PX - 2 * CONTEXT_PX
    if box.width <= room and box.height <= room:
        return [box]
    pieces = [part.shifted(dx=box.x, dy=box.y) for part in cover(box.width, box.height, largest=room)]
    edges = [(a, b) for ring in defect.get("outline") or () for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)]
    points = [p for a, b in edges for p in _along(a, b)]
    hit = [p for p in pieces if any(p.x <= x < p.right and p.y <= y < p.bottom for x, y in points)]
    return hit or pieces


def _along(a: Sequence[int], b: Sequence[int]) -> list[tuple[float, float]]:
    """Points from `a` to `b`, at most 32 px apart."""
    steps = max(1, math.ceil(max(abs(b[0] - a[0]), abs(b[1] - a[1])) / 32))
    return [(a[0] + (b[0] - a[0]) * k / steps, a[1] + (b[1] - a[1]) * k / steps) for k in range(steps)]


def _window(box: Box, width: int, height: int) -> Box:
    """The box, widened to `SMALLEST_PX` about its centre and moved inside the frame."""
    w, h = min(max(box.width, SMALLEST_PX), width), min(max(box.height, SMALLEST_PX), height)
    x = min(max(box.x + (box.width - w) // 2, 0), width - w)
    y = min(max(box.y + (box.height - h) // 2, 0), height - h)
    return Box(x, y, w, h)


def _holds(outer: Box, inner: Box) -> bool:
    return outer.around(inner) == outer


def cover(width: int, height: int, *, largest: int) -> list[Box]:
    """A `width x height` frame in as few equal windows as possible, none wider or higher than `largest`; no overlap."""
    columns, rows = math.ceil(width / largest), math.ceil(height / largest)
    xs = [width * k // columns for k in range(columns + 1)]
    ys = [height * k // rows for k in range(rows + 1)]
    return [Box(xs[i], ys[j], xs[i + 1] - xs[i], ys[j + 1] - ys[j]) for j in range(rows) for i in range(columns)]


def _all_of(
    session: Session, inspection: Inspection, wishes: Mapping[Place, Mapping[str, Any]], *, now: datetime
) -> list[LabelTask]:
    """The tasks for these crops: those that are there, and new ones. Two callers at once get the same."""
    there = _there(session, inspection)
    while True:
        fresh = {place: _fresh(inspection, place, wishes[place], now=now) for place in wishes if place not in there}
        try:
            with session.begin_nested():
                session.add_all(fresh.values())
        except IntegrityError:
            known, there = there, _there(session, inspection)
            if there.keys() == known.keys():
                raise
            continue  # another one made some of them meanwhile
        for place in wishes:
            if place in there:
                _wanted_again(there[place], wishes[place], now=now)
                session.add(there[place])
        return [fresh.get(place) or there[place] for place in wishes]


def _there(session: Session, inspection: Inspection) -> dict[Place, LabelTask]:
    found = session.exec(select(LabelTask).where(LabelTask.inspection_id == inspection.id))
    return {(task.n, task.crop_x, task.crop_y, task.crop_width, task.crop_height): task for task in found}


def _fresh(inspection: Inspection, place: Place, wish: Mapping[str, Any], *, now: datetime) -> LabelTask:
    n, x, y, width, height = place
    return LabelTask(
        inspection_id=inspection.id,
        n=n,
        part=inspection.part,
        station=inspection.station,
        **wish,
        crop_x=x,
        crop_y=y,
        crop_width=width,
        crop_height=height,
        model=inspection.model,
        opened_at=now,
    )


def _wanted_again(task: LabelTask, wish: Mapping[str, Any], *, now: datetime) -> None:
    """The higher wish wins; what was taken back is open again."""
    for name in ("urgency", "people", "chance"):
        setattr(task, name, max(getattr(task, name), wish[name]))
    if wish["reason"] is Reason.OVERRULED:
        task.reason = Reason.OVERRULED
    if task.state is TaskState.CANCELLED and task.problem == TAKEN_BACK:
        task.state, task.closed_at, task.problem, task.opened_at = TaskState.OPEN, None, None, now


def take_back(session: Session, inspection_id: str, *, since: datetime, now: datetime) -> list[LabelTask]:
    """Cancel the tasks that a word opened which was not meant, while they are known here only.

    Those in Label Studio stay, as somebody may be drawing. The same crop, wanted again, is open again.

    Args:
        since: when the word was said.
    """
    wanted = select(LabelTask).where(
        LabelTask.inspection_id == inspection_id,
        LabelTask.reason == Reason.OVERRULED,
        LabelTask.state == TaskState.OPEN,
        col(LabelTask.opened_at) >= since,
    )
    found = list(session.exec(wanted))
    for task in found:
        task.state, task.closed_at, task.problem = TaskState.CANCELLED, now, TAKEN_BACK
        session.add(task)
    return found


def next_task(session: Session) -> LabelTask | None:
    """The task to label first: most urgent, then oldest."""
    waiting = select(LabelTask).where(col(LabelTask.state).in_([TaskState.OPEN, TaskState.PUSHED]))
    return session.exec(waiting.order_by(col(LabelTask.urgency).desc(), col(LabelTask.opened_at))).first()
