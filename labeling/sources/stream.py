"""One stream of samples, split over ranks and workers; it goes on where it stopped with any number of either."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from labeling.sources.items import Item
from labeling.sources.mix import Mix
from labeling.sources.reading import read_items
from qc.errors import Conflict, InvalidInput

READERS = 8
"""Files that one worker reads side by side: over a network a request mostly waits."""
AHEAD = 128
"""Samples that are asked for together, and while those before them are used: neighbours then come in one request."""


@dataclass(frozen=True, slots=True)
class Share:
    """Whose batches: batch g of the stream belongs to rank g mod `ranks`; of those, each `workers`-th to one worker.

    A loader that takes one batch from each worker in turn, as PyTorch's does, so gives its rank's batches in order.
    """

    rank: int = 0
    ranks: int = 1
    worker: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.rank < self.ranks and 0 <= self.worker < self.workers):
            raise InvalidInput(
                f"there is no rank {self.rank} of {self.ranks}, or worker {self.worker} of {self.workers}"
            )


def batches(
    mix: Mix,
    *,
    batch: int,
    start: int = 0,
    stop: int | None = None,
    share: Share = Share(),
    check: bool = True,
) -> Iterator[list[Item]]:
    """Batches of one worker, in order.

    Args:
        mix: of what.
        batch: samples of a batch; the last may have fewer.
        start: position in the stream to begin at: `resumed` of a state, or 0.
        stop: position to end before; None: endless.
        share: which batches.
        check: compare each sample with its hash.

    Raises:
        NotFound, Unavailable: a source is gone, away, or not what its index says.
    """
    if batch < 1:
        raise InvalidInput(f"a batch has at least one sample, not {batch}")
    pool = ThreadPoolExecutor(READERS, thread_name_prefix="read")
    asking = ThreadPoolExecutor(2, thread_name_prefix="ask")  # of their own: they wait for the readers
    try:
        ahead: deque[Future[list[list[Item]]]] = deque()
        for bounds in _rounds(batch, start, stop, share):
            ahead.append(asking.submit(_read, mix, bounds, check, pool))
            if len(ahead) == 2:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()
    finally:
        asking.shutdown(wait=False, cancel_futures=True)
        pool.shutdown(wait=False, cancel_futures=True)


def state(mix: Mix, position: int) -> dict[str, Any]:
    """What to write into a checkpoint: samples that all ranks together have used, and of which mix."""
    return {"position": position, "mix": mix.manifest()["id"]}


def resumed(mix: Mix, told: Mapping[str, Any]) -> int:
    """The position at which to go on; raises Conflict where the mix is another one than when it was written."""
    if told.get("mix") != mix.manifest()["id"]:
        raise Conflict("the sources, weights or seed are not those of the checkpoint; begin anew, or take those")
    return int(told["position"])


def _rounds(batch: int, start: int, stop: int | None, share: Share) -> Iterator[list[tuple[int, int]]]:
    """Bounds of the worker's batches, as many together as `AHEAD` samples have."""
    bounds: list[tuple[int, int]] = []
    turn = share.worker
    while True:
        begin = start + (turn * share.ranks + share.rank) * batch
        if stop is not None and begin >= stop:
            break
        bounds.append((begin, begin + batch if stop is None else min(begin + batch, stop)))
        if len(bounds) * batch >= AHEAD:
            yield bounds
            bounds = []
        turn += share.workers
    if bounds:
        yield bounds


def _read(mix: Mix, bounds: list[tuple[int, int]], check: bool, pool: ThreadPoolExecutor) -> list[list[Item]]:
    """The batches with these bounds; each source is asked once for all of them."""
    wanted: dict[int, list[tuple[int, int]]] = {}
    for begin, end in bounds:
        parts, samples = mix.at(begin, end)
        for n, (part, sample) in enumerate(zip(parts.tolist(), samples.tolist(), strict=True)):
            wanted.setdefault(part, []).append((begin + n, sample))
    found: dict[int, Item] = {}
    for part, places in wanted.items():
        one = mix.parts[part]
        items = read_items(one.name, one.reader, [one.entries[n] for _, n in places], check=check, pool=pool)
        for (position, _), item in zip(places, items, strict=True):
            found[position] = Item(item.source, item.entry, item.image, item.mask, item.weight, position)
    return [[found[position] for position in range(begin, end)] for begin, end in bounds]
