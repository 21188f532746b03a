"""Crops: every defect gets its turn, nothing is learnt about the middle, unknown stays unknown."""

import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc.dataset import IGNORE, open_dataset
from qc.errors import InvalidInput
from segmentation.data import Crops, cut, index, rgb


def crops(dataset, **changes):
    samples = dataset.split("train")
    settings = {"crop_px": 64, "batch": 8, "defect_share": 1.0, "seed": 0, **changes}
    return Crops(samples, dataset.classes, index(samples, dataset.classes), **settings)


def test_the_index_knows_what_is_drawn(scratches):
    dataset = open_dataset(scratches)
    found = index(dataset.split("train"), dataset.classes)
    assert len(found.blemishes) == 10
    assert len(found.clean) == 8
    assert found.pixels[1] == sum(b.area_px for b in found.blemishes)


def test_an_image_of_which_nobody_knows_anything_is_not_clean(drawn_dataset, tmp_path):
    root = drawn_dataset(tmp_path / "data", parts=6, val=1)
    before = index(open_dataset(root).split("train"), {1: "scratch"}).clean
    samples = open_dataset(root).split("train")
    cv2.imwrite(str(samples[before[0]].mask), np.full(samples[before[0]].pixels().shape[:2], IGNORE, np.uint8))
    assert index(samples, {1: "scratch"}).clean == before[1:]


def test_a_batch_is_the_same_whenever_it_is_drawn(scratches):
    dataset = open_dataset(scratches)
    first, again = crops(dataset), crops(dataset)
    first.draw(0)
    for a, b in zip(first.draw(7), again.draw(7), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(first.draw(7)[0], first.draw(8)[0])


def test_crops_on_defects_show_defects_anywhere_in_the_crop(scratches):
    drawn = crops(open_dataset(scratches))
    masks = np.concatenate([drawn.draw(n)[1] for n in range(12)])
    shown = (masks == 1).any(axis=(1, 2))
    assert shown.mean() > 0.8
    share_in_middle = (masks[:, 16:48, 16:48] == 1).sum() / (masks == 1).sum()
    assert share_in_middle < 0.5  # a quarter of the area; a crop centred on its defect would give nearly all


def test_a_crop_on_a_long_slanting_scratch_shows_it_at_any_place_of_it_and_of_the_crop(scratches, tmp_path):
    """Most crops around random places of its box would show none of it."""
    root = shutil.copytree(scratches, tmp_path / "long")
    sample = open_dataset(root).split("train")[0]
    picture, mask = np.full((640, 640), 100, np.uint8), np.zeros((640, 640), np.uint8)
    for canvas, value in ((picture, 40), (mask, 1)):
        cv2.line(canvas, (10, 10), (630, 630), value, 1)
    cv2.imwrite(str(sample.image), picture)
    cv2.imwrite(str(sample.mask), mask)
    drawn = Crops(
        [sample], {1: "scratch"}, index([sample], {1: "scratch"}), crop_px=64, batch=8, defect_share=1, seed=0
    )
    masks = np.concatenate([drawn.draw(n)[1] for n in range(25)])
    assert (masks == 1).any(axis=(1, 2)).all()
    heat = (masks == 1).mean(axis=0)
    quarters = [heat[rows, columns].mean() for rows in (np.s_[:32], np.s_[32:]) for columns in (np.s_[:32], np.s_[32:])]
    assert max(quarters) < 2 * min(quarters)


def test_half_of_the_other_crops_come_from_clean_frames_and_the_rest_from_anywhere(scratches):
    drawn = crops(open_dataset(scratches), defect_share=0.0)
    masks = np.concatenate([drawn.draw(n)[1] for n in range(12)])
    assert (masks == 1).any(axis=(1, 2)).mean() < 0.5


@given(
    st.integers(1, 50),
    st.integers(1, 50),
    st.integers(-60, 60),
    st.integers(-60, 60),
    st.sampled_from([16, 32]),
    st.booleans(),
)
def test_a_cut_is_inside_where_it_can_be_and_unknown_outside(height, width, x, y, size, colour):
    pixels = np.random.default_rng(0).integers(
        0, 256, (height, width, 3) if colour else (height, width), dtype=np.uint8
    )
    mask = np.ones((height, width), np.uint8)
    crop, drawn = cut(pixels, mask, x, y, size)
    assert crop.shape == (size, size, 3)
    assert drawn.shape == (size, size)
    assert (drawn == 1).sum() == min(height, size) * min(width, size)
    assert ((drawn == 1) | (drawn == IGNORE)).all()


def test_grey_and_colour_16_bit_become_rgb_of_8():
    grey = np.array([[0, 4095]], np.uint16)
    assert rgb(grey).tolist() == [[[0, 0, 0], [255, 255, 255]]]
    colour = np.dstack([grey, grey // 2, grey // 4])
    assert rgb(colour).tolist() == [[[0, 0, 0], [255, 127, 63]]]


def test_a_mask_of_another_size_is_named_before_anything_is_learnt(scratches, tmp_path):
    root = shutil.copytree(scratches, tmp_path / "bad")
    cv2.imwrite(str(root / "masks" / "p00_left.png"), np.ones((10, 10), np.uint8))
    dataset = open_dataset(root)
    with pytest.raises(InvalidInput, match=r"p00_left\.png is 10 x 10 px but its image is 200 x 160"):
        index(dataset.split("train"), dataset.classes)


@pytest.fixture
def with_columns(drawn_dataset, tmp_path):
    """A data set to whose split the named columns can be added: file name to field."""
    root = drawn_dataset(tmp_path / "data", parts=6, val=1)

    def add(column, fields):
        lines = (root / "split.csv").read_text().splitlines()
        named = [f"{line},{fields.get(line.split(',')[0], '')}" for line in lines[1:]]
        (root / "split.csv").write_text("\n".join([f"{lines[0]},{column}", *named]) + "\n")
        return open_dataset(root)

    return add


def test_confirmed_false_alarms_are_drawn_as_negatives(with_columns):
    dataset = with_columns("false_alarms", {"p01_left.png": "10 20 5 5; 150 100 6 6"})
    assert [box.as_list() for _, box in index(dataset.split("train"), dataset.classes).false_alarms] == [
        [10, 20, 5, 5],
        [150, 100, 6, 6],
    ]
    marked = dataset.split("train")[2]
    assert marked.image.name == "p01_left.png"
    pixels = cv2.imread(str(marked.image), cv2.IMREAD_UNCHANGED)
    pixels[20:25, 10:15] = pixels[100:106, 150:156] = 1  # a mark that augmentation keeps dark
    cv2.imwrite(str(marked.image), pixels)

    def share_with_the_mark(hard_share):
        drawn = crops(dataset, defect_share=0.0, hard_share=hard_share)
        seen = np.concatenate([drawn.draw(n)[0].min(axis=(1, 2, 3)) for n in range(12)])
        return (seen < 25).mean()

    assert share_with_the_mark(1.0) > 0.75  # a crop may hold one pixel of it, and light may change
    assert share_with_the_mark(0.0) < 0.3


def test_a_false_alarm_on_which_a_defect_is_drawn_after_all_is_none(with_columns):
    dataset = with_columns("false_alarms", {"p00_left.png": "0 0 200 160"})
    assert index(dataset.split("train"), dataset.classes).false_alarms == ()


def test_without_false_alarms_nothing_changes(scratches):
    dataset = open_dataset(scratches)
    for a, b in zip(crops(dataset).draw(3), crops(dataset, hard_share=0.5).draw(3), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("field", ["1 2 3", "1 2 3 x", "5 5 0 4", "190 10 20 5", "-1 0 5 5"])
def test_a_box_that_is_none_is_named(with_columns, field):
    dataset = with_columns("false_alarms", {"p01_left.png": field})
    with pytest.raises(InvalidInput, match=r"p01_left\.png.*false"):
        index(dataset.split("train"), dataset.classes)


def test_a_crop_carries_how_far_its_labels_are_trusted(with_columns):
    dataset = with_columns("label_quality", {"p00_left.png": "0.25", "p02_left.png": "0.5"})
    quality = np.concatenate([crops(dataset).draw(n)[2] for n in range(8)])
    assert set(np.unique(quality)) == {0.25, 0.5, 1.0}


@pytest.mark.parametrize("field", ["good", "1.2", "nan"])
def test_a_quality_that_is_none_is_named(with_columns, field):
    dataset = with_columns("label_quality", {"p00_left.png": field})
    with pytest.raises(InvalidInput, match=r"p00_left\.png: label_quality"):
        crops(dataset)
