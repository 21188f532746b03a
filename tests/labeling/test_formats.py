"""Data sets go to other tools' formats and come back; what a format has no place for is counted."""

import json
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
import yaml

from labeling.formats import coco, mvtec, studio_json, yolo
from labeling.manifest import check, diff, read_manifest, write_manifest
from labeling.push import png
from qc.dataset import open_dataset
from qc.errors import Conflict, InvalidInput

NOW = datetime(2026, 11, 21, tzinfo=UTC)
CLASSES = {1: "scratch", 2: "dent", 7: "pit"}


def any_mask(random, *, classes=(1, 2, 7), ignore=True, size=(60, 90)):
    """Blobs of every shape: lines, rings, diagonals, single pixels, touching the border and each other."""
    mask = np.zeros(size, np.uint8)
    for _ in range(int(random.integers(1, 7))):
        value = int(random.choice([*classes, *([255] if ignore else [])]))
        x, y = int(random.integers(-3, size[1])), int(random.integers(-3, size[0]))
        kind = int(random.integers(4))
        if kind == 0:
            cv2.line(mask, (x, y), (x + int(random.integers(-30, 30)), y + 12), value, int(random.integers(1, 4)))
        elif kind == 1:
            cv2.circle(mask, (x, y), int(random.integers(1, 12)), value, -1)
        elif kind == 2:
            mask[max(y, 0) : y + 1, max(x, 0) : x + 1] = value
        else:
            cv2.rectangle(mask, (x, y), (x + 9, y + 5), value, -1)
    return mask


def dataset(root, masks, *, classes=CLASSES, sides=("train", "train", "val", "test")):
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rows = ["file,split,part,view,group"]
    random = np.random.default_rng(0)
    for k, mask in enumerate(masks):
        height, width = (60, 90) if mask is None else mask.shape
        (root / "images" / f"i{k}.png").write_bytes(png(random.integers(0, 255, (height, width), np.uint8)))
        if mask is not None:
            (root / "masks" / f"i{k}.png").write_bytes(png(mask))
        rows.append(f"i{k}.png,{sides[k % len(sides)]},P{k},v{k % 2},P{k}")
    (root / "split.csv").write_text("\n".join(rows) + "\n")
    (root / "dataset.yaml").write_text(yaml.safe_dump({"name": "line", "classes": classes}))
    return open_dataset(root)


def masks_of(data):
    return {s.name: s.labels(data.classes) for s in data.samples if s.mask is not None}


@pytest.fixture
def varied(tmp_path):
    random = np.random.default_rng(3)
    return dataset(tmp_path / "ours", [any_mask(random) for _ in range(24)] + [None])


def same(before, after):
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)


def test_coco_gives_every_pixel_back(varied, tmp_path):
    told = coco.write(varied, tmp_path / "coco")
    assert told.lost == {"images without labels left out": 1}
    coco.read(tmp_path / "coco", tmp_path / "back")
    back = open_dataset(tmp_path / "back")
    assert back.classes == CLASSES
    same(masks_of(varied), masks_of(back))
    kept = {s.name: (s.split, s.part, s.view, s.group) for s in varied.samples if s.mask is not None}
    assert {s.name: (s.split, s.part, s.view, s.group) for s in back.samples} == kept


def test_label_studios_json_gives_every_pixel_back_and_knows_what_is_not_labelled(varied, tmp_path):
    studio_json.write(varied, tmp_path / "studio")
    studio_json.read(tmp_path / "studio", tmp_path / "back")
    back = open_dataset(tmp_path / "back")
    ids = {name: class_id for class_id, name in back.classes.items()}
    table = np.arange(256, dtype=np.uint8)
    for class_id, name in CLASSES.items():
        table[class_id] = ids[name]
    same({n: table[m] for n, m in masks_of(varied).items()}, masks_of(back))
    assert [s.name for s in back.samples if s.mask is None] == ["i24"]


def test_yolo_gives_every_pixel_back_where_there_is_no_hole_and_nothing_unknown(tmp_path):
    random = np.random.default_rng(5)
    data = dataset(
        tmp_path / "ours", [any_mask(random, classes=(1,), ignore=False) for _ in range(24)], classes={1: "scratch"}
    )
    told = yolo.write(data, tmp_path / "yolo")
    yolo.read(tmp_path / "yolo", tmp_path / "back")
    back = masks_of(open_dataset(tmp_path / "back"))
    ours = masks_of(data)
    exact = sum(bool((ours[n] == back[n]).all()) for n in ours)
    assert exact >= len(ours) - told.lost.get("holes filled", 0)
    assert all((back[n] >= ours[n]).all() for n in ours)  # holes are filled, nothing is taken away


def test_a_ring_loses_its_hole_in_yolo_and_that_is_said(tmp_path):
    ring = np.zeros((30, 30), np.uint8)
    ring[5:15, 5:15], ring[8:12, 8:12] = 1, 0
    told = yolo.write(dataset(tmp_path / "ours", [ring]), tmp_path / "yolo")
    assert told.lost == {"holes filled": 1, "images whose part, view or group is left out": 1}


def test_pixels_that_touch_at_corners_come_back_from_polygons(tmp_path):
    mask = np.zeros((20, 20), np.uint8)
    mask[3:9, 3:9] = 1
    mask[4:8, 4:8] = 0
    mask[3, 3] = 0  # the hole now touches the outside at a corner only
    mask[4, 4] = 0
    mask[12, 12] = mask[13, 13] = mask[14, 12] = 1
    data = dataset(tmp_path / "ours", [mask], classes={1: "scratch"})
    yolo.write(data, tmp_path / "yolo")
    yolo.read(tmp_path / "yolo", tmp_path / "back")
    back = masks_of(open_dataset(tmp_path / "back"))["i0"]
    filled = back.astype(int) - mask
    assert filled.min() == 0
    assert (back[12:15, 12:15] == mask[12:15, 12:15]).all()


def test_mvtecs_layout_keeps_places_and_counts_what_it_has_no_room_for(tmp_path):
    clean, scratch = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8)
    scratch[4:6, 4:30] = 1
    both = scratch.copy()
    both[20:25, 20:25] = 2
    data = dataset(
        tmp_path / "ours", [clean, scratch, scratch, both, None], sides=("train", "train", "test", "test", "val")
    )
    told = mvtec.write(data, tmp_path / "mvtec")
    assert (tmp_path / "mvtec/train/good/i0.png").is_file()
    assert (tmp_path / "mvtec/ground_truth/scratch/i2_mask.png").is_file()
    assert (tmp_path / "mvtec/test/combined/i3.png").is_file()
    assert told.lost.pop("images whose part, view or group is left out") == told.images == 3
    assert sum(told.lost.values()) == 3
    mvtec.read(tmp_path / "mvtec", tmp_path / "back")
    back = open_dataset(tmp_path / "back")
    assert sorted(back.classes.values()) == ["combined", "scratch"]
    assert ((masks_of(back)["i2"] > 0) == (scratch > 0)).all()


KNOWN = {
    "images whose inspector:anna is left out": 2,
    "images whose false_alarms is left out": 1,
    "images whose label_quality is left out": 1,
    "images whose trust in labels (weights) is left out": 1,
    "mm_per_px of dataset.yaml left out": 1,
    "source of dataset.yaml left out": 1,
    "views.yaml left out": 1,
}
LICENCE, PARTS = "licence of dataset.yaml left out", "images whose part, view or group is left out"


@pytest.mark.parametrize(
    ("module", "more"),
    [
        (coco, {}),
        (studio_json, {LICENCE: 1}),
        (yolo, {LICENCE: 1, PARTS: 3}),
        (mvtec, {LICENCE: 1, PARTS: 3, "images of val, which count as test here": 1}),
    ],
)
def test_what_a_data_set_knows_beside_pixels_is_counted_where_an_export_leaves_it_out(tmp_path, module, more):
    root = dataset(tmp_path / "ours", [np.zeros((9, 9), np.uint8)] * 3, sides=("train", "val", "test")).root
    rows = (root / "split.csv").read_text().splitlines()
    added = [",inspector:anna,false_alarms,label_quality", ",ok,1 1 3 3,", ",ng,,0.5", ",,,"]
    (root / "split.csv").write_text("\n".join(row + more for row, more in zip(rows, added, strict=True)))
    (root / "weights").mkdir()
    (root / "weights/i0.png").write_bytes(png(np.full((9, 9), 200, np.uint8)))
    (root / "views.yaml").write_text("views: {}\n")
    with (root / "dataset.yaml").open("a") as file:
        file.write("mm_per_px: 0.05\nlicence: CC BY 4.0\nsource: line 3\n")
    told = module.write(open_dataset(root), tmp_path / "theirs")
    assert told.lost == KNOWN | more
    assert "1 mm_per_px of dataset.yaml left out" in told.sentences()


def test_a_coco_file_of_somebody_else_with_polygons_and_compressed_runs(tmp_path):
    theirs = tmp_path / "theirs"
    (theirs / "annotations").mkdir(parents=True)
    (theirs / "train2017").mkdir()
    (theirs / "train2017/a.png").write_bytes(png(np.full((9, 12), 90, np.uint8)))
    annotations = [
        {"id": 1, "image_id": 5, "category_id": 90, "segmentation": [[2, 3, 6, 3, 6, 8, 2, 8]], "iscrowd": 0},
        {
            "id": 2,
            "image_id": 5,
            "category_id": 3,
            "segmentation": {"size": [9, 12], "counts": compressed([64, 3, 6, 3, 6, 3, 23])},
            "iscrowd": 0,
        },
    ]
    document = {
        "images": [{"id": 5, "file_name": "a.png", "width": 12, "height": 9}],
        "annotations": annotations,
        "categories": [{"id": 90, "name": "crack"}, {"id": 3, "name": "dent"}],
    }
    (theirs / "annotations/instances_train.json").write_text(json.dumps(document))
    told = coco.read(theirs, tmp_path / "ours")
    data = open_dataset(tmp_path / "ours")
    mask = masks_of(data)["a"]
    names = {data.classes[c]: int((mask == c).sum()) for c in np.unique(mask).tolist() if c}
    assert names == {"crack": 20, "dent": 9}
    assert (mask[1:4, 7:10] == 3).all()
    assert told.lost == {"images without a part, each now a part of its own": 1}


def compressed(runs):
    """As pycocotools' rleToString."""
    text = ""
    for k, run in enumerate(runs):
        value, more = run - (runs[k - 2] if k > 2 else 0), True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != -1 if bits & 0x10 else value != 0
            text += chr((bits | 0x20 if more else bits) + 48)
    return text


@pytest.mark.parametrize("module", [coco, mvtec, yolo, studio_json])
def test_a_folder_of_another_kind_is_refused_and_leaves_nothing_behind(module, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput):
        module.read(tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("module", [coco, mvtec, yolo, studio_json])
def test_an_export_never_writes_over_a_folder(module, varied, tmp_path):
    with pytest.raises(Conflict, match="exists"):
        module.write(varied, tmp_path)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "", "a/b.png"])
def test_a_picture_outside_the_folder_is_refused(tmp_path, name):
    (tmp_path / "annotations").mkdir()
    document = {"images": [{"id": 1, "file_name": name}], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "annotations/instances_train.json").write_text(json.dumps(document))
    with pytest.raises(InvalidInput, match="plain name"):
        coco.read(tmp_path, tmp_path / "out")


def test_a_version_says_what_changed_since_the_one_before(tmp_path):
    random = np.random.default_rng(0)
    masks = [any_mask(random, ignore=False) for _ in range(4)]
    dataset(tmp_path / "v1", [*masks, None])
    changed = [m.copy() for m in masks]
    changed[1][:, :] = 0
    changed[1][10:14, 10:14] = 2
    first_two = dataset(tmp_path / "v2", [*changed, masks[0], masks[0]], sides=("train", "train", "test", "test"))
    assert len(first_two.samples) == 6
    found = diff(tmp_path / "v1", tmp_path / "v2")
    assert found.added == ("i5",)
    assert found.labelled == ("i4",)
    assert [m.image for m in found.masks] == ["i1"]
    assert found.masks[0].defects_after == {"dent": 1}
    assert found.moved == {"P2": ("val", "test")}
    assert "1 images added" in found.sentences()
    assert diff(tmp_path / "v1", tmp_path / "v1").is_empty


def test_renumbered_classes_are_no_change(tmp_path):
    mask = np.zeros((20, 20), np.uint8)
    mask[3:6, 3:9] = 1
    dataset(tmp_path / "a", [mask], classes={1: "scratch", 2: "dent"})
    dataset(tmp_path / "b", [mask * 2], classes={2: "scratch", 1: "dent"})
    assert diff(tmp_path / "a", tmp_path / "b").is_empty


def test_a_frozen_set_notices_every_change(varied):
    version = write_manifest(varied.root, now=NOW)
    assert check(varied.root) == []
    with pytest.raises(Conflict, match="never changed"):
        write_manifest(varied.root, now=NOW)
    (varied.root / "masks/i0.png").write_bytes(png(np.zeros((60, 90), np.uint8)))
    (varied.root / "images/new.png").write_bytes(b"x")
    (varied.root / "masks/i1.png").unlink()
    assert check(varied.root) == ["masks/i1.png is missing", "images/new.png was added", "masks/i0.png was changed"]
    manifest = read_manifest(varied.root)
    assert manifest["id"] == version
    text = (varied.root / "manifest.json").read_text().replace("i0.png", "i9.png")
    (varied.root / "manifest.json").write_text(text)
    with pytest.raises(InvalidInput, match="altered"):
        read_manifest(varied.root)


def test_the_same_content_has_the_same_version_wherever_it_lies(tmp_path):
    mask = np.zeros((20, 20), np.uint8)
    for name in "ab":
        dataset(tmp_path / name, [mask])
    assert write_manifest(tmp_path / "a", now=NOW) == write_manifest(tmp_path / "b", now=NOW)
