"""Two real server processes on one real PostgreSQL and one real S3 server, and no folder in common."""

from __future__ import annotations

import pytest
from server_processes import picture, running, until
from sqlmodel import select

from qc.object_stores import ObjectStore
from qc.records import Exposure, Inspection
from server import audit_check, schema
from server.db import Database
from server.home_id import home_id

PLACE = "s3://plant/together"


@pytest.fixture
def database(new_postgres):
    found = Database(new_postgres())
    schema.upgrade(found)
    yield found
    found.close()


def test_what_a_server_accepted_that_died_another_one_judges_by_the_picture_in_the_store(database, s3, tmp_path):
    keys, store = s3.environment(), ObjectStore(PLACE, s3.options())

    def accepted() -> tuple[Inspection, Exposure] | None:
        with database.read() as session:
            return session.exec(select(Inspection, Exposure).join(Exposure)).first()

    with running(tmp_path / "other", database, PLACE, 0.0, keys) as other:
        with running(tmp_path / "one", database, PLACE, 600.0, keys) as one:
            one.begins_to_send("P-lost", mark=3, trigger_id="T-1")
            until(lambda: accepted() is not None)
            row, exposure = accepted()
            assert row.keeper == home_id(one.home) != home_id(other.home)
            until(lambda: store.head(exposure.original_key) is not None)
        assert not (other.home / "blobs" / exposure.original_key).exists()
        again = other.send("P-lost", mark=3, trigger_id="T-1")
        assert (again.status_code, again.json()["verdict"], again.json()["id"]) == (200, "ng", row.id)
        assert other.client.get(f"/inspections/{row.id}/images/0/original").content == picture(3)
        assert other.component("servers")["taken_over"] == 1
    with database.read() as session:
        audit_check.verify(session)
