"""Shards: many samples in one tar file, as WebDataset reads it, and beside them an index that says where each lies.

    shard-00000.tar    scratch-1.png, scratch-1.mask.png, scratch-1.json, scratch-2.png, …
    shards.json        classes; for each sample its row of split.csv, its hash; of its files shard, first byte, bytes

The tar files are plain and not compressed: pictures are already, and so a sample is read by where it lies, with one
request for neighbours, without anything before it. `tar tf` and WebDataset read them without the index.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from typing import Any

from labeling.sources.folders import as_json, dumped, from_json
from labeling.sources.items import Bytes, Entry, Item
from labeling.sources.places import Place
from labeling.sources.reading import Index, Ranges
from qc.errors import Conflict, InvalidInput, NotFound

INDEX = "shards.json"
FORMAT = "qc-shards/1"
SHARD_BYTES = 64 << 20
"""Large enough that opening a file costs nothing beside reading it, small enough to be held in memory while written."""

_STEM = str.maketrans({".": "_", "/": "_"})
"""In WebDataset whatever stands behind the first dot says which file of a sample it is."""


def write_shards(
    place: Place, items: Iterable[Item], classes: dict[int, str], *, shard_bytes: int = SHARD_BYTES
) -> Index:
    """Write samples as shards, in the order in which they come; the index comes last, so half a set is none.

    Raises:
        Conflict: shards lie there already, or two samples have one name.
        Unavailable: the place refuses.
    """
    if _there(place):
        raise Conflict(f"{INDEX} is there already; shards are never changed, choose another folder")
    entries: list[Entry] = []
    shard, number, stems = _Shard(0), 0, set[str]()
    for item in items:
        stem = item.entry.file.rpartition(".")[0].translate(_STEM)
        if stem in stems:
            raise Conflict(f"two samples would be {stem} in the shards; rename {item.entry.file}")
        stems.add(stem)
        if shard.size and shard.size + len(item.image) > shard_bytes:
            place.write(shard.name, shard.done())
            number += 1
            shard = _Shard(number)
        entries.append(shard.add(stem, item))
    if not entries:
        raise InvalidInput("there is no sample to write")
    place.write(shard.name, shard.done())
    index = Index(dict(classes), tuple(entries))
    told = {"format": FORMAT, "classes": classes, "samples": [as_json(entry) for entry in entries]}
    place.write(INDEX, dumped(told))
    return index


def open_shards(place: Place) -> Ranges:
    """Open shards by their index; nothing else is read. Raises InvalidInput, Unavailable."""
    try:
        told: Any = json.loads(place.read(INDEX))
    except NotFound as error:
        raise InvalidInput(
            f"these are no shards: there is no {INDEX}; `qc data pack` writes shards from a folder"
        ) from error
    except ValueError as error:
        raise InvalidInput(f"{INDEX} is damaged: {error}") from error
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise InvalidInput(f"{INDEX} is of another version; write the shards again")
    try:
        classes = {int(k): str(v) for k, v in told["classes"].items()}
        samples = list(told["samples"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"{INDEX} is damaged: {error!r}") from error
    return Ranges(place, Index(classes, tuple(from_json(one) for one in samples)))


class _Shard:
    def __init__(self, number: int) -> None:
        self.name = f"shard-{number:05d}.tar"
        self._bytes = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._bytes, mode="w", format=tarfile.USTAR_FORMAT)

    @property
    def size(self) -> int:
        return self._bytes.tell()

    def add(self, stem: str, item: Item) -> Entry:
        entry = item.entry
        ending = entry.file.rpartition(".")[2].lower()
        image = self._file(f"{stem}.{ending}", item.image)
        mask, weight = (
            None if data is None else self._file(f"{stem}.{what}.png", data)
            for what, data in (("mask", item.mask), ("weight", item.weight))
        )
        self._file(f"{stem}.json", dumped({"sha256": entry.sha256, **entry.row}))
        return Entry(entry.file, entry.row, entry.sha256, image, mask, weight)

    def done(self) -> bytes:
        self._tar.close()
        return self._bytes.getvalue()

    def _file(self, name: str, data: Bytes) -> tuple[str, int, int]:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self._tar.addfile(info, io.BytesIO(data))
        padded = -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        return self.name, self._bytes.tell() - padded, len(data)


def _there(place: Place) -> bool:
    try:
        place.read(INDEX)
    except NotFound:
        return False
    return True
