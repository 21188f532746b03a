"""Finished labels become a data set that keeps its promises."""

import hashlib
import json
from datetime import timedelta

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from labeling.consensus import consensus
from labeling.freeze import SHARES, freeze, side
from labeling.push import png
from labeling.records import Annotation, LabelTask, TaskState
from qc.dataset import IGNORE, SPLITS, open_dataset
from qc.errors import Conflict, InvalidInput
from qc.geometry import Box
from qc.given import read_given
from qc.records import Exposure
from segmentation.columns import false_alarms, label_quality

CLASSES = {1: "scratch", 2: "dent"}
PARTS = {s: [f"P-{k}" for k in range(400) if side(f"P-{k}") == s] for s in SPLITS}


def all_annotations(line):
    return line.session.exec(select(Annotation)).all()


def labelled(line, part, *, box=(100, 100, 9, 9), paint=1, classes=CLASSES, task=None, **inspection):
    """A part with one finished annotation: `paint` on the crop's first 4 x 4 pixels."""
    number = len(all_annotations(line)) + 1
    if task is None:
        (task,) = line.asks(line.inspects(part=part, boxes=[(*box, 1, 0.4)], **inspection))
    mask = np.zeros((task.crop_height, task.crop_width), np.uint8)
    mask[:4, :4] = paint
    line.blobs.put(f"labels/{number}.png", png(mask))
    task.state, task.closed_at = TaskState.DONE, line.now
    line.session.add(
        Annotation(
            label_task_id=task.id,
            studio_project="1",
            studio_annotation_id=number,
            updated_at=line.later(),
            by="anna@example.com",
            mask_key=f"labels/{number}.png",
            classes={str(k): v for k, v in classes.items()},
            received_at=line.now,
        )
    )
    line.session.commit()
    return task


def one_of_each(line):
    return {s: labelled(line, PARTS[s][0]) for s in SPLITS}


def frozen(line, out, **options):
    return freeze(line.session, line.blobs, out, classes=options.pop("classes", CLASSES), now=line.now, **options)


def test_the_cameras_bytes_and_what_people_know_of_them_are_in_the_set(line, tmp_path):
    tasks = one_of_each(line)
    data = open_dataset(frozen(line, tmp_path / "set"))
    assert {s.split: s.part for s in data.samples} == {s: PARTS[s][0] for s in SPLITS}
    for sample in data.samples:
        task, mask = tasks[sample.split], sample.labels(data.classes)
        crop = task.crop
        wanted = np.full((700, 900), IGNORE, np.uint8)
        wanted[crop.y : crop.bottom, crop.x : crop.right] = 0
        wanted[crop.y : crop.y + 4, crop.x : crop.x + 4] = 1
        assert (mask == wanted).all()
        (exposure,) = line.exposures(line.session.get(type(line.inspects()), task.inspection_id))
        assert sample.image.read_bytes() == line.blobs.get(exposure.original_key)


def test_a_set_may_hold_the_labels_of_some_stations_alone(line, tmp_path):
    tasks = one_of_each(line)
    tasks["train"].station = "S-other"
    line.session.commit()
    root = frozen(
        line, tmp_path / "set", which=(LabelTask.station == tasks["val"].station,), name="mine", least_parts=0
    )
    data = open_dataset(root)
    assert (data.name, {s.split for s in data.samples}) == ("mine", {"val", "test"})


def test_where_crops_overlap_the_later_drawing_counts(line, tmp_path):
    tasks = one_of_each(line)
    task = tasks["train"]
    labelled(line, task.part, task=task, paint=2)
    first = line.session.get(Annotation, sorted(a.id for a in all_annotations(line) if a.label_task_id == task.id)[0])
    first.superseded = False
    line.session.commit()
    (sample,) = open_dataset(frozen(line, tmp_path / "set")).split("train")
    assert set(np.unique(sample.labels(CLASSES))) == {0, 2, IGNORE}


def _drawn_thrice(line, task):
    for _ in range(2):
        labelled(line, task.part, task=task)
    return [row for row in all_annotations(line) if row.label_task_id == task.id]


def test_what_people_are_at_odds_about_is_weighed_and_what_one_person_drew_is_not(line, tmp_path):
    tasks = one_of_each(line)
    task = tasks["train"]
    crop, rng = task.crop, np.random.default_rng(0)
    truth = np.zeros((crop.height, crop.width), np.uint8)
    truth[20:60, 20:80] = 1
    hands = {}
    for row, by in [(row, f"{k}@example.com") for k, row in enumerate(_drawn_thrice(line, task))]:
        hands[by] = np.where(rng.random(truth.shape) < 0.1, 1 - truth, truth).astype(np.uint8)
        line.blobs.put(row.mask_key, png(hands[by]))
        row.by = by
    line.session.commit()
    data = open_dataset(frozen(line, tmp_path / "set"))
    (sample,) = data.split("train")
    (other,) = data.split("val")
    assert other.weight is None
    trust, agreed = sample.trust(), consensus(hands, [1, 2])
    inside = np.s_[crop.y : crop.bottom, crop.x : crop.right]
    known = agreed.mask != IGNORE
    assert np.abs(trust[inside][known] / 255 - agreed.weight[known]).max() < 0.003
    assert (trust[inside][known] < 230).sum() > 100, "they were at odds"
    outside = np.ones(trust.shape, bool)
    outside[crop.y : crop.bottom, crop.x : crop.right] = False
    assert (trust[outside] == 255).all()
    assert "weights" in json.dumps(sorted(json.loads((data.root / "manifest.json").read_text())["files"]))


def test_removed_and_superseded_annotations_are_left_out(line, tmp_path):
    one_of_each(line)
    for part, flag in (("gone", "deleted"), ("old", "superseded")):
        task = labelled(line, part)
        (row,) = [a for a in all_annotations(line) if a.label_task_id == task.id]
        setattr(row, flag, True)
    line.session.commit()
    assert len(open_dataset(frozen(line, tmp_path / "set")).samples) == 3


def test_the_manifest_says_who_labelled_what_and_proves_every_file(line, tmp_path):
    one_of_each(line)
    out = frozen(line, tmp_path / "set")
    manifest = json.loads((out / "manifest.json").read_text())
    files = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} - {"manifest.json"}
    assert set(manifest["files"]) == files
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert {label["by"] for frame in manifest["frames"] for label in frame["labels"]} == {"anna@example.com"}
    line.now += timedelta(days=1)
    again = json.loads((frozen(line, tmp_path / "again", name="set") / "manifest.json").read_text())
    assert again["id"] == manifest["id"]


def test_a_part_stays_on_its_side_when_data_are_added(line, tmp_path):
    one_of_each(line)
    before = {s.part: s.split for s in open_dataset(frozen(line, tmp_path / "one")).samples}
    for s in SPLITS:
        for part in PARTS[s][1:3]:
            labelled(line, part)
    after = {s.part: s.split for s in open_dataset(frozen(line, tmp_path / "two")).samples}
    assert len(after) == 9
    assert before.items() <= after.items()


@given(st.text())
def test_any_name_of_a_part_has_a_side(part):
    assert side(part) in SPLITS


def test_the_sides_have_their_shares():
    have = [side(f"part-{k}") for k in range(4000)]
    for s in SPLITS:
        assert have.count(s) / 4000 == pytest.approx(SHARES[s], abs=0.03)


def test_too_few_parts_are_refused_with_how_many_are_missing(line, tmp_path):
    labelled(line, PARTS["train"][0])
    with pytest.raises(Conflict, match=r"val has 0 and needs 1 more.*about 7 more parts"):
        frozen(line, tmp_path / "set")
    assert list(tmp_path.glob("*set*")) == []


def test_nothing_labelled_is_said_so(line, tmp_path):
    line.asks(line.inspects())
    with pytest.raises(Conflict, match="no label task is finished"):
        frozen(line, tmp_path / "set")


def base_set(tmp_path, classes, *, part_on=()):
    root = tmp_path / "base"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rows = ["file,split,part"]
    parts = [(f"b{k}", s) for k, s in enumerate(SPLITS)] + list(part_on)
    for name, split in parts:
        cv2.imwrite(str(root / f"images/{name}.png"), np.full((20, 30), 90, np.uint8))
        mask = np.zeros((20, 30), np.uint8)
        mask[3:6, 3:9] = next(k for k, v in classes.items() if v == "scratch")
        cv2.imwrite(str(root / f"masks/{name}.png"), mask)
        rows.append(f"{name}.png,{split},{name}")
    (root / "split.csv").write_text("\n".join(rows))
    (root / "dataset.yaml").write_text(yaml.safe_dump({"name": "rendered", "classes": classes}))
    return root


def test_a_base_set_is_mixed_in_and_its_classes_are_translated_by_name(line, tmp_path):
    labelled(line, PARTS["train"][0])
    data = open_dataset(frozen(line, tmp_path / "set", base=base_set(tmp_path, {1: "dent", 5: "scratch"})))
    assert len(data.samples) == 4
    rendered = [s for s in data.samples if s.columns["origin"] == "rendered"]
    assert {int(v) for s in rendered for v in np.unique(s.labels(data.classes))} == {0, 1}


def known_base(tmp_path, *, size=(20, 30)):
    """A base set of which more is known than pixels."""
    base = base_set(tmp_path, CLASSES)
    for image in (base / "images").iterdir():
        cv2.imwrite(str(image), np.full(size, 90, np.uint8))
    for mask in (base / "masks").iterdir():
        cv2.imwrite(str(mask), np.zeros(size, np.uint8))
    rows = (base / "split.csv").read_text().splitlines()
    added = [",inspector:anna,lot", ",ng,7", ",ok,", ",,8"]
    (base / "split.csv").write_text("\n".join(row + more for row, more in zip(rows, added, strict=True)))
    about = {"mm_per_px": 0.05, "licence": "CC BY 4.0", "source": "the old line"}
    about |= yaml.safe_load((base / "dataset.yaml").read_text())
    (base / "dataset.yaml").write_text(yaml.safe_dump(about))
    (base / "views.yaml").write_text("views: {top: [[1, 0, 3], [0, 1, 0], [0, 0, 1]]}\n")
    return base


def test_what_the_base_set_knows_beside_pixels_is_kept(line, tmp_path):
    task = labelled(line, PARTS["train"][0])
    base = known_base(tmp_path, size=(700, 900))
    data = open_dataset(frozen(line, tmp_path / "set", base=base))
    assert (data.mm_per_px, data.licence) == (0.05, "CC BY 4.0")
    assert data.source == "labels from Label Studio, mixed with rendered (the old line)"
    assert read_given(data.root).views["top"][0, 2] == 3
    assert {s.name: (s.columns["inspector:anna"], s.columns["lot"]) for s in data.samples} == {
        "b0": ("ng", "7"),
        "b1": ("ok", ""),
        "b2": ("", "8"),
        f"{task.inspection_id}_0": ("", ""),
    }
    assert "views.yaml" in json.loads((data.root / "manifest.json").read_text())["files"]

    for sample in data.samples:  # what inspectors say of an image that is in both stays too
        if sample.part == task.part:
            text = (data.root / "split.csv").read_text()
            own = next(row for row in text.splitlines() if row.startswith(sample.image.name))
            (data.root / "split.csv").write_text(text.replace(own, own.removesuffix(",,") + ",ok,9"))
    again = open_dataset(frozen(line, tmp_path / "again", base=data.root))
    (mine,) = [s for s in again.samples if s.part == task.part]
    assert (mine.columns["inspector:anna"], mine.columns["lot"], mine.columns["origin"]) == ("ok", "9", "labels")


@pytest.mark.parametrize(
    ("size", "length_mm", "kept"),
    [
        ((700, 900), None, 0.05),  # nobody measured; it may be the base's camera
        ((20, 30), None, None),  # another camera, or rendered
        ((20, 30), 0.45, 0.05),  # measured at the base's scale
        ((700, 900), 0.72, None),  # measured at another
    ],
)
def test_a_scale_is_kept_where_the_labelled_pictures_have_it(line, tmp_path, size, length_mm, kept):
    task = labelled(line, PARTS["train"][0])
    exposure = line.session.get(Exposure, (task.inspection_id, task.n))
    exposure.defects = [{**d, "length_px": 9.0, "length_mm": length_mm} for d in exposure.defects]
    line.session.commit()
    assert open_dataset(frozen(line, tmp_path / "set", base=known_base(tmp_path, size=size))).mm_per_px == kept


def test_what_a_model_saw_and_people_did_not_is_learnt_from_as_a_false_alarm(line, tmp_path):
    part = PARTS["train"][0]
    (task,) = line.asks(line.inspects(part=part, boxes=[(100, 100, 9, 9, 1, 0.4), (300, 40, 6, 5, 1, 0.3)]))
    labelled(line, part, task=task)
    exposure = line.session.get(Exposure, (task.inspection_id, task.n))
    drawn = Box(task.crop_x, task.crop_y, 4, 4)
    exposure.defects = [*exposure.defects, {"bbox": drawn.as_list()}, {"bbox": [0, 0, exposure.width, exposure.height]}]
    base = base_set(tmp_path, CLASSES)
    rows = (base / "split.csv").read_text().splitlines()
    rows = [rows[0] + ",false_alarms,label_quality", rows[1] + ",1 2 3 4,0.5", *rows[2:]]
    (base / "split.csv").write_text("\n".join(rows))
    data = open_dataset(frozen(line, tmp_path / "set", base=base))
    mine, theirs = (next(s for s in data.samples if s.part == p) for p in (part, "b0"))
    assert false_alarms(mine) == (Box(100, 100, 9, 9), Box(300, 40, 6, 5))
    assert (false_alarms(theirs), label_quality(theirs)) == ((Box(1, 2, 3, 4),), 0.5)


def test_a_part_that_the_base_set_has_stays_on_the_base_sets_side(line, tmp_path):
    part = PARTS["train"][0]
    labelled(line, part)
    data = open_dataset(frozen(line, tmp_path / "set", base=base_set(tmp_path, CLASSES, part_on=[(part, "test")])))
    assert {s.split for s in data.samples if s.part == part} == {"test"}


def test_a_class_that_the_model_does_not_know_is_refused_by_name(line, tmp_path):
    one_of_each(line)
    with pytest.raises(InvalidInput, match="has the class 'scratch'"):
        frozen(line, tmp_path / "set", classes={2: "dent"})


def test_labels_drawn_under_other_class_ids_keep_their_meaning(line, tmp_path):
    one_of_each(line)
    data = open_dataset(frozen(line, tmp_path / "set", classes={9: "scratch", 1: "dent"}))
    assert {int(v) for s in data.samples for v in np.unique(s.labels(data.classes))} == {0, 9, IGNORE}


def test_a_frozen_set_is_never_overwritten_and_a_failure_leaves_nothing(line, tmp_path):
    tasks = one_of_each(line)
    out = frozen(line, tmp_path / "sets" / "one")
    with pytest.raises(Conflict, match="exists already"):
        frozen(line, out)
    (row,) = [a for a in all_annotations(line) if a.label_task_id == tasks["val"].id]
    line.blobs.put(row.mask_key, png(np.zeros((3, 3), np.uint8)))
    with pytest.raises(InvalidInput, match="size of its crop"):
        frozen(line, tmp_path / "sets" / "two")
    assert [p.name for p in (tmp_path / "sets").iterdir()] == ["one"]
