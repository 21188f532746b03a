"""A memory of clean parts: what is unlike them goes to a person."""

import json
import shutil

import cv2
import numpy as np
import pytest

from qc.dataset import IGNORE, open_dataset
from qc.errors import InvalidInput
from qc.frame import Frame
from qc.inspection import inspect
from qc.verdict import UNKNOWN, Policy, Verdict
from segmentation import tiled
from segmentation.model import identity, load_segmenter, model_id, read_card, with_novelty
from segmentation.novelty import clean_frames, distances, load, remember, save
from segmentation.ready import make_ready, open_ready
from segmentation.render import render_part
from segmentation.segmenter import from_card, unknown_id


def clean(part):
    """The views of a good part of one design."""
    views = render_part(part, width=320, height=256, surface="brushed", defects=(), design=1).views
    return [v.pixels if v.pixels.ndim == 2 else v.pixels[..., 1].copy() for v in views]


def opening(pixels):
    return lambda: pixels


@pytest.fixture(scope="module")
def memory():
    return remember({f"P-{n}": [opening(p) for p in clean(n)] for n in range(12)})


@pytest.fixture(scope="module")
def stained():
    """A good part with a smear that no class describes, and where it is."""
    pixels = clean(40)[0].copy()
    noise = np.random.default_rng(0).normal(0, 35, (48, 64))
    pixels[100:148, 120:184] = np.clip(230 + noise, 0, 255)
    return pixels, np.s_[100:148, 120:184]


@pytest.fixture(scope="module")
def taught(model, memory, tmp_path_factory):
    out = tmp_path_factory.mktemp("taught") / "model"
    with_novelty(model, memory, out, about={"images": 36})
    return out


def novelty_map(pixels, memory):
    found = np.full(pixels.shape[:2], -1.0, np.float32)
    for place, distance in distances(pixels, memory.bank, memory.spread):
        found[place] = distance
    return found


def test_what_no_clean_part_showed_is_further_away_than_clean_parts_never_seen(memory, stained):
    pixels, where = stained
    seen = novelty_map(pixels, memory)
    assert seen[where].max() > memory.limit
    assert np.unravel_index(seen.argmax(), seen.shape)[0] in range(72, 176)
    unseen = [novelty_map(p, memory).max() > memory.limit for n in range(60, 68) for p in clean(n)]
    assert np.mean(unseen) < 0.25


def test_tiles_give_what_the_whole_frame_gives(memory, monkeypatch):
    pixels = np.concatenate([np.concatenate(clean(n)[:2], axis=1) for n in (70, 71)], axis=0)
    whole = novelty_map(pixels, memory)
    monkeypatch.setattr(tiled, "WINDOW_PX", 1)
    looked = []
    monkeypatch.setattr(tiled, "look_at", lambda *asked, real=tiled.look_at: looked.append(asked) or real(*asked))
    again = novelty_map(pixels, memory)
    assert len(looked) > 1
    assert np.abs(again - whole).max() < 1e-3


def test_a_place_that_only_the_memory_finds_goes_to_a_person(taught, stained):
    segmenter = load_segmenter(taught)
    assert segmenter.classes[max(segmenter.classes)] == UNKNOWN
    pixels, _ = stained
    findings = inspect(Frame(pixels, view="", sha256=""), segmenter, Policy(product=""))
    unknown = [d for d in findings.defects if d.class_name == UNKNOWN and d.counts]
    assert unknown
    only = Policy(product="").judge(unknown)
    assert only is Verdict.REVIEW


def test_what_the_network_finds_keeps_its_class(taught, model, memory):
    plain, with_memory = load_segmenter(model), load_segmenter(taught)
    pixels = clean(80)[0].copy()
    pixels[60:64, 40:200] = 255
    a, b = plain.segment(pixels), with_memory.segment(pixels)
    counts = a.log_odds >= np.log(plain.threshold / (1 - plain.threshold))
    assert np.array_equal(a.class_id[counts], b.class_id[counts])
    assert np.array_equal(a.log_odds[counts], b.log_odds[counts])
    assert (b.log_odds >= a.log_odds).all()


def test_a_memory_is_part_of_the_models_identity(taught, model, tmp_path):
    assert model_id(taught) != model_id(model)
    file = taught / "novelty.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InvalidInput, match="damaged"):
        load_segmenter(taught)
    file.write_bytes(whole)
    assert load_segmenter(taught).model_id == model_id(taught)


def test_a_model_whose_classes_leave_no_id_for_what_is_unknown_cannot_remember(model, memory, tmp_path):
    card = read_card(model)
    assert unknown_id([1, 253]) == 254

    def numbered(class_id):
        return {**card, "classes": {class_id: "scratch"}}

    assert from_card(numbered("253"), seen_nothing, runtime="torch", novelty=memory).classes[254] == UNKNOWN
    assert max(from_card(numbered("254"), seen_nothing, runtime="torch").classes) == 254
    with pytest.raises(InvalidInput, match="class id 254 cannot remember clean parts"):
        from_card(numbered("254"), seen_nothing, runtime="torch", novelty=memory)

    shutil.copytree(model, tmp_path / "model")
    classes = numbered("254")
    classes["id"] = identity(classes)
    (tmp_path / "model/model.json").write_text(json.dumps(classes))
    with pytest.raises(InvalidInput, match="class id 254 cannot remember clean parts"):
        with_novelty(tmp_path / "model", memory, tmp_path / "out", about={})
    assert not (tmp_path / "out").exists()


def seen_nothing(window):
    raise AssertionError("nobody looks")


@pytest.mark.filterwarnings("ignore")  # of the exporter
def test_a_model_made_ready_remembers_too(taught, stained, tmp_path):
    make_ready(taught, tmp_path / "ready", runtimes=("openvino",))
    fast = open_ready(taught, tmp_path / "ready")
    slow = load_segmenter(taught)
    a, b = slow.segment(stained[0]), fast.segment(stained[0])
    assert (a.class_id == max(slow.classes)).any()
    assert (a.class_id != b.class_id).mean() < 0.01
    assert fast.classes == slow.classes


def test_the_same_frames_give_the_same_memory_and_a_file_keeps_it(memory, tmp_path):
    frames = {f"P-{n}": [opening(p) for p in clean(n)] for n in range(12)}
    again = remember(dict(reversed(frames.items())))
    assert np.array_equal(again.bank, memory.bank)
    save(memory, tmp_path / "m.safetensors")
    kept = load(tmp_path / "m.safetensors")
    assert np.array_equal(kept.bank, memory.bank)
    assert (kept.limit, kept.scale) == (memory.limit, memory.scale)


def test_too_few_clean_images_are_refused(scratches, memory):
    with pytest.raises(InvalidInput, match="too few"):
        remember({"P-1": [opening(clean(1)[0])]})
    data = open_dataset(scratches)
    assert all(callable(opened) for frames in clean_frames(data).values() for opened in frames)


def test_what_nobody_knows_is_not_remembered_as_clean(drawn_dataset, tmp_path):
    root = drawn_dataset(tmp_path / "data", parts=8, val=1)
    before = sum(map(len, clean_frames(open_dataset(root)).values()))
    clean_one = next(s for s in open_dataset(root).split("train") if not s.labels({1: "scratch"}).any())
    mask = cv2.imread(str(clean_one.mask), cv2.IMREAD_UNCHANGED)
    mask[:20] = IGNORE
    cv2.imwrite(str(clean_one.mask), mask)
    assert sum(map(len, clean_frames(open_dataset(root)).values())) == before - 1
