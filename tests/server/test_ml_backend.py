"""Label Studio's protocol for models, asked as Label Studio asks."""

import base64
import threading
import time
from pathlib import Path

import numpy as np
import per_home
import pytest
import uvicorn
from sqlmodel import select

from labeling.config import BRUSH
from labeling.convert import from_results
from labeling.push import png
from labeling.records import LabelTask
from labeling.studio import MODEL, Studio
from labeling.studio_process import StudioProcess
from qc.geometry import Box
from server import ml_backend
from server.app import create_app
from server.jobs.records import Job
from server.settings import Settings
from server.studio_service import ML_USER, PART, webhook_secret

CLASSES = {1: "pit"}


def secret(line, password=None, user=ML_USER):
    password = password or webhook_secret(line.context.settings.home.resolve())
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def ask(line, path, body=None, **options):
    call = line.client.get if body is None else line.client.post
    content = {} if body is None else {"json": body}
    return call(f"/api/v1/ml{path}", headers=options.get("headers", secret(line)), **content)


@pytest.fixture
def doubted(line):
    """A label task for a part with a doubtful square."""
    line.send(line.picture(doubtful=12), part="P-1")
    with line.context.database.read() as session:
        return session.exec(select(LabelTask)).one()


def drawn(answer, task):
    (one,) = answer.json()["results"]
    return from_results(one["result"], CLASSES, height=task.crop_height, width=task.crop_width).mask


@pytest.mark.parametrize("path", ["/health", "/versions"])
def test_nobody_asks_the_model_without_its_secret(line, path):
    assert ask(line, path, headers={}).status_code == 401
    assert ask(line, path, headers=secret(line, "wrong")).status_code == 401
    assert ask(line, path, headers=secret(line, user="else")).status_code == 401
    assert ask(line, path, headers={"Authorization": "Basic !!"}).status_code == 401
    assert ask(line, path).status_code == 200


@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook", "/train"])
def test_a_wrong_secret_starts_nothing(line, path):
    assert ask(line, path, {"tasks": []}, headers=secret(line, "wrong")).status_code == 401


def test_it_says_who_it_is(line):
    assert ask(line, "/health").json() == {
        "status": "UP",
        "model_class": "inspection model",
        "model_version": "sha256:dark-spots",
    }
    assert ask(line, "/setup", {"project": "1.2", "schema": "<View/>"}).json()["model_version"] == "sha256:dark-spots"
    assert ask(line, "/versions").json()["versions"][0] == "sha256:dark-spots"


def test_an_opened_task_gets_the_models_proposal(line, doubted):
    body = {"tasks": [{"id": 1, "data": {"label_task": doubted.id}}], "project": "1.2", "params": {}}
    answer = ask(line, "/predict", body)
    assert answer.status_code == 200
    assert answer.json()["results"][0]["model_version"] == "sha256:dark-spots"
    assert answer.json()["results"][0]["score"] == pytest.approx(doubted.urgency, abs=1e-3)
    mask = drawn(answer, doubted)
    assert (mask > 0).sum() == 144


def test_a_click_gives_the_mask_under_it(line, doubted):
    x, y = 65 - doubted.crop_x, 55 - doubted.crop_y
    place = {"x": 100 * x / doubted.crop_width, "y": 100 * y / doubted.crop_height, "keypointlabels": ["pit"]}
    body = {
        "tasks": [{"id": 1, "data": {"label_task": doubted.id}}],
        "params": {"context": {"result": [{"type": "keypointlabels", "value": place}]}},
    }
    mask = drawn(ask(line, "/predict", body), doubted)
    assert (mask == 1).sum() == 144
    assert mask[y, x] == 1


def test_a_task_that_nobody_knows_gets_an_empty_answer_and_the_others_theirs(line, doubted):
    tasks = [{"id": 1, "data": {"image": "http://elsewhere/x.png"}}, {"id": 2, "data": {"label_task": doubted.id}}]
    with_foreign = ask(line, "/predict", {"tasks": tasks})
    # without Label Studio its files cannot be read: that is said, and nothing else is asked
    assert with_foreign.status_code == 503
    assert ask(line, "/predict", {"tasks": [{"id": 1, "data": {}}]}).json()["results"][0]["result"] == []


@pytest.mark.parametrize("body", [{}, {"tasks": 5}, {"tasks": ["x"]}, {"tasks": [{}] * 51}])
def test_a_request_that_makes_no_sense_is_refused(line, body):
    assert ask(line, "/predict", body).status_code == 422


def test_the_button_start_training_asks_for_one_retraining(line):
    first = ask(line, "/train", {"project": "1.2"}).json()["job"]
    again = ask(line, "/webhook", {"action": "START_TRAINING"}).json()["job"]
    assert first == again
    with line.context.database.read() as session:
        assert session.get(Job, first).kind == "retrain"


def test_other_events_name_tasks_to_read_again(line, doubted):
    payload = {"action": "ANNOTATION_CREATED", "task": {"id": 9, "data": {"label_task": doubted.id}}}
    assert len(ask(line, "/webhook", payload).json()["jobs"]) == 1
    assert ask(line, "/webhook", {"action": "PROJECT_UPDATED"}).json()["jobs"] == []


def test_the_second_click_costs_nothing_and_memory_is_bounded(line, monkeypatch):
    model, memory = line.context.need_champion().serving(), ml_backend.Memory()
    looked = []

    class Counting:
        model_id, classes, threshold, edge = model.model_id, model.classes, model.threshold, model.edge

        def segment(self, pixels):
            looked.append(pixels.shape)
            return model.segment(pixels)

    picture, whole = np.full((40, 50), 180, np.uint8), Box(0, 0, 50, 40)
    memory.answer(Counting(), "a", picture, whole)
    memory.answer(Counting(), "a", picture, whole)
    assert len(looked) == 1
    for k in range(20):
        memory.answer(Counting(), f"b{k}", picture, whole)
    assert len(memory._answers) == ml_backend.REMEMBERED
    monkeypatch.setattr(ml_backend, "REMEMBERED_BYTES", 100)
    assert memory.answer(Counting(), "huge", picture, whole).log_odds.shape == (40, 50)
    assert not memory._answers


class Plant:
    """Our server on a port of its own, beside a real Label Studio that was started before it."""

    def __init__(self, home, port, studio, segmenter):
        self.studio = Studio(studio.url, studio.account.token)
        beside = {"label_studio_url": studio.url, "label_studio_token": studio.account.token}
        settings = Settings(home=home, port=port, database_url=per_home.setting(home), **beside)
        self.app = create_app(settings, segmenter=segmenter)
        self.server = uvicorn.Server(uvicorn.Config(self.app, host="127.0.0.1", port=settings.port, log_config=None))
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.wait(lambda: self.server.started)
        self.wait(lambda: self.service.state()["state"] == "ok")
        self.studio.ensure_project(CLASSES)
        return self

    def __exit__(self, *reason):
        self.server.should_exit = True
        self.thread.join(30)
        self.studio.close()

    @staticmethod
    def wait(true, patience=120):
        until = time.monotonic() + patience
        while not true():
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.1)

    @property
    def service(self):
        return self.app.state.context.parts[PART]

    def opens(self, number):
        """What a person sees proposed who opens this task."""
        return self.studio.call("GET", f"api/tasks/{number}/")["predictions"]


@pytest.fixture
def studio_process(tmp_path, label_studio_data, free_port):
    """A real Label Studio on a port of its own."""
    data = label_studio_data(tmp_path / "label-studio")
    process = StudioProcess(Path(__file__).parents[2] / ".venv-label-studio", data, port=free_port())
    process.start()
    yield process
    process.stop()


@pytest.mark.studio
def test_in_the_real_label_studio_any_picture_gets_proposals_and_a_click_gives_a_mask(
    tmp_path, line, studio_process, free_port
):
    picture = np.full((90, 120), 180, np.uint8)
    picture[50:62, 60:72] = 20
    with Plant(tmp_path / "plant", free_port(), studio_process, line.context.need_champion().serving()) as plant:
        studio = plant.studio
        assert studio.call("GET", f"api/projects/{studio.project}/")["model_version"] == MODEL
        (registered,) = studio.call("GET", "api/ml/", params={"project": studio.project})
        assert registered["readable_state"] == "Connected"
        assert registered["is_interactive"]

        # somebody puts a picture of their own into the project, and opens it
        address = studio.upload(png(picture), name="mine.png")
        (number,) = studio.call(
            "POST",
            f"api/projects/{studio.project}/import",
            params={"return_task_ids": "true"},
            json=[{"data": {"image": address}}],
        )["task_ids"]
        (seen,) = plant.opens(number)
        mask = from_results(seen["result"], CLASSES, height=90, width=120).mask
        assert seen["model_version"] == "sha256:dark-spots"
        assert (mask == (picture < 60)).all()

        # and clicks on the spot
        place = {"x": 100 * 65 / 120, "y": 100 * 55 / 90, "keypointlabels": ["pit"]}
        clicked = studio.call(
            "POST",
            f"api/ml/{registered['id']}/interactive-annotating",
            json={"task": number, "context": {"result": [{"type": "keypointlabels", "value": place}]}},
        )
        (region,) = clicked["data"]["result"]
        assert region["from_name"] == BRUSH
        assert (from_results([region], CLASSES, height=90, width=120).mask == (picture < 60)).all()

        # or draws a box around it
        box = {"x": 100 * 52 / 120, "y": 100 * 42 / 90, "width": 100 * 30 / 120, "height": 100 * 30 / 90}
        boxed = studio.call(
            "POST",
            f"api/ml/{registered['id']}/interactive-annotating",
            json={
                "task": number,
                "context": {"result": [{"type": "rectanglelabels", "value": {**box, "rectanglelabels": ["pit"]}}]},
            },
        )
        (region,) = boxed["data"]["result"]
        assert (from_results([region], CLASSES, height=90, width=120).mask == (picture < 60)).all()

        # the versions, and the button "start training"
        versions = studio.call("GET", f"api/ml/{registered['id']}/versions")["versions"]
        assert versions[0] == "sha256:dark-spots"
        studio.call("POST", f"api/ml/{registered['id']}/train", json={})
        with plant.app.state.context.database.read() as session:
            assert [j.kind for j in session.exec(select(Job).where(Job.kind == "retrain"))] == ["retrain"]

        # registering twice changes nothing, and no webhook without the secret is left
        plant.service._model_problem = "again"
        plant.service.register_model()
        assert len(studio.call("GET", "api/ml/", params={"project": studio.project})) == 1
        assert len(studio.call("GET", "api/webhooks/", params={"project": studio.project})) == 1
