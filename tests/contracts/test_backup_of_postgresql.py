"""A restore drill on a real PostgreSQL: from a running server, back into another PostgreSQL, and as SQLite."""

from __future__ import annotations

import time

import cv2
import numpy as np
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlmodel import select
from starlette.testclient import TestClient

from qc.ports import Segmentation
from qc.records import Inspection
from server import audit_check, auth
from server.access import Role
from server.app import create_app
from server.cli import main
from server.db import Database, sqlite_url
from server.settings import Settings


class Clean:
    """Sees a pit wherever it is dark."""

    model_id, classes, threshold, edge = "sha256:clean", {1: "pit"}, 0.5, 0.5

    def segment(self, pixels):
        return Segmentation(np.where(pixels < 60, 5.0, -9.0).astype(np.float16), np.ones(pixels.shape, np.uint8))


def database_named(url: str, name: str) -> str:
    """A new, empty database on the same PostgreSQL."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def parts_of(url: str) -> list[str]:
    database = Database(url)
    with database.read() as session:
        audit_check.verify(session)
        parts = list(session.exec(select(Inspection.part).order_by(Inspection.id)))
    database.close()
    return parts


def test_a_running_installation_on_postgresql_is_backed_up_and_comes_back(postgres_url, tmp_path, monkeypatch, capsys):
    url, spare = database_named(postgres_url, "drill"), database_named(postgres_url, "spare")
    home, keys = tmp_path / "home", tmp_path / "keys"
    monkeypatch.setenv("QC_HOME", str(home))
    monkeypatch.setenv("QC_DATABASE_URL", url)
    app = create_app(Settings(home=home, database_url=url, label_studio=False), segmenter=Clean())
    with TestClient(app) as client:
        context = app.state.context
        with context.database.write() as session:
            key = auth.create_key(session, "camera", Role.ADMIN, now=context.now())
            session.commit()
        assert context.champion.wait(60)
        client.headers["Authorization"] = f"Bearer {key}"
        png = bytes(cv2.imencode(".png", np.full((60, 80), 180, np.uint8))[1])
        for part in ("P-1", "P-2"):
            sent = client.post(
                "/api/v1/inspections", data={"part": part, "station": "S"}, files=[("image", ("a.png", png))]
            )
            assert sent.status_code == 201
        assert main(["backup", str(tmp_path / "plain")]) == 0
        assert main(["backup", str(tmp_path / "secret"), "--keys", str(keys)]) == 0
        assert "2 inspections" in capsys.readouterr().out
        asked = client.post("/api/v1/backups")  # the button of the page
        assert asked.status_code == 202
        while (job := client.get(f"/api/v1/jobs/{asked.json()['id']}").json())["state"] in ("waiting", "running"):
            time.sleep(0.2)
        assert (job["state"], job["result"]["inspections"]) == ("done", 2)

    monkeypatch.setenv("QC_HOME", str(tmp_path / "back"))
    assert main(["restore", str(tmp_path / "plain")]) == 1  # the database has rows
    assert "has rows already" in capsys.readouterr().err
    assert not (tmp_path / "back").exists()
    monkeypatch.setenv("QC_DATABASE_URL", spare)
    assert main(["restore", str(tmp_path / "plain")]) == 0
    assert parts_of(spare) == ["P-1", "P-2"]
    assert not list((tmp_path / "back").glob("qc.sqlite3*"))
    assert len([*(tmp_path / "back" / "blobs" / "originals").rglob("*.png")]) == 1

    monkeypatch.delenv("QC_DATABASE_URL")
    monkeypatch.setenv("QC_HOME", str(tmp_path / "small"))
    assert main(["restore", str(tmp_path / "secret"), "--keys", str(keys)]) == 0
    assert parts_of(sqlite_url(tmp_path / "small" / "qc.sqlite3")) == ["P-1", "P-2"]


def test_a_postgresql_that_does_not_answer_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("QC_HOME", str(tmp_path))
    monkeypatch.setenv("QC_DATABASE_URL", "postgresql+psycopg://qc@127.0.0.1:9/qc")
    assert main(["backup", str(tmp_path / "out")]) == 1
    assert "does not answer" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
