"""A word that was not meant is taken back: by whoever said it, soon, and as a word of its own."""

from __future__ import annotations

import uuid
from datetime import timedelta

from sqlmodel import select

from labeling.records import LabelTask
from qc.records import Decision
from server import audit
from server.access import Role
from server.word_records import Undo


def id_of(moment, tail: int = 0) -> str:
    """A UUID of version 7 as a page makes it."""
    return str(uuid.UUID(int=int(moment.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | tail))


def say(line, part, verdict: str, role: Role = Role.OPERATOR, **word) -> dict:
    answer = line.post(f"/inspections/{part['id']}/decision", role, json={"verdict": verdict, **word})
    assert answer.status_code == 201, answer.text
    return answer.json()["decision"]


def take_back(line, part, decision: str, role: Role = Role.OPERATOR, **word):
    return line.post(f"/inspections/{part['id']}/undo", role, json={"decision": decision, **word})


def rows(line, table) -> list:
    with line.context.database.read() as session:
        return list(session.exec(select(table)))


def test_what_stood_before_stands_again_and_nothing_is_deleted(line):
    part = line.send(line.picture()).json()
    first = say(line, part, "ok", Role.ENGINEER)
    second = say(line, part, "ng", reason="a scratch")
    assert take_back(line, part, first["id"], Role.ENGINEER).status_code == 409, "another word was said since"
    assert take_back(line, part, second["id"], Role.LEADER).status_code == 409, "it is somebody else's"
    for _ in range(2):
        assert take_back(line, part, second["id"]).json()["decision"]["id"] == first["id"]
    assert take_back(line, part, first["id"], Role.ENGINEER).json()["decision"] is None
    assert len(rows(line, Decision)) == 2
    assert len(rows(line, Undo)) == 2
    with line.context.database.read() as session:
        kinds = [entry.kind for entry in audit.naming(session, "P-1", {row.id for row in rows(line, Undo)})]
    assert [kind for kind in kinds if "undone" in kind] == ["decision undone", "decision undone"]
    assert say(line, part, "ng", reason="a scratch")["verdict"] == "ng", "and may be said again"


def test_a_word_is_taken_back_soon_by_when_it_was_said_not_by_when_it_came(line):
    now = line.context.now()
    old, late = (line.send(line.picture(mark=n), part=f"P-{n}").json() for n in (1, 2))
    word = say(line, old, "ok")
    three = timedelta(minutes=3)
    line.context.now = lambda: now + three
    answer = take_back(line, old, word["id"])
    assert answer.status_code == 409
    assert "within 120 s" in answer.json()["error"]["message"]
    said = say(line, late, "ok", id=id_of(now + timedelta(seconds=30)))
    undone = take_back(line, late, said["id"], id=id_of(now + timedelta(seconds=90)))
    assert undone.status_code == 201, "both words waited on a computer while the server was away"


def test_the_label_task_of_a_slip_goes_with_it_while_nobody_else_knows_of_it(line):
    part = line.send(line.picture()).json()
    word = say(line, part, "ng")
    assert {task.state.value for task in rows(line, LabelTask)} == {"open"}
    take_back(line, part, word["id"])
    assert {task.state.value for task in rows(line, LabelTask)} == {"cancelled"}
    say(line, part, "ng", reason="a scratch after all")
    assert {task.state.value for task in rows(line, LabelTask)} == {"open"}


def test_the_call_that_a_slip_answered_is_open_again(line):
    part = line.send(line.picture()).json()
    due = line.post(f"/inspections/{part['id']}/call", Role.OPERATOR, json={}).json()["call"]["due_at"]
    word = say(line, part, "ok")
    call = take_back(line, part, word["id"]).json()["call"]
    assert (call["state"], call["due_at"], call["verdict"]) == ("open", due, None), "with the time that it had"
