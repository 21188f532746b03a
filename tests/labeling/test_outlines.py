"""Regions become polygons that a person can mend, and polygons become exactly the pixels that they hold."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from label_studio_sdk.converter import brush

from labeling.convert import from_results, to_results
from labeling.outlines import FAITHFUL, MOST_CORNERS, inside, outline, simplified
from labeling.strokes import pack, unpack
from labeling.taut import CLEAR_PX, exact

CLASSES = {1: "scratch", 2: "dent"}

blobs = arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 15)))


def regions(blob):
    number, labels = cv2.connectedComponents(blob.astype(np.uint8), connectivity=8)
    return [labels == k for k in range(1, number)]


def without_holes(region):
    outside = np.pad(~region, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    return (labels != labels[0, 0])[1:-1, 1:-1]


@settings(max_examples=80, deadline=None)
@given(blobs)
def test_the_outline_of_a_region_holds_exactly_its_pixels_and_its_holes(blob):
    for region in regions(blob):
        ring = outline(region, diagonal=True)
        assert (inside(ring, height=region.shape[0], width=region.shape[1]) == without_holes(region)).all()


@settings(max_examples=150, deadline=None)
@given(blobs, st.floats(0, 2 * np.pi))
def test_an_exact_polygon_holds_the_region_alone_even_if_a_page_moves_its_corners_a_little(blob, way):
    for region in regions(blob):
        ring = exact(region)
        if ring is None:
            assert (without_holes(region) != region).any()
            continue
        assert len(ring) <= len(outline(region, diagonal=True))
        height, width = region.shape
        sideways = np.array([0.9 * CLEAR_PX, 0.0])
        nudge = 1e-6 * np.array([np.cos(way), np.sin(way)])  # what is left of it in hundredths of the picture
        for moved in (ring, ring + sideways, ring - sideways, ring + nudge):
            assert (inside(moved, height=height, width=width) == region).all()


def test_an_exact_polygon_has_few_corners_and_a_region_that_needs_too_many_has_none():
    region = np.zeros((120, 200), np.uint8)
    cv2.line(region, (5, 10), (190, 100), 1, 3)
    assert len(outline(region > 0)) > 2 * MOST_CORNERS
    assert len(exact(region > 0)) < MOST_CORNERS / 3
    comb = np.ones((5, 400), bool)
    comb[:4, 1::4] = False
    assert len(outline(comb)) > MOST_CORNERS
    assert exact(comb) is None


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 18), st.floats(-3, 14)), min_size=3, max_size=9))
def test_a_pixel_belongs_to_a_polygon_that_winds_around_its_centre(points):
    """Against the angle that the corners sweep as seen from the centre, except where it lies on an edge."""
    ring = np.array(points)
    held = inside(ring, height=11, width=15)
    for y in range(11):
        for x in range(15):
            towards = ring - (x + 0.5, y + 0.5)
            after = np.roll(towards, -1, axis=0)
            cross = towards[:, 0] * after[:, 1] - towards[:, 1] * after[:, 0]
            dot = (towards * after).sum(axis=1)
            if ((np.abs(cross) < 1e-6) & (dot <= 1e-6)).any():
                continue
            turns = np.arctan2(cross, dot).sum() / (2 * np.pi)
            assert held[y, x] == (round(turns) != 0)


def test_two_polygons_that_share_an_edge_share_no_pixel_and_miss_none():
    one = np.array([[0, 0], [7, 0], [2.5, 9], [0, 9]])
    other = np.array([[7, 0], [12, 0], [12, 9], [2.5, 9]])
    first, second = (inside(ring, height=9, width=12) for ring in (one, other))
    assert not (first & second).any()
    assert (first | second).all()


def test_what_is_drawn_where_edges_cross_is_what_the_page_fills():
    star = np.array([[50, 5], [79, 95], [3, 39], [97, 39], [21, 95]])  # its middle is wound around twice
    assert inside(star, height=100, width=100)[55, 50]


@pytest.mark.parametrize("shape", ["ellipse", "scratch", "corner"])
def test_a_simplified_outline_has_few_corners_and_stays_faithful(shape):
    region = np.zeros((120, 200), np.uint8)
    if shape == "ellipse":
        cv2.ellipse(region, (100, 60), (80, 30), 20, 0, 360, 1, -1)
    elif shape == "scratch":
        cv2.line(region, (5, 10), (190, 100), 1, 3)
    else:
        region[0, 0] = region[1, 1] = 1
    ring = simplified(region > 0)
    assert len(ring) <= (MOST_CORNERS if shape == "scratch" else 40)
    held = inside(ring, height=120, width=200)
    assert (held & (region > 0)).sum() >= FAITHFUL * (held | (region > 0)).sum()


def test_a_ring_stays_a_brush_stroke_for_no_polygon_can_hold_it():
    mask = np.zeros((60, 60), np.uint8)
    cv2.circle(mask, (30, 30), 20, 1, 3)
    mask[2:9, 2:9] = 2
    found = to_results(mask, CLASSES, polygons=True)
    assert [r["type"] for r in found] == ["brushlabels", "polygonlabels"]
    assert (from_results(found, CLASSES, height=60, width=60).mask == mask).all()


def test_beyond_the_most_regions_the_rest_of_a_class_is_one_region_and_no_pixel_is_lost():
    rng = np.random.default_rng(4)
    mask, scores = np.zeros((80, 90), np.uint8), np.zeros((80, 90), np.float32)
    for k in range(30):
        y, x = divmod(k, 6)
        place = np.s_[3 + 15 * y : 8 + 15 * y, 2 + 14 * x : 9 + 14 * x]
        mask[place], scores[place] = 1 + k % 2, rng.uniform(0.2, 0.9)
    found = to_results(mask, CLASSES, scores=scores, most=20)
    assert len(found) == 22
    own = [r["score"] for r in found[:20]]
    assert own == sorted(own, reverse=True)
    assert max(r["score"] for r in found[20:]) <= min(own)
    assert (from_results(found, CLASSES, height=80, width=90).mask == mask).all()


@settings(max_examples=60, deadline=None)
@given(blobs)
def test_strokes_are_packed_as_label_studios_own_encoder_packs_them(blob):
    theirs = brush.mask2rle(np.where(blob, 255, 0).astype(np.uint8))
    ours = pack(blob)
    assert ours == theirs[: len(ours)]  # it may add a byte of padding
    assert not any(theirs[len(ours) :])


@pytest.mark.parametrize("full", [True, False])
def test_runs_longer_than_a_packed_run_may_be_are_told_in_pieces(full):
    blob = np.full((300, 400), full)
    assert pack(blob) == brush.mask2rle(np.where(blob, 255, 0).astype(np.uint8))[: len(pack(blob))]
    assert (unpack(pack(blob), height=300, width=400) == 255 * full).all()
