"""The money that recommendations saved, by hand on a line of three steps."""

from datetime import UTC, datetime

import pytest

from process_opt.process import parse_process
from process_opt.records import Outcome, Recommendation
from server import process_money

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

PROCESS = parse_process(
    {
        "name": "pin",
        "currency": "EUR",
        "part": {"value": 40.0, "scrap": 1.5, "escape": -100.0},
        "conformance": ["end.width"],
        "steps": [
            {"name": "draw", "cost": 1.0, "settings": {"force": {"low": 0, "high": 10, "nominal": 5}},
             "measurements": {"width": {"lower": 1, "upper": 2}}},
            {"name": "heat", "cost": 2.0, "setup_cost": 0.5,
             "settings": {"time": {"low": 0, "high": 100, "nominal": 50, "change_cost": 0.1}}},
            {"name": "rework", "cost": 4.0, "optional": True,
             "settings": {"passes": {"low": 0, "high": 5, "nominal": 1}}},
            {"name": "end", "cost": 3.0, "measurements": {"width": {"lower": 1, "upper": 2}}},
        ],
    }
)  # fmt: skip


@pytest.fixture
def session(database):
    with database.write() as session:
        yield session


def advised(session, part, decision, *, at="heat", settings=None, run=(), measure=(), scrapped=1.5, continued=-60.0):
    answer = {
        "decision": decision, "at": at, "settings": settings or {}, "run": list(run), "measure": list(measure),
        "value_if_scrapped": scrapped, "value_if_continued": continued,
    }  # fmt: skip
    session.add(Recommendation(process="pin", part=part, at=at, request={}, answer=answer, asked_at=NOON))
    session.flush()


def came(session, part, observed=None, *, disposition="finished", scrapped_at=None, assignment=""):
    content = {
        "part": part, "batch": None, "disposition": disposition, "scrapped_at": scrapped_at,
        "assignment": assignment, "observed": observed or {},
    }  # fmt: skip
    session.add(Outcome(process="pin", part=part, content=content, received_at=NOON))
    session.flush()


def told(session):
    return process_money.summary(session, "pin", PROCESS)


def test_a_corrected_part_that_conforms_is_worth_its_value_less_what_was_spent_from_the_advice_on(session):
    advised(session, "P", "correct", settings={"heat.time": 60.0})
    came(session, "P", {"draw.force": 5.0, "heat.time": 60.0, "end.width": 1.5})
    summary = told(session)

    assert (summary.recommended, summary.followed, summary.finished_in_spec) == (1, 1, 1)
    realised = 40.0 - (2.0 + 0.5 + 0.1 * 10) - 3.0  # heat with its set-up and change, end; draw was paid before
    assert summary.money.realised == pytest.approx(realised)
    assert summary.money.saved_against_scrapping == pytest.approx(realised - 1.5)
    assert summary.money.saved_against_continuing == pytest.approx(realised + 60.0)
    assert summary.money.currency == "EUR"


def test_rework_that_was_run_is_paid_and_a_part_outside_its_limits_costs_an_escape(session):
    advised(session, "P", "correct", run=["rework"])
    came(session, "P", {"heat.time": 50.0, "rework.passes": 1.0, "end.width": 2.5})
    summary = told(session)

    assert (summary.followed, summary.finished_out_of_spec) == (1, 1)
    assert summary.money.realised == pytest.approx(-100.0 - 2.0 - 4.0 - 3.0)


def test_a_part_scrapped_on_the_spot_costs_nothing_more(session):
    advised(session, "P", "scrap")
    came(session, "P", {"draw.width": 9.0}, disposition="scrapped", scrapped_at="heat")
    summary = told(session)

    assert (summary.followed, summary.scrapped, summary.money.realised) == (1, 1, 1.5)
    assert summary.money.saved_against_scrapping == 0.0


def test_a_part_with_which_something_else_was_done_is_not_our_merit(session):
    advised(session, "A", "correct", settings={"heat.time": 60.0})
    came(session, "A", {"heat.time": 50.0, "end.width": 1.5})
    advised(session, "B", "scrap")
    came(session, "B", {"heat.time": 50.0, "end.width": 1.5})
    advised(session, "C", "abstain")
    came(session, "C", {"heat.time": 50.0, "end.width": 1.5}, assignment="recommendation")
    advised(session, "D", "continue")  # and no outcome yet
    summary = told(session)

    assert (summary.recommended, summary.followed, summary.money.realised) == (3, 0, 0.0)


def test_a_reading_that_was_asked_for_is_paid_and_the_books_begin_at_the_first_question(session):
    advised(session, "P", "measure", measure=["draw.width"], scrapped=1.5, continued=-10.0)
    advised(session, "P", "continue", scrapped=1.5, continued=30.0)
    came(session, "P", {"heat.time": 50.0, "end.width": 1.5})
    summary = told(session)

    assert summary.money.realised == pytest.approx(40.0 - 1.0 - 2.0 - 3.0)
    assert summary.money.if_continued_expected == -10.0


def test_a_part_nobody_measured_at_the_end_is_counted_as_unknown_and_not_as_money(session):
    advised(session, "P", "continue")
    came(session, "P", {"heat.time": 50.0})
    summary = told(session)

    assert (summary.followed, summary.unknown, summary.money.realised) == (1, 1, 0.0)
    assert summary.money.saved_against_continuing == 0.0
