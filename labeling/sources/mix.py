"""Which sample stands at which position of an endless mixed stream: a function of the seed and the position alone.

Nothing is drawn one after the other: each number is a hash of what it is for (counter-based, SplitMix64), so that any
process finds any position without the ones before it, and every process finds the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.sources.items import Entry
from labeling.sources.reading import Ranges
from qc.errors import InvalidInput
from qc.mixing import BLOCK, hashes, shares, turns

WINDOW = 16
"""Shards that are mixed with each other: at 64 MiB each a gigabyte, of which neighbours are asked for together."""


@dataclass(frozen=True)
class Part:
    """A source in a mix."""

    name: str
    weight: float
    """Above 0; only how weights compare counts."""
    reader: Ranges
    entries: tuple[Entry, ...]
    """Which of its samples."""

    def __post_init__(self) -> None:
        if not self.weight > 0 or not np.isfinite(self.weight):
            raise InvalidInput(f"the weight of {self.name} must be above 0, not {self.weight}")
        if not self.entries:
            raise InvalidInput(f"{self.name} has no sample of the kind that was asked for")


def part_of(name: str, reader: Ranges, weight: float, *, split: str | None = "train", labelled: bool = True) -> Part:
    """A source in a mix: its samples of one split (None: all), only the labelled ones unless asked otherwise."""
    chosen = (one for one in reader.index.entries if split is None or one.split == split)
    return Part(name, weight, reader, tuple(one for one in chosen if one.mask is not None or not labelled))


class Mix:
    """Sources, weights and a seed. A value: it holds no place in the stream and may be shared by threads."""

    def __init__(self, parts: Sequence[Part], *, seed: int) -> None:
        """Raises InvalidInput for no source, one named twice, or a weight below a thousandth of all."""
        if not parts or len({part.name for part in parts}) < len(parts):
            raise InvalidInput("a mix needs sources, each named once")
        self.parts, self.seed = tuple(parts), seed
        self.shares = shares([part.weight for part in parts])
        if 0 in self.shares:
            low = self.parts[self.shares.index(0)].name
            raise InvalidInput(f"the weight of {low} is below a thousandth of all; leave it out or raise it")
        self._order = lru_cache(maxsize=2 * len(parts))(self._find_order)
        self._of_block = lru_cache(maxsize=8)(self._find_block)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.parts, self.seed)

    def at(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions from `start` up to `stop`: number of the part, and number of the sample in its `entries`."""
        if not 0 <= start <= stop:
            raise InvalidInput(f"there are no positions from {start} to {stop}")
        first, last = start // BLOCK, -(-stop // BLOCK)
        blocks = [self._of_block(b) for b in range(first, last)]
        if not blocks:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        part, draw = (
            np.concatenate(one)[start - first * BLOCK : stop - first * BLOCK] for one in zip(*blocks, strict=True)
        )
        sample = np.empty_like(draw)
        for s, one in enumerate(self.parts):
            mine = np.flatnonzero(part == s)
            epochs, places = np.divmod(draw[mine], len(one.entries))
            for epoch in np.unique(epochs):
                now = epochs == epoch
                sample[mine[now]] = self._order(s, int(epoch))[places[now]]
        return part, sample

    def manifest(self) -> dict[str, Any]:
        """Every sample with its hash, weights and seed: what a training was made from. `id` is the hash of all that."""
        told: dict[str, Any] = {
            "seed": self.seed,
            "sources": [
                {
                    "name": part.name,
                    "per_thousand": share,
                    "samples": [[entry.file, entry.sha256] for entry in part.entries],
                }
                for part, share in zip(self.parts, self.shares, strict=True)
            ],
        }
        return {"id": f"sha256:{hashlib.sha256(repr(told).encode()).hexdigest()}", **told}

    def _find_block(self, block: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Part and number of its draw (0 for its first of all) at each position of a block."""
        part = turns(self.seed, self.shares, block)
        draw = np.empty(BLOCK, np.int64)
        for s, share in enumerate(self.shares):
            draw[part == s] = block * share + np.arange(share)
        return part, draw

    def _find_order(self, part: int, epoch: int) -> NDArray[np.int64]:
        """The samples of a part in the order of one epoch: files in a new order, those of a window mixed."""
        one = self.parts[part]
        told = f"{one.name} {self.seed} {epoch}"
        files = sorted({entry.image[0] for entry in one.entries})
        chance = hashes(told, len(one.entries))
        if len(files) == len(one.entries):
            return np.argsort(chance, kind="stable")
        rank = np.empty(len(files), np.int64)
        rank[np.argsort(hashes(f"files {told}", len(files)), kind="stable")] = np.arange(len(files))
        number = {name: rank[n] // WINDOW for n, name in enumerate(files)}
        window = np.array([number[entry.image[0]] for entry in one.entries])
        found: NDArray[np.int64] = np.lexsort((chance, window))
        return found


def _again(parts: Sequence[Part], seed: int) -> Mix:
    return Mix(parts, seed=seed)
