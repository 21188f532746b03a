"""Described defects drawn into clean pictures: as described, of the picture's own kind, and honest in the mask."""

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import yaml

from qc.dataset import IGNORE, open_dataset
from qc.errors import Conflict, InvalidInput, NotFound
from qc.frame import decode
from segmentation.render import draw_into, read_description
from segmentation.render.cli import register
from segmentation.render.into import draw
from segmentation.render.likeness import look_at

EXAMPLE = Path(__file__).parents[2] / "segmentation/render/defects_example.yaml"
SCRATCH = {"kind": "scratch", "length": [30, 60], "width": [2, 3], "contrast": [-0.5, -0.4], "per_image": [1, 1]}


def metal(height=160, width=220, *, seed=0, blur=0.8, noise=1.5, level=130.0):
    """Faintly brushed grey metal, as float grey levels."""
    random = np.random.default_rng(seed)
    lines = cv2.GaussianBlur(random.normal(0, 14, (height, width)).astype(np.float32), (31, 1), 8)
    return cv2.GaussianBlur(lines + level, (0, 0), blur) + random.normal(0, noise, (height, width))


def grey(*size, **how):
    return np.clip(np.rint(metal(*size, **how)), 0, 255).astype(np.uint8)


def described(tmp_path, classes=None, **top):
    file = tmp_path / "defects.yaml"
    file.write_text(yaml.safe_dump({**top, "classes": classes or {"scratch": SCRATCH}}))
    return file


def drawn(tmp_path, pixels, classes=None, *, seed=0, **top):
    words = read_description(described(tmp_path, classes, **top))
    ids = {number: d.name for number, d in enumerate(words.defects, start=1)}
    return draw(pixels, words, ids, look_at(pixels), np.random.default_rng(seed))


@pytest.fixture
def good(tmp_path):
    """A folder with ten pictures of good parts."""
    folder = tmp_path / "good"
    folder.mkdir()
    for number in range(10):
        cv2.imwrite(str(folder / f"part{number}.png"), grey(seed=number))
    return folder


def test_a_folder_of_good_pictures_becomes_a_data_set_that_holds_them_too(good, tmp_path):
    done = draw_into(good, described(tmp_path), tmp_path / "set", copies=2, seed=4)
    data = open_dataset(tmp_path / "set")
    assert (done.clean, done.drawn) == (10, 20)
    assert dict(data.classes) == {1: "scratch"}
    assert {s.split for s in data.samples} == {"train", "val", "test"}
    for sample in data.samples:
        source = sample.columns["source"]
        assert sample.part == Path(source).stem
        if not sample.columns["drawn"]:
            assert sample.image.read_bytes() == (good / source).read_bytes()
            assert not sample.labels(data.classes).any()
        else:
            assert (sample.labels(data.classes) == 1).any()


def test_the_same_seed_gives_the_same_files_and_a_picture_does_not_depend_on_its_neighbours(good, tmp_path):
    words = described(tmp_path)
    one, again, other = (tmp_path / name for name in ("one", "again", "other"))
    draw_into(good, words, one, seed=1)
    (good / "part0.png").unlink()
    draw_into(good, words, again, seed=1)
    draw_into(good, words, other, seed=2)
    name = "images/part5_drawn1.png"
    assert (one / name).read_bytes() == (again / name).read_bytes()
    assert (one / name).read_bytes() != (other / name).read_bytes()


def test_only_clean_pictures_of_a_data_set_are_drawn_into_and_keep_split_part_and_class_ids(drawn_dataset, tmp_path):
    root = drawn_dataset(tmp_path / "real", parts=6, val=2, classes={1: "scratch", 3: "dent"})
    first_clean = open_dataset(root).split("train")[2]
    mask = np.zeros((160, 200), np.uint8)
    mask[:80] = IGNORE
    cv2.imwrite(str(first_clean.mask), mask)
    classes = {"pit": {**SCRATCH, "kind": "pit", "length": 8, "width": 8, "contrast": -0.8}, "scratch": SCRATCH}
    draw_into(root, described(tmp_path, classes), tmp_path / "set", seed=1)
    data, real = open_dataset(tmp_path / "set"), open_dataset(root)
    assert dict(data.classes) == {1: "scratch", 3: "dent", 4: "pit"}
    clean = {s.image.name: s for s in real.samples if not (s.labels(real.classes) % IGNORE).any()}
    assert {s.columns["source"] for s in data.samples} == set(clean)
    for sample in data.samples:
        source = clean[sample.columns["source"]]
        assert (sample.split, sample.part, sample.view) == (source.split, source.part, source.view)
        if source.name == first_clean.name:
            assert (sample.labels(data.classes)[:80] == IGNORE).all()
            assert np.array_equal(sample.pixels()[:75], source.pixels()[:75])  # what lies between is the lens


@pytest.mark.parametrize("kind", ["scratch", "crack", "dent", "pit", "stain"])
def test_the_mask_covers_what_is_changed_and_the_change_is_as_strong_as_described(tmp_path, kind):
    size = {"scratch": (50, 4), "crack": (50, 5), "dent": (30, 26), "pit": (14, 12), "stain": (50, 40)}[kind]
    contrast = 0.4 if kind == "dent" else -0.4
    words = {"kind": kind, "length": size[0], "width": size[1], "contrast": contrast, "per_image": 1}
    for seed in range(3):
        clean = grey(seed=seed, noise=0.5)
        made = drawn(tmp_path, clean, {kind: words}, seed=seed)
        change = made.pixels.astype(float) - clean
        seen = made.mask > 0
        assert seen.any()
        far = cv2.dilate(seen.astype(np.uint8), np.ones((9, 9))) == 0
        assert np.abs(change[far]).max() <= 0.25 * 0.4 * 130
        assert np.abs(change[seen]).mean() > 4 * np.abs(change[far]).mean() + 5
        strongest = np.quantile(np.abs(change[seen]), 0.99) / 130
        assert 0.28 < strongest < 0.55


def test_a_scratch_has_the_described_length_and_direction(tmp_path):
    words = {**SCRATCH, "length": 60, "width": 3, "direction": [25, 35], "relief": 0}
    for seed in range(4):
        made = drawn(tmp_path, grey(seed=seed), {"scratch": words}, seed=seed)
        rows, columns = np.nonzero(made.mask)
        if min(rows.min(), columns.min()) == 0 or rows.max() == 159 or columns.max() == 219:
            continue  # cut off by the picture's edge
        (_, _), (a, b), _ = cv2.minAreaRect(np.stack([columns, rows], axis=1).astype(np.float32))
        assert 45 < max(a, b) < 66
        values, vectors = np.linalg.eigh(np.cov(columns, rows))
        x, y = vectors[:, values.argmax()]
        assert 20 <= math.degrees(math.atan2(-y, x)) % 180 <= 40  # upwards as seen


def test_the_wall_of_a_scratch_that_faces_the_lamp_is_lit(tmp_path):
    """A groove's far wall faces the lamp: with the lamp to the right, its left wall is the brighter one."""
    words = {**SCRATCH, "length": 70, "width": 8, "direction": 90, "relief": 1.5}
    brighter = {}
    for lamp in (0, 180):
        clean = grey(200, 200, noise=0.0)
        change = drawn(tmp_path, clean, {"scratch": words}, light=lamp).pixels.astype(float) - clean
        column = np.average(np.nonzero(np.abs(change) > 8)[1])
        left, right = change[:, : int(column)].sum(), change[:, int(column) + 1 :].sum()
        brighter[lamp] = "left" if left > right else "right"
    assert brighter == {0: "left", 180: "right"}


def test_what_is_drawn_is_as_soft_as_the_picture(tmp_path):
    """The same thin scratch covers more pixels in a soft picture, and its flanks are less steep."""
    steepest = []
    for blur in (0.6, 2.2):
        squares = np.kron(np.indices((6, 8)).sum(0) % 2, np.ones((40, 40))) * 60 + 90
        clean = np.rint(cv2.GaussianBlur(squares.astype(np.float32), (0, 0), blur)).astype(np.uint8)
        assert look_at(clean).blur_px == pytest.approx(blur, rel=0.25)
        made = drawn(tmp_path, clean, {"scratch": {**SCRATCH, "width": 2, "relief": 0}}, seed=3)
        change = made.pixels.astype(np.float32) - clean
        steepest.append(np.abs(np.gradient(change)).max() / np.abs(change).max())
    assert steepest[0] > 1.5 * steepest[1]


def test_the_noise_of_the_picture_lies_on_what_is_drawn(tmp_path):
    noise = np.random.default_rng(0).normal(0, 5, (200, 200))
    clean = np.clip(np.rint(120 + noise), 0, 255).astype(np.uint8)
    assert math.sqrt(look_at(clean).variance(np.float32(120))) == pytest.approx(5, rel=0.2)
    words = {"kind": "pit", "length": 60, "width": 60, "contrast": -0.6, "relief": 0, "per_image": 1}
    made = drawn(tmp_path, clean, {"pit": words}, seed=1)
    inside = cv2.erode((made.mask > 0).astype(np.uint8), np.ones((13, 13))) > 0
    fine = made.pixels - cv2.GaussianBlur(made.pixels.astype(np.float32), (0, 0), 1.5)
    assert fine[inside].std() == pytest.approx(fine[made.mask == 0].std(), rel=0.3)


def test_colour_and_16_bit_stay_what_they_are(tmp_path):
    rust = {"kind": "stain", "length": 60, "width": 50, "contrast": -0.5, "tint": [0.2, 0.8, 1.0], "per_image": 1}
    clean = np.repeat(grey()[..., None], 3, axis=2)
    made = drawn(tmp_path, clean, {"rust": rust})
    assert made.pixels.shape == clean.shape
    lost = [(clean - made.pixels.astype(int))[made.mask > 0][:, channel].mean() for channel in range(3)]
    assert lost[0] < 0.5 * lost[1] < 0.5 * lost[2] + 5
    deep = np.clip(metal(noise=20.0, level=2000.0), 0, 4095).astype(np.uint16)  # a 12-bit camera
    deep[0, 0] = 4000
    made = drawn(tmp_path, deep, {"scratch": {**SCRATCH, "contrast": 2.5}})
    assert made.pixels.dtype == np.uint16
    assert made.pixels.max() <= 4095
    assert (made.pixels[made.mask > 0].astype(float) - deep[made.mask > 0]).max() > 1000


def test_a_16_bit_tiff_is_written_back_with_16_bit(tmp_path):
    (tmp_path / "good").mkdir()
    tifffile.imwrite(tmp_path / "good" / "deep.tif", np.clip(metal(level=30_000.0) * 1.0, 0, 65535).astype(np.uint16))
    draw_into(tmp_path / "good", described(tmp_path), tmp_path / "set")
    both = {s.image.name: decode(s.image.read_bytes()) for s in open_dataset(tmp_path / "set").samples}
    assert {p.dtype for p in both.values()} == {np.dtype(np.uint16)}
    assert set(both) == {"deep.tif", "deep_drawn1.png"}


@pytest.mark.parametrize("shape", [(1, 1), (5, 400), (20, 20, 3), (64, 64)])
def test_tiny_black_and_overexposed_pictures_come_out_whole(tmp_path, shape):
    words = read_description(EXAMPLE)
    ids = {number: d.name for number, d in enumerate(words.defects, start=1)}
    for level in (0, 120, 255):
        clean = np.full(shape, level, np.uint8)
        made = draw(clean, words, ids, look_at(clean), np.random.default_rng(level))
        assert made.pixels.shape == shape
        assert made.mask.shape == shape[:2]
        assert level or not made.drawn


@pytest.mark.parametrize("by", ["corners", "file"])
def test_nothing_outside_the_region_is_touched(tmp_path, by):
    clean = grey(noise=0.0)
    where = [[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]
    if by == "file":
        area = np.zeros((16, 22), np.uint8)
        area[:, 11:] = 255
        cv2.imwrite(str(tmp_path / "face.png"), area)
        where = "face.png"
    for seed in range(5):
        made = drawn(tmp_path, clean, {"scratch": {**SCRATCH, "where": where, "per_image": 4}}, seed=seed)
        assert made.drawn
        assert not (made.mask[:, :108] > 0).any()
        assert np.array_equal(made.pixels[:, :100], clean[:, :100])  # what lies between is the lens


def test_what_nobody_could_see_is_left_out_and_not_in_the_mask(good, tmp_path):
    faint = {"scratch": {**SCRATCH, "contrast": -0.02}}
    made = drawn(tmp_path, grey(), faint)
    assert (made.drawn, made.left_out) == ((), ("scratch",))
    assert np.array_equal(made.pixels, grey())
    with pytest.raises(InvalidInput, match="could be seen"):
        draw_into(good, described(tmp_path, faint), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_scratch_thinner_than_a_pixel_is_one_line_and_not_a_row_of_dots(tmp_path):
    thin = {**SCRATCH, "length": 80, "width": 0.5, "direction": [10, 20], "relief": 0, "contrast": -0.6}
    for seed in range(5):
        made = drawn(tmp_path, grey(seed=seed, noise=0.3), {"scratch": thin}, seed=seed)
        pieces = cv2.connectedComponentsWithStats((made.mask > 0).astype(np.uint8), connectivity=8)[2][1:, 4]
        assert pieces.max() > 0.6 * pieces.sum()


def test_sizes_in_mm_are_sizes_in_pixels_times_the_calibration(tmp_path):
    mm = {"scratch": {**SCRATCH, "length": [1.5, 3.0], "width": 0.1}}
    found = read_description(described(tmp_path, mm, unit="mm", mm_per_px=0.05)).defects[0]
    assert found.length_px == pytest.approx((30, 60))
    assert found.width_px == pytest.approx((2, 2))
    assert read_description(described(tmp_path, mm, unit="mm"), mm_per_px=0.1).defects[0].length_px[1] == 30


def test_the_example_is_valid_and_says_the_defaults():
    found = {d.name: d for d in read_description(EXAMPLE).defects}
    assert {d.kind for d in found.values()} == {"scratch", "dent", "pit", "stain"}
    assert (found["scratch"].direction_deg, found["scratch"].per_image) == (found["dent"].direction_deg, (0, 2))
    assert found["scratch"].relief == found["pit"].relief
    assert found["scratch"].tint == found["dent"].tint


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "rust"}, "classes.scratch.kind must be one of scratch, crack"),
        ({"lenght": [1, 2]}, "no field lenght; allowed are kind, length"),
        ({"length": None}, "needs length"),
        ({"length": [60, 30]}, r"classes.scratch.length must be \[low, high\]"),
        ({"length": "long"}, "classes.scratch.length"),
        ({"length": [1, float("nan")]}, "classes.scratch.length"),
        ({"width": [70, 80]}, "width begins above"),
        ({"contrast": -1.0}, "from -0.95 to 3"),
        ({"contrast": 0}, "nobody can see"),
        ({"kind": "dent"}, "classes.scratch.contrast .* from 0.01 to 1"),
        ({"direction": [0, 270]}, "spans 270 degrees"),
        ({"per_image": [0, 0]}, "ends at 0"),
        ({"per_image": [0.5, 2]}, "whole numbers"),
        ({"cluster": [1, 2]}, "for pit only"),
        ({"tint": [1, 1]}, "three factors"),
        ({"tint": [0, 0, 0]}, "0 in all three"),
        ({"where": [[0, 0], [1, 1]]}, "three corners"),
        ({"where": [[0, 0], [1, 1], [2, 0]]}, "from 0 to 1"),
        ({"where": "missing.png"}, "mask file"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed(tmp_path, change, says):
    with pytest.raises(InvalidInput, match=says):
        read_description(described(tmp_path, {"scratch": {**SCRATCH, **change}}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("classes: [", "cannot be read"),
        ("- scratch", "must be a table"),
        ("unit: cm\nclasses: {}", "unit must be px or mm"),
        ("unit: mm\nclasses: {}", "mm_per_px must say"),
        ("classes: {}", "at least one class"),
        ("colour: red\nclasses: {}", "no field colour"),
        ("light: left\nclasses: {a: {}}", "needs kind, length"),
        ("classes: {1: {}}", "must be a word"),
    ],
)
def test_a_wrong_description_is_refused_in_words(tmp_path, text, says):
    (tmp_path / "d.yaml").write_text(text)
    with pytest.raises(InvalidInput, match=says):
        read_description(tmp_path / "d.yaml")


def test_wrong_sources_are_refused_and_leave_nothing(good, tmp_path):
    words, out = described(tmp_path), tmp_path / "set"
    with pytest.raises(NotFound):
        draw_into(tmp_path / "nowhere", words, out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="no JPEG"):
        draw_into(tmp_path / "empty", words, out)
    with pytest.raises(Conflict):
        draw_into(good, words, good)
    (good / "part3.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(InvalidInput, match=r"part3\.png"):
        draw_into(good, words, out)
    assert not out.exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_the_command_draws_and_tells_how_many_and_which_options_go_together(good, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    words = ["render", "--into", str(good), "--out", str(tmp_path / "set")]
    args = parser.parse_args([*words, "--defects", str(described(tmp_path)), "--seed", "3"])
    assert args.run(args) == 0
    assert "10 clean pictures and 10 with defects (10 scratch)" in capsys.readouterr().out

    def run(words):
        args = parser.parse_args(words)
        return args.run(args)

    for wrong in (words, [*words, "--defects", "x", "--views", "top"], [*words, "--parts", "3"]):
        with pytest.raises(SystemExit) as stop:
            run(wrong)
        assert stop.value.code == 2
