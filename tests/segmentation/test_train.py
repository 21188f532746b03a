"""Training: it learns, it repeats itself, it survives being killed, it keeps to its time."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.torch import load_file

from qc.dataset import open_dataset
from qc.errors import Conflict, InvalidInput
from segmentation import checkpoint
from segmentation.config import NetworkConfig, TrainConfig
from segmentation.evaluate import evaluate
from segmentation.model import load_segmenter, model_id, read_card
from segmentation.networks import build
from segmentation.plan import fitting_network, hold_back, make_plan
from segmentation.schedule import Budget, rate
from segmentation.train import train

SMALL = TrainConfig(crop_px=64, batch=2, begin="imagenet")

UNPACKED = [cv2.IMWRITE_PNG_COMPRESSION, 0]
"""Files of one size, whatever they show."""


def weights_of(folder: Path):
    return load_file(folder / "weights.safetensors")


def same(a, b) -> bool:
    return a.keys() == b.keys() and all((a[n] == b[n]).all() for n in a)


def test_a_model_trained_for_seconds_finds_a_scratch_on_a_part_never_seen(model, scratches):
    report = evaluate(load_segmenter(model), open_dataset(scratches), split="val")
    assert report["defect_recall_at_1"]["value"] == 1.0
    assert report["classes"]["scratch"]["iou"]["value"] > 0.4
    assert report["image_ap"]["value"] == 1.0


def test_a_rendered_scratch_is_found_on_a_part_never_seen(tmp_path):
    from segmentation.render.write import render_dataset

    data = tmp_path / "rendered"
    render_dataset(data, 32, seed=5, width=320, height=256, clean=0.1)
    for path in (data / "masks").iterdir():  # dents and pits need longer than a test may take
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.where(mask > 1, 255, mask))
    (data / "dataset.yaml").write_text("name: rendered\nclasses: {1: scratch}\n")
    train(data, tmp_path / "model", steps=90, config=TrainConfig(crop_px=128, batch=4, ema_steps=20, begin="imagenet"))
    dataset = open_dataset(data)
    assert not {s.part for s in dataset.split("test")} & {s.part for s in dataset.split("train")}
    report = evaluate(load_segmenter(tmp_path / "model"), dataset, split="test")
    assert report["defect_recall_at_1"]["value"] >= 0.5
    assert report["image_ap"]["value"] > 0.7


def test_the_card_says_where_the_model_comes_from(model, scratches):
    card = read_card(model)
    assert card["id"] == model_id(model)
    assert card["dataset"]["train_files"]["p00_left.png"].keys() == {"image", "mask"}
    assert card["training"]["steps"] == 45
    assert f"{os.cpu_count()} cores" in card["versions"]["hardware"]
    assert 0.05 < card["threshold"] < 1
    assert card["reach_px"] > 100
    assert list((model / "samples").glob("*.png"))
    told = card["figures"]["detection"]
    assert told["all"]["defects"] == card["figures"]["defects"]
    assert told["all"]["defects"] - told["all"]["hits"] == len(card["figures"]["misses"])
    assert told["sizes"][0] <= told["sizes"][1]
    assert not checkpoint.partial_folder(model).exists()


def test_the_same_seed_gives_the_same_weights(scratches, tmp_path):
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        train(scratches, tmp_path / name, steps=3, seed=seed, config=SMALL)
    assert same(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))
    assert model_id(tmp_path / "a") == model_id(tmp_path / "b")
    assert not same(weights_of(tmp_path / "a"), weights_of(tmp_path / "c"))


def test_an_interrupted_run_ends_with_the_same_weights(scratches, tmp_path, monkeypatch):
    class PowerCut(Exception):
        pass

    def cut(share, words):
        if words.startswith("step 3"):
            raise PowerCut

    monkeypatch.setattr("segmentation.train.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(PowerCut):
        train(scratches, tmp_path / "cut", steps=5, config=SMALL, progress=cut)
    assert not (tmp_path / "cut").exists()
    assert checkpoint.partial_folder(tmp_path / "cut").exists()

    steps = []
    train(scratches, tmp_path / "cut", steps=5, config=SMALL, progress=lambda share, words: steps.append(words))
    assert steps[0].startswith("step 4")
    train(scratches, tmp_path / "whole", steps=5, config=SMALL)
    assert same(weights_of(tmp_path / "cut"), weights_of(tmp_path / "whole"))


def test_a_killed_run_begins_anew_when_a_file_was_changed(drawn_dataset, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def first_words():
        said = []

        def tell(share, words):
            said.append(words)
            raise Killed

        with pytest.raises(Killed):
            train(data, tmp_path / "model", steps=9, config=SMALL, progress=tell)
        return said[0].split(",")[0]

    data = drawn_dataset(tmp_path / "data", parts=4, val=2, size=(96, 96))
    (data / "weights").mkdir()
    for mask in (data / "masks").iterdir():
        cv2.imwrite(str(data / "weights" / mask.name), np.full((96, 96), 255, np.uint8))
    files = {f: cv2.imread(str(f), cv2.IMREAD_UNCHANGED) for f in data.glob("*/*.png")}
    for file, pixels in files.items():
        cv2.imwrite(str(file), pixels, UNPACKED)
    monkeypatch.setattr("segmentation.train.CHECKPOINT_SECONDS", 0.0)
    assert [first_words(), first_words()] == ["step 1", "step 2"]
    for of, folder in ((min, "masks"), (max, "masks"), (min, "weights"), (min, "images")):  # of train, and of val
        file = of((data / folder).iterdir())
        size = file.stat().st_size
        files[file][:4, :4] = 255 - files[file][:4, :4]
        cv2.imwrite(str(file), files[file], UNPACKED)
        assert file.stat().st_size == size
        assert first_words() == "step 1", (of, folder)


def test_frozen_stages_stay_as_they_came_and_the_others_learn(scratches, tmp_path):
    config = replace(SMALL, frozen_stages=2)
    train(scratches, tmp_path / "model", steps=2, config=config)
    learnt, given = weights_of(tmp_path / "model"), build(NetworkConfig(), 1, imagenet=True).state_dict()
    first = ("encoder.model.conv_stem.", "encoder.model.bn1.", "encoder.model.blocks.0.")
    for name, weight in learnt.items():
        if name.startswith(first):
            assert (weight == given[name]).all(), name
    assert (learnt["encoder.model.blocks.1.0.conv_pw.weight"] != given["encoder.model.blocks.1.0.conv_pw.weight"]).any()


def test_a_killed_process_leaves_no_model_and_can_be_continued(scratches, tmp_path):
    out = tmp_path / "model"
    code = (
        "import segmentation.train as t, sys; from pathlib import Path; t.CHECKPOINT_SECONDS = 0.0;"
        "from segmentation.config import TrainConfig;"
        f"t.train(Path({str(scratches)!r}), Path({str(out)!r}), steps=500, config=TrainConfig(crop_px=64, batch=2))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    partial = checkpoint.partial_folder(out) / checkpoint.FILE
    try:
        waited_since = time.monotonic()
        while not partial.exists():
            assert process.poll() is None
            assert time.monotonic() - waited_since < 200
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not out.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["model.partial"]


def test_a_limited_run_ends_in_time(scratches, tmp_path):
    began = time.monotonic()
    card = train(scratches, tmp_path / "model", minutes=0.2, config=SMALL)
    assert time.monotonic() - began <= 12.0
    assert card["training"]["steps"] >= 1


def test_a_run_without_an_end_ends_when_nothing_improves():
    budget = Budget(None, None, warm_up=0.05, cool_down=0.5)
    assert budget.share(10_000) < 1
    budget.judge(600, [0.1, 0.5, 0.5, 0.4])
    assert budget.falling_from is None
    budget.judge(750, [0.1, 0.5, 0.5, 0.4, 0.5])
    assert budget.falling_from == 750
    assert budget.rate(750) == pytest.approx(1.0)
    assert budget.rate(1100) < 0.05
    assert budget.share(1125) >= 1.0


def test_the_rate_rises_stays_and_falls():
    rates = [rate(s, warm_up=0.1, cool_down=0.5) for s in (0.05, 0.1, 0.3, 0.5, 0.75, 1.0)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 1.0, 0.5, 0.0])


def test_a_new_class_is_learnt_from_an_old_model(model, tmp_path, drawn_dataset):
    data = drawn_dataset(tmp_path / "more", classes={1: "dent", 2: "scratch"}, parts=6, val=2)
    for mask in (data / "masks").iterdir():
        cv2.imwrite(str(mask), 2 * cv2.imread(str(mask), cv2.IMREAD_UNCHANGED))
    with pytest.warns(UserWarning, match="nobody drew a dent"):
        card = train(data, tmp_path / "new", steps=1, start_from=model, config=SMALL)
    assert card["training"]["start_from"] == model_id(model)
    old, new = weights_of(model)["head.bias"], weights_of(tmp_path / "new")["head.bias"]
    assert np.allclose(old[4:8], new[8:12], atol=0.1)  # scratch moved from place 1 to place 2


def test_what_the_data_set_lacks_is_said(scratches, tmp_path):
    root = shutil.copytree(scratches, tmp_path / "poor")
    text = (root / "split.csv").read_text().replace(",val,", ",train,")
    (root / "split.csv").write_text(text)
    (root / "masks" / "p00_left.png").unlink()
    (root / "dataset.yaml").write_text("name: poor\nclasses: {1: scratch, 2: dent}\n")
    plan = make_plan(open_dataset(root))
    said = " ".join(plan.warnings)
    assert "held back" in said
    assert "nobody drew a dent" in said
    assert "1 training images have no mask" in said
    assert not {s.part for s in plan.train} & {s.part for s in plan.val}


def test_a_group_held_back_stays_held_back_when_others_are_added(scratches):
    samples = open_dataset(scratches).split("train")
    _, judges = hold_back(samples, seed=0)
    assert hold_back(samples[::-1], seed=0)[1][::-1] == judges


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: [m.unlink() for m in (root / "masks").iterdir()], "no labelled image"),
        (
            lambda root: [cv2.imwrite(str(m), np.zeros((160, 200), np.uint8)) for m in (root / "masks").iterdir()],
            "defect",
        ),
        (
            lambda root: cv2.imwrite(str(root / "masks" / "p00_left.png"), np.full((160, 200), 9, np.uint8)),
            "class ids",
        ),
        (
            lambda root: [
                cv2.imwrite(str(s.mask), np.full((160, 200), 255, np.uint8)) for s in open_dataset(root).split("val")
            ],
            "nobody knows",
        ),
    ],
    ids=["unlabelled", "all clean", "unknown class", "nothing known of val"],
)
def test_a_data_set_that_cannot_teach_is_refused(scratches, tmp_path, change, words):
    root = shutil.copytree(scratches, tmp_path / "bad")
    change(root)
    with pytest.raises(InvalidInput, match=words):
        train(root, tmp_path / "model", steps=1, config=SMALL)
    assert not (tmp_path / "model").exists()


def test_a_folder_that_is_no_model_is_not_overwritten(scratches, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "letter.txt").write_text("dear")
    with pytest.raises(Conflict, match="precious"):
        train(scratches, tmp_path / "precious", steps=1, config=SMALL)
    assert (tmp_path / "precious" / "letter.txt").exists()


def test_large_smooth_defects_get_a_network_that_sees_further(scratches, tmp_path):
    plan = make_plan(open_dataset(scratches))
    assert plan.network.depth == 4
    large = [type(b)(b.sample, b.class_id, b.box, 90 * 90) for b in plan.index.blemishes]
    assert fitting_network(type(plan.index)(tuple(large), plan.index.clean, plan.index.pixels)).depth == 5


def test_the_card_is_plain_json_and_holds_no_path(model):
    text = (model / "model.json").read_text()
    assert json.loads(text)["format"] == 1
    assert str(model.parent) not in text
