"""A class that is drawn on a few images is found on the others, by a model that was never taught it."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import segmentation
from qc.dataset import open_dataset
from qc.errors import InvalidInput
from qc.geometry import Box
from segmentation.find import everywhere, find, pictures, surest
from segmentation.model import load_segmenter
from server.cli import main

STARTER = Path(segmentation.__file__).parent / "starter"


@pytest.fixture(scope="module")
def starter():
    return everywhere(load_segmenter(STARTER))


@pytest.fixture(scope="module")
def once(drawn_dataset, tmp_path_factory):
    """Scratches on every second part; the first view of each val part is not labelled, one val picture is damaged."""
    root = drawn_dataset(tmp_path_factory.mktemp("find") / "data", classes={1: "scratch", 2: "dent"})
    shutil.copytree(root / "masks", root / "truth")
    for part in (9, 10, 11):
        (root / "masks" / f"p{part:02d}_left.png").unlink()
    (root / "images" / "p11_right.png").write_bytes(b"no picture")
    return root


@pytest.fixture
def data(once, tmp_path):
    return Path(shutil.copytree(once, tmp_path / "data"))


def test_images_that_show_the_class_come_first_with_the_place(data, tmp_path, capsys):
    out = tmp_path / "reports" / "found.csv"
    words = ["find", "scratch", str(data), "--model", str(STARTER), "--examples", "6", "--out", str(out)]
    assert main(words) == 1, "one picture is damaged; the others are done"
    said = capsys.readouterr()
    assert "p11_right.png" in said.err
    assert "6 images with it and 8 without" in said.out
    assert "image AP" in said.out
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    having, lacking = pictures(open_dataset(data), 1, 6, 8, 0)
    learnt = {sample.image.name for sample in (*having, *lacking)}
    assert {row["file"] for row in rows} == {p.name for p in (data / "images").iterdir()} - learnt - {"p11_right.png"}
    assert [float(row["score"]) for row in rows] == sorted((float(row["score"]) for row in rows), reverse=True)
    masks = [cv2.imread(str(data / "truth" / row["file"]), cv2.IMREAD_GRAYSCALE) for row in rows]
    assert [mask.any() for mask in masks] == [True] * 6 + [False] * 3
    for row, mask in zip(rows[:6], masks, strict=False):
        box = Box(*(int(row[name]) for name in ("x", "y", "width", "height")))
        assert mask[box.y : box.bottom, box.x : box.right].any(), row
        assert box.width * box.height < mask.size / 2
    unlabelled = next(row for row in rows if row["file"] == "p10_left.png")
    assert (unlabelled["part"], unlabelled["split"]) == ("part10", "val")
    assert (unlabelled["labelled"], unlabelled["drawn"]) == ("no", "")
    labelled = next(row for row in rows if row["file"] == "p10_right.png")
    assert (labelled["labelled"], labelled["drawn"]) == ("yes", "yes")


def test_one_split_alone_is_looked_at_and_examples_are_of_many_parts(data, starter):
    told = []
    few = {"examples": 4, "others": 5, "split": "val"}
    search = find(starter, open_dataset(data), "scratch", **few, progress=lambda share, _: told.append(share))
    assert {one.sample.split for one in search.found} == {"val"}
    assert (search.examples, search.others, len(search.found), len(search.problems)) == (4, 5, 5, 1)
    assert told == sorted(told)
    assert told[-1] == 1.0
    having, _ = pictures(open_dataset(data), 1, 5, 8, seed=3)
    assert len({sample.part for sample in having}) == 5


@pytest.mark.parametrize(
    ("name", "limits", "why"),
    [
        ("dint", {}, "no class 'dint'; it has scratch, dent"),
        ("dent", {}, "dent is drawn on 0 images of the train split"),
        ("scratch", {"examples": 3}, "allow 4 or more"),
        ("scratch", {"split": "test"}, "the test split has no image"),
    ],
)
def test_what_cannot_be_looked_for_is_refused_before_any_look(data, starter, name, limits, why):
    with pytest.raises(InvalidInput, match=why):
        find(starter, open_dataset(data), name, **limits)


def test_without_images_that_lack_the_class_nothing_is_learnt(data, starter):
    for part in (1, 3, 5, 7):
        for view in ("left", "right"):
            (data / "masks" / f"p{part:02d}_{view}.png").unlink()
    with pytest.raises(InvalidInput, match="0 labelled images of the train split are without scratch"):
        find(starter, open_dataset(data), "scratch")


def test_a_mask_of_another_size_than_its_image_is_named(data, starter):
    for mask in (data / "masks").glob("p00_*.png"):
        cv2.imwrite(str(mask), np.ones((300, 300), np.uint8))
    with pytest.raises(InvalidInput, match=r"p00_\w+.png is 300 x 300"):
        find(starter, open_dataset(data), "scratch")


def test_a_network_without_an_encoder_is_refused(data):
    light = everywhere(load_segmenter(STARTER.with_name("light_starter")))
    with pytest.raises(InvalidInput, match="no encoder that describes places"):
        find(light, open_dataset(data), "scratch")


def test_the_place_is_what_hangs_together_with_the_surest_cell():
    odds = np.full((6, 8), -3.0, np.float32)
    odds[4:6, 6:8] = [[3.0, 5.0], [4.0, 1.0]]
    odds[0, 0] = 4.5  # as sure, elsewhere
    odds[1, 1] = np.nan
    assert surest(odds, 16, height=90, width=120) == Box(88, 58, 32, 32), "no further than the image"
    odds = np.full((2, 3), -2.0, np.float32)
    odds[1, 2] = -1.0
    assert surest(odds, 8, height=16, width=24) == Box(16, 8, 8, 8), "nothing is like it: one cell"
