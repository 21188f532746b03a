"""Sums of days that are kept are those of the rows, whatever is written later and by whom, on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, text
from sqlmodel import col, select

from labeling.records import Annotation, LabelTask, Reason, TaskState
from qc.records import Decision, Inspection, Progress
from qc.verdict import Verdict
from server import money_sums, schema
from server.db import Database
from server.money_records import MoneyChange, MoneyDay
from server.word_records import Undo

BEGIN, AFTER = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
AT = datetime(2026, 3, 10, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 11, tzinfo=UTC)
NOW = datetime(2026, 3, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def databases():
    """One that is made for each kind, and used by every test of it: making all tables takes long."""
    made: dict[str, Database] = {}
    yield made
    for database in made.values():
        database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, databases, tmp_path_factory):
    """Without rows of earlier tests, and with a month: three days of parts, words, and parts drawn at random."""
    if request.param not in databases:
        file = tmp_path_factory.mktemp("sums") / "qc.sqlite"
        kind = request.param
        url = f"sqlite:///{file}" if kind == "sqlite" else request.getfixturevalue("postgres_url")
        database = databases[kind] = Database(url)
        schema.upgrade(database)
    database = databases[request.param]
    with database.write() as session:
        for table in (Annotation, LabelTask, Undo, Decision, Inspection, MoneyDay, MoneyChange):
            session.execute(delete(table))
        for day in range(3):
            rows = [part(AT + timedelta(days=day, minutes=n), n) for n in range(8)]
            session.add_all(rows)
            session.flush()
            session.add_all([word(rows[0], Verdict.NG), word(rows[1], Verdict.OK)])
            session.flush()
            for n, row in enumerate(rows[2:5]):
                session.add(task(row))
                session.flush()
                session.add(annotation(row, pits=n))
        session.add(part(AT, 9, product="other"))
        session.commit()
    return database


def part(at: datetime, n: int = 0, *, product: str = "bar") -> Inspection:
    said = (Verdict.OK, Verdict.NG, Verdict.OK, Verdict.REVIEW)[n % 4]
    told = {"verdict": said, "score": 0.1, "progress": Progress.DONE, "received_at": at}
    return Inspection(id=f"{product}-{at:%d%H%M%S%f}-{n}", part=f"P-{n}", station="s", product=product, **told)


def word(row: Inspection, verdict: Verdict, *, n: int = 0) -> Decision:
    return Decision(id=f"w{n}-{row.id}", inspection_id=row.id, verdict=verdict, by="anna", at=NOW)


def task(
    row: Inspection, *, reason: Reason = Reason.SAMPLE, state: TaskState = TaskState.DONE, x: int = 0
) -> LabelTask:
    box = {"crop_x": x, "crop_y": 0, "crop_width": 9, "crop_height": 9}
    told = {"part": row.part, "station": "s", "urgency": 0.5, "opened_at": AT, **box}
    return LabelTask(id=f"t{x}-{row.id}", inspection_id=row.id, n=0, reason=reason, chance=0.1, state=state, **told)


def annotation(row: Inspection, *, pits: int) -> Annotation:
    told = {"by": "eva@plant", "mask_key": "none", "updated_at": AT, "received_at": AT, "drawn": {"pit": pits}}
    return Annotation(label_task_id=f"t0-{row.id}", studio_project=row.id, studio_annotation_id=1, **told)


def keep(database: Database) -> list[str]:
    return [day for product, day in money_sums.keep(database, now=NOW) if product == "bar"]


def kept(database: Database) -> list[str]:
    with database.read() as session:
        return [f"{day:%Y-%m-%d}" for day, _ in money_sums._kept(session, "bar", BEGIN, AFTER)]


def exact(database: Database) -> money_sums.Sums:
    """The month, once it is the same by days that are kept and by all rows."""
    with database.read() as session:
        told = money_sums.of(session, "bar", BEGIN, AFTER)
        assert told == money_sums.from_rows(session, "bar", BEGIN, AFTER)
    return told


def an_inspection(session) -> Inspection:
    return session.get(Inspection, f"bar-{AT:%d%H%M%S%f}-0")


def taken_back(session):
    row = an_inspection(session)
    session.add(Undo(decision_id=f"w0-{row.id}", inspection_id=row.id, by="anna", at=NOW))


def another_word(session):
    session.add(word(an_inspection(session), Verdict.OK, n=1))


def a_late_part(session):
    session.add(part(AT + timedelta(hours=3), 5))


def another_verdict(session):
    an_inspection(session).verdict = Verdict.REVIEW


def the_models_verdict(session):
    an_inspection(session).model_verdict = "ng"


def another_product(session):
    at = AT + timedelta(minutes=1)
    session.get(Inspection, f"bar-{at:%d%H%M%S%f}-1").product = "other"


def another_day(session):
    an_inspection(session).received_at = MIDNIGHT


def failed(session):
    an_inspection(session).progress = Progress.FAILED


def erased(session):
    gone = an_inspection(session).id
    for column in (Undo.inspection_id, Decision.inspection_id, Inspection.id):
        session.execute(delete(column.class_).where(col(column) == gone))


def drawn_later(session):
    row = session.exec(select(Inspection).where(Inspection.part == "P-6")).first()
    session.add(task(row, state=TaskState.DONE))


def labelled_anew(session):
    annotation = session.exec(select(Annotation).where(col(Annotation.drawn).is_not(None))).first()
    annotation.drawn = {"pit": 0, "scratch": 7}


def a_label_superseded(session):
    for row in session.exec(select(Annotation)):
        row.superseded = True


def a_label_gone(session):
    session.execute(delete(Annotation))


def another_crop(session):
    row = session.exec(select(LabelTask).where(LabelTask.state == TaskState.DONE)).first()
    session.add(task(session.get(Inspection, row.inspection_id), state=TaskState.PUSHED, x=9))


def another_chance(session):
    session.execute(text("UPDATE labeltask SET chance = 0.5"))


LATER = (
    taken_back,
    another_word,
    a_late_part,
    another_verdict,
    the_models_verdict,
    another_product,
    another_day,
    failed,
    erased,
    drawn_later,
    labelled_anew,
    a_label_superseded,
    a_label_gone,
    another_crop,
    another_chance,
)
"""Everything that can be written of a day that is over, also by SQL from elsewhere."""


def test_a_month_is_the_same_after_everything_that_can_be_written_later(database):
    before = exact(database)
    assert keep(database) == ["2026-03-10", "2026-03-11", "2026-03-12"]
    assert exact(database) == before
    for change in LATER:
        with database.write() as session:
            change(session)
            session.commit()
        assert len(kept(database)) < 3, f"{change.__name__} changes a day, and is not told"
        exact(database)
        assert keep(database), change.__name__
        exact(database)
        assert len(kept(database)) == 3
    assert exact(database) != before
    with database.read() as session:
        assert session.exec(select(MoneyChange)).all() == []


def test_what_changes_no_sum_leaves_all_days_as_they_are_kept(database):
    keep(database)
    with database.write() as session:
        row = an_inspection(session)
        row.process_values = {"s1.load": 0.5}
        session.add(task(row, reason=Reason.REVIEW, x=5))
        session.add(part(NOW, 7))
        session.commit()
    assert len(kept(database)) == 3
    assert keep(database) == []
    assert sum(exact(database).judged.values()) == 25


def test_a_day_is_summed_up_once_it_is_over(database):
    for hours, days in ((12, 0), (12.9, 0), (13, 1), (36, 1), (37, 2)):
        list(money_sums.keep(database, now=AT + timedelta(hours=hours)))
        assert len(kept(database)) == days
        exact(database)


def test_a_part_that_comes_for_a_day_without_parts_among_others_is_summed_up_too(database):
    keep(database)
    with database.write() as session:
        session.add_all([part(AT + timedelta(days=4), 1), part(AT - timedelta(days=2), 1)])
        session.commit()
    assert keep(database) == ["2026-03-08", "2026-03-14"]
    assert len(kept(database)) == 5
    exact(database)


def test_a_writer_that_is_not_done_is_waited_for_or_told_of(database):
    if database.dialect == "sqlite":
        pytest.skip("in SQLite one writes after the other")
    with database.write() as early:  # it writes before the days have rows, so that nothing tells of it
        early.add(part(AT, 5))
        early.flush()
        assert keep(database) == []
        exact(database)
        early.commit()
    exact(database)
    with database.write() as late:  # and this one after
        late.add(part(AT, 6))
        late.flush()
        assert keep(database) == ["2026-03-10", "2026-03-11", "2026-03-12"]
        exact(database)
        late.commit()
    assert kept(database) == ["2026-03-11", "2026-03-12"]
    assert sum(exact(database).judged.values()) == 26
    assert keep(database) == ["2026-03-10"]
    exact(database)


def test_of_two_that_sum_up_the_same_day_none_keeps_what_is_out_of_date(database, monkeypatch):
    keep(database)
    with database.write() as session:
        a_late_part(session)
        session.commit()
    compute = money_sums.from_rows

    def slowly(session, *asked):
        found = compute(session, *asked)
        monkeypatch.setattr(money_sums, "from_rows", compute)
        with database.write() as other:  # meanwhile another part comes, and another process sums up with it
            other.add(part(AT + timedelta(hours=5), 6))
            other.commit()
        assert money_sums._sum_up(database, "bar", "2026-03-10")
        return found

    monkeypatch.setattr(money_sums, "from_rows", slowly)
    assert not money_sums._sum_up(database, "bar", "2026-03-10")
    assert len(kept(database)) == 3
    assert sum(exact(database).judged.values()) == 26


def test_rows_of_another_server_of_postgresql_are_summed_up_too(database):
    if database.dialect == "sqlite":
        pytest.skip("it numbers no transactions")
    keep(database)
    with database.write() as session:
        for row in session.exec(select(MoneyDay)):
            row.known_from, row.sums = 2**60, None
        session.commit()
    assert len(keep(database)) == 3
    exact(database)
