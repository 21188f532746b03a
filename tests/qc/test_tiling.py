"""Every pixel is answered for by exactly one tile, and every tile starts on the network's grid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qc.errors import InvalidInput
from qc.tiling import tiles


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.integers(0, 4),
    st.sampled_from([1, 8, 16]),
)
def test_cores_cover_the_frame_once_and_halos_surround_them(height, width, cores, halos, stride):
    answered = np.zeros((height, width), int)
    core = cores[0] * stride, cores[1] * stride
    for tile in tiles(height, width, core=core, halo=halos * stride, stride=stride):
        assert tile.core.height <= core[0]
        assert tile.core.width <= core[1]
        answered[tile.core.y : tile.core.bottom, tile.core.x : tile.core.right] += 1
        assert (tile.core.x - tile.left, tile.core.y - tile.top) == (halos * stride, halos * stride)
        assert tile.left % stride == tile.top % stride == tile.width % stride == tile.height % stride == 0
        assert tile.width >= tile.core.width + 2 * halos * stride

    assert (answered == 1).all()


def test_twelve_megapixels_are_covered():
    answered = sum(t.core.width * t.core.height for t in tiles(3000, 4096, core=(1504, 1024), halo=128, stride=16))

    assert answered == 3000 * 4096


@pytest.mark.parametrize(
    "sizes",
    [
        {"core": (16, 0), "halo": 0},
        {"core": (64, 100), "halo": 16, "stride": 16},
        {"core": (64, 64), "halo": 3, "stride": 16},
    ],
)
def test_sizes_off_the_grid_are_refused(sizes):
    with pytest.raises(InvalidInput, match="multiples"):
        list(tiles(100, 100, **sizes))


def test_a_frame_without_pixels_is_refused():
    with pytest.raises(InvalidInput, match="0 x 10"):
        list(tiles(10, 0, core=(16, 16), halo=0))
