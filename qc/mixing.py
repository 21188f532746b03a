"""Which source's turn it is at each position of an endless mixed stream: a function of a seed and the position alone.

Nothing is drawn one after the other: each number is a hash of what it is for (counter-based, SplitMix64), so that any
process finds any position without the ones before it, and every process finds the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLOCK = 1000
"""Positions in which each source has exactly its share: weights are kept to a thousandth, and soon, not on average."""


def turns(seed: int, per_thousand: Sequence[int], block: int) -> NDArray[np.int64]:
    """Number of the source at each of the `BLOCK` positions of a block; each has exactly its share of them."""
    order = np.argsort(hashes(f"block {seed} {block}", BLOCK), kind="stable")
    return np.repeat(np.arange(len(per_thousand)), per_thousand)[order]


def shares(weights: Sequence[float]) -> list[int]:
    """Positions of `BLOCK` for each weight, by largest remainders (Hamilton), the first of equals first."""
    exact = [BLOCK * weight / sum(weights) for weight in weights]
    found = [int(one) for one in exact]
    rest = sorted(range(len(exact)), key=lambda s: (found[s] - exact[s], s))
    for s in rest[: BLOCK - sum(found)]:
        found[s] += 1
    return found


def hashes(what_for: str, count: int) -> NDArray[np.uint64]:
    """`count` numbers of 64 bits, each a hash of what it is for and its place.

    Source:
        SplitMix64's finisher over a counter: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators",
        fig. 17 with the constants of Stafford's variant 13. Not NumPy's generators: their streams may change (NEP 19).
    """
    begin = int.from_bytes(hashlib.sha256(what_for.encode()).digest()[:8], "big")
    with np.errstate(over="ignore"):
        z = np.uint64(begin) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return found
