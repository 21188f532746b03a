"""A class learnt from a few pictures on which it is drawn, asked at every place of a frame.

`heads` asks of the defects that the model finds; what the model does not see at all is not among them. Here each cell
of the encoder (16 px) is asked, by what it shows and by what the 5 x 5 cells around it show: a logistic regression
drawn towards zero, against cells of pictures without the class, and once more against those of them that looked most
like it. What varies among those, such as a surface's shade, is held to say little: they are decorrelated first, their
covariance drawn towards equal spreads (Ledoit and Wolf 2004), so that the regression weighs what a class adds to it.

Two of them are asked, and their log-odds averaged: one about cells as they are, as a class that is wide, a shade or a
texture, is nothing beside its own picture; one about how far each stands out of its own picture, as a class that is
small is told from surfaces of any shade so. A frame's score is the log of the mean odds of its cells, averaged
likewise: one surely and many faintly like the class count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from qc.errors import InvalidInput

Floats = NDArray[np.float32]

AROUND = 5
"""Cells on a side of the surroundings: 80 px; a shade that is wider than a cell shows against them."""
RIDGE = 0.1
"""How strongly weights are drawn towards zero; three times more or less changes little."""
SHRINKAGE = 0.1
"""How far the covariance is drawn towards equal spreads; a third or three times as far changes little."""
STEADY = 0.25
"""Of the median number's spread, added to each one's spread in a picture: what hardly varies there says little."""
DRAWN = 0.25
"""Share of a cell's pixels from which on it shows the class; where none has so many, the fullest do."""
OF_DRAWN, OF_OTHERS = 100, 60
"""Cells of one picture that are learnt from, at most: no picture counts for its size."""
HARDEST = 8
"""Cells of a picture without the class that it is learnt from again, as they looked most like it."""
LIMIT = 6.0
"""In spreads: a number further out says no more than this."""
FEWEST = 4
"""Pictures with the class, and without, from which anything is learnt."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the encoder makes of a picture, and what is drawn on it."""

    cells: NDArray[np.float16]
    """`C x h x w`; NaN where nobody looked."""
    drawn: Floats
    """`h x w`: share of each cell's pixels that are drawn as the class, in [0, 1]."""
    unclear: NDArray[np.bool_]
    """`h x w`: cells of which nobody said what they show; they are left out."""


@dataclass(frozen=True, slots=True)
class Linear:
    """Log-odds of described cells."""

    mean: Floats
    scale: Floats
    weights: Floats
    """`2 C`: of standardised cells and surroundings."""
    offset: float

    def __call__(self, rows: Floats) -> Floats:
        """Of each row, `n x 2 C` to `n`; NaN where nobody looked."""
        return np.asarray(self.standard(rows) @ self.weights + self.offset, np.float32)

    def standard(self, rows: Floats) -> Floats:
        """As weights take them."""
        return np.asarray(np.clip((rows - self.mean) / self.scale, -LIMIT, LIMIT), np.float32)


@dataclass(frozen=True, slots=True)
class PlaceHead:
    """A learnt class. Cells are those of one encoder."""

    as_it_is: Linear
    beside_its_picture: Linear

    def log_odds(self, cells: NDArray[np.float16]) -> Floats:
        """Of each cell, `C x h x w` to `h x w`; NaN where nobody looked."""
        return np.asarray(np.mean(self._both(cells), axis=0).reshape(cells.shape[1:]), np.float32)

    def score(self, cells: NDArray[np.float16]) -> float:
        """Of a frame; orders frames, higher is likelier. Minus infinity where nobody looked at any cell."""
        both = [odds[np.isfinite(odds)] for odds in self._both(cells)]
        if not len(both[0]):
            return -np.inf
        return float(np.mean([logsumexp(odds) - np.log(len(odds)) for odds in both]))

    def _both(self, cells: NDArray[np.float16]) -> tuple[Floats, Floats]:
        if not np.isfinite(cells[0]).any():
            nowhere = np.full(cells[0].size, np.nan, np.float32)
            return nowhere, nowhere
        return self.as_it_is(described(cells)), self.beside_its_picture(described(standing_out(cells)))


def standing_out(cells: NDArray[np.float16]) -> Floats:
    """How far each cell stands out of its picture, `C x h x w`: from the median, by the spread of the middle 68 %."""
    rows = cells[:, np.isfinite(cells[0])].astype(np.float32)
    low, middle, high = np.quantile(rows, [0.16, 0.5, 0.84], axis=1).astype(np.float32)[..., None, None]
    spread = (high - low) / 2
    return np.asarray((cells - middle) / (spread + STEADY * np.median(spread) + 1e-3), np.float32)


def described(cells: NDArray[np.float16] | Floats) -> Floats:
    """Each cell and the mean of its surroundings, `C x h x w` to `(h w) x 2 C`; somebody looked at some of them."""
    known = np.where(np.isfinite(cells), cells, cells.mean(axis=(1, 2), keepdims=True, where=np.isfinite(cells)))
    planes = known.astype(np.float32)
    size = (AROUND, AROUND)
    wide = np.stack([cv2.blur(plane, size, borderType=cv2.BORDER_REFLECT) for plane in planes])
    rows = np.concatenate([planes, wide]).reshape(2 * len(planes), -1).T
    rows[~np.isfinite(cells[0]).ravel()] = np.nan
    return np.ascontiguousarray(rows, np.float32)


def learn(examples: Sequence[Seen], others: Sequence[Seen], *, seed: int = 0) -> PlaceHead:
    """Learn a class from pictures on which it is drawn, and pictures without it.

    Args:
        others: what is drawn on them is something else, which it is told apart from, too.
        seed: of the cells that are drawn.

    Raises:
        InvalidInput: fewer than `FEWEST` of either, or an example on which no cell shows the class.
    """
    others = [one for one in others if np.isfinite(one.cells[0]).any()]
    for number, what in ((len(examples), "with the class"), (len(others), "without it")):
        if number < FEWEST:
            raise InvalidInput(f"{number} pictures {what} are too few to learn from; give {FEWEST} or more")
    if any(not _drawn(one).any() for one in examples):
        raise InvalidInput("an example shows none of the class where the model looked; leave it out")
    return PlaceHead(
        _learnt(examples, others, lambda one: described(one.cells), seed),
        _learnt(examples, others, lambda one: described(standing_out(one.cells)), seed),
    )


def _learnt(examples: Sequence[Seen], others: Sequence[Seen], rows_of: Callable[[Seen], Floats], seed: int) -> Linear:
    random = np.random.default_rng(seed)
    rows: list[Floats] = []
    shows: list[bool] = []

    def take(found: Floats, places: NDArray[np.intp], most: int, showing: bool) -> None:
        if len(places):
            rows.append(found[random.choice(places, most, replace=False) if len(places) > most else places])
            shows.append(showing)

    for one in examples:
        drawn, found = _drawn(one), rows_of(one)
        take(found, np.flatnonzero(drawn >= min(DRAWN, drawn.max())), OF_DRAWN, True)
        near = cv2.dilate((one.drawn > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        take(found, _plain(one, near), OF_OTHERS, False)
    described_others = [rows_of(one) for one in others]
    for one, found in zip(others, described_others, strict=True):
        take(found, _plain(one, one.drawn > 0), OF_OTHERS, False)
    head = _fitted(rows, shows)
    for one, found in zip(others, described_others, strict=True):
        places = _plain(one, one.drawn > 0)
        take(found, places[np.argsort(-head(found[places]))[:HARDEST]], HARDEST, False)
    return _fitted(rows, shows)


def _drawn(one: Seen) -> Floats:
    """Share of each cell that is drawn, where the model looked; flat."""
    return np.where(np.isfinite(one.cells[0]), one.drawn, 0.0).ravel()


def _plain(one: Seen, left_out: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Places of the cells that surely do not show the class."""
    return np.flatnonzero((np.isfinite(one.cells[0]) & ~one.unclear & ~left_out).ravel())


def _fitted(rows: Sequence[Floats], shows: Sequence[bool]) -> Linear:
    """Ridge logistic regression on decorrelated rows; every picture weighs the same, and so do those with the class and
    the others."""
    from scipy.optimize import minimize

    every = np.concatenate(rows)
    y = np.repeat(np.array(shows), [len(found) for found in rows])
    plain = Linear(every[~y].mean(axis=0), every[~y].std(axis=0) + np.float32(1e-3), np.zeros(0, np.float32), 0.0)
    turned = _decorrelating(plain.standard(every[~y]))
    x = (plain.standard(every) @ turned).astype(np.float32)
    weight = np.repeat([1.0 / len(found) for found in rows], [len(found) for found in rows])
    weight = (0.5 * weight / np.where(y, weight[y].sum(), weight[~y].sum())).astype(np.float32)
    sign = np.where(y, 1.0, -1.0).astype(np.float32)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w, b = parameters[:-1].astype(np.float32), parameters[-1]
        margin = sign * (x @ w + np.float32(b))
        pull = -weight * sign * expit(-margin)
        value = float((weight * np.logaddexp(0.0, -margin)).sum() + 0.5 * RIDGE * float(w @ w))
        return value, np.append(x.T @ pull + RIDGE * w, pull.sum()).astype(np.float64)

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 60})
    weights = turned @ found.x[:-1].astype(np.float32)
    return Linear(plain.mean, plain.scale, weights, float(found.x[-1]))


def _decorrelating(rows: Floats) -> Floats:
    """`C x C`: what makes the covariance of such rows the unit matrix, drawn towards equal spreads first."""
    spreads, axes = np.linalg.eigh(np.cov(rows.T))
    spreads = np.maximum(spreads, 0.0)
    return np.asarray(axes / np.sqrt((1 - SHRINKAGE) * spreads + SHRINKAGE * spreads.mean()), np.float32)
