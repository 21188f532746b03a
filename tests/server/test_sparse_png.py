"""A PNG put together of pieces is read by every decoder as the plane that it was made of."""

from __future__ import annotations

import io

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qc.defects import find_defects
from qc.ports import Segmentation
from server.sparse_png import sparse_png


def read(png: bytes) -> np.ndarray:
    """By OpenCV, having had Pillow check every checksum."""
    with Image.open(io.BytesIO(png)) as picture:
        picture.verify()
    with Image.open(io.BytesIO(png)) as picture:  # zlib's own checksum is looked at here
        pillows = np.asarray(picture, np.uint16)
    found = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, pillows)
    return found


@given(st.data(), st.integers(1, 700), st.integers(1, 90))
def test_what_lies_in_filled_rows_is_kept_and_the_rest_is_zero(data, height, width):
    rows = st.tuples(st.integers(-3, height + 3), st.integers(-3, height + 3))
    filled = data.draw(st.lists(rows, max_size=5))
    plane = np.random.default_rng(height * width).integers(0, 1 << 16, (height, width), np.uint16)
    wanted = np.zeros_like(plane)
    for first, after in filled:
        wanted[max(first, 0) : max(after, 0)] = plane[max(first, 0) : max(after, 0)]
    np.testing.assert_array_equal(read(sparse_png(plane, filled)), wanted)


def test_a_frame_of_twelve_megapixels_keeps_its_defects_in_little():
    log_odds = np.full((3000, 4000), -9, np.float16)
    log_odds[0, 0] = log_odds[2999, 3999] = log_odds[1200:1203, 500:2500] = 4
    seen = Segmentation(log_odds, np.ones(log_odds.shape, np.uint8))
    defects, instances = find_defects(seen, {1: "scratch"}, threshold=0.5)
    assert len(defects) == 3
    png = sparse_png(instances, [(defect.box.y, defect.box.bottom) for defect in defects])
    np.testing.assert_array_equal(read(png), instances)
    assert len(png) < 60_000


def test_a_filled_plane_of_more_than_one_piece_is_whole():
    plane = np.arange(900 * 1300, dtype=np.uint32).astype(np.uint16).reshape(900, 1300)
    np.testing.assert_array_equal(read(sparse_png(plane, [(0, 900)])), plane)
