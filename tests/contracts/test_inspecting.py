"""Taking parts in, judging and sealing them is the same on every database."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient

from qc.ports import Segmentation
from qc.verdict import Verdict
from server import alarms, auth, registry
from server.access import Role
from server.app import create_app
from server.audit_check import verify
from server.settings import Settings
from server.watch_records import ShadowVerdict


class Clean:
    """Sees a pit wherever it is dark."""

    model_id, classes, threshold = "sha256:clean", {1: "pit"}, 0.5
    edge = 0.5

    def segment(self, pixels):
        log_odds = np.where(pixels < 60, 5.0, -9.0).astype(np.float16)
        return Segmentation(log_odds, np.ones(pixels.shape, np.uint8))


@pytest.fixture
def client(database_url, tmp_path):
    """A server on an empty database, and a head that may do everything."""
    settings = Settings(home=tmp_path / "home", database_url=database_url, label_studio=False)
    app = create_app(settings, segmenter=Clean())
    with TestClient(app) as client:
        context = app.state.context
        with context.database.write() as session:
            key = auth.create_key(session, "engineer", Role.ENGINEER, now=context.now())
            session.commit()
        assert context.champion.wait(30)
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


def send(client, *, dark: bool, **fields):
    grey = np.full((60, 80), 180, np.uint8)
    grey[10:20, 10:20] = 20 if dark else 180
    files = [("image", ("a.png", bytes(cv2.imencode(".png", grey)[1]), "image/png"))]
    return client.post("/api/v1/inspections", data={"part": "P", "station": "S", **fields}, files=files)


def test_parts_are_judged_listed_decided_upon_and_sealed(client):
    bad, good = send(client, dark=True).json(), send(client, dark=False).json()
    assert (bad["verdict"], good["verdict"]) == ("ng", "ok")
    items = client.get("/api/v1/inspections", params={"verdict": "ng"}).json()["items"]
    assert [item["id"] for item in items] == [bad["id"]]
    assert client.get(f"/api/v1/inspections/{bad['id']}").json()["received_at"] == bad["received_at"]
    decided = client.post(f"/api/v1/inspections/{bad['id']}/decision", json={"verdict": "ok", "reason": "a hair"})
    assert decided.json()["decision"]["verdict"] == "ok"
    (station,) = client.get("/api/v1/stations").json()
    assert (station["inspected"], station["ng"], station["ok"]) == (2, 1, 1)
    with client.app.state.context.database.read() as session:
        assert verify(session)[0] >= 3


def test_many_senders_at_once_get_one_inspection_for_each_trigger_and_an_unbroken_trail(client):
    answers = []

    def sender() -> None:
        for n in range(4):
            answers.append(send(client, dark=False, trigger_id=f"T-{n}"))

    threads = [threading.Thread(target=sender) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted({answer.status_code for answer in answers}) == [200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 4
    assert sum(answer.status_code == 201 for answer in answers) == 4
    with client.app.state.context.database.read() as session:
        assert verify(session)[0] >= 4


def test_a_challenger_is_compared_alarms_are_raised_and_a_part_is_forgotten(client):
    context = client.app.state.context
    ids = [send(client, dark=dark, part=f"P-{n}").json()["id"] for n, dark in enumerate((True, False))]
    with context.database.write() as session:
        for name in ("sha256:clean", "sha256:other"):
            registry.add(session, model_id=name, folder="models/none", card={}, now=context.now())
        registry.promote(
            session, context.events, "sha256:clean", by="test", at=context.now(), reason="the test says so"
        )
        registry.challenge(session, context.events, "sha256:other", by="test", at=context.now())
        for inspection, champion, challenger in zip(
            ids, (Verdict.NG, Verdict.OK), (Verdict.NG, Verdict.NG), strict=True
        ):
            said = {"champion_verdict": champion, "verdict": challenger, "score": 0.5, "defects": 1, "elapsed_ms": 1.0}
            models = {"model": "sha256:other", "champion": "sha256:clean"}
            session.add(ShadowVerdict(inspection_id=inspection, **models, **said, at=context.now()))
        alarms.raise_once(
            session,
            context.events,
            kind="rate",
            station="S",
            what="default",
            message="more parts than usual are not ok",
            since=context.now(),
            now=context.now(),
            before=ids[:1],
            after=ids[1:],
            figures={},
        )
        admin = auth.create_key(session, "admin", Role.ADMIN, now=context.now())
        session.commit()
    told = client.get("/api/v1/models/shadow").json()
    assert (told["shadowed"], told["disagreements"], told["answered"]) == (2, 1, 0)
    (apart,) = client.get("/api/v1/models/shadow/disagreements").json()["items"]
    assert apart["inspection_id"] == ids[1]

    wish = {"part": "P-1", "reason": "asked"}
    head = {"Authorization": f"Bearer {admin}"}
    job = client.post("/api/v1/erasures", json=wish, headers=head).json()["id"]
    end = time.monotonic() + 60
    while client.get(f"/api/v1/jobs/{job}").json()["state"] in ("waiting", "running"):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert client.get(f"/api/v1/jobs/{job}").json()["state"] == "done"
    assert client.get(f"/api/v1/inspections/{ids[1]}").status_code == 404
    (alarm,) = client.get("/api/v1/alarms").json()["items"]
    assert (alarm["before"], alarm["after"]) == (ids[:1], [])
    with context.database.read() as session:
        assert verify(session)[0] >= 4
