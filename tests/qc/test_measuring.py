"""Drawn shapes whose length, width and direction are known are measured as they were drawn."""

import itertools
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qc.measuring import contrast, course

ANGLES = [math.radians(a) for a in (0, 3, 17, 30, 45, 60, 88, 90, 135, 163)]


def length_and_width(blob):
    found = course(blob)
    return found.length_px, found.width_px


def straight(length: float, width: float, angle: float, side: int = 260) -> np.ndarray:
    """Pixels whose centres lie within a rectangle around the middle, turned counter-clockwise as seen."""
    y, x = np.mgrid[:side, :side] - (side / 2 + 0.23)
    along, across = x * math.cos(angle) - y * math.sin(angle), y * math.cos(angle) + x * math.sin(angle)
    return (abs(along) <= length / 2) & (abs(across) <= width / 2)


def along(points: np.ndarray, width: float, side: int = 300) -> np.ndarray:
    """Pixels within half a width of a polyline of `(x, y)`: round ends, so it is one width longer than the line."""
    drawn = np.zeros((side, side), bool)
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        left, top = int(min(x0, x1) - width) - 1, int(min(y0, y1) - width) - 1
        right, bottom = int(max(x0, x1) + width) + 2, int(max(y0, y1) + width) + 2
        y, x = np.mgrid[top:bottom, left:right].astype(float)
        dx, dy = x1 - x0, y1 - y0
        t = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        drawn[top:bottom, left:right] |= np.hypot(x - x0 - t * dx, y - y0 - t * dy) <= width / 2
    return drawn


def arc(radius: float, turn: float) -> np.ndarray:
    t = 0.2 + np.linspace(0, turn, 90)
    return np.c_[150.3 + radius * np.cos(t), 150.1 + radius * np.sin(t)]


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize(("length", "width"), [(12, 2), (25, 3), (60, 5), (200, 3), (200, 9), (40, 20)])
def test_a_straight_scratch_has_the_length_width_and_direction_it_was_drawn_with(length, width, angle):
    found = course(straight(length, width, angle))

    assert found.length_px == pytest.approx(length, abs=1.2)
    assert found.width_px == pytest.approx(width, abs=1)
    off = (found.angle_deg - math.degrees(angle) + 90) % 180 - 90
    assert abs(off) <= math.degrees(math.atan(1 / length)) + 1.5


@pytest.mark.parametrize("angle", ANGLES)
def test_a_scratch_one_pixel_wide_keeps_its_length(angle):
    picture = np.zeros((260, 260), np.uint8)
    reach = 80 * np.array([math.cos(angle), -math.sin(angle)])
    cv2.line(picture, *(tuple(int(v) for v in np.rint(130 + s * reach)) for s in (-1, 1)), 1, 1)

    length, width = length_and_width(picture > 0)

    assert length == pytest.approx(161, abs=2)
    assert 0.6 <= width <= 1.1  # at 45 degrees its pixels touch at corners only


@pytest.mark.parametrize("width", [1.5, 3, 6])
@pytest.mark.parametrize("radius", [20, 100])
def test_the_length_of_a_bent_scratch_follows_its_curve(radius, width):
    found = course(along(arc(radius, math.pi), width))

    assert found.length_px == pytest.approx(math.pi * radius + width, rel=0.045)  # not the chord between its ends
    assert found.width_px == pytest.approx(width, rel=0.1)


@pytest.mark.parametrize("width", [1.5, 3, 6])
@pytest.mark.parametrize("radius", [20, 100])
def test_a_closed_ring_is_as_long_as_its_whole_circumference(radius, width):
    found = course(along(arc(radius, 2 * math.pi), width))

    assert found.length_px == pytest.approx(2 * math.pi * radius, rel=0.02)
    assert found.angle_deg is None


def test_a_wave_a_corner_and_a_spiral_are_followed():
    t = np.linspace(0, 200, 150)
    wave = np.c_[40 + t, 150 + 30 * np.sin(t / 25)]
    corner = np.array([[40.4, 40.4], [200.4, 40.4], [200.4, 250.4]])
    s = np.linspace(0, 4 * math.pi, 300)
    spiral = np.c_[150 + (10 + 8 * s) * np.cos(s), 150 + (10 + 8 * s) * np.sin(s)]
    for points in (wave, corner, spiral):
        true = float(np.hypot(*np.diff(points, axis=0).T).sum()) + 3
        length, width = length_and_width(along(points, 3))
        assert length == pytest.approx(true, rel=0.015)
        assert width == pytest.approx(3, abs=0.2)


def test_a_lasso_is_its_rope_and_its_loop():
    rope = np.array([[20.0, 150.0], [110.0, 150.0]])
    picture = along(rope, 3) | along(arc(40, 2 * math.pi), 3)
    assert course(picture).length_px == pytest.approx(90 + 2 * math.pi * 40, rel=0.05)


def test_a_branch_makes_a_scratch_neither_longer_nor_wider():
    main, side = np.array([[30.0, 60.2], [260.0, 60.2]]), np.array([[150.0, 60.0], [190.0, 130.0]])
    found = course(along(main, 3) | along(side, 3))
    assert found.length_px == pytest.approx(233, abs=4)
    assert found.width_px == pytest.approx(3, abs=0.3)


def test_discs_and_squares_are_as_long_as_they_are_wide_and_have_no_direction():
    y, x = np.mgrid[:61, :61] - 30
    disc = course(np.hypot(x, y) <= 20.5)
    assert disc.length_px == pytest.approx(41, abs=1)
    assert disc.angle_deg is None
    assert course(np.ones((21, 21), bool)).length_px == pytest.approx(21)
    assert course(np.ones((21, 21), bool)).angle_deg is None


def test_one_pixel_is_one_pixel_long_and_wide():
    assert length_and_width(np.ones((1, 1), bool)) == (1.0, 1.0)
    assert length_and_width(np.ones((1, 2), bool)) == (2.0, 1.0)
    assert course(np.ones((1, 7), bool)).angle_deg == 0
    assert course(np.ones((7, 1), bool)).angle_deg == 90


def test_a_scratch_over_a_whole_frame_is_measured_as_truly_as_a_small_one():
    picture = np.zeros((3000, 3600), np.uint8)
    cv2.line(picture, (10, 10), (3400, 2800), 1, 9)
    length, width = length_and_width(picture > 0)
    true = math.hypot(3390, 2790) + 9
    assert length == pytest.approx(true, rel=0.01)
    assert width == pytest.approx((picture > 0).sum() / true, rel=0.01)


@settings(max_examples=150, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.booleans()).filter(np.any))
def test_whatever_is_connected_can_be_measured(mask):
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    blob = labels == labels[mask][0]
    found = course(blob)
    assert 0.9 <= found.length_px <= 2 * blob.sum() + 1
    assert found.length_px * found.width_px <= blob.sum() + 1e-6  # branches share the area
    assert found.width_px > 0
    assert found.angle_deg is None or 0 <= found.angle_deg < 180
    assert np.isfinite(np.array(found.line)).all()


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turning_a_picture_turns_the_direction_only(turns):
    blob = along(np.c_[30 + np.arange(150.0), 60 + np.arange(150.0) ** 1.5 / 30], 4)
    before, after = course(blob), course(np.rot90(blob, turns))
    assert after.length_px == pytest.approx(before.length_px, rel=0.01)
    assert (after.angle_deg - before.angle_deg - 90 * turns + 90) % 180 - 90 == pytest.approx(0, abs=1)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("colours", [0, 3])
def test_contrast_is_the_share_of_full_scale_between_inside_and_around(kind, colours):
    full = np.iinfo(kind).max
    picture = np.full((50, 60) + ((colours,) if colours else ()), 0.4 * full).astype(kind)
    picture[20:23, 10:40] = int(0.3 * full)
    picture[19, 10:40] = int(0.35 * full)  # a blurred rim belongs to neither
    assert contrast(picture, np.ones((3, 30), bool), x=10, y=20) == pytest.approx(-0.1, abs=0.005)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_a_cameras_bits_do_not_change_contrast(bits):
    eight = np.full((50, 60), 200, np.uint8)
    eight[20:23, 10:40] = 75
    blob = np.ones((3, 30), bool)
    deep = (eight.astype(np.uint16) << (bits - 8)) + 1  # its lowest bit is in use
    wanted = contrast(eight, blob, x=10, y=20)
    assert wanted == pytest.approx(-125 / 255)
    assert contrast(deep, blob, x=10, y=20) == pytest.approx(wanted, abs=0.003)
    assert contrast(deep >> 1, blob, x=10, y=20, bits=bits) == pytest.approx(wanted / 2, abs=0.003)


def test_contrast_at_the_corner_of_a_frame_and_over_a_whole_frame():
    picture = np.full((20, 20), 100, np.uint8)
    picture[:3, :3] = 202
    assert contrast(picture, np.ones((3, 3), bool)) == pytest.approx(0.4)
    assert contrast(picture, np.ones((20, 20), bool)) == 0
