"""A data set is read as the contract says; a mistake in it is named before anything is trained."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from qc.dataset import open_dataset
from qc.errors import InvalidInput

DATA = Path(__file__).parents[2] / "../shared/data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for sub in ("images", "masks"):
        (tmp_path / sub).mkdir()
    for name in ("a", "b", "c"):
        cv2.imwrite(str(tmp_path / f"images/{name}.png"), np.zeros((20, 30), np.uint8))
    cv2.imwrite(str(tmp_path / "masks/a.png"), np.eye(20, 30, dtype=np.uint8))
    (tmp_path / "split.csv").write_text(
        "file,split,part,view\na.png,train,p1,top\nb.png,val,p2,top\nc.png,train,p1,left\n"
    )
    (tmp_path / "dataset.yaml").write_text("name: bars\nclasses: {1: scratch}\nmm_per_px: 0.05\n")
    return tmp_path


def test_images_without_a_mask_are_unlabelled_and_not_clean(folder):
    data = open_dataset(folder)

    assert [s.name for s in data.split("train")] == ["a"]
    assert [s.name for s in data.split("train", labelled=False)] == ["a", "c"]
    assert data.classes == {1: "scratch"}
    assert data.mm_per_px == 0.05
    assert data.samples[0].labels(data.classes).sum() == 20


def test_an_unlabelled_image_has_no_labels(folder):
    with pytest.raises(InvalidInput, match=r"c\.png is not labelled"):
        open_dataset(folder).samples[2].labels({1: "scratch"})


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("file,split,part\na.png,train,p1\nb.png,val,p1\n", "part p1 is on both sides"),
        ("file,split,part,group\na.png,train,p1,g\nb.png,val,p2,g\n", "group g is on both sides"),
        ("file,split\na.png,train\nb.png,holdout\n", "holdout"),
        ("file,split\nz.png,train\n", r"images/z\.png is not there"),
        ("file,split\n../a.png,train\n", "plain file name"),
        ("file,split\na.png,train\na.png,train\n", "share one mask"),
        ("name,side\na.png,train\n", "must have the columns"),
        ("file,split\n", "lists no image"),
    ],
)
def test_a_mistake_in_the_split_is_named(folder, split, said):
    (folder / "split.csv").write_text(split)

    with pytest.raises(InvalidInput, match=said):
        open_dataset(folder)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ("name: x", "must have classes"),
        ("classes: {0: x}", "class id 0"),
        ("classes: {255: x}", "class id 255"),
        ("classes: {1: scratch, 7: scratch}", r"dataset\.yaml: classes 1 and 7 are both called 'scratch'"),
        ("classes: {1: 5, 2: '5'}", "classes 1 and 2 are both called '5'"),
        ("classes: {1: background}", r"dataset\.yaml: class 1 is called background"),
        *[
            (f"classes: {{1: x}}\nmm_per_px: {told}", r"dataset\.yaml: mm_per_px must be a positive number")
            for told in ("wide", "-1", "0", ".nan", ".inf", "true", "[1]", "''")
        ],
        ("a: [", "read"),
    ],
)
def test_a_mistake_in_the_description_is_named(folder, about, said):
    (folder / "dataset.yaml").write_text(about)

    with pytest.raises(InvalidInput, match=said):
        open_dataset(folder)


def test_a_class_id_that_nobody_declared_is_named(folder):
    cv2.imwrite(str(folder / "masks/a.png"), np.full((20, 30), 9, np.uint8))
    data = open_dataset(folder)

    with pytest.raises(InvalidInput, match=r"a\.png has class ids \[9\]"):
        data.samples[0].labels(data.classes)


def test_a_damaged_mask_is_named(folder):
    (folder / "masks/a.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    data = open_dataset(folder)

    with pytest.raises(InvalidInput, match=r"a\.png is damaged"):
        data.samples[0].labels(data.classes)


@pytest.mark.parametrize(("name", "labelled"), [("ksdd", 248), ("magnetic_tile", 887), ("bsdata", 368)])
def test_the_real_sets_are_read_whole(name, labelled):
    if not (DATA / name).is_dir():
        pytest.skip(f"the data set {name} is not beside the checkout")

    data = open_dataset(DATA / name)

    assert len(data.split("train")) + len(data.split("val")) == labelled
    sample = data.split("val")[0]
    assert sample.pixels().shape[:2] == sample.labels(data.classes).shape


def deep(folder: Path, brightest: dict[str, int]) -> None:
    """Pictures of 16 bit in a data set: a ground of 900, and one brighter pixel."""
    for name, value in brightest.items():
        pixels = np.full((20, 30), 900, np.uint16)
        pixels[3, 4] = value
        cv2.imwrite(str(folder / f"images/{name}.png"), pixels)


def grounds(folder: Path) -> list[int]:
    return [int(sample.pixels()[0, 0]) for sample in open_dataset(folder).samples]


def test_noise_about_a_power_of_two_does_not_change_a_12_bit_picture_whose_depth_is_told(folder):
    deep(folder, {"a": 1000, "b": 1100, "c": 4095})
    (folder / "dataset.yaml").write_text("classes: {1: scratch}\ncamera_bits: 12\n")

    assert grounds(folder) == [900 >> 4] * 3
    assert open_dataset(folder).depth() == 12
    assert open_dataset(folder).samples[0].columns["camera_bits"] == "12"  # so that whoever copies the row keeps it


def test_a_depth_that_nobody_told_is_guessed_from_all_pictures_together(folder):
    deep(folder, {"a": 1000, "b": 1000, "c": 4095})

    assert grounds(folder) == [900 >> 4] * 3
    assert open_dataset(folder).depth() == 12


def test_cameras_of_several_depths_are_told_row_by_row(folder):
    deep(folder, {"a": 1000, "b": 1000, "c": 1000})
    (folder / "split.csv").write_text("file,split,camera_bits\na.png,train,12\nb.png,train,10\nc.png,train,\n")
    (folder / "dataset.yaml").write_text("classes: {1: scratch}\ncamera_bits: 14\n")

    assert grounds(folder) == [900 >> 4, 900 >> 2, 900 >> 6]
    assert open_dataset(folder).depth() is None


def test_pictures_of_8_bit_have_no_depth(folder):
    assert open_dataset(folder).depth() is None


def test_a_picture_brighter_than_its_camera_can_be_is_named(folder):
    deep(folder, {"a": 4095})
    (folder / "dataset.yaml").write_text("classes: {1: scratch}\ncamera_bits: 10\n")

    with pytest.raises(InvalidInput, match=r"a\.png: camera_bits says that the camera gives 10 bits"):
        open_dataset(folder).samples[0].pixels()


@pytest.mark.parametrize("told", ["11", "wide", "true", "[12]"])
def test_a_depth_that_no_camera_has_is_refused(folder, told):
    (folder / "dataset.yaml").write_text(f"classes: {{1: scratch}}\ncamera_bits: {told}\n")

    with pytest.raises(InvalidInput, match=r"dataset\.yaml: camera_bits must be the camera's depth"):
        open_dataset(folder)
