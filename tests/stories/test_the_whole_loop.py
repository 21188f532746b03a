"""From a doubtful part to a new model, with the real server, the real Label Studio, and a kill at every bad moment.

One story, told in order: each chapter needs what the one before left behind.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

import cv2
import httpx
import numpy as np
import per_home
import pytest

from labeling.convert import to_results
from labeling.studio import Studio
from labeling.studio_process import account
from segmentation.render import render_dataset, render_part
from segmentation.train import train
from server import registry, schema
from server.db import Database
from server.events import EventBus

ROOT = Path(__file__).parents[2]
STUDIO = ROOT / ".venv-label-studio"
CLASSES = {1: "scratch", 2: "dent", 3: "pit"}

pytestmark = [
    pytest.mark.studio,
    pytest.mark.timeout(900),
]


def wait_for(what, true, *, patience=180.0):
    """Wait until `true()` gives something, and give that back."""
    until = time.monotonic() + patience
    while True:
        try:
            if found := true():
                return found
        except httpx.TransportError:
            pass  # the server is down or starting
        assert time.monotonic() < until, f"waited in vain until {what}"
        time.sleep(0.2)


class Plant:
    """A data folder, a server on it that can be killed, and the people around it."""

    def __init__(self, home: Path, port: int, studio_port: int) -> None:
        self.home, self.port, self.studio_port = home, port, studio_port
        self.environment = {
            **os.environ,
            "QC_HOME": str(home),
            **per_home.environment(home),
            "QC_PORT": str(self.port),
            "QC_LABEL_STUDIO_ENV": str(STUDIO),
            "QC_LABEL_STUDIO_PORT": str(self.studio_port),
            "QC_SWEEP_S": "36000",  # only the webhook brings labels home while the server runs
            "QC_RETRAIN_AFTER_LABELS": "4",
            "QC_RETRAIN_CRON": "",
            "QC_RETRAIN_MINUTES": "0.6",
            "OMP_NUM_THREADS": "1",
        }
        self.server: subprocess.Popen[bytes] | None = None
        self.truth: dict[str, np.ndarray] = {}
        self.key = ""
        self.people: list[Studio] = []

    def qc(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", "import sys; from server.cli import main; sys.exit(main())", *arguments]

    def starts(self) -> None:
        with (self.home / "server.log").open("ab") as log:
            self.server = subprocess.Popen(
                self.qc("up"), cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        wait_for("the server can inspect", lambda: self.get("/health").status_code == 200)

    def is_killed(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    def stops(self) -> None:
        for person in self.people:
            person.close()
        if self.server is not None and self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            try:
                self.server.wait(60)
            except subprocess.TimeoutExpired:
                self.is_killed()

    def get(self, path: str, **params: object) -> httpx.Response:
        url = f"http://127.0.0.1:{self.port}/api/v1{path}"
        return httpx.get(url, params=params, headers=self.head, timeout=60, trust_env=False)

    def post(self, path: str, **content: object) -> httpx.Response:
        url = f"http://127.0.0.1:{self.port}/api/v1{path}"
        return httpx.post(url, headers=self.head, timeout=120, trust_env=False, **content)

    @property
    def head(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def makes_a_key(self) -> None:
        made = subprocess.run(
            self.qc("key", "create", "--role", "admin"), cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        assert made.returncode == 0, made.stderr
        self.key = made.stdout.strip().splitlines()[-1]

    def sends_a_scratched_part_that_is_overruled(self, seed: int) -> None:
        """A rendered part comes past, and the operator says the opposite of the verdict: it must be labelled."""
        view = render_part(seed, views=("top",), width=512, height=384, clean=0.0).views[0]
        png = cv2.imencode(".png", view.pixels)[1].tobytes()
        told = self.post(
            "/inspections",
            files=[("image", ("top.png", io.BytesIO(png)))],
            data={"part": f"R-{seed}", "station": "end-of-line", "view": "top"},
        )
        assert told.status_code == 201, told.text
        inspection = told.json()
        self.truth[inspection["images"][0]["sha256"]] = view.mask
        if inspection["verdict"] != "review":
            other = "ng" if inspection["verdict"] == "ok" else "ok"
            decided = self.post(f"/inspections/{inspection['id']}/decision", json={"verdict": other, "reason": "look"})
            assert decided.status_code in (200, 201), decided.text

    def label_tasks(self, state: str) -> list[dict]:
        return self.get("/label-tasks", state=state, limit=500).json()["items"]

    def labeller(self) -> Studio:
        """A person's connection to the real Label Studio."""
        token = account(self.home / "label-studio" / "account.json").token
        studio = Studio(f"http://127.0.0.1:{self.studio_port}", token)
        studio.ensure_project(CLASSES)
        self.people.append(studio)
        return studio

    def labels(self, studio: Studio, task: dict) -> None:
        """Draw on one crop what is really there."""
        number = int(task["url"].rpartition("task=")[2])
        data = studio.task(number)["data"]
        x, y, width, height = data["crop"]
        drawn = self.truth[data["sha256"]][y : y + height, x : x + width]
        result = to_results(drawn, CLASSES)
        studio.call("POST", f"api/tasks/{number}/annotations/", json={"result": result, "lead_time": 3.0})

    def job(self, kind: str) -> dict | None:
        found = self.get("/jobs", kind=kind).json()["items"]
        return found[0] if found else None


@pytest.fixture(scope="module")
def plant(tmp_path_factory, label_studio_data, free_port):
    """A plant whose first champion was trained for a few steps on a few rendered parts."""
    home = tmp_path_factory.mktemp("plant")
    label_studio_data(home / "label-studio")
    render_dataset(home / "datasets" / "base", 14, seed=6, width=384, height=256)  # a base already made, and small
    seen = render_dataset(home / "few", 8, seed=5, views=("top",), width=384, height=256, clean=0.3)
    with warnings.catch_warnings(action="ignore"):  # it says, rightly, that this is little to learn from
        train(seen, home / "first", steps=12, seed=0)
    plant = Plant(home, free_port(), free_port())
    database = Database(per_home.address_of(home))
    schema.upgrade(database)
    assert registry.install(database, EventBus(), home.resolve(), home / "first", now=datetime.now(UTC))
    database.close()
    plant.starts()
    plant.makes_a_key()
    yield plant
    plant.stops()


def test_a_part_on_which_the_operator_disagreed_becomes_a_task_in_the_real_label_studio(plant):
    for seed in range(100, 106):
        plant.sends_a_scratched_part_that_is_overruled(seed)
    known = plant.label_tasks("open") + plant.label_tasks("pushed")
    assert len({task["part"] for task in known}) == 6

    pushed = wait_for(
        "all are in Label Studio", lambda: not plant.label_tasks("open") and plant.label_tasks("pushed"), patience=400
    )
    assert {task["url"].split("/projects/")[0] for task in pushed} == {f"http://127.0.0.1:{plant.studio_port}"}
    number = int(pushed[0]["url"].rpartition("task=")[2])
    shown = plant.labeller().task(number)
    assert shown["data"]["part"] == pushed[0]["part"]
    assert 1 <= len(shown["predictions"]) <= 3  # to begin with, as strokes, and as polygons, where these differ
    assert plant.get("/health").json()["components"]["label-studio"]["state"] == "ok"


def test_the_champion_is_computed_by_another_runtime_once_that_has_proved_to_give_its_verdicts(plant):
    def faster():
        model = plant.get("/health").json()["components"]["model"]
        return model if model["runtime"] != "torch" else None

    model = wait_for("a faster runtime has taken over", faster, patience=400)
    (kept,) = (plant.home / "ready").iterdir()
    said = json.loads((kept / "ready.json").read_text())
    assert (said["model"], said["runtime"]) == (model["id"], model["runtime"])
    chosen = next(t for t in said["tried"] if t["runtime"] == said["runtime"])
    assert chosen["parity"]["verdicts_that_differ"] == 0
    assert chosen["cpu_seconds_per_mpx"] <= min(t["cpu_seconds_per_mpx"] for t in said["tried"] if t["accepted"])


def test_a_finished_annotation_comes_home_by_webhook(plant):
    first = plant.label_tasks("pushed")[0]
    plant.labels(plant.labeller(), first)

    wait_for("the webhook brought it home", lambda: first["id"] in [t["id"] for t in plant.label_tasks("done")])


def test_a_label_made_while_the_server_was_dead_comes_home_by_the_sweep_once(plant):
    studio = plant.labeller()
    second, third = plant.label_tasks("pushed")[:2]
    plant.is_killed()
    plant.labels(studio, second)  # its webhook finds nobody
    plant.labels(studio, third)
    plant.starts()

    wait_for(
        "the sweep brought them home",
        lambda: {second["id"], third["id"]} <= {t["id"] for t in plant.label_tasks("done")},
    )
    assert len(plant.label_tasks("done")) == 3
    assert plant.job("retrain") is None


def test_enough_labels_make_a_challenger_that_is_compared_even_when_the_server_is_killed_in_the_training(plant):
    before = plant.get("/models").json()["items"]
    fourth = plant.label_tasks("pushed")[0]
    plant.labels(plant.labeller(), fourth)
    wait_for("a retraining was asked for", lambda: plant.job("retrain"))
    wait_for("it trains", lambda: "training" in (plant.job("retrain") or {}).get("message", ""))
    plant.is_killed()
    plant.starts()

    def ended():
        job = plant.job("retrain")
        return job if job and job["state"] in ("done", "failed") else None

    job = wait_for("the retraining has ended", ended, patience=400)
    assert job["state"] == "done", job["problem"]
    assert job["attempts"] == 2
    models = plant.get("/models").json()["items"]
    assert len(models) == len(before) + 1
    made = next(m for m in models if m["id"] == job["result"]["model"])
    assert made["decision"]["promote"] is job["result"]["promoted"]
    assert made["decision"]["reason"]
    assert made["decision"]["challenger"]["model"] == made["id"]
    assert made["state"] == ("serving" if job["result"]["promoted"] else "rejected")
    trained = plant.get("/audit", kind="training").json()["items"]
    assert [entry["subject"] for entry in trained] == [made["id"]]
    drawn = plant.get("/audit", kind="label").json()["items"]
    assert len(drawn) == 4, "each drawing once, however often it was read"
    champion = next(m for m in models if m["alias"] == "champion")
    wait_for("the champion serves", lambda: plant.get("/health").json()["champion"] == champion["id"])


def test_an_engineer_lets_the_other_model_serve_and_rolls_back_without_a_restart(plant):
    models = plant.get("/models").json()["items"]
    champion, other = models[0], models[1]
    assert plant.post(f"/models/{other['id']}/promote").status_code == 200
    wait_for("the other serves", lambda: plant.get("/health").json()["champion"] == other["id"])
    plant.sends_a_scratched_part_that_is_overruled(200)
    assert plant.get("/inspections", limit=1).json()["items"][0]["model"] == other["id"]
    assert plant.post("/models/rollback").status_code == 200
    wait_for("the first serves again", lambda: plant.get("/health").json()["champion"] == champion["id"])

    audited = subprocess.run(
        plant.qc("audit", "verify"), cwd=ROOT, env=plant.environment, capture_output=True, text=True
    )
    assert audited.returncode == 0, audited.stderr
