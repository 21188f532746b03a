"""An installation goes from SQLite to PostgreSQL and back, and is the same there."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime

import cv2
import numpy as np
from sqlalchemy import func, select, text
from starlette.testclient import TestClient

from qc.ports import Segmentation
from server import auth, schema
from server.access import Role
from server.app import create_app
from server.audit_check import verify
from server.cli import main
from server.db import Database, sqlite_url
from server.serving import alone
from server.settings import Settings


class Clean:
    """Sees a pit wherever it is dark."""

    model_id, classes, threshold, edge = "sha256:clean", {1: "pit"}, 0.5, 0.5

    def segment(self, pixels):
        log_odds = np.where(pixels < 60, 5.0, -9.0).astype(np.float16)
        return Segmentation(log_odds, np.ones(pixels.shape, np.uint8))


@contextmanager
def served(home, url):
    app = create_app(Settings(home=home, database_url=url, label_studio=False), segmenter=Clean())
    with TestClient(app) as client:
        context = app.state.context
        with context.database.write() as session:
            key = auth.create_key(session, "engineer", Role.ENGINEER, now=context.now())
            session.commit()
        assert context.champion.wait(30)
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


def send(client, part, *, dark):
    grey = np.full((60, 80), 180, np.uint8)
    grey[10:20, 10:20] = 20 if dark else 180
    files = [("image", ("a.png", bytes(cv2.imencode(".png", grey)[1]), "image/png"))]
    data = {"part": part, "station": "S", "trigger_id": part, "process_values": '{"s1.load": 0.1}'}
    return client.post("/api/v1/inspections", data=data, files=files)


def rows(url):
    """Every row of every table, as Python values."""
    database = Database(url)
    with database.engine.connect() as connection:
        found = {
            table.name: sorted(
                repr([v.astimezone(UTC) if isinstance(v, datetime) else v for v in row])
                for row in connection.execute(table.select())
            )
            for table in schema.all_tables().sorted_tables
        }
    database.close()
    return found


def test_all_rows_go_there_and_back_and_the_server_goes_on(tmp_path, monkeypatch, postgres_url, capsys):
    home = tmp_path / "home"
    here = sqlite_url(home / "qc.sqlite3")
    monkeypatch.setenv("QC_HOME", str(home))
    with served(home, "") as client:
        bad, good = send(client, "P-1", dark=True).json(), send(client, "P-2", dark=False).json()
        said = {"verdict": "ok", "reason": "a hair, 0.3 mm – grüße"}
        assert client.post(f"/api/v1/inspections/{bad['id']}/decision", json=said).status_code == 201
    before = rows(here)
    assert len(before["inspection"]) == 2

    assert main(["db", "move", postgres_url]) == 0
    assert f"QC_DATABASE_URL={postgres_url}" in capsys.readouterr().out
    assert rows(postgres_url) == before
    assert rows(here) == before, "the source stays as it is"

    with served(home, postgres_url) as client:
        assert client.get(f"/api/v1/inspections/{bad['id']}").json()["decision"]["reason"] == said["reason"]
        assert send(client, "P-2", dark=False).json()["id"] == good["id"], "a repeated trigger is known"
        assert send(client, "P-3", dark=True).json()["verdict"] == "ng"
        with client.app.state.context.database.read() as session:
            verify(session)
    later = rows(postgres_url)

    monkeypatch.setenv("QC_DATABASE_URL", postgres_url)
    assert main(["db", "move", "sqlite"]) == 1
    assert "has rows already" in capsys.readouterr().err
    for file in home.glob("qc.sqlite3*"):
        file.rename(tmp_path / file.name)
    assert main(["db", "move", "sqlite"]) == 0
    assert rows(here) == later


def test_what_cannot_be_is_said_and_nothing_is_left_there(tmp_path, monkeypatch, postgres_url, capsys):
    home = tmp_path / "home"
    monkeypatch.setenv("QC_HOME", str(home))
    with served(home, "") as client:
        send(client, "P-1", dark=True)
    with alone(Settings(home=home)):
        assert main(["db", "move", postgres_url]) == 1
        assert "another server already runs" in capsys.readouterr().err
    assert main(["db", "move", "mysql://x"]) == 1
    assert "postgresql+psycopg://" in capsys.readouterr().err
    assert main(["db", "move", "postgresql+psycopg://qc@127.0.0.1:9/none"]) == 1
    assert "does not answer" in capsys.readouterr().err

    database = Database(sqlite_url(home / "qc.sqlite3"))
    with database.write() as session:
        session.execute(text("UPDATE auditentry SET body = '{}' WHERE n = 1"))
        session.commit()
    database.close()
    assert main(["db", "move", postgres_url]) == 1
    target = Database(postgres_url)
    with target.engine.connect() as connection:
        tables = schema.all_tables().sorted_tables
        counts = {connection.scalar(select(func.count()).select_from(table)) for table in tables}
    target.close()
    assert counts == {0}, "whole or not at all"
