"""A class learnt from a few pictures on which it is drawn, asked at every place of a frame.

`heads` asks of the defects that the model finds; what the model does not see at all is not among them. Here each cell
of the encoder (16 px) is asked, by what it shows and by what the 5 x 5 cells around it show: a logistic regression
drawn towards zero, against cells of pictures without the class, and once more against those of them that looked most
like it. A frame's score is the log of the mean odds of its cells: one surely and many faintly like the class count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from qc.errors import InvalidInput

Floats = NDArray[np.float32]

AROUND = 5
"""Cells on a side of the surroundings: 80 px; a shade that is wider than a cell shows against them."""
RIDGE = 0.01
"""How strongly weights are drawn towards zero; ten times more or less changes little."""
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
class PlaceHead:
    """A learnt class. Cells are those of one encoder."""

    mean: Floats
    scale: Floats
    weights: Floats
    """`2 C`: of standardised cells and surroundings."""
    offset: float

    def log_odds(self, cells: NDArray[np.float16]) -> Floats:
        """Of each cell, `C x h x w` to `h x w`; NaN where nobody looked."""
        if not np.isfinite(cells[0]).any():
            return np.full(cells.shape[1:], np.nan, np.float32)
        rows = np.clip((described(cells) - self.mean) / self.scale, -LIMIT, LIMIT)
        return np.asarray((rows @ self.weights + self.offset).reshape(cells.shape[1:]), np.float32)

    def score(self, cells: NDArray[np.float16]) -> float:
        """Of a frame; orders frames, higher is likelier. Minus infinity where nobody looked at any cell."""
        odds = self.log_odds(cells)
        odds = odds[np.isfinite(odds)]
        return float(logsumexp(odds) - np.log(len(odds))) if len(odds) else -np.inf


def described(cells: NDArray[np.float16]) -> Floats:
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
    random = np.random.default_rng(seed)
    rows: list[Floats] = []
    shows: list[bool] = []

    def take(found: Floats, places: NDArray[np.intp], most: int, showing: bool) -> None:
        if len(places):
            rows.append(found[random.choice(places, most, replace=False) if len(places) > most else places])
            shows.append(showing)

    for one in examples:
        drawn = np.where(np.isfinite(one.cells[0]), one.drawn, 0.0).ravel()
        if not drawn.any():
            raise InvalidInput("an example shows none of the class where the model looked; leave it out")
        found = described(one.cells)
        take(found, np.flatnonzero(drawn >= min(DRAWN, drawn.max())), OF_DRAWN, True)
        near = cv2.dilate((one.drawn > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        take(found, _plain(one, near), OF_OTHERS, False)
    for one in others:
        take(described(one.cells), _plain(one, one.drawn > 0), OF_OTHERS, False)
    plain = np.concatenate([found for found, showing in zip(rows, shows, strict=True) if not showing])
    mean, scale = plain.mean(axis=0), plain.std(axis=0) + np.float32(1e-3)
    head = _fitted(rows, shows, mean, scale)
    for one in others:
        places = _plain(one, one.drawn > 0)
        hardest = places[np.argsort(-head.log_odds(one.cells).ravel()[places])[:HARDEST]]
        take(described(one.cells), hardest, HARDEST, False)
    return _fitted(rows, shows, mean, scale)


def _plain(one: Seen, left_out: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Places of the cells that surely do not show the class."""
    return np.flatnonzero((np.isfinite(one.cells[0]) & ~one.unclear & ~left_out).ravel())


def _fitted(rows: Sequence[Floats], shows: Sequence[bool], mean: Floats, scale: Floats) -> PlaceHead:
    """Ridge logistic regression; every picture weighs the same, and so do those with the class and the others."""
    from scipy.optimize import minimize

    x = np.clip((np.concatenate(rows) - mean) / scale, -LIMIT, LIMIT).astype(np.float32)
    y = np.repeat(np.array(shows), [len(found) for found in rows])
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
    return PlaceHead(mean, scale, found.x[:-1].astype(np.float32), float(found.x[-1]))
