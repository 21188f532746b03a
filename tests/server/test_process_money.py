"""The money that recommendations saved, by hand on a line of three steps."""

import copy
from datetime import UTC, datetime

import pytest

from process_opt.process import parse_process
from process_opt.records import Outcome, Recommendation
from server import process_money

CENT = 0.01
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


def came(session, part, observed=None, *, disposition="finished", scrapped_at=None, assignment="", batch=None):
    content = {
        "part": part, "batch": batch, "disposition": disposition, "scrapped_at": scrapped_at,
        "assignment": assignment, "observed": observed or {},
    }  # fmt: skip
    session.add(Outcome(process="pin", part=part, batch=batch, content=content, received_at=NOON))
    session.flush()


def told(session, process=PROCESS):
    return process_money.summary(session, "pin", process)


def furnace(*, own=False):
    """The same process; the parts of a batch share the time in the furnace. `own`: and each is put on a place in it."""
    content = copy.deepcopy(dict(PROCESS.source))
    heat = content["steps"][1]
    heat["settings"]["time"]["shared"] = "batch"
    if own:
        heat["settings"]["place"] = {"low": 0, "high": 9, "nominal": 0}
    return parse_process(content)


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


def test_a_set_up_that_a_batch_shares_is_paid_once_by_all_parts_that_went_through_it(session):
    hot = {"heat.time": 60.0, "end.width": 1.5}
    for part in "ABC":
        advised(session, part, "correct", settings={"heat.time": 60.0})
        came(session, part, hot, batch="B1")
    came(session, "D", hot, batch="B1")  # nobody asked about it: it bears its share all the same
    came(session, "E", {"draw.width": 9.0}, batch="B1", disposition="scrapped", scrapped_at="heat")  # never got there
    advised(session, "F", "correct", settings={"heat.time": 60.0})
    came(session, "F", hot, batch="B2")  # by itself in its batch
    steps = 2.0 + 0.1 * 10 + 3.0  # heat and its change, end

    assert told(session, furnace()).money.realised == pytest.approx(4 * (40.0 - steps) - 3 * 0.5 / 4 - 0.5, abs=CENT)
    assert told(session).money.realised == pytest.approx(4 * (40.0 - steps) - 4 * 0.5)  # each part set up by itself


def test_a_setting_of_the_part_s_own_is_set_up_for_it_beside_what_its_batch_shares(session):
    for part, place in [("A", 3.0), ("B", 0.0)]:
        advised(session, part, "correct", settings={"heat.time": 60.0})
        observed = {"heat.time": 60.0, "heat.place": place, "end.width": 1.5}
        came(session, part, observed, batch="B1", assignment="recommendation")
    steps = 2.0 + 0.1 * 10 + 3.0

    assert told(session, furnace(own=True)).money.realised == pytest.approx(2 * (40.0 - steps) - 0.5 - 0.5)


def test_some_parts_of_a_batch_are_told_of_with_the_share_of_the_whole_batch(session):
    for part in "AB":
        advised(session, part, "correct", settings={"heat.time": 60.0})
        came(session, part, {"heat.time": 60.0, "end.width": 1.5}, batch="B1")

    mine = process_money.summary(session, "pin", furnace(), parts=["A"])
    assert mine.money.realised == pytest.approx(40.0 - 2.0 - 0.5 / 2 - 1.0 - 3.0)
