"""Label Studio is killed in the middle of a push and comes back: it is said in words, and nothing is lost."""

import os
import signal
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import per_home
import pytest
import uvicorn
from sqlmodel import col, select

from labeling.convert import to_results
from labeling.records import Annotation, LabelTask, TaskState
from labeling.studio import Studio
from labeling.studio_process import StudioProcess
from server import auth
from server.access import Role
from server.app import create_app
from server.settings import Settings
from server.studio_service import FOLDER, KEPT, PART, SECRET_HEADER, WEBHOOK_PATH

pytestmark = pytest.mark.studio
CLASSES = {1: "pit"}


def wait(true, what, patience=240):
    until = time.monotonic() + patience
    while not (found := true()):
        assert time.monotonic() < until, f"waited in vain until {what}"
        time.sleep(0.2)
    return found


class Plant:
    """Our server beside a Label Studio that somebody else runs, and may kill."""

    def __init__(self, home, port, studio, segmenter):
        self.process = studio
        beside = {"label_studio_url": studio.url, "label_studio_token": studio.account.token}
        settings = Settings(home=home, port=port, database_url=per_home.setting(home), **beside)
        self.app = create_app(settings, segmenter=segmenter)
        self.address = f"http://127.0.0.1:{settings.port}"
        self.server = uvicorn.Server(uvicorn.Config(self.app, host="127.0.0.1", port=settings.port, log_config=None))
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        wait(lambda: self.server.started, "the server has started")
        with self.context.database.write() as session:
            self.key = auth.create_key(session, "camera", Role.MACHINE, now=self.context.now())
            session.commit()
        wait(lambda: self.state()["state"] == "ok", "Label Studio is ready")
        self.studio = Studio(self.process.url, self.process.account.token)
        self.studio.ensure_project(CLASSES)
        return self

    def __exit__(self, *reason):
        self.server.should_exit = True
        self.thread.join(30)
        self.studio.close()

    @property
    def context(self):
        return self.app.state.context

    def state(self):
        return self.context.parts[PART].state()

    def sends(self, picture, part):
        """A camera posts a part; inspecting goes on whatever Label Studio does."""
        answer = httpx.post(
            f"{self.address}/api/v1/inspections",
            files={"image": ("0.png", picture)},
            data={"part": part, "station": "S-1"},
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=60,
        )
        assert answer.status_code == 201, answer.text

    def tasks(self, *states):
        with self.context.database.read() as session:
            found = select(LabelTask).where(col(LabelTask.state).in_(states or list(TaskState)))
            return list(session.exec(found.order_by(col(LabelTask.part))).all())

    def draws(self, task, results):
        made = self.studio.call("POST", f"api/tasks/{task.studio_task_id}/annotations/", json={"result": results})
        return made["id"]


@pytest.fixture
def plant(tmp_path, line, label_studio_data, free_port):
    """A plant, and a real Label Studio on a port of its own."""
    process = StudioProcess(
        Path(__file__).parents[2] / ".venv-label-studio", label_studio_data(tmp_path / FOLDER), port=free_port()
    )
    process.start()
    try:
        with Plant(tmp_path / "plant", free_port(), process, line.context.need_champion().serving()) as plant:
            yield plant
    finally:
        process.stop()


def test_an_hour_without_label_studio_is_said_in_words_and_everything_is_caught_up(plant, line):
    for k in range(20):
        plant.sends(line.picture(doubtful=12, mark=k), f"P-{k:02d}")
    wait(lambda: plant.tasks(TaskState.PUSHED), "some are pushed")
    os.killpg(plant.process.pid, signal.SIGKILL)  # in the middle: the others wait
    plant.process.stop()

    said = wait(lambda: (s := plant.state())["state"] != "ok" and KEPT in s["message"] and s, "it is said")
    assert "Label Studio" in said["message"]
    assert httpx.get(f"{plant.address}/api/v1/health", timeout=60).status_code == 200
    for k in range(20, 23):
        plant.sends(line.picture(doubtful=12, mark=k), f"P-{k:02d}")
    assert len(plant.tasks()) == 23

    plant.process.start()
    wait(lambda: plant.state()["state"] == "ok", "Label Studio is ready again")
    wait(lambda: len(plant.tasks(TaskState.PUSHED)) == 23, "all are pushed")
    assert sorted(t.key for t in plant.studio.tasks()) == sorted(t.id for t in plant.tasks())

    # what was drawn while nobody listened, and what makes no sense, is found by the sweep that comes after
    (hook,) = plant.studio.call("GET", "api/webhooks/", params={"project": plant.studio.project})
    plant.studio.call("PATCH", f"api/webhooks/{hook['id']}/", json=hook | {"headers": {SECRET_HEADER: "wrong"}})
    right, unknown, strange, gone = plant.tasks(TaskState.PUSHED)[:4]
    mask = line_mask(right)
    plant.draws(right, to_results(mask, CLASSES))
    stranger = to_results(mask, CLASSES)
    stranger[0]["value"] = stranger[0]["value"] | {"brushlabels": ["nobody's class"]}
    refused = httpx.post(
        f"{plant.address}{WEBHOOK_PATH}", json={"action": "ANNOTATION_CREATED"}, headers={SECRET_HEADER: "wrong"}
    )
    assert refused.status_code == 401
    other = to_results(line_mask(strange)[:-5], CLASSES)
    for task, results in ((unknown, stranger), (strange, other), (gone, to_results(mask, CLASSES))):
        plant.draws(task, results)
    with plant.context.database.write() as session:  # the part is erased while its drawing is on the way
        session.delete(session.get(LabelTask, gone.id))
        session.commit()

    os.killpg(plant.process.pid, signal.SIGKILL)
    plant.process.stop()
    wait(lambda: plant.state()["state"] != "ok", "it is noticed")
    plant.process.start()
    done = wait(lambda: plant.tasks(TaskState.DONE), "the drawing came home")
    assert [task.id for task in done] == [right.id]
    problems = wait(
        lambda: len(p := {t.id: t.problem for t in plant.tasks() if t.problem}) == 2 and p, "the problems are told"
    )
    assert 'unknown label "nobody\'s class"' in problems[unknown.id]
    assert "was drawn on" in problems[strange.id]
    with plant.context.database.read() as session:
        assert len(session.exec(select(Annotation)).all()) == 1
    hooks = {"params": {"project": plant.studio.project}}
    wait(
        lambda: [h["headers"][SECRET_HEADER] for h in plant.studio.call("GET", "api/webhooks/", **hooks)] != ["wrong"],
        "and the webhook has its secret again",
    )
    assert len(plant.studio.call("GET", "api/webhooks/", **hooks)) == 1


def line_mask(task):
    mask = np.zeros((task.crop_height, task.crop_width), np.uint8)
    mask[3:9, 4:12] = 1
    return mask
