"""Data sets of LitData (`litdata.optimize`): read, written, and taken over into our own shards.

LitData does both; this says what a sample of ours is there. Reading needs the index, so that a stranger's set is first
asked how its values are coded: LitData also knows pickle, which runs code when it is opened, and that is refused.
Needs the extra `litdata`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from labeling.sources.items import Entry, Item, hash_of
from labeling.sources.places import place_at
from qc.errors import Conflict, InvalidInput, NotFound

INDEX = "index.json"
CHUNK_BYTES = 64 << 20
"""Of one file."""

CODED = ("bytes", "str", "int", "float")
"""How values may be coded; whatever else LitData knows holds arrays that we would not look at, or pickled objects."""


def items_of(folder: str, source: str) -> Iterator[Item]:
    """Samples of a LitData set that `write_items` wrote, or that have the same names; for `write_shards`.

    Each must have `image` (the bytes of an image file) and `file`, may have `mask`, `weight` (no bytes: none), columns
    of split.csv.

    Args:
        folder: where it lies; an s3:// or gs:// is read by LitData with this computer's identity.
        source: its name, for errors and manifests.

    Raises:
        InvalidInput: it is no such set, is compressed or encrypted, or its samples are of another kind.
    """
    _check(folder)
    with warnings.catch_warnings(action="ignore"):  # about its own optional parts
        from litdata import StreamingDataset
    for told in StreamingDataset(folder):
        image, file = told.pop("image", None), told.pop("file", None)
        if not isinstance(image, bytes) or not isinstance(file, str):
            raise InvalidInput(f"a sample of {folder} has no `image` (bytes of an image file) or no `file` (its name)")
        mask, weight = told.pop("mask", None) or None, told.pop("weight", None) or None
        row = {"file": file, **{str(k): str(v) for k, v in told.items()}}
        entry = Entry(file, row, hash_of(image, mask, weight), (folder, 0, len(image)))
        yield Item(source, entry, image, mask, weight)


def write_items(folder: Path, items: Iterable[Item], *, chunk_bytes: int = CHUNK_BYTES) -> int:
    """Write samples as a LitData set, in the order in which they come; how many. The index comes last.

    Raises:
        Conflict: a set lies there already.
        InvalidInput: no sample, or two with different columns: a LitData set has one kind of sample.
    """
    if (folder / INDEX).exists():
        raise Conflict(f"{folder} holds a LitData set already; choose another folder")
    with warnings.catch_warnings(action="ignore"):
        from litdata.streaming.writer import BinaryWriter
    folder.mkdir(parents=True, exist_ok=True)
    writer, columns, count = BinaryWriter(str(folder), chunk_bytes=chunk_bytes), None, 0
    for item in items:
        row = dict(item.entry.row)
        columns = columns or sorted(row)
        if sorted(row) != columns:
            raise InvalidInput(f"{item.entry.file} has the columns {sorted(row)}, samples before it {columns}")
        files = {"image": item.image, "mask": item.mask or b"", "weight": item.weight or b""}
        sample = {**row, "file": item.entry.file, **{name: bytes(data) for name, data in files.items()}}
        with warnings.catch_warnings(action="ignore"):  # that a file became larger than asked: nobody minds
            writer.add_item(count, sample)
        count += 1
    if not count:
        raise InvalidInput("there is no sample to write")
    writer.done()
    writer.merge(1)
    return count


def _check(folder: str) -> None:
    """Raises InvalidInput where reading would run code, or could not be understood."""
    try:
        told: Any = json.loads(place_at(folder).read(INDEX))
        config = told["config"]
        coded, hidden = config["data_format"], config["compression"] or config["encryption"]
    except NotFound as error:
        raise InvalidInput(f"{folder} is no LitData set: it has no {INDEX}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput(f"{INDEX} of {folder} is damaged: {error}") from error
    if hidden:
        raise InvalidInput(
            f"{folder} is compressed or encrypted ({hidden}); pictures are small already: write it without"
        )
    if foreign := sorted({str(one).partition(":")[0] for one in coded} - set(CODED)):
        raise InvalidInput(f"{folder} holds values coded as {', '.join(foreign)}; only {', '.join(CODED)} are read")
