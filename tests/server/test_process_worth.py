"""What the trial of a process's advice says, from the lots in the answers and what came of the parts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from process_opt.process import Process, parse_process
from process_opt.records import Outcome, Recommendation
from server.process_worth import PATIENCE, trial_worth

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def process(**serving: object) -> Process:
    return parse_process(
        {
            "name": "pin",
            "part": {"value": 40.0, "scrap": 1.5, "escape": -100.0},
            "conformance": ["end.width"],
            "serving": serving,
            "steps": [
                {"name": "heat", "cost": 2.0, "settings": {"time": {"low": 0, "high": 100, "nominal": 50}}},
                {"name": "end", "cost": 3.0, "measurements": {"width": {"lower": 1, "upper": 2}}},
            ],
        }
    )


TRIED = process(trial={"name": "autumn", "loss": 5.0})


@pytest.fixture
def session(database):
    with database.write() as session:
        yield session


def drawn(session, part, arm, *, at=NOON, trial="autumn"):
    answer = {
        "decision": "correct", "at": "heat", "settings": {"heat.time": 60.0}, "run": [], "measure": [],
        "value_if_scrapped": 1.5, "value_if_continued": 20.0,
        "trial": {"name": trial, "arm": arm, "share": 0.5, "if_advised": 22.0, "if_usual": 20.0},
    }  # fmt: skip
    session.add(Recommendation(process="pin", part=part, at="heat", request={}, answer=answer, asked_at=at))
    session.flush()


def came(session, part, width):
    observed = {"heat.time": 50.0} | ({} if width is None else {"end.width": width})
    content = {
        "part": part, "batch": None, "disposition": "finished", "scrapped_at": None, "assignment": "",
        "observed": observed,
    }  # fmt: skip
    session.add(Outcome(process="pin", part=part, content=content, received_at=NOON))
    session.flush()


def test_money_of_both_arms_is_counted_from_the_lot_on(session):
    drawn(session, "A", "advice")
    drawn(session, "B", "usual")
    came(session, "A", 1.5)  # 40 - 2 - 3
    came(session, "B", 2.5)  # -100 - 2 - 3
    found = trial_worth(session, "pin", TRIED, now=NOON)

    assert (found.parts, found.advised, found.waiting, found.claim) == (2, 1, 0, None)
    assert found.gain == pytest.approx(((2 + 2 * (35 - 22)) + (2 - 2 * (-105 - 20))) / 2)
    assert found.low < found.gain < found.high
    assert "not known yet" in found.words


def test_parts_count_in_the_order_of_their_lots_so_that_early_ends_do_not_come_first(session):
    drawn(session, "A", "advice")
    drawn(session, "B", "usual")
    came(session, "B", 1.5)
    assert trial_worth(session, "pin", TRIED, now=NOON).waiting == 2
    later = trial_worth(session, "pin", TRIED, now=NOON + PATIENCE + timedelta(hours=1))
    assert (later.parts, later.waiting, later.lost) == (1, 0, {"advice": 1, "usual": 0})


def test_a_part_that_nobody_measured_is_lost_and_told_by_arm(session):
    drawn(session, "A", "usual")
    came(session, "A", None)
    found = trial_worth(session, "pin", TRIED, now=NOON)
    assert (found.parts, found.lost) == (0, {"advice": 0, "usual": 1})


def test_a_new_trial_starts_anew_and_none_says_nothing(session):
    drawn(session, "A", "advice", trial="summer")
    came(session, "A", 1.5)
    assert trial_worth(session, "pin", TRIED, now=NOON).parts == 0
    assert trial_worth(session, "pin", process(), now=NOON) is None
