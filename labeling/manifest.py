"""A version of a data set: the hash of every file, and what changed from one version to the next."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from labeling.evidence import counted
from qc.dataset import DataSet, Sample, open_dataset
from qc.durable import write_whole
from qc.errors import Conflict, InvalidInput

NAME = "manifest.json"


def file_hashes(root: Path) -> dict[str, str]:
    """SHA-256 of every file below `root` but the manifest itself, by its path with forward slashes."""
    found = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file() and p != root / NAME):
        with path.open("rb") as file:
            found[path.relative_to(root).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def write_manifest(
    root: Path, *, now: datetime, frames: Sequence[Mapping[str, Any]] = (), book: Mapping[str, Any] | None = None
) -> str:
    """Write `manifest.json`: every file's hash, where each label comes from, and an id, the hash of all that.

    Args:
        root: a data set that nobody writes to any more.
        now: kept, and not part of the id: the same content has the same id whenever it was frozen.
        frames: who labelled what, when, where it is known.
        book: the label book as it held (`labeling.book.snapshot`), where there is one.

    Returns:
        The id, `sha256:…`.

    Raises:
        Conflict: there is a manifest already; a version never changes.
    """
    if (root / NAME).exists():
        raise Conflict(f"{root} has a manifest already; a version of a data set is never changed, make a new one")
    content: dict[str, Any] = {"files": file_hashes(root), "frames": [dict(frame) for frame in frames]}
    if book is not None:
        content["book"] = dict(book)
    version = _id(content)
    write_whole(root / NAME, json.dumps({"id": version, "frozen_at": now.isoformat(), **content}, indent=1))
    return version


def _id(content: Mapping[str, Any]) -> str:
    return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"


def _content(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the id is the hash of."""
    content: dict[str, Any] = {"files": dict(manifest["files"]), "frames": list(manifest["frames"])}
    if "book" in manifest:
        content["book"] = dict(manifest["book"])
    return content


def after_erasure(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a data set from which somebody was erased: its id stays, as models name it; `after_erasure` is
    the hash of what is left."""
    return {**manifest, "after_erasure": _id(_content({"files": {}, "frames": [], **manifest}))}


def read_manifest(root: Path) -> dict[str, Any]:
    """The manifest of a data set; raises InvalidInput if it has none, or one that is damaged or was altered."""
    try:
        found = json.loads((root / NAME).read_text(encoding="utf-8"))
        content, version = _content(found), str(found["id"])
    except FileNotFoundError as error:
        raise InvalidInput(f"{root} has no manifest; freeze it with `qc data freeze {root}`") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"the manifest of {root} is damaged: {error}") from error
    if _id(content) not in (version, found.get("after_erasure")):
        raise InvalidInput(f"the manifest of {root} was altered: its content has another hash than it says")
    return dict(found)


def check(root: Path) -> list[str]:
    """What differs between a frozen data set and its manifest, one sentence for each file; empty if nothing."""
    said, is_there = read_manifest(root)["files"], file_hashes(root)
    wrong = [f"{name} is missing" for name in sorted(said.keys() - is_there.keys())]
    wrong += [f"{name} was added" for name in sorted(is_there.keys() - said.keys())]
    return wrong + [f"{name} was changed" for name in sorted(said) if is_there.get(name, said[name]) != said[name]]


@dataclass(frozen=True, slots=True)
class MaskChange:
    """How the labels of one image differ between two versions."""

    image: str
    defects_before: Mapping[str, int]
    """Class name to number of drawn defects."""
    defects_after: Mapping[str, int]
    changed_px: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed from one version of a data set to another. Images by their names without endings."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    """Images whose pixels are not the same file any more."""
    labelled: tuple[str, ...] = ()
    """Images that had no labels before."""
    unlabelled: tuple[str, ...] = ()
    masks: tuple[MaskChange, ...] = ()
    moved: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Part to (side before, side after): figures measured before and after cannot be compared."""
    classes_added: tuple[str, ...] = ()
    classes_removed: tuple[str, ...] = ()
    book: tuple[str, ...] = ()
    """Classes that the label book says something else of: drawings may differ because people were told otherwise."""

    @property
    def is_empty(self) -> bool:
        """Are the two the same?"""
        return self == Difference()

    def sentences(self) -> list[str]:
        """In words, one line each."""
        counts = {
            "images added": self.added,
            "images removed": self.removed,
            "pictures replaced": self.pictures,
            "images newly labelled": self.labelled,
            "images whose labels were taken away": self.unlabelled,
            "images labelled differently": self.masks,
            "parts on another side of the split": self.moved,
            "classes added": self.classes_added,
            "classes removed": self.classes_removed,
            "classes that the label book says something else of": self.book,
        }
        lines = [f"{len(found)} {words}" for words, found in counts.items() if found]
        lines += [f"part {part} moved from {a} to {b}" for part, (a, b) in self.moved.items()]
        lines += [f"{change.image}: {change.changed_px} px, {_change(change)}" for change in self.masks]
        return lines or ["the two versions are the same"]


def _change(change: MaskChange) -> str:
    names = sorted({*change.defects_before, *change.defects_after})
    words = [f"{n} {change.defects_before.get(n, 0)} to {change.defects_after.get(n, 0)}" for n in names]
    return ", ".join(words) or "no defects"


def diff(before: Path, after: Path) -> Difference:
    """What changed between two data sets. Masks are compared by class names, so that renumbering is no change.

    Raises:
        InvalidInput: one of them is no data set.
    """
    old, new = open_dataset(before), open_dataset(after)
    a, b = {s.name: s for s in old.samples}, {s.name: s for s in new.samples}
    both = [name for name in a if name in b]
    masks = []
    for name in both:
        if a[name].mask is not None and b[name].mask is not None:
            change = _mask_change(old, a[name], new, b[name])
            if change is not None:
                masks.append(change)
    sides = {s.part: s.split for s in old.samples}
    moved = {s.part: (sides[s.part], s.split) for s in new.samples if sides.get(s.part, s.split) != s.split}
    return Difference(
        added=tuple(sorted(b.keys() - a.keys())),
        removed=tuple(sorted(a.keys() - b.keys())),
        pictures=tuple(n for n in both if _differ(a[n].image, b[n].image)),
        labelled=tuple(n for n in both if a[n].mask is None and b[n].mask is not None),
        unlabelled=tuple(n for n in both if a[n].mask is not None and b[n].mask is None),
        masks=tuple(masks),
        moved=moved,
        classes_added=tuple(sorted(set(new.classes.values()) - set(old.classes.values()))),
        classes_removed=tuple(sorted(set(old.classes.values()) - set(new.classes.values()))),
        book=tuple(sorted(_book_changes(_pages(before), _pages(after)))),
    )


def _pages(root: Path) -> dict[str, Any]:
    """Class name to what its manifest's label book says of it; examples do not count."""
    if not (root / NAME).exists():
        return {}
    classes = read_manifest(root).get("book", {}).get("classes", {})
    return {name: (page["definition"], page["limits"]) for name, page in classes.items()}


def _book_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def _differ(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return True
    return not one.samefile(other) and one.read_bytes() != other.read_bytes()


def _mask_change(old: DataSet, a: Sample, new: DataSet, b: Sample) -> MaskChange | None:
    assert a.mask is not None
    assert b.mask is not None
    if old.classes == new.classes and not _differ(a.mask, b.mask):
        return None
    before, after = a.labels(old.classes), b.labels(new.classes)
    ids = {name: class_id for class_id, name in new.classes.items()}
    fresh = iter(sorted(set(range(1, 255)) - set(new.classes)))
    table = np.arange(256, dtype=np.uint8)
    for class_id, name in old.classes.items():
        table[class_id] = ids[name] if name in ids else next(fresh)
    same_shape = before.shape == after.shape
    changed = int((table[before] != after).sum()) if same_shape else max(before.size, after.size)
    if not changed:
        return None
    return MaskChange(a.name, counted(before, old.classes), counted(after, new.classes), changed)
