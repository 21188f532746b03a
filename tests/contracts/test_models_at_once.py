"""What two servers on one PostgreSQL enter at the same time is entered once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from locks import wait_until_somebody_waits
from sqlmodel import select

from segmentation.records import ModelVersion
from server import registry, schema
from server.clock import now
from server.db import Database


def test_a_model_that_two_servers_enter_at_once_is_one_model(postgres_url):
    database = Database(postgres_url)
    schema.upgrade(database)

    def enter(session, folder: str) -> str:
        return registry.add(session, model_id="sha256:a", folder=folder, card={"classes": {1: "pit"}}, now=now()).folder

    def the_other() -> str:
        with database.write() as session:
            found = enter(session, "models/other")
            session.commit()
        return found

    with ThreadPoolExecutor() as pool:
        with database.write() as session:
            assert enter(session, "models/first") == "models/first"
            other = pool.submit(the_other)
            wait_until_somebody_waits(database, other)
            session.commit()
        assert other.result(60) == "models/first"
    with database.read() as session:
        (row,) = session.exec(select(ModelVersion)).all()
        assert (row.classes, row.decision) == ({"1": "pit"}, None)
    database.close()
