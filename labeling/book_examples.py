"""Examples of the label book: a place on a real part, cut out with what was drawn there, and kept with the book."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import cv2
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import or_
from sqlmodel import Session, col, select

from labeling import book
from labeling.book_records import BookExample, BookPage, ExampleState, Shows
from labeling.masks import drawn_mask
from labeling.people import newest_of_each
from labeling.push import Pictures, png
from labeling.records import LabelTask
from labeling.tasks import LARGEST_PX
from qc.errors import Conflict, InvalidInput, NotFound
from qc.geometry import Box
from qc.ports import BlobStore
from qc.records import Exposure, new_id

AROUND_PX = 48
"""Shown around what is drawn: enough to see what it lies on."""
LEAST_PX = 160
"""An example is at least this wide and high where the frame is."""
NOTE = 500
"""Characters of a note at most."""

LINE = (213, 94, 0)
"""Okabe and Ito's vermilion, RGB."""


def from_task(
    session: Session,
    blobs: BlobStore,
    class_name: str,
    task_id: str,
    *,
    shows: Shows,
    note: str,
    by: str,
    now: datetime,
    classes: Mapping[int, str],
    mistaken: NDArray[np.uint8] | None = None,
) -> BookExample:
    """Propose what people drew on a finished label task. The caller commits.

    The place is a close-up of what is drawn as the class; if nothing is, of whatever is drawn, or the whole crop.

    Args:
        mistaken: a drawing that was found wrong, `H x W` of the crop: what it alone called the class is shown as what
            is no such thing.

    Raises:
        NotFound: there is no such task, or its picture is gone. Conflict: nobody has labelled it.
    """
    task = session.get(LabelTask, task_id)
    if task is None:
        raise NotFound(f"there is no label task {task_id}")
    mask = standing(session, blobs, task, classes)
    if mask is None:
        raise Conflict(f"label task {task_id} is not labelled yet; only what somebody drew can be an example")
    ids = [class_id for class_id, name in classes.items() if name == class_name]
    drawn = np.isin(mask, ids)
    if mistaken is not None and shows is Shows.IS_NOT:
        drawn = np.isin(mistaken, ids) & ~drawn
    if shows is Shows.IS and not drawn.any():
        raise InvalidInput(f"nothing is drawn as {class_name} on label task {task_id}; it shows what is not one")
    seen = drawn if drawn.any() else np.isin(mask, list(classes))
    place = _close_up(seen, task.crop) if seen.any() else _at_most(task.crop)
    inside = np.s_[
        place.y - task.crop.y : place.bottom - task.crop.y, place.x - task.crop.x : place.right - task.crop.x
    ]
    exposure = _exposure(session, task.inspection_id, task.n)
    kept = _keep(session, blobs, exposure, place, drawn[inside], class_name, shows, note, by, now, part=task.part)
    kept.label_task_id = task.id
    return kept


def from_inspection(
    session: Session,
    blobs: BlobStore,
    class_name: str,
    inspection_id: str,
    n: int,
    *,
    crop: Box | None,
    part: str,
    shows: Shows,
    note: str,
    by: str,
    now: datetime,
) -> BookExample:
    """Propose a place of an inspection, with what the model took for the class there. The caller commits.

    Args:
        crop: in frame pixels; None: around the surest blemish that the model called by the class's name.

    Raises:
        NotFound: there is no such picture. InvalidInput: the crop leaves the frame, or there is nothing to show.
    """
    exposure = _exposure(session, inspection_id, n)
    named = [(k, d) for k, d in enumerate(exposure.defects, start=1) if d["class"] == class_name]
    if crop is None:
        if not named:
            raise InvalidInput(f"the model saw no {class_name} on picture {n} of {inspection_id}; say where (crop)")
        surest = Box(*max(named, key=lambda each: each[1]["score"])[1]["bbox"])
        crop = _window(surest, Box(0, 0, exposure.width, exposure.height))
    if min(crop.x, crop.y) < 0 or crop.right > exposure.width or crop.bottom > exposure.height:
        raise InvalidInput(f"the crop {crop.as_list()} leaves the frame of {exposure.width} x {exposure.height} px")
    if not 0 < crop.width <= LARGEST_PX or not 0 < crop.height <= LARGEST_PX:
        raise InvalidInput(f"an example is 1 to {LARGEST_PX} px wide and high, not {crop.width} x {crop.height}")
    instances = Pictures(blobs).instances(exposure.instances_key, (exposure.height, exposure.width))
    drawn: NDArray[np.bool_] = np.zeros((crop.height, crop.width), np.bool_)
    if instances is not None:
        drawn = np.isin(instances[crop.y : crop.bottom, crop.x : crop.right], [k for k, _ in named])
    return _keep(session, blobs, exposure, crop, drawn, class_name, shows, note, by, now, part=part)


def standing(
    session: Session, blobs: BlobStore, task: LabelTask, classes: Mapping[int, str]
) -> NDArray[np.uint8] | None:
    """The drawing that counts for a task: the known truth, the settled one, or the newest; None where there is none."""
    drawn = newest_of_each(session, col(LabelTask.id) == task.id)
    if not drawn:
        return None
    ((_, rows),) = drawn
    for key, named in ((task.golden_key, task.golden_classes), (task.settled_key, task.settled_classes)):
        if key is not None:
            return drawn_mask(blobs, task, key, named, classes)
    return drawn_mask(blobs, task, rows[-1].mask_key, rows[-1].classes, classes)


def get(session: Session, example_id: str) -> BookExample:
    """An example; raises NotFound."""
    found = session.get(BookExample, example_id)
    if found is None:
        raise NotFound(f"there is no example {example_id}; it may have been erased with its part")
    return found


def of_class(session: Session, class_name: str, *, also: Collection[str] = ()) -> list[BookExample]:
    """Every example of a class that is shown or waits for an answer, oldest first.

    Args:
        also: ids of some that were taken out since, for an earlier version of the page.
    """
    wanted = select(BookExample).where(
        BookExample.class_name == class_name,
        or_(col(BookExample.state) != ExampleState.DECLINED, col(BookExample.id).in_(also)),
    )
    return list(session.exec(wanted.order_by(col(BookExample.id))))


def answer(session: Session, example: BookExample, *, accept: bool, by: str, now: datetime) -> BookPage | None:
    """Take an example into the book, decline it, or take it out again. The caller commits.

    Returns:
        The class's new page; None where nothing in the book changes.
    """
    wanted = ExampleState.ACCEPTED if accept else ExampleState.DECLINED
    if example.state is wanted:
        return None
    stood = example.state is ExampleState.ACCEPTED
    example.state, example.answered_by, example.answered_at = wanted, by, now
    session.add(example)
    if not accept and not stood:
        return None
    page = book.pages(session).get(example.class_name)
    others = [key for key in (page.examples if page else []) if key != example.id]
    words = "a good example" if example.shows is Shows.IS else "an example of what it is not"
    change = f"{words} {'added' if accept else 'taken out'}"
    listed = [*others, example.id] if accept else others
    return book.with_examples(session, example.class_name, listed, change=change, by=by, now=now)


def picture(blobs: BlobStore, example: BookExample, *, outlined: bool) -> bytes:
    """PNG of an example, as the camera saw it or with what is drawn outlined; raises NotFound."""
    data = blobs.get(example.picture_key)
    if not outlined:
        return data
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    mask = cv2.imdecode(np.frombuffer(blobs.get(example.mask_key), np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None or mask is None:
        raise NotFound(f"the picture of example {example.id} is damaged; take it out and add it again")
    return png(outline(np.asarray(pixels, np.uint8), np.asarray(mask, np.uint8) > 0))


def outline(pixels: NDArray[np.uint8], drawn: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """`H x W x 3` with a line of 1 px beside what is drawn, 2 px away, so that the blemish itself stays to be seen."""
    shown = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels.copy()
    beside = cv2.dilate(drawn.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2)
    around = cv2.dilate(beside, np.ones((3, 3), np.uint8))
    shown[(around > 0) & (beside == 0)] = LINE
    return np.asarray(shown, np.uint8)


def _exposure(session: Session, inspection_id: str, n: int) -> Exposure:
    found = session.get(Exposure, (inspection_id, n))
    if found is None:
        raise NotFound(f"there is no picture {n} of an inspection {inspection_id}")
    return found


def _keep(
    session: Session,
    blobs: BlobStore,
    exposure: Exposure,
    place: Box,
    drawn: NDArray[np.bool_],
    class_name: str,
    shows: Shows,
    note: str,
    by: str,
    now: datetime,
    *,
    part: str,
) -> BookExample:
    """Store picture and mask under the example's own id, then make the row that names them."""
    note = note.strip()
    if len(note) > NOTE:
        raise InvalidInput(f"a note has at most {NOTE} characters, not {len(note)}")
    name = new_id()
    keys = {kind: f"book/{name}-{kind}.png" for kind in ("picture", "mask")}
    blobs.put(keys["picture"], png(Pictures(blobs).crop(exposure, place)))
    blobs.put(keys["mask"], png(np.where(drawn, 255, 0).astype(np.uint8)))
    made = BookExample(
        id=name,
        class_name=class_name,
        shows=shows,
        note=note,
        inspection_id=exposure.inspection_id,
        n=exposure.n,
        part=part,
        view=exposure.view,
        crop_x=place.x,
        crop_y=place.y,
        crop_width=place.width,
        crop_height=place.height,
        picture_key=keys["picture"],
        mask_key=keys["mask"],
        by=by,
        at=now,
    )
    session.add(made)
    session.flush()
    return made


def _close_up(seen: NDArray[np.bool_], crop: Box) -> Box:
    """The window of the crop, in frame pixels, around what is seen (at most `LARGEST_PX`, about its middle)."""
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    box = Box(x + crop.x, y + crop.y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1)
    return _window(box, crop)


def _window(box: Box, inside: Box) -> Box:
    """The box with its surroundings, `LEAST_PX` to `LARGEST_PX` wide and high, moved inside another one."""

    def side(start: int, length: int, low: int, room: int) -> tuple[int, int]:
        wide = min(max(length + 2 * AROUND_PX, LEAST_PX), LARGEST_PX, room)
        return min(max(start + (length - wide) // 2, low), low + room - wide), wide

    x, width = side(box.x, box.width, inside.x, inside.width)
    y, height = side(box.y, box.height, inside.y, inside.height)
    return Box(x, y, width, height)


def _at_most(crop: Box) -> Box:
    """The middle of a crop, no larger than an example may be."""
    return _window(Box(crop.x + crop.width // 2, crop.y + crop.height // 2, LARGEST_PX, LARGEST_PX), crop)
