"""What people drew, as masks of class ids: of one crop, and of a whole frame."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.consensus import consensus
from labeling.records import Annotation, LabelTask
from qc.dataset import IGNORE
from qc.errors import InvalidInput
from qc.geometry import Box
from qc.ports import BlobStore
from qc.records import Exposure

Labels = list[tuple[LabelTask, Annotation]]
"""Of one exposure: each task with what one person drew on it."""


def translation(theirs: Mapping[int, str], ours: Mapping[int, str], *, where: str) -> NDArray[np.uint8]:
    """A table of 256 from their class ids to ours; ids that they do not have become 255."""
    ids = {name: class_id for class_id, name in ours.items()}
    table = np.full(256, IGNORE, np.uint8)
    table[0] = 0
    for class_id, name in theirs.items():
        if name not in ids:
            raise InvalidInput(
                f"{where} has the class {name!r}, which the model does not know; it knows {', '.join(ids)}"
            )
        table[class_id] = ids[name]
    return table


def whole_labels(
    exposure: Exposure, labels: Labels, blobs: BlobStore, classes: Mapping[int, str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Class ids where people labelled, 255 where nobody did or people are too much at odds; and trust in them.

    Both `H x W` of the frame. Trust is 255, in full, except where the consensus of several people is less than sure
    (`labeling.consensus`).

    A golden crop's known mask counts, or the drawing that an engineer declared right. Otherwise what several people
    drew on one crop becomes their consensus.
    """
    mask = np.full((exposure.height, exposure.width), IGNORE, np.uint8)
    trust = np.full_like(mask, 255)
    by_task: dict[str, tuple[LabelTask, list[Annotation]]] = {}
    for task, annotation in labels:
        by_task.setdefault(task.id, (task, []))[1].append(annotation)
    for task, rows in by_task.values():
        crop = task.crop
        place = np.s_[crop.y : crop.bottom, crop.x : crop.right]
        trust[place] = 255
        if task.golden_key is not None:
            known = drawn_mask(blobs, task, task.golden_key, task.golden_classes, classes)
        elif task.settled_key is not None:
            known = drawn_mask(blobs, task, task.settled_key, task.settled_classes, classes)
        elif len(rows) == 1:
            known = drawn_mask(blobs, task, rows[0].mask_key, rows[0].classes, classes)
        else:
            people = {a.by: drawn_mask(blobs, task, a.mask_key, a.classes, classes) for a in rows}
            agreed = consensus(people, sorted(classes))
            known = agreed.mask
            trust[place] = np.where(known == IGNORE, 255, np.rint(255 * agreed.weight))
        mask[place] = known
    return mask, trust


def confirmed_false_alarms(exposure: Exposure, mask: NDArray[np.uint8]) -> str:
    """Where the model saw something and people who looked drew nothing, as the column `false_alarms` has it.

    Args:
        mask: of the whole frame, 255 where nobody looked: a box that reaches there is not confirmed.
    """
    boxes = [Box(*defect["bbox"]) for defect in exposure.defects]
    nothing = [b for b in boxes if not mask[b.y : b.bottom, b.x : b.right].any()]
    return "; ".join(" ".join(str(n) for n in box.as_list()) for box in nothing)


def drawn_mask(
    blobs: BlobStore, task: LabelTask, key: str, named: Mapping[str, str], classes: Mapping[int, str]
) -> NDArray[np.uint8]:
    """A stored mask of a task's crop, with the ids of `classes`.

    Args:
        named: class id (as text) to name in the stored mask.

    Raises:
        InvalidInput: it is damaged, has not its crop's size, or has a class that is not among `classes`.
    """
    crop = task.crop
    drawn = cv2.imdecode(np.frombuffer(blobs.get(key), np.uint8), cv2.IMREAD_UNCHANGED)
    if drawn is None or drawn.shape != (crop.height, crop.width):
        raise InvalidInput(f"mask {key} is damaged or has not the size of its crop {crop.as_list()}")
    theirs = {int(class_id): label for class_id, label in named.items()}
    used = {class_id: theirs[class_id] for class_id in np.unique(drawn).tolist() if class_id in theirs}
    table = translation(used, classes, where=f"label task {task.id}")
    return np.asarray(table[drawn], np.uint8)
