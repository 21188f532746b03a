"""Shards of squirrel-core (`MessagepackDriver`): read, written, and taken over into our own.

A shard is one file `KEY.gz`: gzip over msgpack maps, one after the other; arrays as msgpack-numpy writes them. There is
no index and no way into the middle of a shard, so that a whole one is unpacked for any sample of it.
Needs the extra `stores` (msgpack).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from labeling.sources.items import Entry, Item, hash_of
from labeling.sources.places import Place
from qc.errors import InvalidInput

ENDING = ".gz"
GZIP = 16 + zlib.MAX_WBITS
"""Tells zlib that a gzip header comes first."""


def keys(place: Place) -> list[str]:
    """The shards' names, sorted."""
    return sorted(name.removesuffix(ENDING) for name in place.names() if name.endswith(ENDING))


def read_shard(data: bytes, *, name: str = "shard") -> Iterator[dict[str, Any]]:
    """The samples of a shard, in its order; the file is unpacked at once, not by small pieces.

    Raises:
        InvalidInput: it is damaged, or cut off.
    """
    import msgpack

    try:
        unpacked = _unzip(data)
        unpacker = msgpack.Unpacker(
            object_hook=_array, use_list=False, strict_map_key=False, max_buffer_size=max(len(unpacked), 1)
        )
        unpacker.feed(unpacked)
        whole = 0
        for sample in unpacker:
            whole = unpacker.tell()
            yield sample
    except (zlib.error, ValueError, msgpack.UnpackException) as error:
        raise InvalidInput(f"{name} is no shard of squirrel, or damaged: {error}") from error
    if whole != len(unpacked):
        raise InvalidInput(f"{name} is cut off after {whole} of {len(unpacked)} bytes")


def written(samples: Iterable[Mapping[str, Any]], *, level: int = 1) -> bytes:
    """Samples as squirrel's shard.

    Args:
        samples: names to bytes, text, numbers and numpy arrays.
        level: of gzip, 0 to 9; what is compressed already becomes no smaller whatever it costs.
    """
    import msgpack

    packer = msgpack.Packer(default=_told, use_bin_type=True)
    return gzip.compress(b"".join(packer.pack(dict(one)) for one in samples), compresslevel=level, mtime=0)


def items_of(place: Place, source: str) -> Iterator[Item]:
    """Samples of squirrel's shards that `write_items` wrote, or that have the same names; for `write_shards`.

    Each must have `image` (the bytes of an image file) and `file`, may have `mask`, `weight`, columns of split.csv.

    Raises:
        InvalidInput: a shard is damaged, or a sample lacks its image or its name.
    """
    for key in keys(place):
        name = f"{key}{ENDING}"
        for told in read_shard(place.read(name), name=name):
            image, file = told.pop("image", None), told.get("file")
            if not isinstance(image, bytes) or not isinstance(file, str):
                raise InvalidInput(
                    f"a sample of {name} has no `image` (bytes of an image file) or no `file` (its name)"
                )
            mask, weight = told.pop("mask", None), told.pop("weight", None)
            row = {str(k): str(v) for k, v in told.items()}
            entry = Entry(file, row, hash_of(image, mask, weight), (name, 0, len(image)))
            yield Item(source, entry, image, mask, weight)


def write_items(place: Place, items: Iterable[Item], *, shard_samples: int = 100) -> list[str]:
    """Write samples as squirrel's shards; their keys.

    Args:
        place: where.
        items: what, in this order.
        shard_samples: samples of one shard.
    """
    keys, waiting = list[str](), list[dict[str, Any]]()

    def write() -> None:
        keys.append(f"shard-{len(keys):05d}")
        place.write(f"{keys[-1]}{ENDING}", written(waiting))
        waiting.clear()

    for item in items:
        more = {k: bytes(v) for k, v in (("mask", item.mask), ("weight", item.weight)) if v is not None}
        waiting.append({**item.entry.row, "file": item.entry.file, "image": bytes(item.image), **more})
        if len(waiting) == shard_samples:
            write()
    if waiting:
        write()
    return keys


def _unzip(data: bytes) -> bytes:
    """All members of a gzip file."""
    parts = []
    while data:
        member = zlib.decompressobj(GZIP)
        parts.append(member.decompress(data))
        if not member.eof:
            raise ValueError("its gzip ends too early")
        data = member.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _array(told: dict[Any, Any]) -> Any:
    """What msgpack-numpy makes of an array or a number, back."""
    flag = told.get("nd", told.get(b"nd"))
    if flag is None:
        return told
    get = {k if isinstance(k, str) else k.decode(): v for k, v in told.items()}
    kind, dtype = get.get("kind", b""), get["type"]
    if kind in (b"O", "O"):
        raise ValueError("it holds pickled objects, which are not read")
    if isinstance(dtype, tuple | list):
        raise ValueError("it holds arrays of records, which are not read")
    made = np.frombuffer(get["data"], np.dtype(dtype))
    return made.reshape(get["shape"]) if flag else made[0]


def _told(value: Any) -> Any:
    """As msgpack-numpy writes an array or a number."""
    if isinstance(value, np.ndarray) and value.dtype.kind not in "OV":
        return {b"nd": True, b"type": value.dtype.str, b"kind": b"", b"shape": value.shape, b"data": value.tobytes()}
    if isinstance(value, np.bool_ | np.number):
        return {b"nd": False, b"type": value.dtype.str, b"data": value.tobytes()}
    raise TypeError(f"a {type(value).__name__} has no place in a shard")
