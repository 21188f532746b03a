"""The search: small, real trials; interrupted, it goes on; two at once share the work."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import cv2
import numpy as np
import optuna
import pytest

from qc.errors import Conflict, InvalidInput
from segmentation import tune as module
from segmentation.config import NetworkConfig, TrainConfig, train_config
from segmentation.tune import Budget, as_parameters, suggest, tune, worth
from server.cli import main


@pytest.fixture
def tiny(drawn_dataset, tmp_path, monkeypatch):
    """A data set of small frames, and a search that makes small crops of them."""
    monkeypatch.setattr(module, "suggest", small)
    return drawn_dataset(tmp_path / "data", parts=4, val=2, size=(96, 96))


def small(trial: optuna.Trial) -> tuple[TrainConfig, NetworkConfig]:
    trial.suggest_categorical("crop_px", [128, 192, 256, 384])
    loss = trial.suggest_categorical("loss", module.LOSSES)
    rate = trial.suggest_float("learning_rate", 5e-4, 6e-3, log=True)
    network = NetworkConfig(depth=3, decoder_channels=(16, 8))
    return TrainConfig(crop_px=64, batch=2, loss=loss, learning_rate=rate), network


def test_the_default_is_a_choice_of_the_search():
    parameters = as_parameters(TrainConfig(), NetworkConfig())
    assert suggest(optuna.trial.FixedTrial(parameters)) == (TrainConfig(), NetworkConfig())


def test_a_search_measures_the_default_and_writes_settings_that_train_takes(tiny, tmp_path, capsys):
    out = tmp_path / "study"
    report = tune(tiny, out, trials=2, budget=Budget(steps=2))
    assert [t["state"] for t in report["trials"]] == ["complete", "complete"]
    assert report["default"] == report["trials"][0]["value"]
    assert report["best"]["value"] == max(t["value"] for t in report["trials"])
    best = json.loads((out / "best.json").read_text())
    assert train_config(best["train"]).crop_px == 64
    assert "<svg" in (out / "report.html").read_text()
    assert not list((out / "trials").iterdir())
    settings = ["--steps", "1", "--config", str(out / "best.json")]
    assert main(["train", str(tiny), "--out", str(tmp_path / "model"), *settings]) == 0
    assert json.loads((tmp_path / "model" / "model.json").read_text())["training"]["loss"] == best["train"]["loss"]

    again = tune(tiny, out, trials=3, budget=Budget(steps=2))
    assert len(again["trials"]) == 3
    assert again["trials"][:2] == report["trials"]
    mask = next((tiny / "masks").iterdir())
    cv2.imwrite(str(mask), np.zeros((96, 96), np.uint8))
    with pytest.raises(Conflict, match="another data set"):
        tune(tiny, out, trials=4, budget=Budget(steps=2))


def test_a_trial_whose_process_was_killed_is_tried_again(tiny, tmp_path):
    out = tmp_path / "study"
    code = (
        "from pathlib import Path; from segmentation.tune import Budget, tune;"
        f"tune(Path({str(tiny)!r}), Path({str(out)!r}), trials=2, budget=Budget(steps=100000))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        began = time.monotonic()
        while not list(out.glob("running/0.lock")):
            assert process.poll() is None
            assert time.monotonic() - began < 200
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    database = out / "study.db"
    # The same study with a budget that ends: what is kept of it besides the trials is the budget alone.
    study = optuna.load_study(study_name="tune", storage=f"sqlite:///{database}")
    study.set_user_attr("about", {**study.user_attrs["about"], "steps": 2})
    report = tune(tiny, out, trials=1, budget=Budget(steps=2))
    assert [t["state"] for t in report["trials"]] == ["fail", "complete"]
    assert report["default"] is not None


def test_a_trial_behind_the_middle_is_given_up_after_a_quarter(tiny, tmp_path, monkeypatch):
    values = iter([0.5, 0.6] * 5 + [0.1])
    monkeypatch.setattr(module, "train", lambda *a, **s: {"figures": known(next(values)), "training": {"seconds": 1}})
    report = tune(tiny, tmp_path / "study", trials=6, budget=Budget(steps=1))
    assert [t["state"] for t in report["trials"]] == ["complete"] * 5 + ["pruned"]
    assert report["trials"][-1]["after_a_quarter"] == 0.1


def test_a_search_does_not_go_on_with_other_labels_of_the_same_size(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "train", lambda *a, **s: {"figures": known(0.5), "training": {"seconds": 1}})
    mask = next((tiny / "masks").iterdir())
    unpacked = [cv2.IMWRITE_PNG_COMPRESSION, 0]
    cv2.imwrite(str(mask), np.zeros((96, 96), np.uint8), unpacked)
    size = mask.stat().st_size
    for trials in (1, 2):
        assert len(tune(tiny, tmp_path / "study", trials=trials, budget=Budget(steps=1))["trials"]) == trials
    cv2.imwrite(str(mask), np.eye(96, dtype=np.uint8), unpacked)
    assert mask.stat().st_size == size
    with pytest.raises(Conflict, match="another data set"):
        tune(tiny, tmp_path / "study", trials=3, budget=Budget(steps=1))


def known(value):
    """Figures that are all the same."""
    return {name: {"value": value} for name in module.FIGURES}


def test_no_trial_is_begun_that_would_not_end_in_time(tiny, tmp_path):
    with pytest.raises(InvalidInput, match="no trial came to its end"):
        tune(tiny, tmp_path / "study", trials=5, budget=Budget(minutes=5.0), minutes=6.0)


def test_a_trial_that_cannot_be_trained_is_told_and_the_search_goes_on(tiny, tmp_path, monkeypatch):
    def out_of_memory(*args, **settings):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(module, "train", out_of_memory)
    with pytest.raises(InvalidInput, match="no trial"):
        tune(tiny, tmp_path / "study", trials=2, budget=Budget(steps=1))
    report = json.loads((tmp_path / "study" / "report.json").read_text())
    assert [t["error"] for t in report["trials"]] == ["out of memory"] * 2


def test_a_study_may_be_opened_by_many_in_the_same_instant(tiny, tmp_path):
    together = Barrier(6)

    def opened() -> int:
        together.wait()
        return len(module._open_study(tiny, tmp_path / "study", Budget(steps=1), "cpu").trials)

    with ThreadPoolExecutor(6) as pool:
        assert [f.result() for f in [pool.submit(opened) for _ in range(6)]] == [0] * 6


def test_two_searches_at_once_share_the_trials(tiny, tmp_path):
    out = tmp_path / "study"
    code = (
        "import importlib.util as u, sys; from pathlib import Path; import segmentation.tune as m;"
        f"spec = u.spec_from_file_location('search', {__file__!r}); test = u.module_from_spec(spec);"
        "sys.modules['search'] = test; spec.loader.exec_module(test); m.suggest = test.small;"
        f"m.tune(Path({str(tiny)!r}), Path({str(out)!r}), trials=3, budget=m.Budget(steps=1))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    workers = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    assert [w.wait(300) for w in workers] == [0, 0]
    study = optuna.load_study(study_name="tune", storage=f"sqlite:///{out / 'study.db'}")
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 3
    assert len({json.dumps(t.params) for t in study.trials}) == 3
    assert [bool(t.user_attrs.get("default")) for t in study.trials] == [True, False, False]


def test_worth_is_the_mean_of_what_is_known():
    figures = {name: {"value": v} for name, v in zip(module.FIGURES, (1.0, 0.5, None, 0.3), strict=True)}
    assert worth(figures) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "must hold"),
        ("{", "cannot be read"),
        ('{"train": {"los": "dice"}}', "no settings"),
        ('{"train": {"loss": "foo"}}', "there is no loss"),
        ('{"train": {"crop_px": "big"}}', "wrong type"),
    ],
)
def test_settings_that_make_no_sense_are_named(tiny, tmp_path, capsys, content, said):
    (tmp_path / "c.json").write_text(content)
    assert main(["train", str(tiny), "--out", str(tmp_path / "m"), "--config", str(tmp_path / "c.json")]) == 1
    assert said in capsys.readouterr().err
