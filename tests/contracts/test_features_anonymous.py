"""Features outlive what may be known of their parts, and lead back to none of them; on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from qc.records import Inspection, Progress
from server import features, features_anonymous, schema
from server.db import Database
from server.features_records import IMAGE, AnonymousFeature, Feature

MAY, JULY = datetime(2026, 5, 3, 12, tzinfo=UTC), datetime(2026, 7, 9, tzinfo=UTC)


@pytest.fixture
def database(database_url):
    database = Database(database_url)
    schema.upgrade(database)
    yield database
    database.close()


def seen(database: Database, parts: int, at: datetime, *, kind: str = "pit", label: str | None = None) -> list[bytes]:
    """So many parts, each with an image and a defect; their defects' vectors."""
    vectors = []
    with database.write() as session:
        for n in range(parts):
            row = Inspection(part=f"P-{kind}-{n}", station="S", product="bar", progress=Progress.DONE, received_at=at)
            session.add(row)
            session.flush()
            same = {"inspection_id": row.id, "n": 0, "encoder": "sha256:e", "station": "S", "product": "bar", "at": at}
            vector = bytes([n, len(kind)])
            session.add(Feature(**same, defect=IMAGE, vector=b"image"))
            session.add(Feature(**same, defect=0, kind=kind, label=label, score=0.5 + n / 100, vector=vector))
            vectors.append(vector)
        session.commit()
    return vectors


def all_of(database: Database, table):
    with database.read() as session:
        return session.exec(select(table)).all()


def test_a_month_whose_time_is_over_keeps_its_vectors_and_loses_its_parts(database, monkeypatch):
    monkeypatch.setattr(features_anonymous, "AT_ONCE", 4)
    vectors = seen(database, 7, MAY, label="pit")
    seen(database, 7, MAY + timedelta(days=60), kind="young")
    carried = list(features_anonymous.anonymise(database, before=JULY - timedelta(days=60), now=JULY))
    assert (sum(carried), max(carried)) == (14, 4)
    kept = all_of(database, AnonymousFeature)
    assert sorted(row.vector for row in kept if not row.whole) == sorted(vectors)
    assert {(row.month, row.station, row.product, row.encoder) for row in kept} == {("2026-05", "S", "bar", "sha256:e")}
    assert {row.kind for row in all_of(database, Feature)} == {"young", ""}
    with database.read() as session:
        told = {str(value) for row in kept for value in row.model_dump().values()}
        for part in session.exec(select(Inspection)):
            assert not {part.id, part.part, str(part.received_at), part.received_at.isoformat()} & told
        _, known = features.of_tasks(session, "sha256:e", most=100)
    assert len(known) == 7, "what people labelled goes on to be known"


def test_what_too_few_parts_have_in_common_is_not_kept(database):
    seen(database, 6, MAY)
    seen(database, features_anonymous.LEAST_PARTS - 1, MAY, kind="crack")
    list(features_anonymous.anonymise(database, before=JULY, now=JULY))
    assert {(row.kind, row.whole) for row in all_of(database, AnonymousFeature)} == {("pit", False), ("", True)}
    assert all_of(database, Feature) == []


def test_a_month_that_is_not_over_waits_and_one_that_was_cut_off_goes_on(database, monkeypatch):
    seen(database, 12, MAY)
    assert list(features_anonymous.anonymise(database, before=MAY, now=MAY + timedelta(days=9))) == []
    monkeypatch.setattr(features_anonymous, "AT_ONCE", 6)
    first = next(features_anonymous.anonymise(database, before=JULY, now=JULY))  # and no more: the process died
    assert len(all_of(database, Feature)) == 24 - first
    list(features_anonymous.anonymise(database, before=JULY, now=JULY))
    assert all_of(database, Feature) == []
    assert len({row.id for row in all_of(database, AnonymousFeature)}) >= first


def test_their_own_time_ends_by_the_month(database):
    seen(database, 6, MAY)
    list(features_anonymous.anonymise(database, before=JULY, now=JULY))
    with database.write() as session:
        assert features_anonymous.forget_before(session, MAY + timedelta(days=20)) == 0
        assert features_anonymous.forget_before(session, MAY + timedelta(days=40)) == 12
        session.commit()
    assert all_of(database, AnonymousFeature) == []
