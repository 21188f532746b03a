"""What two servers on one PostgreSQL enter at the same time is entered once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from locks import wait_until_somebody_waits
from sqlmodel import select

from segmentation.records import ModelVersion
from server import registry, schema
from server.clock import now
from server.db import Database
from server.events import EventBus


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


@pytest.mark.parametrize("second", ["promote", "roll back"])
def test_of_two_words_on_who_serves_the_later_one_sees_the_earlier(postgres_url, second):
    database, events = Database(postgres_url), EventBus()
    schema.upgrade(database)
    with database.write() as session:
        for name in "abc":
            registry.add(session, model_id=f"sha256:{name}", folder=name, card={}, now=now())
        registry.promote(session, events, "sha256:a", by="eva", at=now(), reason="first")
        session.commit()

    def the_other() -> None:
        with database.write() as session:
            registry.get(session, "sha256:a")  # read before the other has ended
            if second == "promote":
                registry.promote(session, events, "sha256:c", by="tom", at=now(), reason="later")
            else:
                registry.rollback(session, events, by="tom", at=now())
            session.commit()

    with ThreadPoolExecutor() as pool:
        with database.write() as session:
            registry.promote(session, events, "sha256:b", by="eva", at=now(), reason="earlier")
            other = pool.submit(the_other)
            wait_until_somebody_waits(database, other)
            session.commit()
        other.result(60)
    with database.read() as session:
        states = {row.id[-1]: (row.alias, str(row.state)) for row in session.exec(select(ModelVersion))}
    serving = ("champion", "serving")
    assert states == (
        {"a": (None, "retired"), "b": (None, "retired"), "c": serving}
        if second == "promote"
        else {"a": serving, "b": (None, "rejected"), "c": (None, "candidate")}
    )
    database.close()
