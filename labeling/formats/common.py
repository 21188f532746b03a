"""What all formats share: a folder that appears whole or not at all, and a data set built sample by sample."""

from __future__ import annotations

import csv
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from labeling.manifest import write_manifest
from labeling.push import png
from qc.dataset import DataSet, Sample, open_dataset
from qc.errors import Conflict, InvalidInput
from qc.frame import FORMATS, picture_size
from qc.given import GIVEN_FILE

Mask = NDArray[np.uint8]

ENDINGS = frozenset(e for endings in FORMATS.values() for e in endings)


@dataclass(slots=True)
class Passed:
    """What came through, and what the format has no place for."""

    images: int = 0
    defects: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    """A few words to how many: what was left out or changed."""

    def lose(self, what: str, count: int = 1) -> None:
        """Note that something did not come through."""
        if count:
            self.lost[what] = self.lost.get(what, 0) + count

    def sentences(self) -> list[str]:
        """In words."""
        return [f"{self.images} images, {self.defects} defects", *[f"{n} {what}" for what, n in self.lost.items()]]


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A working folder that becomes `out` at the end, and vanishes if anything goes wrong.

    Raises:
        Conflict: `out` exists.
    """
    out = Path(out)
    if out.exists():
        raise Conflict(f"{out} exists already; choose another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    work = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}"
    work.mkdir()
    try:
        yield work
        os.rename(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def link(source: Path, target: Path) -> None:
    """The same file once more, without a copy where the disk allows."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def pieces(mask: Mask, class_id: int) -> Iterator[tuple[tuple[int, int, int, int], NDArray[np.bool_]]]:
    """Every connected region (8 neighbours) of a class, specks included: (x, y, width, height) and its pixels."""
    number, labels, stats, _ = cv2.connectedComponentsWithStats((mask == class_id).astype(np.uint8), connectivity=8)
    for k in range(1, number):
        x, y, w, h = (int(v) for v in stats[k, :4])
        yield (x, y, w, h), labels[y : y + h, x : x + w] == k


def size_of(image: Path) -> tuple[int, int]:
    """(height, width) of a picture file without decoding it; raises InvalidInput."""
    try:
        with image.open("rb") as file:
            width, height = picture_size(file.read(), name=image.name)
    except OSError as error:
        raise InvalidInput(f"{image.name} cannot be read: {error}") from error
    return height, width


class Builder:
    """A data set (contracts, section 2) in the making."""

    def __init__(self, root: Path, classes: Mapping[int, str], *, name: str, source: str) -> None:
        self.root, self.classes, self.name, self.source = root, dict(sorted(classes.items())), name, source
        self._rows: list[dict[str, str]] = []
        self._stems = set[str]()
        (root / "images").mkdir()
        (root / "masks").mkdir()

    def add(
        self,
        image: Path,
        mask: Mask | None,
        *,
        split: str,
        part: str = "",
        view: str = "",
        group: str = "",
        stem: str = "",
    ) -> None:
        """One image with its mask; None: not labelled. Raises InvalidInput where a name comes twice."""
        stem = stem or image.stem
        if stem in self._stems:
            raise InvalidInput(f"two images are called {stem}; rename one, their masks would be one file")
        if image.suffix.lower() not in ENDINGS:
            raise InvalidInput(f"{image.name} is not a JPEG, PNG, BMP or TIFF")
        self._stems.add(stem)
        file = stem + image.suffix
        link(image, self.root / "images" / file)
        if mask is not None:
            (self.root / "masks" / f"{stem}.png").write_bytes(png(mask))
        self._rows.append(
            {"file": file, "split": split, "part": part or stem, "view": view, "group": group or part or stem}
        )

    def finish(self) -> None:
        """Write the index and the manifest; raises InvalidInput if the whole makes no sense."""
        if not self._rows:
            raise InvalidInput("there is no image in it")
        with (self.root / "split.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["file", "split", "part", "view", "group"])
            writer.writeheader()
            writer.writerows(sorted(self._rows, key=lambda r: r["file"]))
        about = {"name": self.name, "classes": self.classes, "source": self.source}
        (self.root / "dataset.yaml").write_text(
            yaml.safe_dump(about, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
        open_dataset(self.root)
        write_manifest(self.root, now=datetime.now(UTC))


OWN = frozenset({"file", "split", "part", "view", "group"})
"""Columns of split.csv that every data set has, written or not."""


def lose_the_rest(passed: Passed, data: DataSet, written: Sequence[Sample], *, parts: bool, licence: bool) -> None:
    """Count what a data set knows beside pixels, classes and sides, and an export does not hold.

    Args:
        passed: told how many images, or facts, lose what.
        written: the images of the export.
        parts: part, view and group are in it.
        licence: so is the licence.
    """
    if not parts:
        known = sum((s.part, s.view, s.group) != (s.name, "", s.name) for s in written)
        passed.lose("images whose part, view or group is left out", known)
    for column in dict.fromkeys(name for s in written for name in s.columns):
        if column and column not in OWN:
            passed.lose(f"images whose {column} is left out", sum(bool(s.columns.get(column)) for s in written))
    passed.lose("images whose trust in labels (weights) is left out", sum(s.weight is not None for s in written))
    facts = {
        "mm_per_px": data.mm_per_px,
        "licence": None if licence else data.licence,
        "source": data.source,
        "mix": data.mixing,
    }
    for name, value in facts.items():
        passed.lose(f"{name} of dataset.yaml left out", int(value is not None))
    passed.lose(f"{GIVEN_FILE} left out", int((data.root / GIVEN_FILE).is_file()))


def plain_name(text: object, *, what: str) -> str:
    """A name that leads to no other folder; raises InvalidInput."""
    name = str(text)
    if not name or Path(name).name != name or name in (".", ".."):
        raise InvalidInput(f"{what} {name!r} is not a plain name")
    return name


def columns(sample: Sample) -> dict[str, str]:
    """What a data set knows of an image beside its pixels."""
    return {"part": sample.part, "view": sample.view, "group": sample.group}
