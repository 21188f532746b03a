"""Half precision compared by its bits says what numpy says of the numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn

from qc import halves

EVERY = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
NUMBERS = EVERY[~np.isnan(EVERY)]

any_bits = drawn.arrays(np.uint16, st.integers(1, 40)).map(lambda bits: bits.view(np.float16))


@pytest.mark.parametrize(
    "level", [-math.inf, -2.944, -1e-4, -1e-9, -0.0, 0.0, 1e-9, 6e-8, 1e-4, 2.197, 65504.0, math.inf]
)
def test_every_number_is_compared_as_by_numpy(level):
    np.testing.assert_array_equal(halves.at_least(NUMBERS, level), np.float16(level) <= NUMBERS)
    np.testing.assert_array_equal(halves.at_least(EVERY, level), np.float16(level) <= EVERY)


@given(any_bits)
@example(np.array([-0.0, 0.0], np.float16))
@example(np.array([-3.0, -0.0], np.float16))
@example(np.array([-math.inf], np.float16))
@example(np.array([0xFE00, 0], np.uint16).view(np.float16))  # a NaN with a sign
def test_the_highest_is_that_of_numpy(plane):
    if np.isnan(plane).any():
        assert math.isnan(halves.highest(plane))
    else:
        assert halves.highest(plane) == plane.max()
        assert halves.place_of_highest(plane) == plane.argmax()


def test_planes_need_not_lie_whole_in_memory():
    plane = np.linspace(-9, 3, 60, dtype=np.float16).reshape(6, 10)
    for view in (plane[::2, 1::3], plane.T, np.broadcast_to(np.float16(-9), (4, 5))):
        np.testing.assert_array_equal(halves.at_least(view, -2.0), view >= np.float16(-2.0))
        assert halves.highest(view) == view.max()
        assert halves.place_of_highest(view) == view.argmax()
