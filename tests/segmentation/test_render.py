"""Imaginary parts: the same by seed, consistent between views, and honest about what a view shows."""

import argparse

import cv2
import numpy as np
import pytest

from qc.dataset import open_dataset
from qc.errors import Conflict, InvalidInput
from segmentation.render import CLASSES, SURFACES, render_dataset, render_part
from segmentation.render.cli import register

SMALL = {"width": 320, "height": 240}


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others():
    one, again, other = (render_part(seed, **SMALL) for seed in (5, 5, 6))
    for a, b in zip(one.views, again.views, strict=True):
        assert np.array_equal(a.pixels, b.pixels)
        assert np.array_equal(a.mask, b.mask)
        assert a.defects == b.defects
    assert not np.array_equal(one.views[0].pixels, other.views[0].pixels)


def test_a_view_does_not_depend_on_which_other_views_are_taken():
    alone = render_part(3, views=("right",), **SMALL).views[0]
    among = render_part(3, views=("left", "right"), **SMALL).views[1]
    assert np.array_equal(alone.pixels, among.pixels)


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_gives_a_well_exposed_grey_picture(surface):
    part = render_part(11, surface=surface, defects=("scratch", "dent", "pit"), **SMALL)
    for view in part.views:
        assert view.pixels.shape == view.mask.shape == (240, 320)
        assert view.pixels.dtype == view.mask.dtype == np.uint8
        assert 40 < view.pixels.mean() < 200
        assert (view.pixels == 255).mean() < 0.1


def test_the_mask_holds_exactly_the_visible_defects():
    for seed in range(12):
        for view in render_part(seed, clean=0.0, **SMALL).views:
            ids = set(np.unique(view.mask).tolist()) - {0}
            shown = {d.class_id for d in view.defects if d.visible}
            assert ids <= set(CLASSES)
            assert ids <= shown
            for defect in view.defects:
                assert (defect.box is not None) == defect.visible
                if defect.box:
                    piece = view.mask[defect.box.y : defect.box.bottom, defect.box.x : defect.box.right]
                    assert piece.any()


def test_a_clean_part_has_empty_masks_and_most_parts_are_clean():
    clean = render_part(1, defects=(), **SMALL)
    assert not clean.defective
    assert not any(view.mask.any() for view in clean.views)
    defective = sum(render_part(seed, views=("top",), width=128, height=96).defective for seed in range(60))
    assert 8 <= defective <= 36


def test_scratches_are_thin_and_some_are_seen_from_some_sides_only():
    shown = []
    for seed in range(25):
        part = render_part(seed, surface="brushed", defects=("scratch",), width=512, height=384)
        shown.append(tuple(view.defects[0].visible for view in part.views))
        for view in part.views:
            thickness = 2 * cv2.distanceTransform((view.mask == 1).astype(np.uint8), cv2.DIST_L2, 5).max()
            assert thickness <= 9
    assert any(any(views) and not all(views) for views in shown)
    assert sum(any(views) for views in shown) >= 15


def test_what_the_mask_claims_can_be_seen_in_the_picture():
    """The same part without its defects differs where the mask says, and hardly elsewhere."""
    inside, outside = [], []
    for seed in range(8):
        with_marks = render_part(seed, defects=("scratch", "pit"), **SMALL)
        without = render_part(seed, defects=(), **SMALL)
        for a, b in zip(with_marks.views, without.views, strict=True):
            difference = np.abs(a.pixels.astype(float) - b.pixels)
            if a.mask.any():
                inside.append(difference[a.mask > 0].mean())
                outside.append(np.median(difference[a.mask == 0]))
    assert np.mean(inside) > 5
    assert np.mean(outside) < 1.5


def test_parts_of_one_design_have_their_holes_in_the_same_place():
    one, other = (render_part(seed, design=4, defects=(), views=("top",), **SMALL).views[0].pixels for seed in (1, 2))
    assert not np.array_equal(one, other)
    blurred = [cv2.GaussianBlur(p.astype(np.float32), (0, 0), 12).ravel() for p in (one, other)]
    assert np.corrcoef(*blurred)[0, 1] > 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"surface": "wood"},
        {"defects": ("rust",)},
        {"width": 10},
        {"views": ()},
        {"views": ("a", "a")},
        {"clean": 2.0},
    ],
)
def test_nonsense_is_refused_by_name(wrong):
    with pytest.raises(InvalidInput):
        render_part(0, **wrong)


def test_a_rendered_data_set_is_valid_and_split_by_part(tmp_path):
    root = render_dataset(tmp_path / "metal", 20, seed=3, views=("left", "top"), width=96, height=80)
    data = open_dataset(root)
    assert dict(data.classes) == CLASSES
    assert data.mm_per_px == 0.05
    assert len(data.samples) == 40
    assert {s: len(data.split(s)) for s in ("train", "val", "test")} == {"train": 28, "val": 6, "test": 6}
    for sample in data.samples:
        assert sample.labels(data.classes).shape == sample.pixels().shape == (80, 96)
        visible = set(sample.columns["defects"].split())
        assert visible >= {CLASSES[i] for i in np.unique(sample.labels(data.classes)) if i}


def test_a_larger_set_begins_with_the_smaller_one(tmp_path):
    few = render_dataset(tmp_path / "few", 2, seed=9, views=("top",), width=96, height=80)
    more = render_dataset(tmp_path / "more", 3, seed=9, views=("top",), width=96, height=80)
    for name in ("part00000_top.png", "part00001_top.png"):
        assert (few / "images" / name).read_bytes() == (more / "images" / name).read_bytes()


def test_rendering_over_something_is_refused_and_an_interrupted_run_leaves_nothing(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("keep")
    with pytest.raises(Conflict):
        render_dataset(tmp_path / "taken", 1, width=96, height=80)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_dataset(tmp_path / "half", 2, width=96, height=80, progress=interrupt)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["taken"]


def test_the_command_renders_a_data_set(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    words = ["render", "--parts", "7", "--out", str(tmp_path / "d"), "--seed", "2", "--width", "96", "--height", "80"]
    args = parser.parse_args([*words, "--views", "top"])
    assert args.run(args) == 0
    assert "7 parts, 7 pictures" in capsys.readouterr().out
    assert {s.split for s in open_dataset(tmp_path / "d").samples} == {"train", "val", "test"}
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["render", "--parts", "0", "--out", "x"])
    assert stop.value.code == 2
