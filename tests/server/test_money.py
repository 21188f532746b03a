"""What the inspection brought in a month, by formulas that are worked out here by hand."""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest

from labeling.records import Annotation, LabelTask, Reason, TaskState
from qc.errors import InvalidInput
from qc.records import Inspection, Progress
from qc.verdict import Verdict
from server.access import Role
from server.money import clopper_pearson, month_of, wrong

AT = datetime(2026, 3, 10, 12, tzinfo=UTC)
MONEY = """product: bar
money:
  currency: EUR
  escape: 100.0
  false_reject: 5.0
  review: 1.0
  before: {escapes: 0.02, false_rejects: 0.1, reviews: 1.0}
"""


def part(session, said: str, *, told: str = "", at=AT, product="bar", progress=Progress.DONE) -> Inspection:
    row = Inspection(
        part="P",
        station="S-1",
        product=product,
        progress=progress,
        verdict=Verdict(told or said),
        mode="advise" if told else "decide",
        model_verdict=said if told else None,
        received_at=at,
    )
    session.add(row)
    session.flush()
    return row


def drawn(session, row: Inspection, *, defective: bool, chance: float) -> None:
    """It was drawn at random, and a person has labelled it."""
    task = LabelTask(
        inspection_id=row.id,
        n=0,
        part="P",
        station="S-1",
        reason=Reason.SAMPLE,
        urgency=0.5,
        crop_x=0,
        crop_y=0,
        crop_width=9,
        crop_height=9,
        chance=chance,
        state=TaskState.DONE,
        opened_at=AT,
    )
    session.add(task)
    session.flush()
    session.add(
        Annotation(
            label_task_id=task.id,
            studio_project="1",
            studio_annotation_id=abs(hash(task.id)) % 2**31,
            updated_at=AT,
            received_at=AT,
            by="eva@plant",
            mask_key="none",
            drawn={"pit": 1} if defective else {},
        )
    )


def word(line, row: Inspection, verdict: str) -> None:
    line.post(f"/inspections/{row.id}/decision", Role.OPERATOR, json={"verdict": verdict, "reason": ""})


@pytest.fixture
def month(line):
    """March: 40 ok of which 10 were drawn by a chance of 1/4 and one of these is not good; 5 not good; 5 reviews."""
    (line.context.settings.home / "products" / "bar.yaml").write_text(MONEY)
    with line.context.database.write() as session:
        oks = [part(session, "ok") for _ in range(40)]
        bad = [part(session, "ng") for _ in range(5)]
        for _ in range(4):
            part(session, "review")
        part(session, "ok", told="review")  # a station that only advises
        part(session, "ng", progress=Progress.FAILED)
        part(session, "ok", at=datetime(2026, 4, 1, tzinfo=UTC))
        part(session, "ok", product="other")
        for n, row in enumerate(oks[:10]):
            drawn(session, row, defective=n == 0, chance=0.25)
        session.commit()
    word(line, oks[39], "ng")
    for row in bad:
        word(line, row, "ok" if row is bad[0] else "ng")
    return line


def test_a_month_is_counted_and_estimated_as_worked_out_by_hand(month):
    told = month.get("/money", params={"product": "bar", "month": "2026-03"}).json()
    assert (told["parts"], told["failed"], told["ok"], told["ng"], told["reviews"]) == (50, 1, 40, 5, 5)
    escapes = told["escapes"]  # 41 ok by the model, one with a word: 40 others, of which 10 were drawn
    assert (escapes["known"], escapes["sampled"], escapes["sampled_wrong"], escapes["others"]) == (1, 10, 1, 40)
    assert escapes["estimate"] == pytest.approx(1 + 1 / 0.25)
    low, high = clopper_pearson(1, 10)
    assert (escapes["low"], escapes["high"]) == (pytest.approx(1 + 40 * low), pytest.approx(1 + 40 * high))
    rejects = told["false_rejects"]
    assert (rejects["known"], rejects["estimate"], rejects["low"], rejects["high"]) == (1, 1, 1, 1)
    assert told["reviews_saved"] == 50 - 5
    money = told["money"]
    assert money["cost"] == pytest.approx(5 * 100 + 1 * 5 + 5 * 1)
    assert money["cost_before"] == pytest.approx(50 * (0.02 * 100 + 0.1 * 5 + 1))
    assert money["saved"] == pytest.approx(money["cost_before"] - money["cost"])
    assert money["saved_low"] < money["saved"] < money["saved_high"]
    assert told["products"] == ["bar", "other"]
    assert "Horvitz" in told["formulas"]["escapes"]


def test_the_same_goes_out_as_a_table_with_a_formula_beside_each_figure(month):
    answer = month.get("/money.csv", params={"product": "bar", "month": "2026-03"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert 'filename="money-bar-2026-03.csv"' in answer.headers["content-disposition"]
    rows = {row["figure"]: row for row in csv.DictReader(io.StringIO(answer.text))}
    assert rows["parts"]["value"] == "50"
    assert float(rows["escapes.estimate"]["value"]) == 5.0
    assert "Clopper" in rows["escapes.low"]["formula"]
    assert all(rows[name]["formula"] for name in ("parts", "money.saved", "money.cost", "false_rejects.estimate"))


def test_without_a_random_share_nothing_is_claimed_of_what_nobody_looked_at(line):
    with line.context.database.write() as session:
        for _ in range(8):
            part(session, "ok", product="default")
        session.commit()
    told = line.get("/money", params={"product": "default", "month": "2026-03"}).json()
    escapes = told["escapes"]
    assert (escapes["estimate"], escapes["low"], escapes["high"]) == (None, 0, 8)
    assert told["money"] is None
    assert line.get("/money", Role.OPERATOR, params={"product": "default"}).status_code == 403
    assert line.get("/money", params={"product": "default", "month": "March"}).status_code == 422


def test_months_begin_and_end_where_they_should():
    assert month_of("2026-12") == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    for nonsense in ("2026-13", "2026", "x", "9999-12"):
        with pytest.raises(InvalidInput):
            month_of(nonsense)


def test_the_interval_of_a_share_is_clopper_and_pearsons():
    assert clopper_pearson(0, 10) == (0.0, pytest.approx(0.3085, abs=1e-4))
    assert clopper_pearson(10, 10) == (pytest.approx(0.6915, abs=1e-4), 1.0)
    low, high = clopper_pearson(3, 20)
    assert (low, high) == (pytest.approx(0.0321, abs=1e-4), pytest.approx(0.3789, abs=1e-4))


def test_over_many_months_the_estimate_is_right_on_average_and_its_interval_holds_the_truth():
    rng = np.random.default_rng(5)
    found, held, truth = [], 0, 12
    for _ in range(400):
        defective = set(rng.choice(400, truth, replace=False).tolist())
        chances = np.where(np.arange(400) < 200, 0.2, 0.1)
        lucky = np.flatnonzero(rng.random(400) < chances)
        seen = Counter((int(n) in defective, float(chances[n])) for n in lucky)
        told = wrong(Counter(), seen, wrong_when=True, total=400)
        found.append(told.estimate)
        held += told.low <= truth <= told.high
    assert np.mean(found) == pytest.approx(truth, abs=3 * np.std(found) / 20)
    assert held / 400 >= 0.93
