"""How large effects usually are: learnt of all weights together, for each alone may look like nothing."""

from __future__ import annotations

import numpy as np
import pytest

from process_opt.hierarchy import _told_of_each


def pairs(count: int, size: float, wide: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of which the rows tell the sum of each two, to a hundredth, and nothing else: the estimates under a prior
    as wide as `wide`, their covariance, and that prior's precisions."""
    truth = size * rng.standard_normal((count, 2))
    sums = truth.sum(axis=1) + 0.01 * rng.standard_normal(count)
    information = np.kron(np.eye(count), np.ones((2, 2)) / 0.01**2)
    penalty = np.full(2 * count, 1 / wide**2)
    covariance = np.linalg.inv(information + np.diag(penalty))
    return covariance @ np.repeat(sums / 0.01**2, 2), covariance, penalty


@pytest.mark.parametrize("wide", [0.02, 0.2, 1.0])
def test_weights_that_are_known_only_together_tell_their_scale_whatever_the_prior_before(wide: float) -> None:
    rng = np.random.default_rng(1)
    off, covariance, penalty = pairs(100, 0.1, wide, rng)
    same = np.zeros(off.size, dtype=np.int64)
    value, told = _told_of_each(off, covariance, penalty, same, same)
    square = float(np.mean(value**2) - np.mean(1 / told))
    assert np.sqrt(square) == pytest.approx(0.1, rel=0.25)
