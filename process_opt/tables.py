"""All steps of a model side by side in arrays, so that a plan is worked out in a few operations instead of fifty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from process_opt.model import ProcessModel

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

SEEN, SEEN_BENT = 2.5, 2.0
"""Standard deviations of its variation in the history within which a setting is moved; beyond, nobody knows what it
does. Nearer where its effect is bent: the curve is least known at its ends."""
SEEN_KNOWN = 5.0
"""Where a formula says what a setting does it says so beyond what was seen too; what it leaves over does not."""
FACTORS = 3
"""Most settings multiplied in one term (a cube)."""


@dataclass(frozen=True)
class Terms:
    """`I` terms of the steps, ordered by step. A setting's place `S` stands for the number 1."""

    step: Places
    weight: Floats
    """`I x d x D`"""
    factors: Places
    """`I x FACTORS`: places of the settings that are multiplied."""
    coordinate: Places
    """`I`: coordinate that is multiplied too, or -1."""
    place: Places
    """`I`: for slopes, the setting the derivative is with respect to; else -1."""

    def values(self, v: Floats, first: int = 0) -> Floats:
        """The products of settings for `v` (`S x P`), from term `first` on: `I x P`."""
        whole = np.vstack([v, np.ones((1, v.shape[1]))])
        return np.asarray(whole[self.factors[first:]].prod(axis=1))

    def since(self, step: int) -> int:
        """Place of the first term of `step` or a later one."""
        return int(np.searchsorted(self.step, step))


@dataclass(frozen=True)
class Tables:
    """`T` steps, `d` coordinates, `D` draws, `S` settings."""

    carry: Floats
    """`T x d x d x D`: what the state does by itself."""
    offset: Floats
    """`T x d x D`"""
    shifts: Terms
    """Terms in settings alone."""
    joint: Terms
    """Terms in settings and a coordinate."""
    slopes: Terms
    """Derivatives of both with respect to each setting; ordered by setting, so by the step that it belongs to."""
    root: Floats
    """`T x d x d`: square root of each step's chance."""
    optional: NDArray[np.bool_]
    step_of: Places
    """`S`: step of each setting."""
    shared: NDArray[np.bool_]
    """`S`: the parts of a batch have it in common."""
    change: Floats
    """`S`: money for one standard deviation away from nominal."""
    low: Floats
    high: Floats
    """`S`: how far each setting may be moved, standardised: as far as the history shows what it does."""
    least: Floats
    most: Floats
    """`S`: likewise, as far as its machine goes where its effect is in proportion; what it does there is doubted
    (`farther.py`)."""
    cost: Floats
    setup: Floats
    """`T`: money for running a step, and for leaving nominal there."""


def tables(model: ProcessModel) -> Tables:
    """The model's steps side by side."""
    d, size = model.layout.d, model.size
    none = len(model.layout.nominal)
    shifts: list[tuple[int, Floats, list[int], int, int]] = []
    joint: list[tuple[int, Floats, list[int], int, int]] = []
    slopes: list[tuple[int, Floats, list[int], int, int]] = []
    for k, motion in enumerate(model.motions):
        mine = motion.acting(model.layout.levers[k])
        for f, (levers, c) in enumerate(motion.terms):
            if not levers:
                continue
            weight = model.draws[k][:, f]
            places = [mine[j] for j in levers]
            (joint if c >= 0 else shifts).append((k, weight, places, c, -1))
            slopes += [(k, weight, places[:i] + places[i + 1 :], c, p) for i, p in enumerate(places)]
    slopes.sort(key=lambda t: t[4])
    steps = model.process.steps
    settings = list(model.process.settings.values())
    stretch, nominal = model.layout.stretch, model.layout.nominal
    seen = np.where(np.array([model.bent[k] for k, _ in settings], dtype=bool), SEEN_BENT, SEEN)
    for k, motion in enumerate(model.motions):
        if motion.law is not None:
            seen[[model.layout.levers[k][j] for j in motion.law.settings]] = SEEN_KNOWN
    least = (np.array([s.low for _, s in settings]) - nominal) / stretch
    most = (np.array([s.high for _, s in settings]) - nominal) / stretch
    low, high = np.maximum(least, -seen), np.minimum(most, seen)
    for place, values in model.choices.items():
        low[place], high[place] = values.min(), values.max()
    held = np.array([model.bent[k] for k, _ in settings], dtype=bool)
    held[list(model.choices)] = True
    least, most = np.where(held, low, least), np.where(held, high, most)
    return Tables(
        carry=np.array([w[:, 1 : d + 1] for w in model.draws]),
        offset=np.array([w[:, 0] for w in model.draws]),
        shifts=_terms(shifts, none, d, size),
        joint=_terms(joint, none, d, size),
        slopes=_terms(slopes, none, d, size),
        root=np.array([_root(m.noise) for m in model.motions]),
        optional=np.array([s.optional for s in steps], dtype=bool),
        step_of=np.array([k for k, _ in settings], dtype=np.int64),
        shared=np.array([s.shared for _, s in settings], dtype=bool),
        change=np.array([s.change_cost for _, s in settings]) * stretch,
        low=low,
        high=high,
        least=least,
        most=most,
        cost=np.array([s.cost for s in steps]),
        setup=np.array([s.setup_cost for s in steps]),
    )


def _terms(found: list[tuple[int, Floats, list[int], int, int]], none: int, d: int, size: int) -> Terms:
    factors = np.full((len(found), FACTORS), none, dtype=np.int64)
    for i, (_, _, places, _, _) in enumerate(found):
        factors[i, : len(places)] = places
    return Terms(
        step=np.array([t[0] for t in found], dtype=np.int64),
        weight=np.array([t[1] for t in found]).reshape(len(found), d, size),
        factors=factors,
        coordinate=np.array([t[3] for t in found], dtype=np.int64),
        place=np.array([t[4] for t in found], dtype=np.int64),
    )


def _root(noise: Floats) -> Floats:
    values, vectors = np.linalg.eigh((noise + noise.T) / 2)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
