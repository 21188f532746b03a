"""One image with its labels, as bytes: what shards hold and what a stream gives."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.dataset import IGNORE
from qc.errors import InvalidInput, Unavailable
from qc.frame import Pixels, decode

Bytes = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Entry:
    """A sample of a source, without its bytes: what it is, and where it lies."""

    file: str
    """The image's file name."""
    row: Mapping[str, str]
    """Its row of split.csv, whole: file, split, part, view, group, …"""
    sha256: str
    """`hash_of` its bytes."""
    image: tuple[str, int, int]
    """File of the source, first byte, bytes; -1 bytes: the whole file."""
    mask: tuple[str, int, int] | None = None
    weight: tuple[str, int, int] | None = None
    """How far each pixel of the mask is trusted, where somebody said it."""

    @property
    def split(self) -> str:
        """train, val or test."""
        return self.row.get("split", "")


@dataclass(frozen=True, slots=True)
class Item:
    """A sample with its bytes, as they lie in its source."""

    source: str
    """Name of its source in the catalogue."""
    entry: Entry
    image: Bytes = field(repr=False)
    mask: Bytes | None = field(default=None, repr=False)
    weight: Bytes | None = field(default=None, repr=False)
    position: int = -1
    """Place in the stream; -1: of none."""

    def check(self) -> None:
        """Raises Unavailable where the bytes are not those of the index."""
        if hash_of(self.image, self.mask, self.weight) != self.entry.sha256:
            raise Unavailable(
                f"{self.entry.file} of {self.source} is not what its index says (SHA-256 differs); restore the source"
            )

    def pixels(self) -> Pixels:
        """The picture. Raises InvalidInput."""
        return decode(bytes(self.image), name=self.entry.file)

    def labels(self) -> NDArray[np.uint8]:
        """`H x W` class ids of the source, 0 background, 255 unknown. Raises InvalidInput."""
        if self.mask is None:
            raise InvalidInput(f"{self.entry.file} of {self.source} is not labelled")
        found = cv2.imdecode(np.frombuffer(self.mask, np.uint8), cv2.IMREAD_UNCHANGED)
        if found is None or found.ndim != 2 or found.dtype != np.uint8:
            raise InvalidInput(f"the mask of {self.entry.file} of {self.source} is no PNG of one channel of 8 bit")
        return np.asarray(found, np.uint8)


def hash_of(image: Bytes, mask: Bytes | None, weight: Bytes | None) -> str:
    """SHA-256 of a sample: of the lengths of its files, -1 for one that is missing, and then of their bytes."""
    lengths = ",".join(str(-1 if one is None else len(one)) for one in (image, mask, weight))
    digest = hashlib.sha256(f"{lengths};".encode())
    for one in (image, mask, weight):
        if one is not None:
            digest.update(one)
    return digest.hexdigest()


def translation(mine: Mapping[int, str], theirs: Mapping[int, str]) -> NDArray[np.uint8]:
    """A table of 256: class id of a source -> class id of the training; what that does not know is IGNORE.

    Args:
        mine: id to name in the training.
        theirs: in the source.
    """
    ids = {name: class_id for class_id, name in mine.items()}
    table = np.full(256, IGNORE, np.uint8)
    table[0] = 0
    for class_id, name in theirs.items():
        table[class_id] = ids.get(name, IGNORE)
    return table
