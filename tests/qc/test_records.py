"""Rows keep their time zone, and ids sort by the time they were made."""

from datetime import UTC, datetime, timedelta, timezone

import per_home
import pytest
from sqlalchemy.exc import IntegrityError, StatementError
from sqlmodel import Session, SQLModel, create_engine

from qc.records import Decision, Exposure, Inspection, first_id, made_at, new_id
from qc.verdict import Verdict

TABLES = [table.__table__ for table in (Inspection, Exposure, Decision)]
NOON_IN_INDIA = datetime(2026, 5, 1, 12, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))


@pytest.fixture
def session(tmp_path):
    engine = create_engine(per_home.setting(tmp_path) or "sqlite://")
    SQLModel.metadata.create_all(engine, tables=TABLES)
    with Session(engine) as session:
        yield session
    engine.dispose()


def test_a_moment_comes_back_in_utc(session):
    session.add(Inspection(id="i", part="P", station="S", received_at=NOON_IN_INDIA))
    session.commit()
    session.expire_all()

    assert session.get_one(Inspection, "i").received_at == datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
    assert session.get_one(Inspection, "i").received_at.tzinfo is UTC


def test_a_moment_without_zone_is_refused(session):
    session.add(Decision(inspection_id="i", verdict=Verdict.OK, by="me", at=datetime(2026, 5, 1)))

    with pytest.raises(StatementError, match="no time zone"):
        session.commit()


def test_the_same_trigger_of_a_station_is_kept_once(session):
    session.add(Inspection(part="P", station="S", trigger_id="t1", received_at=NOON_IN_INDIA))
    session.commit()
    session.add(Inspection(part="P", station="S", trigger_id="t1", received_at=NOON_IN_INDIA))

    with pytest.raises(IntegrityError):
        session.commit()


def test_ids_are_version_7_and_differ():
    ids = [new_id() for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert all(i[14] == "7" and i[19] in "89ab" for i in ids)
    assert ids == sorted(ids), "made in one millisecond or not, the later sorts later"


def test_ids_rise_also_when_the_clock_is_set_back(monkeypatch):
    before = new_id()
    monkeypatch.setattr("qc.records.time.time_ns", lambda: 10**18)

    assert before < new_id() < new_id()


def test_the_first_id_of_a_moment_lies_between_what_was_made_before_and_since():
    made = new_id()
    seconds = made_at(made).timestamp()
    assert first_id(seconds - 0.001) < first_id(seconds) <= made < first_id(seconds + 0.002)
    assert first_id(-62_135_596_800.0) < made < first_id(253_402_300_799.0), "the years 1 and 9999"
