"""Vectors are kept, found, learnt from, made anew and forgotten on every database."""

from __future__ import annotations

import time
from datetime import timedelta

import cv2
import numpy as np
import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from qc.ports import Segmentation
from server import auth, features
from server.access import Role
from server.app import create_app
from server.features_records import IMAGE, Feature
from server.settings import Settings


class Seeing:
    """Sees a pit wherever it is dark, and says of each place how bright it is."""

    classes, threshold, edge = {1: "pit"}, 0.5, 0.5

    def __init__(self, name):
        self.model_id = f"sha256:{name}"

    def segment(self, pixels):
        log_odds = np.where(pixels < 90, 5.0, -9.0).astype(np.float16)
        grid = pixels.astype(np.float32).reshape(4, 16, 4, 16) / 255
        cells = np.stack([grid.mean(axis=(1, 3)), grid.min(axis=(1, 3)), grid.std(axis=(1, 3))]).astype(np.float16)
        return Segmentation(log_odds, np.ones(pixels.shape, np.uint8), cells, 16)


def wait_for(true):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def plant(database_url, tmp_path):
    """Starts servers on one empty database."""
    settings = Settings(home=tmp_path / "home", database_url=database_url, label_studio=False, camera_checks=False)
    return lambda name: create_app(settings, segmenter=Seeing(name))


def test_the_life_of_features(plant):
    with TestClient(app := plant("one")) as client:
        context = app.state.context
        with context.database.write() as session:
            key = auth.create_key(session, "engineer", Role.ENGINEER, now=context.now())
            session.commit()
        assert context.champion.wait(30)
        head = {"Authorization": f"Bearer {key}"}
        ids = []
        for n in range(12):
            grey = np.full((64, 64), 180, np.uint8)
            grey[0, 0] = 180 + n
            grey[16:26, 16 : 26 + n % 4] = 80 if n < 6 else 10
            files = [("image", ("a.png", bytes(cv2.imencode(".png", grey)[1]), "image/png"))]
            answer = client.post(
                "/api/v1/inspections", data={"part": f"P-{n}", "station": "S"}, files=files, headers=head
            )
            ids.append(answer.json()["id"])
        wait_for(lambda: len(context.features) == 12)
        near = client.get(f"/api/v1/inspections/{ids[0]}/defects/0/similar?limit=5", headers=head).json()["items"]
        assert {item["part"] for item in near} == {f"P-{n}" for n in range(1, 6)}
        wish = {"name": "stain", "examples": [{"inspection": i, "defect": 0} for i in ids[:6]]}
        assert client.post("/api/v1/heads", json=wish, headers=head).status_code == 201
    with TestClient(app := plant("two")) as client:
        context = app.state.context

        def made() -> bool:
            with context.database.read() as session:
                return {row.encoder for row in session.exec(select(Feature))} == {"sha256:two"}

        wait_for(made)
        with context.database.write() as session:
            kept = [(i, 0, place) for i in ids for place in (0, IMAGE)]
            asked = [*kept, (ids[0], 0, 1), (ids[0], 1, 0), ("no such inspection", 0, 0)]
            found = features.vectors(session, asked, encoder="sha256:two")
            assert set(found) == set(kept)
            assert all(np.array_equal(found[key], features.vector(session, key)) for key in kept)
            assert features.vectors(session, asked).keys() == found.keys()
            assert features.vectors(session, asked, encoder="sha256:one") == features.vectors(session, []) == {}
            shorter = session.get(Feature, kept[0])
            shorter.vector = shorter.vector[:4]  # of an encoder that tells less
            session.flush()
            both = features.vectors(session, asked)
            assert np.array_equal(both.pop(kept[0]), found.pop(kept[0])[:2])
            assert all(np.array_equal(both[key], found[key]) for key in kept[1:])
            assert features.forget_before(session, context.now() + timedelta(days=1)) == 24
