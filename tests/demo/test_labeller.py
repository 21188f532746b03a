"""The imaginary labeller in the real Label Studio, and what becomes of its drawings there."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from label_studio_sdk import LabelStudio
from label_studio_sdk.converter import brush

from labeling.config import NOTHING, label_config
from labeling.studio_process import StudioProcess
from segmentation.render import CLASSES
from server.demo.labeller import Labeller
from server.demo.truth import Truth

ENV = Path(__file__).parents[2] / ".venv-label-studio"

pytestmark = pytest.mark.studio


@pytest.fixture(scope="module")
def studio(tmp_path_factory, label_studio_data, free_port):
    process = StudioProcess(ENV, label_studio_data(tmp_path_factory.mktemp("demo") / "studio"), port=free_port())
    process.start()
    yield process
    process.stop()


@pytest.fixture
def project(studio):
    with httpx.Client(timeout=60, follow_redirects=True) as http:
        sdk: Any = LabelStudio(base_url=studio.url, api_key=studio.account.token, httpx_client=http)
        made = sdk.projects.create(title="line", label_config=label_config(CLASSES.values()))
        yield sdk, made.id
        sdk.projects.delete(id=made.id)


def test_open_tasks_are_finished_with_the_true_masks_and_strange_ones_left_alone(studio, project, tmp_path):
    sdk, number = project
    truth = Truth(tmp_path)
    mask = np.zeros((80, 120), np.uint8)
    mask[10:14, 20:60] = 1
    mask[40:60, 70:100] = 3
    known, clean = truth.keep(b"a part with marks", mask), truth.keep(b"a clean part", 0 * mask)
    data = [
        {"image": "a.png", "sha256": known, "crop": [10, 5, 100, 70]},
        {"image": "b.png", "sha256": clean, "crop": [0, 0, 64, 64]},
        {"image": "c.png", "sha256": "0" * 64, "crop": [0, 0, 64, 64]},
        {"image": "d.png"},
    ]
    tasks = [sdk.tasks.create(project=number, data=d).id for d in data]
    said: list[str] = []
    labeller = Labeller(studio.url, studio.account.token, truth, seed=3, say=said.append)
    stop = threading.Event()
    assert labeller.look_for_work(stop, seconds_per_task=0.01) == 2
    assert labeller.look_for_work(stop, seconds_per_task=0.01) == 0
    labeller.close()
    assert sum("leaves task" in text for text in said) == 2

    results = [[a["result"] for a in sdk.tasks.get(id=str(t)).annotations] for t in tasks]
    assert [len(r) for r in results] == [1, 1, 0, 0]
    drawn = np.zeros((70, 100), np.uint8)
    for region in results[0][0]:
        alpha = brush.decode_rle(region["value"]["rle"]).reshape(70, 100, 4)[..., 3]
        drawn[alpha > 127] = {name: k for k, name in CLASSES.items()}[region["value"]["brushlabels"][0]]
    wanted = mask[5:75, 10:110]
    assert (drawn == wanted).mean() > 0.95
    assert set(np.unique(drawn)) == set(np.unique(wanted))
    assert results[1][0][0]["value"]["choices"] == [NOTHING]


def test_the_labeller_waits_for_label_studio_and_gives_up_on_a_wrong_token(studio, tmp_path, free_port):
    said: list[str] = []
    stop = threading.Event()
    early = Labeller(f"http://127.0.0.1:{free_port()}", "t", Truth(tmp_path), seed=0, say=said.append)
    threading.Timer(0.5, stop.set).start()
    early.work(stop, seconds_per_task=0.01)
    early.close()
    assert said == ["the labeller waits for Label Studio (ConnectError)"]
    refused = Labeller(studio.url, "wrong", Truth(tmp_path), seed=0, say=said.append)
    refused.work(threading.Event(), seconds_per_task=0.01)
    refused.close()
    assert said[1] == "the labeller gives up: Label Studio refuses the token"
