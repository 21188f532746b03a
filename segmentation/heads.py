"""A class learnt from a few examples on the features that the encoder gives anyway: one trunk, many heads.

A head is a logistic regression over standardised features of defects, drawn towards zero (ridge) as strongly as
leaving examples out says is best. With ten examples in 152 dimensions the direction is mostly that between the two
means, so a strong ridge is a prototype, and a weak one a logistic regression: the same family, one number apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from qc.errors import InvalidInput

Floats = NDArray[np.float64]

RIDGES = (3e-3, 3e-2, 0.3, 3.0)
"""Strengths that are tried: from a logistic regression to a prototype."""
FEWEST = 4
"""Examples of the class, and of others: with fewer nothing can be left out and anything learnt."""
FOLDS = 5


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How well it did on examples it had not seen, each part left out as a whole."""

    average_precision: float
    """Of the examples ordered by what it said, in [0, 1]."""
    recall: float
    """Share of the class at or above `limit`."""
    false_alarms: float
    """Share of the others at or above `limit`."""
    examples: int
    others: int
    ridge: float


@dataclass(frozen=True, slots=True)
class QuickHead:
    """A learnt class. Vectors are those of one encoder."""

    mean: Floats
    scale: Floats
    weights: Floats
    """`C`: of standardised, unit-length features."""
    offset: float
    slope: float
    """Log-odds are `offset + slope * (weights . features)`: fitted on left-out examples, so that 0.7 means seven in
    ten among defects like those given."""
    limit: float
    """Probability from which on it may send a part to a person."""
    held_out: HeldOut

    def probability(self, vectors: NDArray[Any]) -> Floats:
        """Of each row, `n x C` to `n`, in [0, 1]."""
        raw = _standard(np.asarray(vectors, np.float64), self.mean, self.scale) @ self.weights
        return np.asarray(expit(self.offset + self.slope * raw), np.float64)


def learn(vectors: NDArray[Any], is_class: NDArray[np.bool_], groups: Sequence[str], *, seed: int = 0) -> QuickHead:
    """Learn a class.

    Args:
        vectors: `n x C`, of defects: the class's examples, and others.
        is_class: `n`: which are of the class.
        groups: `n`: the part of each; examples of one part are left out together.
        seed: of the folds.

    Raises:
        InvalidInput: fewer than `FEWEST` examples or others, or all of either are of one part.
    """
    x, y = np.asarray(vectors, np.float64), np.asarray(is_class, bool)
    if x.ndim != 2 or len(x) != len(y) or len(y) != len(groups):
        raise InvalidInput("every example needs one vector, one answer and one part")
    if not np.isfinite(x).all():
        raise InvalidInput("a vector holds a number that is not finite; make the features anew")
    for number, what in ((int(y.sum()), "examples of the class"), (int((~y).sum()), "other defects")):
        if number < FEWEST:
            raise InvalidInput(f"{number} {what} are too few to learn from; give {FEWEST} or more")
    folds = _folds(y, groups, seed)
    best: tuple[float, float, Floats] | None = None
    for ridge in RIDGES:
        said: Floats = np.zeros(len(y), np.float64)
        for out in folds:
            mean, scale = _usual(x[~out])
            weights, offset = _logistic(_standard(x[~out], mean, scale), y[~out], ridge)
            said[out] = _standard(x[out], mean, scale) @ weights + offset
        loss = float(np.mean(np.logaddexp(0.0, np.where(y, -said, said))))
        if best is None or loss < best[0]:
            best = (loss, ridge, said)
    assert best is not None
    _, ridge, said = best
    mean, scale = _usual(x)
    weights, offset = _logistic(_standard(x, mean, scale), y, ridge)
    slope, shift = _calibrated(said, y)
    p = expit(shift + slope * said)
    limit = _limit(p, y)
    held_out = HeldOut(
        round(average_precision(said, y), 4),
        round(float((p[y] >= limit).mean()), 4),
        round(float((p[~y] >= limit).mean()), 4),
        int(y.sum()),
        int((~y).sum()),
        ridge,
    )
    return QuickHead(mean, scale, weights, shift + slope * offset, slope, limit, held_out)


def average_precision(scores: NDArray[Any], is_class: NDArray[np.bool_]) -> float:
    """Mean precision at each of the class, in [0, 1]; among equal scores the others come first, to flatter nobody."""
    order = np.lexsort((is_class, -np.asarray(scores, np.float64)))
    hit = np.asarray(is_class, bool)[order]
    if not hit.any():
        return 0.0
    return float((np.cumsum(hit)[hit] / (np.flatnonzero(hit) + 1)).mean())


def to_json(head: QuickHead) -> dict[str, Any]:
    """A head as JSON holds it."""
    said = asdict(head)
    return said | {name: [float(v) for v in said[name]] for name in ("mean", "scale", "weights")}


def from_json(said: Mapping[str, Any]) -> QuickHead:
    """A head back from JSON; raises InvalidInput for a damaged one."""
    try:
        mean, scale, weights = (np.array(said[name], np.float64) for name in ("mean", "scale", "weights"))
        offset, slope, limit = (float(said[name]) for name in ("offset", "slope", "limit"))
        return QuickHead(mean, scale, weights, offset, slope, limit, HeldOut(**said["held_out"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"this is no quick head: {error}; learn it again") from error


def _usual(x: Floats) -> tuple[Floats, Floats]:
    return x.mean(axis=0), x.std(axis=0) + 1e-6


def _standard(x: Floats, mean: Floats, scale: Floats) -> Floats:
    z = (x - mean) / scale
    return np.asarray(z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-9), np.float64)


def _logistic(x: Floats, y: NDArray[np.bool_], ridge: float) -> tuple[Floats, float]:
    """Ridge logistic regression; both classes weigh the same, however many others there are."""
    from scipy.optimize import minimize

    weight = np.where(y, 0.5 / max(y.sum(), 1), 0.5 / max((~y).sum(), 1))
    sign = np.where(y, 1.0, -1.0)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        w, b = parameters[:-1], parameters[-1]
        margin = sign * (x @ w + b)
        pull = -weight * sign * expit(-margin)
        value = float((weight * np.logaddexp(0.0, -margin)).sum() + 0.05 * ridge * (w @ w))
        return value, np.append(x.T @ pull + 0.1 * ridge * w, pull.sum())

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return np.asarray(found.x[:-1], np.float64), float(found.x[-1])


def _calibrated(said: Floats, y: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset of the log-odds on left-out examples (Platt 1999, with his smoothed targets)."""
    from scipy.optimize import minimize

    target = np.where(y, (y.sum() + 1) / (y.sum() + 2), 1 / ((~y).sum() + 2))

    def loss(parameters: Floats) -> float:
        z = parameters[0] * said + parameters[1]
        return float((np.logaddexp(0.0, z) - target * z).sum())

    found = minimize(loss, np.array([1.0, float(logit(np.clip(y.mean(), 0.01, 0.99)))]), method="Nelder-Mead")
    return max(float(found.x[0]), 1e-3), float(found.x[1])


def _limit(p: Floats, y: NDArray[np.bool_]) -> float:
    """Where most of the class is found for the fewest others (Youden's J on left-out examples); the highest such."""
    steps = np.unique(p)[::-1]
    gain = [float((p[y] >= s).mean() - (p[~y] >= s).mean()) for s in steps]
    return float(steps[int(np.argmax(gain))])


def _folds(y: NDArray[np.bool_], groups: Sequence[str], seed: int) -> list[NDArray[np.bool_]]:
    """Parts left out together; parts with an example of the class are dealt out first, so that each fold has some."""
    names = np.asarray(groups, str)
    random = np.random.default_rng(seed)
    having = sorted({str(g) for g in names[y]})
    lacking = sorted({str(g) for g in names} - set(having))
    if len(having) < 2 or len({str(g) for g in names[~y]}) < 2:
        raise InvalidInput("examples, and others, must be of two parts or more, or nothing can be held out")
    count = min(FOLDS, len(having))
    folds: list[NDArray[np.bool_]] = [np.zeros(len(y), bool) for _ in range(count)]
    for place, name in enumerate([*random.permutation(having), *random.permutation(lacking)]):
        folds[place % count] |= names == name
    usable = [f for f in folds if y[~f].any() and (~y)[~f].any()]
    if len(usable) < count:
        raise InvalidInput("examples and others lie too much on the same parts to hold any out; give more parts")
    return usable
