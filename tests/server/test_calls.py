"""Unsure: the team leader is called, has a limited time, and a part is never ok because nobody came."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

import pytest

from server import audit, calling
from server.access import Role


def id_of(moment, tail: int = 0) -> str:
    """A UUID of version 7 as a page makes it."""
    return str(uuid.UUID(int=int(moment.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | tail))


def call(line, part, role: Role = Role.OPERATOR, **word):
    return line.post(f"/inspections/{part['id']}/call", role, json={"question": "a shadow or a dent?", **word})


def say(line, part, verdict: str, role: Role = Role.OPERATOR, **word):
    return line.post(f"/inspections/{part['id']}/decision", role, json={"verdict": verdict, **word})


def shown(line, part) -> dict:
    return line.get(f"/inspections/{part['id']}").json()


def until(true):
    """What `true` gives once it gives something."""
    deadline = time.monotonic() + 30
    while not (found := true()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return found


def doubts(line, text: str) -> None:
    """The default product's file gets a section `doubt`."""
    file = line.context.policies.folder / "default.yaml"
    file.write_text(f"product: default\ndoubt: {text}\n", encoding="utf-8")


def test_the_team_leader_answers_a_call_with_a_reason_and_that_is_their_decision(line):
    part = line.send(line.picture()).json()
    made = call(line, part).json()["call"]
    assert (made["state"], made["by"], made["verdict"]) == ("open", "operator key", None)
    [waiting] = line.get("/calls?only_open=true", Role.LEADER).json()["items"]
    assert (waiting["part"], waiting["question"], waiting["said"]) == ("P-1", "a shadow or a dent?", "ok")

    path, word = f"/calls/{waiting['id']}/answer", {"verdict": "ng", "reason": "a dent, by touch"}
    assert line.post(path, Role.OPERATOR, json=word).status_code == 403, "nobody answers their own question"
    assert line.post(path, Role.LEADER, json={"verdict": "ng", "reason": " "}).status_code == 422
    assert line.post(path, Role.LEADER, json=word).json()["state"] == "answered"
    assert line.post(path, Role.LEADER, json=word).status_code == 409

    after = shown(line, part)
    assert (after["decision"]["verdict"], after["decision"]["by"]) == ("ng", "leader key")
    assert (after["call"]["state"], after["call"]["reason"]) == ("answered", "a dent, by touch")
    assert line.get("/calls?only_open=true").json()["items"] == []


@pytest.mark.parametrize("then", ["ng", "review"])
def test_a_call_that_nobody_answers_leaves_the_part_as_its_product_says_for_doubt(line, then):
    doubts(line, f"{{seconds: 500, stations: {{S-1: 1}}, then: {then}}}")
    part = line.send(line.picture()).json()
    assert part["verdict"] == "ok"
    call(line, part)
    told = until(lambda: (one := shown(line, part)["call"])["state"] == "expired" and one)
    assert told["verdict"] == then, "never ok"
    assert shown(line, part)["decision"] is None, "what nobody said is no evidence about the model"
    [one] = line.get("/calls").json()["items"]
    assert (one["state"], one["then"]) == ("expired", then)


def test_a_call_is_ended_by_a_server_that_starts_after_its_time(run_line, tmp_path):
    with run_line(tmp_path / "home") as line:
        doubts(line, "{seconds: 2}")
        part = line.send(line.picture()).json()
        assert call(line, part).status_code == 201
    time.sleep(2.1)  # the time runs while nobody is there
    with run_line(tmp_path / "home") as line:
        until(lambda: shown(line, part)["call"]["state"] == "expired")


def test_a_call_that_comes_twice_is_one_and_a_decided_part_needs_none(line):
    part = line.send(line.picture()).json()
    id = id_of(line.context.now())
    for _ in range(2):
        assert call(line, part, id=id).json()["call"]["id"] == id
    assert call(line, part).json()["call"]["id"] == id, "a key pressed twice calls once"
    assert call(line, part, Role.ENGINEER).status_code == 409
    assert call(line, part, id=str(uuid.uuid4())).status_code == 422

    say(line, part, "ok")
    assert shown(line, part)["call"]["state"] == "answered", "whoever called may decide after all"
    assert call(line, part).status_code == 409
    assert "take that word back" in call(line, part).json()["error"]["message"]


def test_two_who_call_in_the_same_moment_make_one_call(line, monkeypatch):
    part = line.send(line.picture()).json()
    monkeypatch.setattr(calling, "open_of", lambda *_: None)  # what the second sees before the first one's commit
    assert call(line, part).status_code == 201
    assert call(line, part, Role.ENGINEER).status_code == 409
    assert len(line.get("/calls").json()["items"]) == 1


def test_whoever_called_takes_the_call_back_and_nobody_else(line):
    part = line.send(line.picture()).json()
    id = call(line, part).json()["call"]["id"]
    assert line.post(f"/calls/{id}/withdraw", Role.LEADER).status_code == 409
    for _ in range(2):
        assert line.post(f"/calls/{id}/withdraw", Role.OPERATOR).json()["call"] is None
    assert line.get("/calls").json()["items"][0]["state"] == "withdrawn"
    assert call(line, part).json()["call"]["state"] == "open", "and may call again"


def test_a_word_said_before_the_call_does_not_answer_it(line):
    part = line.send(line.picture()).json()
    now = line.context.now()
    call(line, part, id=id_of(now))
    say(line, part, "ok", Role.ENGINEER, id=id_of(now - timedelta(seconds=1)))
    assert shown(line, part)["call"]["state"] == "open", "somebody was unsure after that"


def test_whatever_came_of_calls_is_in_the_trail_and_goes_out_live(line):
    heard: list[str] = []
    line.context.events.call("call", lambda event: heard.append(event.data["state"]))
    part = line.send(line.picture()).json()
    id = call(line, part).json()["call"]["id"]
    line.post(f"/calls/{id}/answer", Role.LEADER, json={"verdict": "ok", "reason": "a reflection"})
    with line.context.database.read() as session:
        kinds = [entry.kind for entry in audit.naming(session, "P-1", {id})]
    assert [kind for kind in kinds if kind.startswith("call")] == ["call", "call answered"]
    until(lambda: heard == ["open", "answered"])


@pytest.mark.parametrize(
    "text",
    ["{seconds: 0}", "{then: ok}", "{stations: 5}", "{minutes: 5}", "7", "{seconds: true}", "{stations: {a: x}}"],
)
def test_rules_for_doubt_that_make_no_sense_are_named(line, text):
    doubts(line, text)
    assert "default.yaml" in line.context.policies.problems()
