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
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import ColumnElement
from sqlmodel import Session

from labeling import book
from labeling.base_set import COLUMNS, OUR_SOURCE, Row, about_base, mixed
from labeling.formats.common import link
from labeling.manifest import write_manifest
from labeling.masks import Labels, confirmed_false_alarms, whole_labels
from labeling.people import newest_of_each
from labeling.push import png
from qc.dataset import WEIGHTS, open_dataset
from qc.errors import Conflict
from qc.frame import FORMATS
from qc.given import GIVEN_FILE
from qc.ports import BlobStore
from qc.records import Exposure

SHARES = {"train": 0.70, "val": 0.15, "test": 0.15}
"""Of the parts; enough to train on, and two sides of equal size to judge by."""


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
    which: Sequence[ColumnElement[bool]] = (),
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
            split.csv are kept, and its `mm_per_px` where the labelled pictures are of that scale too (`base_set`).
        least_parts: labelled parts that train and val must each have; test may still be empty.
        which: conditions on the label tasks that count; all of them where nothing is said.
        name: of the set; by default that of the folder.

    Raises:
        Conflict: `out` exists; nothing is labelled; or a side has too few parts (the message says how many).
        InvalidInput: a class of an annotation or of `base` is not among `classes`, or a mask has not its crop's size.
    """
    out = Path(out)
    if out.exists():
        raise Conflict(f"{out} exists already; a frozen data set is never overwritten, choose another folder")
    mixed_in = None if base is None else open_dataset(base)
    exposures = _labelled(session, which)
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
            rows = mixed(work, rows, mixed_in, classes)
            about |= about_base(mixed_in, [exposure for exposure, _ in exposures])
            if (mixed_in.root / GIVEN_FILE).is_file():
                link(mixed_in.root / GIVEN_FILE, work / GIVEN_FILE)
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


def _labelled(session: Session, which: Sequence[ColumnElement[bool]]) -> list[tuple[Exposure, Labels]]:
    """Exposures with annotations: of each person the newest on each crop; crops in the order they were finished."""
    by_exposure = dict[tuple[str, int], Labels]()
    for task, rows in newest_of_each(session, *which):
        by_exposure.setdefault((task.inspection_id, task.n), []).extend((task, row) for row in rows)
    found = [(session.get(Exposure, key), labels) for key, labels in sorted(by_exposure.items(), key=lambda i: i[0])]
    return [(exposure, labels) for exposure, labels in found if exposure is not None]


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
