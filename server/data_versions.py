"""Versions of the data set that retrainings froze: what each holds, and what changed from one to another.

Each lies under `QC_HOME/retraining/JOB/dataset`. Pictures of old ones are removed (`server.retraining.tidy`); their
manifests and splits stay, so that versions can be told apart for as long as the server lives.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from labeling.manifest import Difference, MaskChange, diff
from qc.errors import NotFound

MOST = 100
"""In the list; jobs older than these are found in the trail."""

JOB = re.compile(r"[0-9a-f-]{36}")
"""A job's id, and the name of its folder."""


@dataclass(frozen=True, slots=True)
class Version:
    """A frozen data set."""

    job: str
    """The retraining that froze it."""
    id: str
    """`sha256:…` of its content."""
    frozen_at: datetime
    images: int
    labelled: int
    parts: Mapping[str, int]
    """Parts on each side: train, val, test."""
    drawings: int
    """Drawings of people that it holds."""
    people: int
    """Who drew them, counted."""
    erased: int
    """Images that were removed on somebody's wish, after it was frozen."""
    kept: bool
    """Are its pictures still there?"""


def versions(home: Path) -> list[Version]:
    """The newest first; a retraining that has not frozen its labels yet is left out."""
    found = sorted((home / "retraining").glob("*/dataset/manifest.json"), reverse=True)  # ids of jobs sort by time
    return [_version(file) for file in found[:MOST] if JOB.fullmatch(file.parents[1].name)]


def folder(home: Path, job: str) -> Path:
    """Of the data set that a retraining froze; raises NotFound."""
    found = home / "retraining" / job / "dataset"
    if not JOB.fullmatch(job) or not (found / "manifest.json").is_file():
        raise NotFound(f"no retraining {job} has frozen a data set here")
    return found


def difference(before: Path, after: Path) -> tuple[Difference, bool]:
    """What changed from one version to another, and whether the masks themselves were looked at.

    Where the pictures of one are gone, hashes say which masks changed, but not what was drawn on them.
    """
    if _kept(before) and _kept(after):
        return diff(before, after), True
    old, new = _manifest(before), _manifest(after)
    a, b = _hashes(old, "images"), _hashes(new, "images")
    m, n = _hashes(old, "masks"), _hashes(new, "masks")
    both = [name for name in sorted(a) if name in b]
    sides, now = _sides(before), _sides(after)
    told = Difference(
        added=tuple(sorted(b.keys() - a.keys())),
        removed=tuple(sorted(a.keys() - b.keys())),
        pictures=tuple(name for name in both if a[name] != b[name]),
        labelled=tuple(name for name in both if name not in m and name in n),
        unlabelled=tuple(name for name in both if name in m and name not in n),
        masks=tuple(MaskChange(name, {}, {}, 0) for name in both if name in m and name in n and m[name] != n[name]),
        moved={part: (sides[part], side) for part, side in now.items() if sides.get(part, side) != side},
    )
    return replace(told, book=_book_changes(old, new)), False


def _version(file: Path) -> Version:
    return replace(_counted(file, file.stat().st_mtime_ns), kept=_kept(file.parent))


@lru_cache(maxsize=2 * MOST)
def _counted(file: Path, _written: int) -> Version:
    """A manifest names every file with its hash: it is read once for as long as nobody writes it anew."""
    told, root = _manifest(file.parent), file.parent
    drawings = [label for frame in told["frames"] for label in frame.get("labels", [])]
    sides = Counter(_sides(root).values())
    return Version(
        job=root.parent.name,
        id=str(told["id"]),
        frozen_at=datetime.fromisoformat(told["frozen_at"]),
        images=len(_hashes(told, "images")),
        labelled=len(_hashes(told, "masks")),
        parts={side: sides[side] for side in ("train", "val", "test")},
        drawings=len(drawings),
        people=len({label["by"] for label in drawings}),
        erased=int(told.get("erased", 0)),
        kept=False,
    )


def _manifest(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    return found


def _kept(root: Path) -> bool:
    return (root / "images").is_dir() and (root / "masks").is_dir()


def _hashes(told: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Image name to the hash of its file of a kind."""
    return {Path(name).stem: digest for name, digest in told["files"].items() if Path(name).parts[0] == kind}


def _sides(root: Path) -> dict[str, str]:
    """Part to train, val or test."""
    try:
        with (root / "split.csv").open(newline="", encoding="utf-8") as reading:
            return {row["part"]: row["split"] for row in csv.DictReader(reading)}
    except FileNotFoundError:
        return {}


def _book_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Classes that the label book says something else of; examples do not count."""
    a, b = (
        {n: (p["definition"], p["limits"]) for n, p in dict(t.get("book", {})).get("classes", {}).items()}
        for t in (old, new)
    )
    return tuple(sorted(name for name in {*a, *b} if a.get(name) != b.get(name)))
