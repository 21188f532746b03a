"""What happens is told by signed webhooks: in order, at least once, whatever the receiver does meanwhile."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from importlib import util
from pathlib import Path

import pytest
import yaml
from sqlmodel import select

from process_opt.records import Recommendation
from server import alarms
from server.access import Role
from server.outbound.records import OutboundDelivery, OutboundMessage


def wait_for(true, *, patience=120):
    until = time.monotonic() + patience
    while not (found := true()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def server(one_receiver, tmp_path_factory):
    """One server for most of these tests: to start one takes longer than what they ask of it."""
    spec = util.spec_from_file_location("a_server", Path(__file__).parents[1] / "conftest.py")
    lines = util.module_from_spec(spec)
    sys.modules["a_server"] = lines  # dataclasses look their module up
    spec.loader.exec_module(lines)
    home = tmp_path_factory.mktemp("told") / "home"
    one_receiver.is_named_in(home)
    with contextmanager(lines.start)(home) as line:
        yield line


@pytest.fixture
def told(server, receiver):
    """A line that tells the receiver everything, and has told all it knows before each test."""
    yield server
    receiver.forgets()
    if receiver.process is None:
        receiver.comes()
    server.post("/outbound/mes/resume", Role.ADMIN)
    wait_for(lambda: mes(server)["waiting"] == 0)


def mes(line) -> dict:
    (address,) = line.get("/outbound").json()["items"]
    return address


def parts(messages: list[dict]) -> list[str]:
    return [one["body"]["data"]["part"] for one in messages]


def test_everything_that_matters_is_told_in_order_and_its_signature_holds(told, receiver):
    shown = told.send(told.picture(dark=9), part="P-1", trigger_id="T-1").json()
    told.post(f"/inspections/{shown['id']}/decision", Role.OPERATOR, json={"verdict": "ok", "reason": "dust"})
    told.post("/parts/P-1/verdict", Role.MACHINE)
    with told.context.database.write() as session:
        now = told.context.now()
        figures = {"kind": "camera", "station": "S-1", "what": "level", "message": "dim", "since": now, "now": now}
        alarms.raise_once(session, told.context.events, **figures, before=[], after=[], figures={})
        advice = {"id": "R-1", "process": "bar", "part": "P-1", "at": "s20-heat", "decision": "continue"}
        told.context.events.on_commit(session, "recommendation", advice)
        session.commit()
    wait_for(lambda: len(receiver.taken) == 5)
    kinds = ["inspection.judged", "decision.made", "part.judged", "alarm.raised", "recommendation.given"]
    assert [one["body"]["type"] for one in receiver.taken] == kinds
    assert all(one["genuine"] for one in receiver.taken)
    assert len({one["id"] for one in receiver.taken}) == 5
    inspection, decision = (one["body"]["data"] for one in receiver.taken[:2])
    same = ("id", "part", "station", "verdict", "score", "model", "trigger_id")
    assert {name: inspection[name] for name in same} == {name: shown[name] for name in same}
    assert inspection["images"][0]["defects"][0]["class"] == "pit"
    assert (decision["part"], decision["verdict"], decision["reason"]) == ("P-1", "ok", "dust")
    address = wait_for(lambda: (found := mes(told))["waiting"] == 0 and found)
    assert (address["state"], address["failures"]) == ("ok", 0)
    assert address["delivered"] >= 5


def test_a_station_in_shadow_tells_nothing_of_what_the_model_saw(told, receiver):
    told.post("/stations/S-new/mode", json={"mode": "shadow", "limit_a_day": 10, "reason": "new"})
    told.send(told.picture(dark=9), part="P-1", station="S-new")
    (one,) = wait_for(lambda: receiver.taken)
    data = one["body"]["data"]
    assert (data["verdict"], data["score"], data["model_verdict"]) == ("review", None, None)
    assert data["images"][0]["defects"] == []


def test_what_is_not_committed_is_not_told(told, receiver):
    with told.context.database.write() as session:
        told.context.events.on_commit(session, "part", {"id": "I-1", "part": "P-undone"})
    told.send(told.picture(), part="P-done")
    wait_for(lambda: receiver.taken)
    assert parts(receiver.taken) == ["P-done"]


def test_while_the_receiver_is_away_nothing_is_lost_and_the_order_holds(told, receiver):
    receiver.goes()
    for n in range(4):
        told.send(told.picture(mark=n), part=f"P-{n}")
    away = wait_for(lambda: mes(told)["failures"] >= 1 and mes(told))
    assert (away["state"], away["waiting"]) == ("waiting", 4)
    assert away["last_error"].startswith("no connection")
    receiver.comes()
    wait_for(lambda: len(receiver.taken) >= 4)
    assert parts(receiver.taken) == ["P-0", "P-1", "P-2", "P-3"]


def test_a_receiver_that_fails_gets_the_same_message_again_before_the_next_one(told, receiver):
    receiver.behaves(status=500)
    told.send(told.picture(mark=1), part="P-1")
    told.send(told.picture(mark=2), part="P-2")
    wait_for(lambda: len(receiver.received) >= 2)
    assert set(parts(receiver.received)) == {"P-1"}
    assert len({one["id"] for one in receiver.received}) == 1
    assert mes(told)["last_error"] == "it answered 500"
    receiver.behaves(status=204)
    wait_for(lambda: len(receiver.taken) >= 2)
    assert parts(receiver.taken) == ["P-1", "P-2"]


def test_a_receiver_that_wants_no_more_is_switched_off_until_an_administrator_says_otherwise(told, receiver):
    receiver.behaves(status=410)
    told.send(told.picture(mark=1), part="P-1")
    wait_for(lambda: mes(told)["state"] == "off")
    told.send(told.picture(mark=2), part="P-2")
    assert mes(told)["waiting"] == 1, "what it does not want is not kept for it"
    (alarm,) = told.get("/alarms?only_open=true&kind=outbound").json()["items"]
    assert (alarm["kind"], alarm["station"]) == ("outbound", "mes")
    assert "410" in alarm["message"]
    receiver.behaves(status=200)
    assert told.post("/outbound/mes/resume", Role.ENGINEER).status_code == 403
    assert told.post("/outbound/mes/resume", Role.ADMIN).json()["state"] == "ok"
    assert told.get("/alarms?only_open=true&kind=outbound").json()["items"] == []
    told.send(told.picture(mark=3), part="P-3")
    wait_for(lambda: len(receiver.taken) >= 2)
    assert parts(receiver.taken) == ["P-1", "P-3"]


def test_an_address_that_is_away_for_long_raises_an_alarm_which_ends_by_itself(run_line, receiver, tmp_path):
    receiver.is_named_in(tmp_path / "home", alarm_after_s=0, timeout_s=2, tell=["inspection"])
    receiver.goes()
    with run_line(tmp_path / "home") as line:
        line.send(line.picture(), part="P-1")
        (alarm,) = wait_for(lambda: line.get("/alarms?only_open=true").json()["items"])
        assert alarm["message"].startswith("mes cannot be told anything: no connection")
        health = line.get("/health").json()["components"]["outbound"]
        assert (health["state"], health["addresses"]) == ("degraded", {"mes": "away"})
        receiver.behaves(drip=True)  # a byte now and then for ever must not hold the sender, either
        receiver.comes()
        wait_for(lambda: mes(line)["last_error"] == "no answer within 2 s")
        receiver.forgets()
        wait_for(lambda: not line.get("/alarms?only_open=true").json()["items"])
        assert line.get("/health").json()["components"]["outbound"]["state"] == "ok"
        assert set(parts(receiver.taken)) == {"P-1"}


def test_a_redirect_is_not_followed(told, receiver):
    receiver.behaves(status=302, headers={"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"})
    told.send(told.picture(), part="P-1")
    failed = wait_for(lambda: mes(told)["failures"] >= 1 and mes(told))
    assert "not followed" in failed["last_error"]
    assert {one["path"] for one in receiver.received} == {"/hooks/token-in-the-path"}


def test_a_person_skips_a_message_that_its_receiver_will_not_take(told, receiver):
    receiver.behaves(status=400)
    told.send(told.picture(mark=1), part="P-1")
    told.send(told.picture(mark=2), part="P-2")
    first = wait_for(lambda: mes(told)["failures"] >= 1 and mes(told))["first_waiting"]
    word = {"message": first, "reason": "the MES knows no P-1"}
    assert told.post("/outbound/mes/skip", Role.ADMIN, json={**word, "message": "another"}).status_code == 409
    skipped = told.post("/outbound/mes/skip", Role.ADMIN, json=word)
    assert (skipped.status_code, skipped.json()["dropped"]) == (200, 1)
    receiver.behaves(status=200)
    wait_for(lambda: receiver.taken)
    assert parts(receiver.taken) == ["P-2"]


def test_an_erased_part_is_not_told_any_more(told, receiver):
    receiver.goes()
    told.send(told.picture(mark=1), part="Smith-4711")
    told.send(told.picture(mark=2), part="P-2")
    asked = told.post("/erasures", Role.ADMIN, json={"part": "Smith-4711", "reason": "the customer asked"}).json()
    wait_for(lambda: told.get(f"/jobs/{asked['id']}").json()["state"] == "done")
    with told.context.database.read() as session:
        assert [json.loads(m.body)["data"]["part"] for m in session.exec(select(OutboundMessage))] == ["P-2"]
        assert len(session.exec(select(OutboundDelivery)).all()) == 1
    receiver.comes()
    wait_for(lambda: receiver.taken)
    assert parts(receiver.taken) == ["P-2"]


def test_approval_of_rework_is_told_with_who_gave_it(told, receiver):
    with told.context.database.write() as session:
        answer = {"decision": "correct", "needs_approval": ["s23-refinish"], "run": ["s23-refinish"]}
        asked = {"process": "bar", "part": "P-1", "at": "s20-heat", "request": {}, "answer": answer}
        row = Recommendation(**asked, asked_at=told.context.now())
        session.add(row)
        session.commit()
        id = row.id
    word = {"answer": "approved", "risk": "the edge may burn again"}
    assert told.post(f"/processes/bar/recommendations/{id}/approval", json=word).status_code == 200
    (one,) = wait_for(lambda: receiver.taken)
    data = one["body"]["data"]
    assert one["body"]["type"] == "recommendation.answered"
    assert (data["id"], data["steps"], data["permission"]) == (id, ["s23-refinish"], "approved")


def test_two_addresses_are_told_independently_and_after_a_restart_what_waited_goes_first(run_line, receiver, tmp_path):
    receiver.is_named_in(tmp_path / "home")
    file = tmp_path / "home" / "outbound.yaml"
    told = yaml.safe_load(file.read_text())
    told["webhooks"]["dead"] = {**told["webhooks"]["mes"], "url": "http://127.0.0.1:9/", "tell": ["inspection"]}
    told["webhooks"]["mes"]["old_secret"] = told["webhooks"]["mes"]["secret"]
    told["webhooks"]["mes"]["secret"] = "whsec_" + "B" * 44
    file.write_text(yaml.safe_dump(told))
    with run_line(tmp_path / "home") as line:
        line.send(line.picture(), part="P-1")
        one = wait_for(lambda: receiver.taken)[0]
        assert one["genuine"], "the old secret still signs while the receiver changes over"
        dead, alive = wait_for(
            lambda: (found := line.get("/outbound").json()["items"]) and found[1]["delivered"] == 1 and found
        )
        assert (dead["name"], dead["waiting"], alive["waiting"]) == ("dead", 1, 0)
        assert "token-in-the-path" not in json.dumps([dead, alive])
        receiver.goes()
        line.send(line.picture(mark=1), part="P-2")
    told["webhooks"].pop("dead")
    file.write_text(yaml.safe_dump(told))
    receiver.comes()
    with run_line(tmp_path / "home") as line:
        line.send(line.picture(mark=2), part="P-3")
        wait_for(lambda: parts(receiver.taken) == ["P-1", "P-2", "P-3"])
        wait_for(lambda: line.get("/outbound").json()["items"][1]["waiting"] == 0)
        assert line.get("/outbound").json()["items"][0]["state"] == "unknown"
        assert line.client.delete("/api/v1/outbound/mes", headers=line.head(Role.ADMIN)).status_code == 409
        assert line.client.delete("/api/v1/outbound/dead", headers=line.head(Role.ADMIN)).status_code == 204
        assert [one["name"] for one in line.get("/outbound").json()["items"]] == ["mes"]
        with line.context.database.read() as session:
            assert session.exec(select(OutboundMessage)).all() == []


def test_the_secret_is_nowhere_but_in_its_file(told, receiver, caplog):
    receiver.behaves(status=500)
    told.send(told.picture(), part="P-1")
    wait_for(lambda: mes(told)["failures"] >= 1)
    answers = told.get("/outbound").text + told.get("/health").text
    assert receiver.secret not in answers + caplog.text
