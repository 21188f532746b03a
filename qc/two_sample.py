"""Do two sets of vectors come from the same source? Energy distance, with a permutation test. Pure.

Source: Szekely and Rizzo 2013, J. Stat. Planning and Inference 143, eq. 6.1 (statistic) and section 6 (permutations).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FIRST_LOOK = 99
"""Permutations after which a test that is far from any alarm ends."""
FAR = 0.2
"""It ends there where its p-value is above this: no more permutations would bring it below any level of ours."""
DIRECTIONS = 16
"""Vectors are compared along so many directions in which both sets together vary most: what lies beyond is noise."""


@dataclass(frozen=True, slots=True)
class Compared:
    """How far two sets are apart."""

    distance: float
    """Energy distance, 0 or more."""
    p: float
    """Share of random splits of both sets that lie as far apart, in (0, 1]; at least 1 / (1 + permutations)."""


def compare(usual: Floats, now: Floats, *, permutations: int, seed: int = 0) -> Compared:
    """Energy distance of two sets, and how rare it is among random splits of them.

    Where both come from the same source in exchangeable order, `P(p <= a) <= a` for every `a`: everything that the
    vectors are scaled by is learnt from both sets together, so that it knows nothing of the split.

    Args:
        usual: `m x C`.
        now: `n x C`.
        permutations: random splits; the p-value is no finer than 1 / (1 + permutations).
        seed: of the splits.
    """
    both = _directions(np.concatenate([usual, now]).astype(np.float64))
    square = (both**2).sum(axis=1)
    apart = np.sqrt(np.maximum(square[:, None] + square[None] - 2.0 * both @ both.T, 0.0))
    m, n = len(usual), len(now)
    random = np.random.default_rng(seed)
    seen = _energy(apart, np.concatenate([np.zeros(m), np.ones(n)])[None], n)[0]
    as_far = done = 0
    for count in (min(FIRST_LOOK, permutations), max(permutations - FIRST_LOOK, 0)):
        if count == 0 or (done and (1 + as_far) / (1 + done) > FAR):
            break
        split = np.zeros((count, m + n))
        np.put_along_axis(split, np.argsort(random.random((count, m + n)), axis=1)[:, :n], 1.0, axis=1)
        as_far += int((_energy(apart, split, n) >= seen - 1e-12 * abs(seen)).sum())
        done += count
    return Compared(float(max(seen, 0.0)), (1 + as_far) / (1 + done))


def began(usual: Floats, rows: Floats) -> int:
    """From which of `rows` on they are unlike `usual`: its place, 0 and up.

    Along the direction from the usual mean to that of the last rows, the split with the largest gain in likelihood of
    a normal mean that changes once (Page 1957; known variance).
    """
    last = rows[-max(len(rows) // 4, 1) :]
    spread = usual.std(axis=0) + 1e-9
    direction = (last.mean(axis=0) - usual.mean(axis=0)) / spread**2
    length = float(np.linalg.norm(direction))
    if length == 0:
        return 0
    direction = direction / length
    along, level = rows @ direction, float((usual @ direction).mean())
    gain = [(len(along) - k) * max(float(along[k:].mean()) - level, 0.0) ** 2 for k in range(len(along))]
    return int(np.argmax(gain))


def _energy(apart: Floats, now: Floats, n: int) -> Floats:
    """`2 E|x - y| - E|x - x'| - E|y - y'|` of each split: row of `now`, 1 for the `n` in the second set."""
    total, m = float(apart.sum()), apart.shape[0] - n
    inside = np.einsum("ij,ij->i", now @ apart, now)
    beside = (now @ apart.sum(axis=1)) - inside
    rest = total - inside - 2.0 * beside
    return np.asarray(2.0 * beside / (m * n) - rest / m**2 - inside / n**2, np.float64)


def _directions(both: Floats) -> Floats:
    """Each number scaled to its spread; then along the directions of the largest spread, each scaled to 1 again."""
    standard = (both - both.mean(axis=0)) / (both.std(axis=0) + 1e-9)
    left, values, _ = np.linalg.svd(standard, full_matrices=False)
    kept = values[:DIRECTIONS] > 1e-6 * max(float(values[0]), 1e-12)
    return np.asarray(left[:, :DIRECTIONS][:, kept] * np.sqrt(len(both)), np.float64)
