"""Several people's masks of one crop become one, with a weight for every pixel.

STAPLE weighs each person by how often the others confirm them, rather than counting heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qc.dataset import IGNORE
from qc.errors import InvalidInput

START = 0.99999
"""Sensitivity and specificity before the first step: people are good (as in ITK's implementation)."""

STEPS = 200
SETTLED = 1e-7
"""Change of sensitivities and specificities at which the estimate stands."""

DECIDED = 0.75
"""A pixel whose class is less sure than three to one is nobody's word (IGNORE) in the training target."""

MARGIN_PX = 16
"""Background considered around what anybody drew. A whole frame of agreed background would make every specificity 1."""

Floats = NDArray[np.float64]
Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Staple:
    """What STAPLE found."""

    probability: Floats
    """Chance for each pixel that it belongs to the defect; the shape of one mask."""
    sensitivity: tuple[float, ...]
    """For each person: share of the defect that they mark."""
    specificity: tuple[float, ...]
    """For each person: share of the rest that they leave."""


def staple(votes: NDArray[np.floating], *, prior: float | None = None) -> Staple:
    """Simultaneous truth and performance level estimation for one class.

    Args:
        votes: `people x ...`; 1 marked, 0 not, nan not seen by this person.
        prior: chance of a pixel before any vote, in (0, 1); the mean vote otherwise.

    Raises:
        InvalidInput: fewer than two people.

    Source:
        Warfield, Zou, Wells 2004, IEEE Transactions on Medical Imaging 23(7), eqs. 14 to 20. A person's missing pixels
        are left out of their products and sums.
    """
    if len(votes) < 2:
        raise InvalidInput(f"a consensus needs two people or more, not {len(votes)}")
    flat = np.asarray(votes, np.float64).reshape(len(votes), -1)
    pattern, which, count = np.unique(np.nan_to_num(flat, nan=2.0), axis=1, return_inverse=True, return_counts=True)
    seen, marked = pattern != 2, pattern == 1
    share = float(np.nanmean(flat)) if prior is None else prior
    if not 0 < share < 1:  # everybody marks everything, or nothing
        same = np.full(votes.shape[1:], min(max(share, 0.0), 1.0))
        return Staple(same, (1.0,) * len(votes), (1.0,) * len(votes))
    p, q = np.full(len(votes), START), np.full(len(votes), START)
    weight = np.zeros(pattern.shape[1])
    for _ in range(STEPS):
        # in logarithms: dozens of people would otherwise underflow
        lp, lq = np.log(np.clip(p, 1e-12, 1)), np.log(np.clip(q, 1e-12, 1))
        rp, rq = np.log(np.clip(1 - p, 1e-12, 1)), np.log(np.clip(1 - q, 1e-12, 1))
        inside = np.log(share) + (seen * np.where(marked, lp[:, None], rp[:, None])).sum(axis=0)
        outside = np.log1p(-share) + (seen * np.where(marked, rq[:, None], lq[:, None])).sum(axis=0)
        weight = 1 / (1 + np.exp(np.clip(outside - inside, -700, 700)))
        inner, outer = seen * (weight * count), seen * ((1 - weight) * count)
        new_p = (inner * marked).sum(axis=1) / np.maximum(inner.sum(axis=1), 1e-12)
        new_q = (outer * ~marked).sum(axis=1) / np.maximum(outer.sum(axis=1), 1e-12)
        change = max(float(np.abs(new_p - p).max()), float(np.abs(new_q - q).max()))
        p, q = new_p, new_q
        if change < SETTLED:
            break
    probability = weight[np.asarray(which).ravel()].reshape(votes.shape[1:])
    return Staple(probability, tuple(p.tolist()), tuple(q.tolist()))


@dataclass(frozen=True, slots=True)
class Consensus:
    """One mask from several."""

    mask: Mask
    """`H x W` class ids; IGNORE where people are too much at odds to say."""
    weight: NDArray[np.float32]
    """`H x W` in [0, 1]: how much to trust the pixel, 0 for a coin's toss, 1 for certainty."""
    people: Mapping[str, tuple[float, float]]
    """Each person's mean sensitivity and specificity over the classes that anybody drew."""


def consensus(masks: Mapping[str, Mask], classes: Sequence[int]) -> Consensus:
    """STAPLE for each class against all else, near what anybody drew of it; then the likeliest class.

    Args:
        masks: person to `H x W` class ids; IGNORE counts as not seen.
        classes: class ids that may occur.

    Raises:
        InvalidInput: fewer than two people, or masks of different sizes.
    """
    names = sorted(masks)
    if len({m.shape for m in masks.values()}) > 1:
        raise InvalidInput(f"masks of different sizes have no consensus: {sorted({m.shape for m in masks.values()})}")
    if len(names) < 2:
        raise InvalidInput(f"a consensus needs two people or more, not {len(names)}")
    stack = np.stack([masks[name] for name in names])
    chance = np.zeros((len(classes), *stack.shape[1:]))
    performance = list[tuple[tuple[float, ...], tuple[float, ...]]]()
    for k, class_id in enumerate(classes):
        drawn = (stack == class_id).any(axis=0)
        if not drawn.any():
            continue
        place = _around(drawn)
        cut = stack[(slice(None), *place)]
        found = staple(np.where(cut == IGNORE, np.nan, cut == class_id))
        chance[k][place] = np.where(drawn[place], found.probability, 0.0)
        performance.append((found.sensitivity, found.specificity))
    total = np.maximum(chance.sum(axis=0), 1.0)  # votes for two classes at once share the pixel
    chance = chance / total
    best, nothing = chance.max(axis=0, initial=0.0), 1.0 - chance.sum(axis=0)
    mask = np.array([0, *classes], np.uint8)[np.where(nothing >= best, 0, chance.argmax(axis=0) + 1)] if classes else 0
    sure = np.maximum(best, nothing)
    unseen = (stack == IGNORE).all(axis=0)
    mask = np.where((sure < DECIDED) | unseen, IGNORE, mask).astype(np.uint8)
    weight = np.where(unseen, 0.0, np.clip(2 * sure - 1, 0, 1)).astype(np.float32)
    people = {}
    for k, name in enumerate(names):
        seen = [(p[k], q[k]) for p, q in performance]
        people[name] = (
            float(np.mean([p for p, _ in seen])) if seen else 1.0,
            float(np.mean([q for _, q in seen])) if seen else 1.0,
        )
    return Consensus(mask, weight, people)


def _around(drawn: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    height, width = drawn.shape
    return (
        slice(max(int(rows[0]) - MARGIN_PX, 0), min(int(rows[-1]) + 1 + MARGIN_PX, height)),
        slice(max(int(columns[0]) - MARGIN_PX, 0), min(int(columns[-1]) + 1 + MARGIN_PX, width)),
    )
