"""Two servers on one database, each with a data folder of its own: what one took in, the other leaves to it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from starlette.testclient import TestClient

from qc.records import Inspection, Progress
from server import schema
from server.app import create_app
from server.db import Database
from server.home_id import home_id
from server.settings import Settings


class Blind:
    """Is never asked: these parts have no picture."""

    model_id, classes, threshold, edge = "sha256:blind", {1: "pit"}, 0.5, 0.5


def wait_until_judged(database: Database, inspection_id: str) -> None:
    until = time.monotonic() + 60
    while progress(database, inspection_id) is Progress.RECEIVED:
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def progress(database: Database, inspection_id: str) -> Progress:
    with database.read() as session:
        return session.get_one(Inspection, inspection_id).progress


def test_after_a_stop_each_server_judges_what_it_took_in_and_what_is_nobodys(database_url, tmp_path):
    database = Database(database_url)
    schema.upgrade(database)
    homes = {name: tmp_path / name for name in ("one", "two")}
    for home in homes.values():
        home.mkdir()
    kept = {"one": home_id(homes["one"]), "two": home_id(homes["two"]), "nobody": None}
    assert kept["one"] == home_id(homes["one"]) != kept["two"]
    with database.write() as session:
        rows = {
            name: Inspection(part=name, station="S", keeper=keeper, received_at=datetime.now(UTC))
            for name, keeper in kept.items()
        }
        session.add_all(rows.values())
        session.commit()
        ids = {name: row.id for name, row in rows.items()}

    def server(name: str) -> TestClient:
        settings = Settings(home=homes[name], database_url=database_url, label_studio=False)
        return TestClient(create_app(settings, segmenter=Blind()))

    with server("two"):
        for name in ("two", "nobody"):
            wait_until_judged(database, ids[name])
        assert progress(database, ids["one"]) is Progress.RECEIVED
    with server("one"):
        wait_until_judged(database, ids["one"])
    database.close()
