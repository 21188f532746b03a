"""A retraining as a Ray job and as a Flyte workflow gives what the server's own steps give."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from qc.errors import InvalidInput
from segmentation.config import NETWORKS, TrainConfig
from segmentation.model import model_id
from segmentation.render import render_part
from segmentation.render.write import new_dataset, write_png, write_table
from segmentation.train import train
from server.pipelines import ray_job
from server.retraining_steps import check_data, compare_both, train_challenger

sys.path.insert(0, str(Path(__file__).parent))
from ray_machines import Machines

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
FLYTE = ROOT / ".venv-flyte/bin/python"
STEPS = 2

LOCALLY = """
import json, sys
import torch
from flytekit.types.directory import FlyteDirectory
from segmentation.model import model_id
from server.pipelines.flyte_workflow import retraining
torch.set_num_threads(1)
dataset, champion = (FlyteDirectory(path) for path in sys.argv[1:3])
made = retraining(dataset=dataset, champion=champion, minutes=0.0, steps=int(sys.argv[3]))
told = json.loads(open(made.comparison.download()).read())
print(json.dumps({"id": model_id(made.model.download()), "checked": made.checked, "comparison": told}))
"""

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(400)]  # Ray's, of which there are many


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Rendered parts on all three sides, every other one scratched."""
    rows, out = [], tmp_path_factory.mktemp("data") / "parts"
    sides = ("train", "train", "val", "val", "test", "test")
    with new_dataset(out) as folder:
        (folder / "dataset.yaml").write_text("name: parts\nclasses:\n  1: scratch\n")
        for number, side in enumerate(sides):
            planted, name = ("scratch",) * (number % 2), f"part{number}.png"
            (view,) = render_part(number, views=("left",), width=128, height=96, defects=planted).views
            write_png(folder / "images" / name, view.pixels)
            write_png(folder / "masks" / name, view.mask)
            rows.append({"file": name, "split": side, "part": str(number)})
        write_table(folder, ("file", "split", "part"), rows)
    return out


@pytest.fixture(scope="module")
def champion(dataset, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "champion"
    train(dataset, out, steps=1, config=TrainConfig(crop_px=64, batch=2), network=NETWORKS["light"])
    return out


@pytest.fixture(scope="module")
def expected(dataset, champion, tmp_path_factory) -> dict[str, object]:
    """What the server's own steps make of them."""
    out = tmp_path_factory.mktemp("own")
    checked = check_data(dataset, out / "check.json", report=lambda *_: None)
    model = train_challenger(dataset, champion, out / "model", steps=STEPS, report=lambda *_: None)
    told = compare_both(dataset, champion, model, out / "comparison.json", report=lambda *_: None)
    return {"id": model_id(model), "checked": checked, "comparison": untimed(told)}


def untimed(told: dict) -> dict:
    """Without what a clock measured."""
    return {name: value for name, value in told.items() if "ms" not in name and "seconds" not in name}


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    """A Ray cluster whose head takes jobs, with one machine at work."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install -c constraints-cpu.txt -e '.[ray]'")
    found = Machines(workers=1, jobs=True)
    yield found
    found.close()


def test_steps_that_are_cut_off_again_and_again_end_as_if_nothing_had_been(dataset, champion, expected, tmp_path):
    class Cut(Exception):
        pass

    def attempt(words: int) -> dict[str, object]:
        """All steps; cut off at so many words of progress."""
        left = iter(range(words))

        def report(*_: object) -> None:
            if next(left, None) is None:
                raise Cut

        checked = check_data(dataset, tmp_path / "check.json", report=report)
        model = train_challenger(dataset, champion, tmp_path / "model", steps=STEPS, report=report)
        told = compare_both(dataset, champion, model, tmp_path / "comparison.json", report=report)
        return {"id": model_id(model), "checked": checked, "comparison": untimed(told)}

    cuts = 0
    for words in (0, 1, 2, 3, 4, 5, 7, 10, 1000):
        try:
            made = attempt(words)
            break
        except Cut:
            cuts += 1
    assert cuts >= 4
    assert made == expected


def test_a_ray_job_makes_what_the_server_makes(machines, dataset, champion, expected, tmp_path, capfd):
    given = [str(dataset), str(champion), "--out", str(tmp_path / "out"), "--steps", str(STEPS)]
    assert ray_job.main([*given, "--address", machines.address]) == 0
    told = json.loads(capfd.readouterr().out.strip().splitlines()[-1])
    assert untimed(told) == expected["comparison"]
    assert model_id(tmp_path / "out/model") == expected["id"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    submit = [PROGRAMS / "ray", "job", "submit", "--address", machines.jobs_address, "--", sys.executable, "-m"]
    again = subprocess.run(
        [*submit, "server.pipelines.ray_job", *given], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert again.returncode == 0, again.stdout[-2000:] + again.stderr[-2000:]
    (line,) = [line for line in again.stdout.splitlines() if line.startswith("{")]
    assert untimed(json.loads(line)) == expected["comparison"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before, "nothing is made again"


def test_unfit_data_end_a_ray_job_with_the_reason(machines, dataset, champion, tmp_path, capfd):
    leaking = tmp_path / "leaking"
    shutil.copytree(dataset, leaking)
    shutil.copy(leaking / "images/part0.png", leaking / "images/part4.png")  # the same picture to train and to test
    shutil.copy(leaking / "masks/part0.png", leaking / "masks/part4.png")
    with pytest.raises(InvalidInput) as reason:
        check_data(leaking, tmp_path / "check.json", report=lambda *_: None)
    given = [str(leaking), str(champion), "--out", str(tmp_path / "out"), "--address", machines.address]
    assert ray_job.main(given) == 1
    assert reason.value.message in capfd.readouterr().err
    assert not (tmp_path / "out/model").exists()


def test_a_flyte_workflow_makes_what_the_server_makes(dataset, champion, expected, tmp_path):
    if not FLYTE.is_file():
        pytest.skip("Flyte's SDK is not installed (.venv-flyte is missing); `make test` sets it up")
    quiet = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    ran = subprocess.run(
        [FLYTE, "-c", LOCALLY, dataset, champion, str(STEPS)],
        env=quiet, cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = json.loads(ran.stdout.strip().splitlines()[-1])
    assert {**told, "comparison": untimed(told["comparison"])} == expected
