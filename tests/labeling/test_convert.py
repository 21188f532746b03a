"""A mask survives the way to Label Studio and back, and nothing that a browser sends is believed unchecked."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from labeling.config import NOTHING, UNSURE, label_config, labels_of
from labeling.convert import from_results, to_results
from labeling.strokes import pack, unpack
from qc.errors import InvalidInput

CLASSES = {1: "scratch", 2: "dent", 7: "pit & <hole>"}

masks = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(1, 24), st.integers(1, 31)),
    elements=st.sampled_from([0, 0, 0, 1, 2, 7, 255]),
)


def back(results, mask, **changes):
    height, width = changes.get("shape", mask.shape)
    return from_results(results, CLASSES, height=height, width=width)


@settings(max_examples=60, deadline=None)
@given(masks)
def test_any_mask_comes_back_pixel_for_pixel(mask):
    drawing = back(to_results(mask, CLASSES), mask)
    assert (drawing.mask == mask).all()
    assert drawing.specks == 0


def test_a_large_mask_with_a_hair_thin_scratch_comes_back_pixel_for_pixel():
    mask = np.zeros((700, 1024), np.uint8)
    cv2.line(mask, (3, 650), (1000, 20), 1, 1)
    mask[699, 1023] = 2
    assert (back(to_results(mask, CLASSES), mask).mask == mask).all()


def test_every_blemish_is_a_region_of_its_own_with_the_models_score():
    mask = np.zeros((20, 40), np.uint8)
    mask[2:5, 2:8], mask[10:12, 20:30], mask[15, 35] = 1, 1, 2
    scores = np.where(mask == 2, 0.4, 0.9).astype(np.float32)
    results = to_results(mask, CLASSES, scores=scores)
    assert [r["value"]["brushlabels"] for r in results] == [["scratch"], ["scratch"], ["dent"]]
    assert [r["score"] for r in results] == [0.9, 0.9, 0.4]


def test_half_covered_pixels_belong_to_a_stroke_and_fainter_ones_do_not():
    from label_studio_sdk.converter import brush

    alpha = np.zeros((4, 6), np.uint8)
    alpha[1, 1:4] = (127, 128, 255)
    region = to_results((alpha > 0).astype(np.uint8), CLASSES)[0]
    region["value"]["rle"] = brush.mask2rle(alpha)
    assert np.argwhere(back([region], alpha).mask).tolist() == [[1, 2], [1, 3]]


def test_stray_marks_at_the_border_are_left_out_and_counted():
    blob = np.zeros((40, 60), bool)
    blob[10:20, 10:40] = True
    blob[5, 59] = blob[30:32, 59] = True  # at the right edge
    blob[25, 25] = True  # small, but a person drew it: it is not at the border
    region = to_results(np.ones((1, 1), np.uint8), CLASSES)[0]
    region |= {"original_width": 60, "original_height": 40}
    region["value"]["rle"] = pack(blob)
    drawing = back([region | {"origin": "manual"}], blob)
    assert drawing.specks == 2
    assert drawing.mask.sum() == 10 * 30 + 1
    left_as_proposed = back([region | {"origin": "prediction"}], blob)
    assert (left_as_proposed.specks, left_as_proposed.mask.sum()) == (0, blob.sum())


def test_more_blemishes_than_may_be_shown_share_a_region_and_none_is_lost():
    mask = np.random.default_rng(5).choice([0, 0, 0, 1, 2, 255], size=(60, 80)).astype(np.uint8)
    results = to_results(mask, CLASSES, most=7)
    assert len(results) == 7 + 3
    assert (back(results, mask).mask == mask).all()


def test_a_small_defect_at_the_border_is_no_speck_when_it_is_all_there_is():
    mask = np.zeros((20, 20), np.uint8)
    mask[7, 19] = 1
    assert (back(to_results(mask, CLASSES), mask).mask == mask).all()


def shape(kind, value, label="scratch", **more):
    names = {"rectanglelabels": "box", "polygonlabels": "polygon"}
    size = {"original_width": 80, "original_height": 50}
    return {"id": "s", "type": kind, "from_name": names[kind], "value": {**value, kind: [label]}, **size, **more}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 70), st.integers(0, 40), st.integers(1, 9), st.integers(1, 9))
def test_a_box_of_whole_pixels_is_exactly_these_pixels(x, y, w, h):
    percent = {"x": x / 80 * 100, "y": y / 50 * 100, "width": w / 80 * 100, "height": h / 50 * 100, "rotation": 0}
    mask = from_results([shape("rectanglelabels", percent)], CLASSES, height=50, width=80).mask
    wanted = np.zeros((50, 80), np.uint8)
    wanted[y : y + h, x : x + w] = 1
    assert (mask == wanted).all()


def test_a_box_turned_by_a_quarter_hangs_from_its_first_corner():
    percent = {"x": 50, "y": 20, "width": 10, "height": 8, "rotation": 90}  # 8 x 4 px from (40, 10)
    mask = from_results([shape("rectanglelabels", percent)], CLASSES, height=50, width=80).mask
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 17, 36, 39)


def test_a_polygon_covers_the_pixels_whose_centres_it_holds():
    points = [[10, 10], [60, 10], [60, 70]]
    mask = from_results([shape("polygonlabels", {"points": points}, "dent")], CLASSES, height=50, width=80).mask
    wanted = [
        [2 if 8 <= x + 0.5 <= 48 and 5 <= y + 0.5 <= 5 + (x + 0.5 - 8) * 30 / 40 else 0 for x in range(80)]
        for y in range(50)
    ]
    assert int((mask != np.array(wanted)).sum()) <= 2  # centres exactly on the slope may fall on either side


def test_a_polygon_thinner_than_a_pixel_still_marks_the_line_that_it_follows():
    points = [[10.1, 10.1], [60.1, 10.1], [60.1, 10.2]]
    mask = from_results([shape("polygonlabels", {"points": points})], CLASSES, height=50, width=80).mask
    assert mask[5, 8:49].all()
    assert mask.sum() == 41


def test_the_later_of_two_overlapping_regions_is_on_top():
    low = shape("rectanglelabels", {"x": 0, "y": 0, "width": 50, "height": 100}, "scratch")
    high = shape("rectanglelabels", {"x": 25, "y": 0, "width": 50, "height": 100}, "dent")
    mask = from_results([low, high], CLASSES, height=50, width=80).mask
    assert mask[0, [0, 19, 20, 59, 60]].tolist() == [1, 1, 2, 2, 0]


def test_nothing_here_is_a_defect_clears_what_the_model_proposed():
    mask = np.zeros((6, 6), np.uint8)
    mask[2:4, 2:4] = 1
    proposed = [r | {"origin": "prediction"} for r in to_results(mask, CLASSES)]
    nothing = to_results(np.zeros((6, 6), np.uint8), CLASSES)
    assert nothing[0]["value"]["choices"] == [NOTHING]
    assert not back(proposed + nothing, mask).mask.any()


def test_nothing_here_beside_a_region_drawn_by_hand_is_a_contradiction():
    mask = np.ones((6, 6), np.uint8)
    drawn = [r | {"origin": "manual"} for r in to_results(mask, CLASSES)]
    nothing = to_results(np.zeros((6, 6), np.uint8), CLASSES)
    with pytest.raises(InvalidInput, match="remove one or the other"):
        back(drawn + nothing, mask)


def changed(**changes):
    region = to_results(np.ones((6, 9), np.uint8), CLASSES)[0]
    region["value"] = region["value"] | changes.pop("value", {})
    return region | changes


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (changed(value={"brushlabels": ["crack"]}), "unknown label 'crack'"),
        (changed(value={"brushlabels": []}), "0 labels"),
        (changed(value={"brushlabels": ["scratch", "dent"]}), "exactly one"),
        (changed(original_width=8), "drawn on 8 x 6 px; the crop is 9 x 6"),
        (changed(image_rotation=90), "rotated"),
        (changed(type="ellipselabels"), "ellipselabels"),
        (changed(value={"rle": None}), "not a list of bytes"),
        (changed(value={"rle": [1, 2, 300]}), "not a list of bytes"),
        (changed(value={"rle": [255] * 40}), "hold 4294967295 values"),
        (changed(value={"rle": pack(np.ones((6, 9), bool))[:8]}), "end too early"),
        (changed(value={"rle": pack(np.ones((9, 9), bool))}), "hold 324 values"),
        (shape("polygonlabels", {"points": [[1, 2, 3]]}, original_width=9, original_height=6), "proper corners"),
        (shape("rectanglelabels", {"x": 1, "y": 2}, original_width=9, original_height=6), "proper corners"),
        (
            shape("polygonlabels", {"points": [[1e9, 2], [3, 4], [5, 6]]}, original_width=9, original_height=6),
            "corners",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(region, words):
    with pytest.raises(InvalidInput, match=words):
        from_results([region], CLASSES, height=6, width=9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 255), max_size=60))
def test_damaged_strokes_are_refused_and_never_anything_worse(tail):
    head = list((4 * 5 * 7).to_bytes(4, "big"))
    try:
        alpha = unpack(head + tail, height=5, width=7)
    except InvalidInput:
        return
    assert alpha.shape == (5, 7)


def test_a_project_offers_every_class_and_a_way_to_say_not_sure():
    config = label_config(CLASSES.values())
    assert labels_of(config) == list(CLASSES.values())
    assert config.count(f'value="{UNSURE}"') == 3
    assert labels_of("not xml") == []
