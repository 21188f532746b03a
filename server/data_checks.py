"""Is a frozen data set fit to train on? Looked at before every training, and said in plain words in the job.

An error stops the training: it would teach, or measure, something false. A warning is told, and the training goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.dataset import IGNORE, DataSet, open_dataset
from qc.errors import InvalidInput

HASH_BITS = 256
"""Of a picture's fingerprint: 16 x 16 brightness steps, enough that two parts of one kind differ in some."""
SAME_BITS = 6
"""Fingerprints that differ in at most so many bits look alike: room for noise and for another compression."""
FLAT = 2.0
"""Grey levels: a picture with a smaller spread between cells has no structure to fingerprint."""
FEW_PARTS = 5
"""Parts that show a class in training, below which it is hardly learnt."""
LOPSIDED = 50.0
"""One class shown by so many times more parts than another is a warning."""
POLICY_SHIFT = 3.0
"""Median size of a class's defects beside the last training's: so much larger or smaller, people draw differently."""
SIDES = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about the data."""

    level: str
    """`error` or `warning`."""
    what: str
    """schema, duplicates, classes or policy."""
    words: str

    def as_json(self) -> dict[str, str]:
        """Plain values."""
        return {"level": self.level, "what": self.what, "words": self.words}


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found, and what the next check compares with."""

    remarks: tuple[Remark, ...]
    counts: dict[str, Any]
    """Parts and frames of each side; and of each class, by name: parts that show it in each side, and the median of its
    defects' areas, px. With a manifest that knows the label book: its version, when the set was frozen, and a hash of
    what it says of each class."""

    @property
    def fit(self) -> bool:
        """May a training begin?"""
        return not any(remark.level == "error" for remark in self.remarks)

    def words(self) -> str:
        """All remarks, errors first; one sentence where there is none."""
        ordered = sorted(self.remarks, key=lambda remark: remark.level)
        return "; ".join(f"{r.level}: {r.words}" for r in ordered) or "the data set has nothing wrong with it"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"fit": self.fit, "remarks": [r.as_json() for r in self.remarks], "counts": self.counts}


@dataclass(frozen=True, slots=True)
class _Row:
    """One labelled frame as the checks see it."""

    file: str
    side: str
    part: str
    print: NDArray[np.uint8]
    """`HASH_BITS` bits, packed; for a flat picture zero."""
    content: str
    """Hash of its pixels."""
    flat: bool
    areas: Mapping[int, Sequence[int]]
    """Class id -> areas of its drawn regions, px."""


def check_dataset(folder: Path, *, last: Mapping[str, Any] | None = None) -> Checked:
    """Look at a data set.

    Args:
        folder: as in the contract, section 2.
        last: `counts` of the data set of the training before, if there was one.

    Raises:
        InvalidInput: it cannot be opened at all, or a part or group stands on both sides; says which.
    """
    data = open_dataset(folder)
    remarks: list[Remark] = []
    rows = list(_rows(data, remarks))
    remarks += _duplicates(rows)
    book, drawn = _book(folder)
    counts = _counts(data, rows) | ({"book": book} if book else {})
    remarks += _classes(data, counts)
    remarks += _policy(counts, last)
    remarks += _other_rules(data, rows, counts, last, drawn)
    return Checked(tuple(remarks), counts)


def refuse_unfit(checked: Checked) -> None:
    """Raises InvalidInput, in plain words, where a training must not begin."""
    if not checked.fit:
        raise InvalidInput(f"the data set is not fit to train on: {checked.words()}")


def fingerprint(pixels: NDArray[Any]) -> tuple[NDArray[np.uint8], bool]:
    """`HASH_BITS` bits of a picture, packed, that noise, compression and scale leave as they are; and: is it flat?

    Is each of 16 x 17 cells brighter than its right neighbour (a difference hash, as Krawetz 2013)?
    """
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    side = round(HASH_BITS**0.5)
    small = cv2.resize(grey.astype(np.float32), (side + 1, side), interpolation=cv2.INTER_AREA)
    return np.packbits(small[:, 1:] > small[:, :-1]), bool(small.std() < FLAT)


def _rows(data: DataSet, remarks: list[Remark]) -> Iterator[_Row]:
    """Every labelled frame; one that cannot be read is remarked."""
    for frame in (frame for side in SIDES for frame in data.split(side)):
        try:
            picture, mask = frame.pixels(), frame.labels(data.classes)
        except InvalidInput as error:
            remarks.append(Remark("error", "schema", error.message))
            continue
        bits, flat = fingerprint(picture)
        yield _Row(
            file=frame.image.name,
            side=frame.split,
            part=frame.part,
            print=bits,
            content=f"{picture.shape} {hashlib.sha256(picture.tobytes()).hexdigest()}",
            flat=flat,
            areas={int(c): _areas(mask == c) for c in np.unique(mask) if c not in (0, IGNORE)},
        )


def _areas(mask: NDArray[np.bool_]) -> list[int]:
    stats = cv2.connectedComponentsWithStats(mask.astype(np.uint8))[2]
    return [int(area) for area in stats[1:, cv2.CC_STAT_AREA]]


def _duplicates(rows: Sequence[_Row]) -> list[Remark]:
    """The same picture under two names: on two sides an error. Pictures that look alike on two sides: a warning, as
    parts in a fixture look alike, too."""
    found = []
    same = list(_equal_pictures(rows))
    if across := [(a, b) for a, b in same if a.side != b.side]:
        a, b = across[0]
        told = f"{len(across)} pictures lie on both sides of the split, such as {a.file} ({a.side}) and {b.file} "
        told += f"({b.side}): what is measured would be remembered, not seen; give them one part or group"
        found.append(Remark("error", "duplicates", told))
    if within := [(a, b) for a, b in same if a.side == b.side]:
        a, b = within[0]
        told = f"{len(within)} pictures are there twice on one side, such as {a.file} and {b.file}: they count double"
        found.append(Remark("warning", "duplicates", told))
    if other := [(a, b) for a, b in same if set(a.areas) != set(b.areas)]:
        a, b = other[0]
        told = f"{len(other)} equal pictures are labelled differently, such as {a.file} and {b.file}"
        found.append(Remark("warning", "policy", told))
    alike = [(a, b) for a, b in _alike(rows) if a.side != b.side and a.part != b.part and a.content != b.content]
    if alike:
        a, b = alike[0]
        told = f"{len(alike)} pairs of pictures look alike across the split, such as {a.file} ({a.side}) and {b.file} "
        told += f"({b.side}): if they show one part, give them one group"
        found.append(Remark("warning", "duplicates", told))
    return found


def _equal_pictures(rows: Sequence[_Row]) -> Iterator[tuple[_Row, _Row]]:
    by_content: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        by_content[row.content].append(row)
    for equal in by_content.values():
        yield from ((equal[0], other) for other in equal[1:])


def _alike(rows: Sequence[_Row]) -> Iterator[tuple[_Row, _Row]]:
    rows = [row for row in rows if not row.flat]
    if not rows:
        return
    prints = np.stack([row.print for row in rows])
    for n, row in enumerate(rows[:-1]):
        apart = np.bitwise_count(prints[n + 1 :] ^ prints[n]).sum(axis=1)
        yield from ((row, rows[n + 1 + int(k)]) for k in np.flatnonzero(apart <= SAME_BITS))


def _counts(data: DataSet, rows: Sequence[_Row]) -> dict[str, Any]:
    classes: dict[str, Any] = {}
    for class_id, name in data.classes.items():
        showing = {side: len({r.part for r in rows if r.side == side and class_id in r.areas}) for side in SIDES}
        areas = [area for r in rows for area in r.areas.get(class_id, ())]
        classes[name] = {**showing, "median_area_px": float(np.median(areas)) if areas else None}
    return {
        "parts": {side: len({r.part for r in rows if r.side == side}) for side in SIDES},
        "frames": {side: sum(r.side == side for r in rows) for side in SIDES},
        "clean": {side: sum(r.side == side and not r.areas for r in rows) for side in SIDES},
        "classes": classes,
    }


def _classes(data: DataSet, counts: Mapping[str, Any]) -> list[Remark]:
    """Sides without parts, classes that are hardly there, and classes that crowd out others."""
    found = []
    if not counts["parts"]["train"]:
        found.append(Remark("error", "schema", "no labelled part is on the side train"))
    if not counts["parts"]["val"]:
        found.append(Remark("warning", "schema", "no labelled part is on the side val, so the threshold is a guess"))
    shown = {name: told["train"] for name, told in counts["classes"].items()}
    if counts["parts"]["train"] and not any(shown.values()):
        found.append(Remark("error", "classes", "no part of train shows a defect; label defective parts"))
        return found
    for name, number in shown.items():
        if 0 < number < FEW_PARTS:
            found.append(Remark("warning", "classes", f"only {number} parts of train show {name}: it is hardly learnt"))
        elif not number:
            found.append(Remark("warning", "classes", f"no part of train shows {name}: it is not learnt"))
    present = {name: number for name, number in shown.items() if number}
    if present:
        most, least = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
        if present[most] >= LOPSIDED * present[least]:
            told = f"{present[most]} parts of train show {most} and {present[least]} show {least}"
            found.append(Remark("warning", "classes", f"{told}: the rare one is learnt worse"))
    if counts["frames"]["train"] and not counts["clean"]["train"]:
        found.append(Remark("warning", "classes", "no frame of train is clean, so false alarms are not unlearnt"))
    return found


def _policy(counts: Mapping[str, Any], last: Mapping[str, Any] | None) -> list[Remark]:
    """Do people draw as they did before the last training?"""
    if last is None:
        return []
    found, before, now = [], last.get("classes", {}), counts["classes"]
    if gone := sorted(set(before) - set(now)):
        found.append(Remark("warning", "policy", f"class {gone[0]} was learnt last time and is known no more"))
    if fresh := sorted(set(now) - set(before)):
        found.append(Remark("warning", "policy", f"class {fresh[0]} was not known at the last training"))
    for name in sorted(set(before) & set(now)):
        old, new = before[name].get("median_area_px"), now[name].get("median_area_px")
        if old and new and not 1 / POLICY_SHIFT <= new / old <= POLICY_SHIFT:
            told = f"{name} is drawn {new / old:.2g} times as large as last time ({new:g} px against {old:g})"
            found.append(Remark("warning", "policy", f"{told}: was the rule of what counts changed?"))
    return found


def _book(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The label book of a frozen set, and when each picture was drawn on last, as ISO 8601; both empty without one."""
    file = folder / "manifest.json"
    told = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if not (book := told.get("book")):
        return {}, {}
    hashes = {
        name: hashlib.sha256(json.dumps(page, sort_keys=True).encode()).hexdigest()
        for name, page in book["classes"].items()
    }
    drawn = {f["file"]: max(label["at"] for label in f["labels"]) for f in told["frames"] if f.get("labels")}
    return {"version": book["version"], "frozen_at": told["frozen_at"], "classes": hashes}, drawn


def _other_rules(
    data: DataSet,
    rows: Sequence[_Row],
    counts: Mapping[str, Any],
    last: Mapping[str, Any] | None,
    drawn: Mapping[str, str],
) -> list[Remark]:
    """Were pictures drawn by what the label book said before its pages were changed?"""
    before, now = (last or {}).get("book"), counts.get("book")
    if not before or not now:
        return []
    found, since = [], datetime.fromisoformat(before["frozen_at"])
    for class_id, name in data.classes.items():
        if name not in before["classes"] or before["classes"][name] == now["classes"].get(name):
            continue
        showing = [row.file for row in rows if class_id in row.areas and row.file in drawn]
        old = [file for file in showing if datetime.fromisoformat(drawn[file]) <= since]
        if old:
            told = f"the label book says something else of {name} than at the last training (version "
            told += (
                f"{before['version']}, now {now['version']}), and {len(old)} of {len(showing)} pictures that show it "
            )
            told += f"were drawn before that, such as {old[0]}: look whether they still hold"
            found.append(Remark("warning", "policy", told))
    return found


def counts_of(file: Path) -> dict[str, Any] | None:
    """The counts in the report of an earlier check; None where there is none that can be read."""
    try:
        told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["counts"]
    except (OSError, ValueError, KeyError):
        return None
    return told
