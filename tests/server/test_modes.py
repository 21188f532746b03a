"""A station begins in shadow, is advised, and decides, one step at a time with proof; it steps down by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlmodel import select

from labeling.records import LabelTask
from qc.records import Inspection
from qc.verdict import Verdict
from server import audit_check
from server.access import Role
from server.audit import AuditEntry
from server.gate_records import StationMode
from server.watch_records import Alarm

MONEY = "money: {currency: EUR, escape: 100.0, false_reject: 4.0, review: 0.5}\n"


@pytest.fixture
def plant(line):
    """A line whose product's file says what wrong verdicts cost."""
    (line.context.settings.home / "products" / "default.yaml").write_text(f"product: default\n{MONEY}")
    return line


def set_mode(line, mode, *, status=200, station="S-1", **limits):
    answer = line.post(f"/stations/{station}/mode", json={"mode": mode, "reason": "as agreed", **limits})
    assert answer.status_code == status, answer.text
    return answer.json()


def word(line, inspection, verdict):
    answer = line.post(f"/inspections/{inspection}/decision", Role.OPERATOR, json={"verdict": verdict, "reason": ""})
    assert answer.status_code == 201, answer.text


def test_a_station_that_nobody_set_decides_as_ever(plant):
    part = plant.send(plant.picture(dark=9)).json()
    assert (part["verdict"], part["mode"], part["model_verdict"]) == ("ng", "decide", None)
    assert plant.get("/stations/S-1/mode").json()["mode"] == "decide"


def test_in_shadow_the_line_learns_nothing_and_people_see_what_the_model_said(plant):
    set_mode(plant, "shadow")
    told = plant.send(plant.picture(dark=9, mark=1), part="P-1").json()
    assert (told["verdict"], told["score"], told["model_verdict"], told["mode"]) == ("review", None, None, "shadow")
    assert [image["defects"] for image in told["images"]] == [[]]
    assert [image["verdict"] for image in told["images"]] == [None]
    for path in (f"/inspections/{told['id']}", "/inspections"):
        seen = plant.get(path, Role.MACHINE).json()
        seen = seen["items"][0] if "items" in seen else seen
        assert (seen["verdict"], seen["score"], seen["model_verdict"]) == ("review", None, None)
    shown = plant.get(f"/inspections/{told['id']}").json()
    assert (shown["verdict"], shown["model_verdict"]) == ("review", "ng")
    assert shown["images"][0]["defects"]
    assert plant.get("/stations").json()[0]["mode"] == "shadow"
    with plant.context.database.read() as session:
        assert session.exec(select(LabelTask)).all() == [], "only what the model doubts is to be labelled"
        audit_check.verify(session)


def test_in_advise_the_line_waits_for_a_person_and_sees_the_advice(plant):
    set_mode(plant, "advise")
    told = plant.send(plant.picture(dark=9, mark=1), part="P-1").json()
    assert (told["verdict"], told["model_verdict"], told["mode"]) == ("review", "ng", "advise")
    assert told["score"] > 0.9
    word(plant, told["id"], "ng")
    assert plant.get(f"/inspections/{told['id']}", Role.MACHINE).json()["decision"]["verdict"] == "ng"
    with plant.context.database.read() as session:
        assert session.exec(select(LabelTask)).all() == [], "the person confirmed what the model said"


def test_what_a_model_said_in_shadow_cannot_be_altered_afterwards(plant):
    from sqlalchemy import text

    from qc.errors import Conflict

    set_mode(plant, "shadow")
    plant.send(plant.picture(dark=9))
    with plant.context.database.write() as session:
        session.execute(text("UPDATE inspection SET model_verdict = 'ok'"))
        session.commit()
    with plant.context.database.read() as session, pytest.raises(Conflict, match="altered"):
        audit_check.verify(session)


def judged(line, number, *, first=0):
    """So many parts, each with the right word of a person."""
    for n in range(first, first + number):
        bad = n % 2
        part = line.send(line.picture(dark=9 * bad, mark=n % 70), part=f"P-{n}").json()
        word(line, part["id"], "ng" if bad else "ok")


def test_a_step_up_needs_a_limit_and_proof_from_the_step_before(plant):
    set_mode(plant, "shadow")
    assert "one step at a time" in set_mode(plant, "decide", status=409)["error"]["message"]
    assert "limit_a_day" in set_mode(plant, "advise", status=409)["error"]["message"]
    limits = {"limit_a_day": 1000.0, "limit_a_part": 60.0}
    assert "0 of 0 parts" in set_mode(plant, "advise", status=409, **limits)["error"]["message"]
    set_mode(plant, "shadow", **limits)
    judged(plant, 8)
    shown = plant.get("/stations/S-1/mode").json()
    assert (shown["evidence"]["parts"], shown["evidence"]["answered"], shown["evidence"]["cost_a_part"]) == (8, 8, 0)
    assert shown["evidence"]["proved"]
    stepped = set_mode(plant, "advise")
    assert (stepped["mode"], stepped["evidence"]["parts"]) == ("advise", 0)
    assert "0 of 0 parts" in set_mode(plant, "decide", status=409)["error"]["message"], "evidence begins anew"
    with plant.context.database.read() as session:
        entries = session.exec(select(AuditEntry).where(AuditEntry.kind == "station mode")).all()
        assert "8 of 8 parts" in entries[-1].body


def test_nobody_picks_which_parts_count_for_the_proof(plant):
    set_mode(plant, "shadow", limit_a_day=1000.0, limit_a_part=60.0)
    judged(plant, 8)
    plant.send(plant.picture(mark=60), part="P-60")
    plant.send(plant.picture(mark=61), part="P-61")
    refused = set_mode(plant, "advise", status=409)["error"]["message"]
    assert "8 of 10 parts have a person's word" in refused
    assert "decide the others first" in refused


def test_wrong_verdicts_that_cost_more_than_the_days_limit_step_the_station_down(plant):
    set_mode(plant, "decide", limit_a_day=150.0)
    first, second = (plant.send(plant.picture(mark=n), part=f"P-{n}").json() for n in (1, 2))
    assert first["verdict"] == "ok"
    word(plant, first["id"], "ng")
    shown = plant.get("/stations/S-1/mode").json()
    assert (shown["mode"], shown["cost_today"], shown["currency"]) == ("decide", 100.0, "EUR")
    word(plant, second["id"], "ng")
    shown = plant.get("/stations/S-1/mode").json()
    assert (shown["mode"], shown["by"], shown["cost_today"]) == ("advise", "server", 0.0)
    with plant.context.database.read() as session:
        (alarm,) = session.exec(select(Alarm).where(Alarm.kind == "mode")).all()
        assert "200.00 EUR" in alarm.message
        assert alarm.after == [first["id"], second["id"]]
        audit_check.verify(session)
    third = plant.send(plant.picture(mark=3), part="P-3").json()
    assert (third["verdict"], third["model_verdict"]) == ("review", "ok")


def received(plant, inspection, moment):
    with plant.context.database.write() as session:
        session.get_one(Inspection, inspection).received_at = moment
        session.commit()


def test_a_word_said_after_midnight_counts_for_the_day_of_its_part(plant):
    set_mode(plant, "decide", limit_a_day=150.0)
    now = plant.context.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    with plant.context.database.write() as session:
        row = session.get(StationMode, "S-1") or StationMode(station="S-1", mode="decide", by="eva", reason="")
        row.limit_a_day, row.since = 150.0, now - timedelta(days=3)
        session.add(row)
        session.commit()
    parts = [plant.send(plant.picture(mark=n), part=f"P-{n}").json()["id"] for n in (1, 2, 3)]
    received(plant, parts[0], midnight - timedelta(minutes=1))
    received(plant, parts[1], midnight - timedelta(minutes=5))
    word(plant, parts[2], "ng")
    word(plant, parts[0], "ng")
    assert plant.get("/stations/S-1/mode").json()["mode"] == "decide", "100 on each day are no breach on either"
    word(plant, parts[1], "ng")
    assert plant.get("/stations/S-1/mode").json()["mode"] == "advise"
    with plant.context.database.read() as session:
        (alarm,) = session.exec(select(Alarm).where(Alarm.kind == "mode")).all()
    assert f"parts of {midnight - timedelta(days=1):%Y-%m-%d} cost 200.00 EUR" in alarm.message
    assert sorted(alarm.after) == sorted(parts[:2])


def test_a_word_is_taken_where_nobody_said_what_wrong_verdicts_cost(line):
    set_mode(line, "decide", limit_a_day=150.0)
    for n in (1, 2):
        word(line, line.send(line.picture(mark=n), part=f"P-{n}").json()["id"], "ok" if n == 1 else "ng")
    assert line.get("/stations/S-1/mode").json()["mode"] == "decide"
    with line.context.database.read() as session:
        (alarm,) = session.exec(select(Alarm).where(Alarm.kind == "mode")).all()
    assert alarm.what == "money of default"
    assert "does not say under `money`" in alarm.message


def test_amounts_of_two_currencies_are_not_added(plant):
    products = plant.context.settings.home / "products"
    (products / "other.yaml").write_text(f"product: other\n{MONEY.replace('EUR', 'USD')}")
    set_mode(plant, "decide", limit_a_day=150.0)
    for n, product in enumerate(("default", "other")):
        told = plant.send(plant.picture(mark=n + 1), part=f"P-{n}", product=product).json()
        word(plant, told["id"], "ng")
    assert plant.get("/stations/S-1/mode").json()["mode"] == "decide"
    set_mode(plant, "shadow")
    for n, product in enumerate(("default", "other")):
        told = plant.send(plant.picture(mark=n + 5), part=f"P-{n + 5}", product=product).json()
        word(plant, told["id"], "ok")
    refused = set_mode(plant, "advise", status=409, limit_a_part=60.0)
    assert "several currencies (EUR, USD)" in refused["error"]["message"]


def test_a_camera_that_fails_in_shadow_reaches_the_line_as_review_too(run_line, tmp_path):
    with run_line(tmp_path, decide_by_s=30.0) as line:
        set_mode(line, "shadow")
        part = line.send(b"no picture", line.picture(), names=["a.png", "b.png"])
        assert part.status_code == 422
        same = line.picture(dark=5, mark=4)
        line.send(same, part="P-1")
        assert line.send(same, part="P-2").json()["verdict"] == Verdict.REVIEW


def test_only_an_engineer_sets_a_mode(plant):
    wish = {"mode": "shadow", "reason": "x"}
    assert plant.post("/stations/S-1/mode", Role.OPERATOR, json=wish).status_code == 403
    assert plant.post("/stations/S-1/mode", json={"mode": "guess", "reason": "x"}).status_code == 422
    assert plant.post("/stations/S-1/mode", json=wish | {"limit_a_day": -1}).status_code == 422
