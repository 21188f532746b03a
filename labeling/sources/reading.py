"""An opened source: its index, and the bytes of samples by where they lie, in files of their own or in shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

from labeling.sources.items import Bytes, Entry, Item
from labeling.sources.places import Place

T = TypeVar("T")
R = TypeVar("R")
Files = tuple[Bytes, Bytes | None, Bytes | None]
"""Image, mask and weight of a sample."""


@dataclass(frozen=True, slots=True)
class Index:
    """What a source holds."""

    classes: Mapping[int, str]
    entries: tuple[Entry, ...]


class Reader(Protocol):
    """An opened source. Safe to use from any thread."""

    @property
    def index(self) -> Index: ...

    def files(self, entries: Sequence[Entry], pool: Executor | None = None) -> list[Files]:
        """Image, mask and weight of each entry, None where there is none; several files side by side in `pool`."""
        ...


class Ranges:
    """A `Reader` of files, or of parts of them."""

    def __init__(self, place: Place, index: Index) -> None:
        self.index = index
        self._place = place

    def files(self, entries: Sequence[Entry], pool: Executor | None = None) -> list[Files]:
        """As `Reader`: one call of the place for each of its files."""
        wanted: dict[str, list[tuple[int, int, int, int]]] = {}
        for n, entry in enumerate(entries):
            for k, place in enumerate((entry.image, entry.mask, entry.weight)):
                if place is not None:
                    wanted.setdefault(place[0], []).append((place[1], place[2], n, k))
        found: list[list[Bytes | None]] = [[None, None, None] for _ in entries]
        for parts in map_in(pool, lambda one: self._parts(*one), [*wanted.items()]):
            for n, k, data in parts:
                found[n][k] = data
        return [cast(Files, tuple(one)) for one in found]

    def _parts(self, name: str, wanted: list[tuple[int, int, int, int]]) -> list[tuple[int, int, Bytes]]:
        if wanted[0][1] < 0:
            data = self._place.read(name)
            return [(n, k, data) for _, _, n, k in wanted]
        wanted.sort()
        got = self._place.ranges(name, [one[0] for one in wanted], [one[1] for one in wanted])
        return [(n, k, data) for (_, _, n, k), data in zip(wanted, got, strict=True)]


def read_items(
    source: str, reader: Reader, entries: Sequence[Entry], *, check: bool = True, pool: Executor | None = None
) -> list[Item]:
    """Samples of one source with their bytes.

    Args:
        source: its name, for messages.
        reader: its opened files.
        entries: which.
        check: compare every hash; 0.6 s for 10^9 bytes on a computer of today.
        pool: reads several files side by side.

    Raises:
        NotFound, Unavailable: a file is gone, its place away, or its bytes are not what the index says.
    """
    found = reader.files(entries, pool)
    items = [Item(source, entry, *files) for entry, files in zip(entries, found, strict=True)]
    if check:
        for _ in map_in(pool, Item.check, items):
            pass
    return items


def items_in_turn(source: str, reader: Reader, *, together: int = 32) -> Iterator[Item]:
    """Every sample of a source in its order, `together` in memory at a time; raises as `read_items`."""
    entries = reader.index.entries
    for begin in range(0, len(entries), together):
        yield from read_items(source, reader, entries[begin : begin + together])


def map_in(pool: Executor | None, work: Callable[[T], R], things: Sequence[T]) -> Iterable[R]:
    """`map`, in a pool where there is one and more than one thing to do."""
    return map(work, things) if pool is None or len(things) < 2 else pool.map(work, things)
