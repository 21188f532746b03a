"""A retraining for one product, from its labels to where the model serves."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import cv2
import pytest
import torch
from sqlmodel import select

from labeling.push import png
from labeling.records import Annotation, LabelTask, Reason, TaskState
from segmentation.model import read_card
from segmentation.render import render_dataset, render_part
from segmentation.train import train
from server import registry, retrain_asking, retrain_job, retraining
from server.access import Role
from server.jobs import queue
from server.jobs.records import JobState
from server.jobs.runner import Runner
from server.loop import kinds
from server.models_in_use import STARTER

pytestmark = pytest.mark.timeout(600)

WIDTH, HEIGHT = 192, 128


def wait_for(true, *, patience=120):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


def sends_a_labelled_part(line, seed: int, product: str) -> str:
    """A rendered part comes past, and a person draws what is really there; returns its inspection."""
    view = render_part(seed, views=("top",), width=WIDTH, height=HEIGHT, clean=0.0).views[0]
    sent = line.send(cv2.imencode(".png", view.pixels)[1].tobytes(), part=f"{product}-{seed}", product=product).json()
    now, key = line.context.now(), f"labels/{product}-{seed}.png"
    line.context.blobs.put(key, png(view.mask))
    with line.context.database.write() as session:
        for task in session.exec(select(LabelTask).where(LabelTask.inspection_id == sent["id"])):
            session.delete(task)
        crop = {"crop_x": 0, "crop_y": 0, "crop_width": WIDTH, "crop_height": HEIGHT}
        about = {"part": sent["part"], "station": sent["station"], "reason": Reason.REVIEW, "urgency": 0.5}
        done = {"state": TaskState.DONE, "opened_at": now, "closed_at": now}
        task = LabelTask(inspection_id=sent["id"], n=0, **about, **crop, **done)
        session.add(task)
        session.flush()
        classes = {str(id): name for id, name in read_card(STARTER)["classes"].items()}
        moments = {"updated_at": now + timedelta(seconds=seed), "received_at": now}
        drawn = Annotation(
            label_task_id=task.id, studio_project="1", studio_annotation_id=seed, by="ada@example.com",
            mask_key=key, classes=classes, **moments,
        )  # fmt: skip
        session.add(drawn)
        session.commit()
    return sent["id"]


@pytest.fixture
def two_steps(monkeypatch):
    """Retrainings take so many steps, however fast the machine is, and in this process; what a child of its own is like
    has tests of its own."""
    threads = torch.get_num_threads()

    def here(run, function, arguments, **_):
        assert function == "server.retraining:retrain"
        return retraining.retrain(json.loads(json.dumps(arguments)), run.report)

    monkeypatch.setattr(retrain_job, "run_in_child", here)
    monkeypatch.setattr("segmentation.train.train", lambda *a, minutes, steps, **how: train(*a, steps=2, **how))
    yield
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore")  # that this is little to learn from
def test_a_product_is_retrained_on_its_own_labels_and_what_comes_of_it_holds_there_alone(run_line, tmp_path, two_steps):
    home = tmp_path / "home"
    render_dataset(home / "datasets" / "base", 8, seed=6, views=("top",), width=WIDTH, height=HEIGHT)
    with run_line(home, camera_checks=False) as line:
        line.context.parts.pop("jobs").stop()
        context = line.context
        first = registry.install(context.database, context.events, home.resolve(), STARTER, now=context.now())
        bars = {sends_a_labelled_part(line, seed, "bar") for seed in range(1, 4)}
        sends_a_labelled_part(line, 4, "seat")
        asked = line.post("/jobs/retrain", json={"product": "bar"}).json()
        work = {retrain_asking.KIND: kinds(context)[retrain_asking.KIND]}
        runner = Runner(context.database.write, work, clock=context.now)
        runner.start()
        try:
            ended = (JobState.DONE, JobState.FAILED)
            wait_for(lambda: line.get(f"/jobs/{asked['id']}").json()["state"] in ended, patience=500)
        finally:
            runner.stop()
        with context.database.read() as session:
            job = queue.get(session, asked["id"])
        assert job.state == JobState.DONE, job.problem
        manifest = json.loads((home / "retraining" / job.id / "dataset" / "manifest.json").read_text())
        assert {frame["inspection"] for frame in manifest["frames"] if frame.get("inspection")} == bars
        made = job.result
        assert (made["product"], made["station"]) == ("bar", "")
        assert made["reason"].startswith("for bar: ")
        with context.database.read() as session:
            row = registry.get(session, made["model"])
            assert row.dataset["name"] == "bar"
            assert row.dataset["parent"] == first
            assert registry.champion(session).id == first
        own = line.get("/models/assignments").json()["items"]
        assert [(one["product"], one["champion"]) for one in own] == (
            [("bar", made["model"])] if made["promoted"] else []
        )
        (entry,) = line.get("/audit", Role.ADMIN, params={"kind": "training"}).json()["items"]
        assert json.loads(entry["body"])["product"] == "bar"
