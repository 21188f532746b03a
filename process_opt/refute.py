"""Attempts to refute what a fit says about causes: each asks something whose true answer is known, and says what came.

No attempt can prove the effects right; one that fails says that something is wrong, and what to look at. Each needs one
pass over some parts: an effect that is not in the model is estimated by one scoring step from the fit (its score over
its information, Rao 1948), which is what a fit with it would find as long as it is small.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from process_opt.climb import slope_of_each

if TYPE_CHECKING:
    from collections.abc import Mapping

    from process_opt.estimate import Data, Estimate

Floats = NDArray[np.float64]

ROWS = 3000
"""Parts looked at: enough to tell 0.90 from 0.85, and a second or two."""
RUNS = 10
DEALS = 10
"""How often settings are dealt out anew."""
Z90 = 1.645
HOLDS = 0.9
TOGETHER = 2.0
"""Tests of one setting on several characteristics go together: the variance of the share is that of half as many."""
SURE = 3.1
"""Standard deviations of that share at which an attempt counts as failed: one sound fit in a thousand."""
NAMED = 4.5
"""Standard deviations from which a single one is named: none in a hundred thousand by chance."""
MOVED = 1.0
"""Of its own standard deviations: an effect that moves more when a random column is added hangs on too little."""
FEWEST = 40


@dataclass(frozen=True)
class Attempt:
    """One attempt to refute."""

    name: str
    question: str
    tests: int
    held: float | None
    """Share of the 90 % intervals that held the answer known to be true; None: nothing to test."""
    promised: float
    worst: str
    """The one furthest off, where it is too far for chance; else empty."""
    passed: bool
    words: str


def refute(
    estimate: Estimate, covariance: Floats, data: Data, identified: Mapping[str, bool], *, seed: int
) -> list[dict[str, Any]]:
    """All attempts, as JSON.

    Args:
        covariance: `P x P` of all weights, from the fit of `data`.
        data: the rows that the fit used, in the order of time.
        identified: of each setting.
    """
    rng = np.random.default_rng([seed, 53])
    many = data.size
    if many > ROWS:  # in runs, so that neighbours stay neighbours
        first = np.linspace(0, many - ROWS // RUNS, RUNS).astype(np.int64)
        data = data.rows(np.unique(first[:, None] + np.arange(ROWS // RUNS)))
    scores, _ = slope_of_each(estimate, data)
    known = [j for j, name in enumerate(estimate.process.settings) if identified.get(name, False)]
    attempts = [
        _later_settings(estimate, data),
        _placebo(estimate, data, scores, known, rng),
        _neighbour(estimate, data, scores, known),
        _common_cause(estimate, data, scores, covariance, known, many, rng),
        _halves(estimate, data, scores, covariance, known, many),
    ]
    return [asdict(a) for a in attempts]


def _later_settings(estimate: Estimate, data: Data) -> Attempt:
    """Negative control: what is chosen later cannot have made what was read earlier."""
    process, path = estimate.process, estimate.path(data)
    free = ~data.people
    z, names = [], []
    steps = [k for k, _ in process.settings.values()]
    readings = list(process.measurements.items())
    for place, innovation, variance in path.misfit:
        error = innovation / np.sqrt(variance)
        for j in range(len(steps)):
            if steps[j] <= readings[place][1][0]:
                continue
            use = free & np.isfinite(error) & np.isfinite(data.v[j])
            if use.sum() < FEWEST:
                continue
            each = (error[use] - error[use].mean()) * (data.v[j][use] - data.v[j][use].mean())
            z.append(float(each.sum() / max(np.sqrt((each**2).sum()), 1e-12)))
            names.append(f"{list(process.settings)[j]} with {readings[place][0]}")
    return _judge(
        "settings of later steps",
        "Do readings that came before a dithered setting depend on it? They cannot, if it was drawn at random.",
        np.array(z), names,
        "Dithered settings know nothing of the readings before them.",
        "Settings that are said to be dithered follow what was read before: those rows were not drawn at random, and "
        "the effects may be wrong.",
    )  # fmt: skip


def _placebo(estimate: Estimate, data: Data, scores: Floats, known: list[int], rng: np.random.Generator) -> Attempt:
    """Settings dealt out anew among the dithered parts."""
    rows = np.flatnonzero(~data.people)
    deals = [_extra(estimate, scores, known, rows, data.v[:, rng.permutation(rows)]) for _ in range(DEALS)]
    return _judge(
        "placebo settings",
        "Dealt out anew among the dithered parts, do settings still seem to act? They cannot.",
        np.concatenate([z for z, _ in deals]),
        [name for _, names in deals for name in names],
        "Settings dealt out anew seem to do nothing, as often as promised.",
        "Settings dealt out anew seem to act: the intervals of the effects are too narrow.",
    )


def _neighbour(estimate: Estimate, data: Data, scores: Floats, known: list[int]) -> Attempt:
    """What one dithered part says of an effect (its score), against what the one before says."""
    rows = np.flatnonzero(~data.people)
    places, names = _effects(estimate, known)
    own = scores[places][:, rows]
    both = own[:, 1:] * own[:, :-1]
    size = np.sqrt((both**2).sum(axis=1))
    told = np.flatnonzero((size > 0) & ((own != 0).sum(axis=1) >= FEWEST))
    return _judge(
        "parts by themselves",
        "Does what a dithered part says of an effect go with what the part before said? Each should speak for itself.",
        both[told].sum(axis=1) / size[told],
        [names[i] for i in told],
        "Every dithered part speaks for itself.",
        "Neighbouring parts say the same of an effect: settings were held for several parts at a time while something "
        "unlogged lasted, so the intervals are too narrow; draw the dither anew for every part.",
    )


def _extra(
    estimate: Estimate, scores: Floats, known: list[int], rows: NDArray[np.int64], values: Floats
) -> tuple[Floats, list[str]]:
    """Standardised effects of `values` (`S x n`, for the parts `rows`), each at its setting's step."""
    d = estimate.layout.d
    at = np.cumsum([0, *(m.weights.size for m in estimate.motions)])
    z: list[float] = []
    names = []
    for j in known:
        name, (k, _) = list(estimate.process.settings.items())[j]
        width = estimate.motions[k].weights.shape[1]
        use = np.isfinite(values[j])
        if use.sum() < FEWEST or np.ptp(values[j][use]) == 0:
            continue
        value = values[j][use] - values[j][use].mean()
        for c in range(d):
            each = scores[at[k] + c * width][rows[use]]
            if not each.any():
                continue
            each = (each - each.mean()) * value
            z.append(float(each.sum() / np.sqrt(max((each**2).sum(), 1e-300))))
            names.append(f"{name} on {estimate.layout.coordinates[c]}")
    return np.array(z), names


def _common_cause(
    estimate: Estimate, data: Data, scores: Floats, covariance: Floats, known: list[int], many: int,
    rng: np.random.Generator,
) -> Attempt:  # fmt: skip
    """A random column that acts on every step, as a common cause would: do the effects stay?"""
    at = np.cumsum([0, *(m.weights.size for m in estimate.motions)])
    rows = np.concatenate(
        [at[k] + np.arange(estimate.layout.d) * m.weights.shape[1] for k, m in enumerate(estimate.motions)]
    )
    fake = scores[rows] * rng.standard_normal(data.size)
    size = (fake**2).sum(axis=1)
    own = np.where(size > 0, fake.sum(axis=1) / np.maximum(size, 1e-300), 0.0)
    moved = -covariance @ (scores @ (fake.T @ own)) * (many / data.size)
    places, names = _effects(estimate, known)
    off = moved[places] / np.sqrt(np.diag(covariance)[places])
    worst = int(np.argmax(np.abs(off))) if off.size else 0
    passed = not off.size or bool(abs(off[worst]) < MOVED)
    held = float((np.abs(off) < MOVED).mean()) if off.size else None
    words = "A random common cause leaves the effects as they are." if passed else (
        f"A random common cause moves {names[worst]} by {abs(off[worst]):.1f} of its standard deviations: too few "
        "parts carry it."
    )  # fmt: skip
    question = (
        "With a random column as one more cause of everything, do the effects stay within one standard deviation?"
    )
    return Attempt("random common cause", question, int(off.size), held, 1.0, "" if passed else names[worst], passed,
                   words if off.size else "No setting is identified, so there is nothing to test.")  # fmt: skip


def _halves(estimate: Estimate, data: Data, scores: Floats, covariance: Floats, known: list[int], many: int) -> Attempt:
    """The first half of the parts against the second."""
    middle = data.size // 2
    apart = scores[:, :middle].sum(axis=1) - scores[:, middle : 2 * middle].sum(axis=1)
    share = many / max(2 * middle, 1)
    places, names = _effects(estimate, known)
    off = (2 * share * (covariance[places] @ apart)) / np.sqrt(4 * share * np.diag(covariance)[places])
    return _judge(
        "early parts against late ones",
        "Are the effects the same in the first half of the history and in the second?",
        np.asarray(off), names,
        "Effects are the same in both halves of the history, as far as chance allows.",
        "Effects differ between the halves of the history: settings act otherwise now than they did; fit on newer "
        "parts.",
    )  # fmt: skip


def _effects(estimate: Estimate, known: list[int]) -> tuple[NDArray[np.int64], list[str]]:
    """Places of the identified settings' own weights among all weights, and what they are."""
    d, at = estimate.layout.d, 0
    places, names = [], []
    settings = list(estimate.process.settings)
    for k, motion in enumerate(estimate.motions):
        for i, j in enumerate(estimate.layout.levers[k]):
            for c in range(d) if j in known else ():
                places.append(at + c * motion.weights.shape[1] + 1 + d + i)
                names.append(f"{settings[j]} on {estimate.layout.coordinates[c]}")
        at += motion.weights.size
    return np.array(places, dtype=np.int64), names


def _judge(name: str, question: str, z: Floats, names: list[str], good: str, bad: str) -> Attempt:
    if not z.size:
        return Attempt(
            name, question, 0, None, HOLDS, "", True, "No setting was dithered, so there is nothing to test."
        )
    held = float((np.abs(z) < Z90).mean())
    allowed = SURE * np.sqrt(TOGETHER * HOLDS * (1 - HOLDS) / z.size)
    worst = int(np.argmax(np.abs(z)))
    far = abs(z[worst]) > NAMED
    passed = bool(held >= HOLDS - allowed - 1e-9 and not far)
    words = good if passed else f"{bad} Furthest off: {names[worst]}."
    return Attempt(name, question, int(z.size), round(held, 4), HOLDS, names[worst] if far else "", passed, words)
