"""A data-set folder (contracts, section 2) as a source, wherever it lies: images/, masks/, split.csv, dataset.yaml."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import yaml

from labeling.sources.items import Entry, hash_of
from labeling.sources.places import Place
from labeling.sources.reading import Index, Ranges
from qc.dataset import SPLITS, WEIGHTS
from qc.errors import InvalidInput, NotFound, Unavailable
from qc.plain_yaml import parsed

READ_TOGETHER = 16
"""Images that are read side by side when a folder is opened."""


def open_folder(place: Place) -> Ranges:
    """Read the index of a data-set folder, and every file of it once for its hash.

    A set of which the hashes are known without reading it is one of shards (`labeling.sources.shards`).

    Raises:
        InvalidInput: `dataset.yaml` or `split.csv` makes no sense, or names a file that is not there.
        Unavailable: the place does not answer.
    """
    classes = classes_of(_text(place, "dataset.yaml"))
    rows = list(csv.DictReader(io.StringIO(_text(place, "split.csv").removeprefix("﻿"))))
    masks, weights = (set(place.names(folder)) for folder in ("masks", WEIGHTS))
    plain = []
    for number, row in enumerate(rows, start=2):
        told = {k: (v or "").strip() for k, v in row.items() if k is not None}
        file = told.get("file", "")
        if not file or PurePosixPath(file).name != file or told.get("split") not in SPLITS:
            raise InvalidInput(f"split.csv line {number}: a plain file name and one of {SPLITS} are needed")
        stem = PurePosixPath(file).stem
        mask, weight = f"masks/{stem}.png", f"{WEIGHTS}/{stem}.png"
        plain.append(
            Entry(
                file,
                told,
                sha256="",
                image=(f"images/{file}", 0, -1),
                mask=(mask, 0, -1) if mask in masks else None,
                weight=(weight, 0, -1) if weight in weights else None,
            )
        )
    if not plain:
        raise InvalidInput("split.csv lists no image")
    reader = Ranges(place, Index(classes, tuple(plain)))
    entries: list[Entry] = []
    with ThreadPoolExecutor(READ_TOGETHER) as pool:
        for begin in range(0, len(plain), READ_TOGETHER):
            some = plain[begin : begin + READ_TOGETHER]
            try:
                files = reader.files(some, pool)
            except NotFound as error:
                raise InvalidInput(f"split.csv lists a file that is not there: {error.message}") from error
            entries += (replace(entry, sha256=hash_of(*one)) for entry, one in zip(some, files, strict=True))
    return Ranges(place, Index(classes, tuple(entries)))


def classes_of(text: str) -> dict[int, str]:
    """The classes that a dataset.yaml declares; raises InvalidInput."""
    try:
        about: Any = parsed(text)
    except yaml.YAMLError as error:
        raise InvalidInput(f"dataset.yaml cannot be read: {error}") from error
    classes = about.get("classes") if isinstance(about, dict) else None
    if not isinstance(classes, dict) or not all(isinstance(k, int) and 1 <= k < 255 for k in classes):
        raise InvalidInput("dataset.yaml must have classes with ids from 1 to 254, such as {1: scratch}")
    return {k: str(v) for k, v in sorted(classes.items())}


def _text(place: Place, name: str) -> str:
    try:
        return place.read(name).decode("utf-8")
    except NotFound as error:
        raise InvalidInput(f"this is no data set: it has no {name}") from error
    except UnicodeDecodeError as error:
        raise Unavailable(f"{name} is not UTF-8: {error}") from error


def as_json(entry: Entry) -> dict[str, Any]:
    """An entry for an index file."""
    return {
        "file": entry.file,
        "row": dict(entry.row),
        "sha256": entry.sha256,
        "image": entry.image,
        "mask": entry.mask,
        "weight": entry.weight,
    }


def from_json(told: Any) -> Entry:
    """An entry of an index file; raises InvalidInput."""
    try:
        image, mask, weight = (
            None if one is None else _place(one) for one in (told["image"], told["mask"], told["weight"])
        )
        if image is None or len(told["sha256"]) != 64:
            raise ValueError(f"{told['file']} has no image or no hash")
        row = {str(k): str(v) for k, v in told["row"].items()}
        return Entry(str(told["file"]), row, str(told["sha256"]), image, mask, weight)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"the index of the shards makes no sense: {error!r}") from error


def dumped(content: dict[str, Any]) -> bytes:
    """JSON, as small as it can be said."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def _place(one: Any) -> tuple[str, int, int]:
    name, start, size = one
    if int(start) < 0 or int(size) < 0:
        raise ValueError(f"{name} has no part from {start} of {size} bytes")
    return str(name), int(start), int(size)
