"""Data that would teach or measure something false is found before a training, and said in plain words."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from qc.errors import InvalidInput
from server.data_checks import check_dataset, fingerprint, refuse_unfit


class Data:
    """A data set that grows part by part."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rows = folder, []
        (folder / "images").mkdir(parents=True)
        (folder / "masks").mkdir()
        (folder / "dataset.yaml").write_text("name: t\nclasses: {1: scratch, 2: pit}\n")

    def add(self, name: str, side: str, *, seed: int, shows: dict[int, int] | None = None, part: str = "", pixels=None):
        """A textured picture and its mask; `shows` maps classes to sides of a square, px."""
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 255, (9, 9), np.uint8).astype(np.uint8)
        picture = cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC) if pixels is None else pixels
        mask = np.zeros((96, 96), np.uint8)
        for class_id, length in (shows or {}).items():
            mask[5 : 5 + length, 40 * class_id - 30 : 40 * class_id - 30 + length] = class_id
        cv2.imwrite(str(self.folder / "images" / f"{name}.png"), picture)
        cv2.imwrite(str(self.folder / "masks" / f"{name}.png"), mask)
        self.rows.append({"file": f"{name}.png", "split": side, "part": part or name})
        with (self.folder / "split.csv").open("w", newline="") as out:
            writer = csv.DictWriter(out, ["file", "split", "part"])
            writer.writeheader()
            writer.writerows(self.rows)
        return picture

    def check(self, **options):
        return check_dataset(self.folder, **options)


@pytest.fixture
def data(tmp_path):
    """Enough of everything: nothing to remark."""
    data = Data(tmp_path / "data")
    for n in range(6):
        data.add(f"t{n}", "train", seed=n, shows={1: 8, 2: 6})
        data.add(f"c{n}", "train", seed=50 + n)
        data.add(f"v{n}", "val", seed=100 + n, shows={1: 8, 2: 6})
    return data


def remarks(checked) -> list[tuple[str, str]]:
    return [(remark.level, remark.what) for remark in checked.remarks]


def test_sound_data_has_nothing_to_remark(data):
    checked = data.check()
    assert remarks(checked) == []
    assert checked.fit
    refuse_unfit(checked)
    assert checked.counts["classes"]["scratch"] == {"train": 6, "val": 6, "test": 0, "median_area_px": 64.0}
    assert checked.words() == "the data set has nothing wrong with it"


def test_one_picture_under_two_names_on_both_sides_stops_the_training(data):
    picture = data.add("a", "train", seed=7, shows={1: 8, 2: 6})
    data.add("b", "test", seed=0, pixels=picture, shows={1: 8, 2: 6})
    checked = data.check()
    assert remarks(checked) == [("error", "duplicates")]
    with pytest.raises(InvalidInput, match=r"a\.png \(train\) and b\.png \(test\)"):
        refuse_unfit(checked)


def test_a_picture_sent_again_brighter_and_compressed_looks_alike(data):
    picture = data.add("a", "train", seed=7, shows={1: 8, 2: 6})
    brighter = cv2.imdecode(cv2.imencode(".jpg", (picture * 0.8 + 20).astype(np.uint8))[1], cv2.IMREAD_GRAYSCALE)
    data.add("b", "test", seed=0, pixels=brighter, shows={1: 8, 2: 6})
    checked = data.check()
    assert remarks(checked) == [("warning", "duplicates")]
    assert "look alike" in checked.words()
    assert checked.fit


def test_equal_pictures_with_other_labels_are_told(data):
    picture = data.add("a", "train", seed=7, shows={1: 8})
    data.add("b", "train", seed=0, pixels=picture, shows={2: 8})
    assert sorted(remarks(data.check())) == [("warning", "duplicates"), ("warning", "policy")]


def test_a_part_on_both_sides_stops_the_training(data):
    data.add("a", "train", seed=7, part="P-1")
    data.add("b", "test", seed=8, part="P-1")
    with pytest.raises(InvalidInput, match="P-1 is on both sides"):
        data.check()


def test_a_damaged_mask_and_a_class_without_a_name_stop_the_training(data):
    cv2.imwrite(str(data.folder / "masks" / "t0.png"), np.zeros((5, 5), np.uint8))
    cv2.imwrite(str(data.folder / "masks" / "t1.png"), np.full((96, 96), 9, np.uint8))
    checked = data.check()
    assert [remark.what for remark in checked.remarks if remark.level == "error"] == ["schema", "schema"]
    assert "t0.png" in checked.words()
    assert "[9]" in checked.words()


def test_classes_that_are_hardly_there_or_crowd_out_others_are_told(tmp_path):
    data = Data(tmp_path / "data")
    for n in range(50):
        data.add(f"t{n}", "train", seed=n, shows={1: 8})
    data.add("p", "train", seed=90, shows={2: 6})
    checked = data.check()
    assert checked.fit
    told = checked.words()
    assert "only 1 parts of train show pit" in told
    assert "50 parts of train show scratch and 1 show pit" in told
    assert "no frame of train is clean" in told
    assert "no labelled part is on the side val" in told


def test_without_a_defect_there_is_nothing_to_learn(tmp_path):
    data = Data(tmp_path / "data")
    data.add("a", "train", seed=1)
    with pytest.raises(InvalidInput, match="no part of train shows a defect"):
        refuse_unfit(data.check())


def test_people_who_draw_differently_than_before_are_asked_why(data):
    before = data.check().counts
    before["classes"]["scratch"]["median_area_px"] = 10.0
    before["classes"]["burr"] = before["classes"].pop("pit")
    told = data.check(last=before).words()
    assert "scratch is drawn 6.4 times as large as last time" in told
    assert "class burr was learnt last time and is known no more" in told
    assert "class pit was not known" in told


def test_pictures_drawn_before_the_label_book_was_changed_are_named(data):
    def freeze(version, scratch, frozen_at):
        frames = [{"file": f"t{n}.png", "labels": [{"at": f"2026-11-0{n + 1}T12:00:00+00:00"}]} for n in range(6)]
        pages = {"scratch": {"definition": scratch}, "pit": {"definition": "a hole"}}
        told = {"frames": frames, "book": {"version": version, "classes": pages}, "frozen_at": frozen_at}
        (data.folder / "manifest.json").write_text(json.dumps(told))

    freeze(3, "from 5 mm", "2026-11-04T13:00:00+00:00")
    before = data.check().counts
    assert remarks(data.check(last=before)) == [], "nothing was changed"
    freeze(4, "from 3 mm", "2026-11-07T12:00:00+00:00")
    checked = data.check(last=before)
    assert remarks(checked) == [("warning", "policy")]
    assert "version 3, now 4" in checked.words()
    assert "4 of 6 pictures that show it were drawn before that, such as t0.png" in checked.words()


def test_a_fingerprint_outlives_noise_and_scale_but_not_another_picture():
    rng = np.random.default_rng(3)
    one, other = (cv2.resize(rng.integers(0, 255, (9, 9)).astype(np.uint8), (160, 160)) for _ in range(2))
    bits, flat = fingerprint(one)
    noisy = np.clip(one + rng.normal(0, 2, one.shape), 0, 255).astype(np.uint8)

    def apart(picture) -> int:
        return int(np.bitwise_count(bits ^ fingerprint(picture)[0]).sum())

    assert not flat
    assert apart(cv2.resize(one, (80, 80), interpolation=cv2.INTER_AREA)) <= 6
    assert apart(noisy) <= 12
    assert apart(other) > 60
    assert fingerprint(np.full((50, 50), 90, np.uint8))[1]
