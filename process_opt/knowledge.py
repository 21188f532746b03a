"""How surely the weights of all steps are known together, small enough to keep with a model and to go on learning with.

The precision (inverse covariance) of the weights ties steps that are read together: one step's effect and what carries
it to the next reading. Ties are kept within `REACH` steps and fade with distance. Fading by a triangle keeps the matrix
positive definite (Schur product theorem); what it takes away only makes learning from outcomes slower, never bolder.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

Floats = NDArray[np.float64]

REACH = 6
"""Steps. Ties are longest between two readings of the same characteristic, rarely more than five steps apart."""


def banded(precision: Floats, sizes: Sequence[int]) -> Floats:
    """The lower band of a precision matrix, ties faded: `W x P`, row `i - j` and column `j` hold `precision[i, j]`.

    Args:
        precision: `P x P`, symmetric, positive definite.
        sizes: how many weights each step has; they sum to `P`.
    """
    step = np.repeat(np.arange(len(sizes)), sizes)
    size = len(step)
    width = max(int((step < k + REACH).sum() - (step < k).sum()) for k in range(len(sizes)))
    out: Floats = np.zeros((width, size))
    for row in range(width):
        apart = step[row:] - step[: size - row]
        out[row, : size - row] = np.diagonal(precision, -row) * np.maximum(1.0 - apart / REACH, 0.0)
    return out


def scaled(band: Floats, shares: Floats) -> Floats:
    """The band with each weight's precision multiplied by `shares` (`P`, above 0), correlations unchanged."""
    root = np.sqrt(shares)
    out = band * root
    for row in range(len(band)):
        out[row, : len(root) - row] *= root[row:]
    return np.asarray(out)


def move(band: Floats, slope: Floats) -> Floats:
    """`P`: how far the weights go for a gradient of the log likelihood (`P`)."""
    return np.asarray(solveh_banded(band, slope, lower=True))
