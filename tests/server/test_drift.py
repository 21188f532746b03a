"""A model must not decay in silence: an alarm says since when, where, and shows parts before and after."""

from __future__ import annotations

import math

import pytest
from sqlmodel import select

from labeling.records import LabelTask
from qc.drift import LEARN
from qc.records import Inspection, Progress
from qc.verdict import Verdict
from server import alarms as alarms_store
from server import drift_labels
from server.access import Role
from server.jobs.records import Job


def parts(line, number: int, *, every: int, model: str = "sha256:dark-spots", station: str = "S-1") -> list[str]:
    """So many judged parts, every so-many-th of them not good, told to whoever watches verdicts."""
    ids = []
    with line.context.database.write() as session:
        for n in range(number):
            bad = n % every == 0
            row = Inspection(
                part=f"P-{n}",
                station=station,
                product="default",
                progress=Progress.DONE,
                verdict=Verdict.NG if bad else Verdict.OK,
                score=0.9 if bad else 0.01 + 0.001 * (n * 7 % 50),
                model=model,
                received_at=line.context.now(),
            )
            session.add(row)
            session.flush()
            line.context.drift.after_inspection(session, row, [])
            ids.append(row.id)
        session.commit()
    return ids


def alarms(line, **wanted) -> list[dict]:
    return line.get("/alarms", params={"only_open": True, **wanted}).json()["items"]


def labelled(line, number: int) -> None:
    """So many finished label tasks."""
    with line.context.database.write() as session:
        for n in range(number):
            row = Inspection(part=f"L-{n}", station="L", received_at=line.context.now())
            session.add(row)
            session.flush()
            about = {"part": row.part, "station": "L", "reason": "review", "urgency": 0.5, "state": "DONE"}
            crop = {"crop_x": 0, "crop_y": 0, "crop_width": 9, "crop_height": 9}
            now = line.context.now()
            session.add(LabelTask(inspection_id=row.id, n=0, **about, **crop, opened_at=now, closed_at=now))
        session.commit()


def test_a_rate_that_rises_raises_one_alarm_with_parts_before_and_after(line):
    line.context.parts.pop("jobs").stop()  # a retraining is asked for, and shall not begin
    labelled(line, math.ceil(line.context.settings.retrain_after_labels / 4))
    steady = parts(line, LEARN + 100, every=10)
    assert alarms(line) == []
    wrong = parts(line, 100, every=3)
    (alarm,) = alarms(line, kind="rate")
    assert (alarm["station"], alarm["figures"]["product"]) == ("S-1", "default")
    assert "more parts than usual are not ok" in alarm["message"]
    assert len(alarm["before"]) == len(alarm["after"]) == 8
    began = (steady + wrong).index(alarm["after"][0])
    assert abs(began - len(steady)) <= 20, "the alarm says since when, to within a few parts"
    assert alarm["before"][-1] == (steady + wrong)[began - 1]
    health = line.get("/health").json()["components"]["drift"]
    assert health["state"] == "degraded"
    assert "S-1" in health["message"]
    with line.context.database.read() as session:
        asked = session.exec(select(Job).where(Job.kind == "retrain")).one()
        assert alarm["message"] in asked.arguments["why"]
        # without what an encoder saw those come first whose scores are most in doubt, each part once
        chosen = drift_labels.newest_looking(session, alarms_store.get(session, alarm["id"]), count=3)
        scores = [session.get(Inspection, one).score for one in chosen]
    assert set(chosen) < set(wrong)
    assert scores == [0.9] * 3


def test_the_charts_go_on_where_they_were_after_a_restart(run_line, tmp_path):
    with run_line(tmp_path) as line:
        parts(line, LEARN, every=10)
        parts(line, 30, every=3)
        assert alarms(line) == []
    with run_line(tmp_path) as line:
        parts(line, 69, every=3)  # too few without those before the restart
        assert len(alarms(line, kind="rate")) == 1


@pytest.mark.parametrize("relearn", [False, True])
def test_a_person_says_whether_a_shift_was_mended_or_is_how_it_should_be(line, relearn):
    parts(line, LEARN, every=10)
    parts(line, 100, every=3)
    for alarm in alarms(line):
        path = f"/alarms/{alarm['id']}/close"
        assert line.post(path, Role.OPERATOR, json={"reason": "x"}).status_code == 403
        assert line.post(path, json={"reason": "a new supplier", "relearn": relearn}).status_code == 200
    assert line.get("/health").json()["components"]["drift"]["state"] == "ok"
    parts(line, LEARN + 60, every=3)
    assert bool(alarms(line, kind="rate")) is not relearn


def test_another_model_or_station_has_charts_of_its_own(line):
    parts(line, LEARN, every=10)
    parts(line, 100, every=2, model="sha256:another")
    parts(line, 100, every=2, station="S-2")
    assert alarms(line) == []
