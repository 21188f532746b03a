"""All finished labels become a data set that never changes again, split by part."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray
from sqlmodel import Session

from labeling import book
from labeling.consensus import consensus
from labeling.manifest import write_manifest
from labeling.people import newest_of_each
from labeling.push import png
from labeling.records import Annotation, LabelTask
from qc.dataset import FALSE_ALARMS, IGNORE, QUALITY, WEIGHTS, DataSet, Sample, open_dataset
from qc.errors import Conflict, InvalidInput
from qc.frame import FORMATS, picture_size
from qc.geometry import Box
from qc.given import GIVEN_FILE
from qc.ports import BlobStore
from qc.records import Exposure

SHARES = {"train": 0.70, "val": 0.15, "test": 0.15}
"""Of the parts; enough to train on, and two sides of equal size to judge by."""

OUR_SOURCE = "labels from Label Studio"

SAME_SCALE = 0.02
"""Scales that differ by less are one: lengths are stored with few digits."""

COLUMNS = ["file", "split", "part", "view", "group", "origin", FALSE_ALARMS, QUALITY]


@dataclass(frozen=True, slots=True)
class Row:
    """One image of the set to be."""

    file: str
    split: str
    part: str
    view: str
    group: str
    origin: str
    """`labels`, or the name of the data set that it was taken from."""
    false_alarms: str = ""
    label_quality: str = ""
    further: Mapping[str, str] = field(default_factory=dict)
    """Columns of the base's split.csv that only people and other tools know, such as `inspector:anna`."""


def side(part: str) -> str:
    """train, val or test: by a hash of the part's name alone, so that it never changes when data are added."""
    place = int.from_bytes(hashlib.sha256(part.encode()).digest()[:8], "big") / 2**64
    if place < SHARES["train"]:
        return "train"
    return "val" if place < SHARES["train"] + SHARES["val"] else "test"


def freeze(
    session: Session,
    blobs: BlobStore,
    out: Path,
    *,
    classes: Mapping[int, str],
    now: datetime,
    base: Path | None = None,
    least_parts: int = 1,
    name: str | None = None,
) -> Path:
    """Write a data set (contracts, section 2) from all annotations that stand.

    An image is the camera's own bytes, whole. Its mask is known inside the crops that people labelled, and 255 (nobody
    knows) everywhere else; where crops overlap, what was drawn last counts. Beside it stands `manifest.json`: the hash
    of every file, who labelled what and when, and the label book that held.

    The folder appears whole or not at all.

    Args:
        out: the folder to make.
        classes: class id to name in the new set; annotations and `base` are translated by name.
        base: a data set whose images are mixed in, on the sides where they are; files are linked where the disk allows.
            An image that is in both is taken from the labels. Its licence, source, `views.yaml` and further columns of
            split.csv are kept, and its `mm_per_px` where the labelled pictures are of that scale too (`_scale`).
        least_parts: labelled parts that train and val must each have; test may still be empty.
        name: of the set; by default that of the folder.

    Raises:
        Conflict: `out` exists; nothing is labelled; or a side has too few parts (the message says how many).
        InvalidInput: a class of an annotation or of `base` is not among `classes`, or a mask has not its crop's size.
    """
    out = Path(out)
    if out.exists():
        raise Conflict(f"{out} exists already; a frozen data set is never overwritten, choose another folder")
    mixed_in = None if base is None else open_dataset(base)
    exposures = _labelled(session)
    if not exposures:
        raise Conflict("no label task is finished; label some in Label Studio first")
    sides = {} if mixed_in is None else {name: s.split for s in mixed_in.samples for name in (s.group, s.part)}
    out.parent.mkdir(parents=True, exist_ok=True)
    work = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}"
    try:
        (work / "images").mkdir(parents=True)
        (work / "masks").mkdir()
        rows, frames = [], []
        for exposure, labels in exposures:
            row, frame = _write_exposure(work, blobs, exposure, labels, classes, sides)
            rows.append(row)
            frames.append(frame)
        about: dict[str, Any] = {"name": name or out.name, "classes": dict(sorted(classes.items()))}
        if mixed_in is None:
            about["source"] = OUR_SOURCE
        else:
            rows = _mixed(work, rows, mixed_in, classes)
            about |= _about_base(mixed_in, [exposure for exposure, _ in exposures])
            if (mixed_in.root / GIVEN_FILE).is_file():
                _link(mixed_in.root / GIVEN_FILE, work / GIVEN_FILE)
        _check_sides(work, rows, least_parts)
        _write_index(work, rows, about)
        write_manifest(work, now=now, frames=frames, book=book.snapshot(session))
        open_dataset(work)
        os.rename(work, out)
    except FileExistsError as error:
        raise Conflict(
            f"{out} exists already; a frozen data set is never overwritten, choose another folder"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out


Labels = list[tuple[LabelTask, Annotation]]


def _labelled(session: Session) -> list[tuple[Exposure, Labels]]:
    """Exposures with annotations: of each person the newest on each crop; crops in the order they were finished."""
    by_exposure = dict[tuple[str, int], Labels]()
    for task, rows in newest_of_each(session):
        by_exposure.setdefault((task.inspection_id, task.n), []).extend((task, row) for row in rows)
    found = [(session.get(Exposure, key), labels) for key, labels in sorted(by_exposure.items(), key=lambda i: i[0])]
    return [(exposure, labels) for exposure, labels in found if exposure is not None]


def _translation(theirs: Mapping[int, str], ours: Mapping[int, str], *, where: str) -> NDArray[np.uint8]:
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


def whole_mask(exposure: Exposure, labels: Labels, blobs: BlobStore, classes: Mapping[int, str]) -> NDArray[np.uint8]:
    """The first of `whole_labels`."""
    return whole_labels(exposure, labels, blobs, classes)[0]


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
    table = _translation(used, classes, where=f"label task {task.id}")
    return np.asarray(table[drawn], np.uint8)


def _write_exposure(
    work: Path,
    blobs: BlobStore,
    exposure: Exposure,
    labels: Labels,
    classes: Mapping[int, str],
    sides: Mapping[str, str],
) -> tuple[Row, dict[str, Any]]:
    data = blobs.get(exposure.original_key)
    stem = f"{exposure.inspection_id}_{exposure.n}"
    file = stem + FORMATS[exposure.format][0]
    (work / "images" / file).write_bytes(data)
    mask, trust = whole_labels(exposure, labels, blobs, classes)
    (work / "masks" / f"{stem}.png").write_bytes(png(mask))
    if (trust < 255).any():
        (work / WEIGHTS).mkdir(exist_ok=True)
        (work / WEIGHTS / f"{stem}.png").write_bytes(png(trust))
    part, alarms = labels[0][0].part, confirmed_false_alarms(exposure, mask)
    row = Row(file, sides.get(part) or side(part), part, exposure.view, part, "labels", alarms)
    frame = {
        "file": file,
        "split": row.split,
        "part": part,
        "view": exposure.view,
        "inspection": exposure.inspection_id,
        "n": exposure.n,
        "labels": [
            {
                "crop": task.crop.as_list(),
                "by": annotation.by,
                "at": annotation.updated_at.isoformat(),
                "annotation": annotation.id,
                "reason": task.reason.value,
                "mask": annotation.mask_key,
                "settled": task.settled_key,
            }
            for task, annotation in labels
        ],
    }
    return row, frame


def _mixed(work: Path, rows: list[Row], base: DataSet, classes: Mapping[int, str]) -> list[Row]:
    """Our images and the base's; of an image that is in both, what the base's split.csv knows further of it."""
    ids = _translation(base.classes, classes, where=base.name)
    known = {sample.name: sample for sample in base.samples}
    twice = {Path(row.file).stem for row in rows} & set(known)
    ours = [
        replace(row, further=_further(known[Path(row.file).stem])) if Path(row.file).stem in twice else row
        for row in rows
    ]
    return ours + [_take_over(work, sample, ids, base.name) for name, sample in known.items() if name not in twice]


def _further(sample: Sample) -> dict[str, str]:
    return {name: value for name, value in sample.columns.items() if name and name not in COLUMNS}


def _about_base(base: DataSet, exposures: Sequence[Exposure]) -> dict[str, Any]:
    """What dataset.yaml of the new set keeps of the base's."""
    source = f"{OUR_SOURCE}, mixed with {base.name}" + (f" ({base.source})" if base.source else "")
    kept = {"mm_per_px": _scale(base, exposures), "licence": base.licence, "source": source}
    return {name: value for name, value in kept.items() if value is not None}


def _scale(base: DataSet, exposures: Sequence[Exposure]) -> float | None:
    """The base's `mm_per_px` if our pictures have it too: a data set has one scale, and rendered parts have their own.

    A picture has it where the station measured its defects in millimetres at that scale. Where nothing was measured on
    it, it must be as large as one of the base's: then it may come from the same camera.
    """
    if base.mm_per_px is None:
        return None
    unmeasured = set[tuple[int, int]]()
    for exposure in exposures:
        longest = max(exposure.defects, key=lambda d: float(d.get("length_px") or 0), default={})
        if not longest.get("length_mm") or not longest.get("length_px"):
            unmeasured.add((exposure.width, exposure.height))
        elif not math.isclose(longest["length_mm"] / longest["length_px"], base.mm_per_px, rel_tol=SAME_SCALE):
            return None
    pictures = iter(base.samples)
    while unmeasured and (sample := next(pictures, None)) is not None:
        unmeasured.discard(picture_size(sample.image.read_bytes(), name=sample.image.name))
    return None if unmeasured else base.mm_per_px


def _take_over(work: Path, sample: Sample, ids: NDArray[np.uint8], origin: str) -> Row:
    """An image of the base set, and its mask with our class ids."""
    _link(sample.image, work / "images" / sample.image.name)
    if sample.mask is not None:
        target = work / "masks" / f"{sample.name}.png"
        if (ids == np.where(ids == IGNORE, IGNORE, np.arange(256))).all():  # the same ids: the file can stay as it is
            _link(sample.mask, target)
        else:
            mask = cv2.imdecode(np.frombuffer(sample.mask.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
            if mask is None or mask.ndim != 2 or mask.dtype != np.uint8:
                raise InvalidInput(
                    f"mask {sample.mask.name} of the base set is damaged or has not one channel of 8 bit"
                )
            target.write_bytes(png(ids[mask]))
    if sample.weight is not None:
        (work / WEIGHTS).mkdir(exist_ok=True)
        _link(sample.weight, work / WEIGHTS / sample.weight.name)
    origin = sample.columns.get("origin") or origin
    kept = sample.columns
    return Row(
        sample.image.name,
        sample.split,
        sample.part,
        sample.view,
        sample.group,
        origin,
        kept.get(FALSE_ALARMS, ""),
        kept.get(QUALITY, ""),
        _further(sample),
    )


def _link(source: Path, target: Path) -> None:
    """The same file once more, without a copy where the disk allows; our tools never change a file in place."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _check_sides(work: Path, rows: list[Row], least_parts: int) -> None:
    """Without labelled parts in train and val there is nothing to learn from or to judge by."""
    labelled = {(r.split, r.part) for r in rows if (work / "masks" / f"{Path(r.file).stem}.png").is_file()}
    have = Counter(split for split, _ in labelled)
    short = {split: least_parts - have[split] for split in ("train", "val") if have[split] < least_parts}
    if short:
        more = max(math.ceil(missing / SHARES[split]) for split, missing in short.items())
        words = ", ".join(f"{split} has {have[split]} and needs {missing} more" for split, missing in short.items())
        raise Conflict(
            f"too few labelled parts for a split ({words}); label about {more} more parts, or mix in a base set",
            missing=short,
        )


def _write_index(work: Path, rows: list[Row], about: Mapping[str, Any]) -> None:
    further = list(dict.fromkeys(name for row in rows for name in row.further))
    with (work / "split.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *further])
        for row in sorted(rows, key=lambda r: r.file):
            own = [getattr(row, column) for column in COLUMNS]
            writer.writerow([*own, *(row.further.get(name, "") for name in further)])
    text = yaml.safe_dump(dict(about), sort_keys=False, allow_unicode=True)
    (work / "dataset.yaml").write_text(text, encoding="utf-8")
