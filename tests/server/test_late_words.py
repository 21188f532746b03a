"""A word said while the server was away comes later, perhaps twice: it counts once, and for when it was said."""

from __future__ import annotations

import uuid
from datetime import timedelta

from sqlmodel import select

from qc.records import Decision
from server.access import Role


def id_of(moment, tail: int = 0) -> str:
    """A UUID of version 7 as a page makes it."""
    return str(uuid.UUID(int=int(moment.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | tail))


def say(line, part, verdict: str, id: str | None = None, role: Role = Role.OPERATOR):
    body = {"verdict": verdict, "reason": "seen", **({"id": id} if id else {})}
    return line.post(f"/inspections/{part['id']}/decision", role, json=body)


def words(line) -> list[tuple[str, str]]:
    with line.context.database.read() as session:
        return [(row.id, row.verdict.value) for row in session.exec(select(Decision).order_by(Decision.id))]


def test_a_word_that_comes_twice_counts_once_and_a_late_one_does_not_outdo_a_newer(line):
    part = line.send(line.picture(dark=20)).json()
    now = line.context.now()
    early, late = id_of(now, 1), id_of(now + timedelta(seconds=20), 2)
    assert say(line, part, "ng", late, Role.ENGINEER).json()["decision"]["verdict"] == "ng"
    for _ in range(3):
        answer = say(line, part, "ok", early)
        assert (answer.status_code, answer.json()["decision"]["verdict"]) == (201, "ng"), "what was said last stands"
    assert words(line) == [(early, "ok"), (late, "ng")]


def test_an_id_is_of_one_word_and_of_a_moment_at_which_the_part_was_there(line):
    part = line.send(line.picture(dark=20)).json()
    now = line.context.now()
    assert say(line, part, "ok", id_of(now)).status_code == 201
    assert say(line, part, "ng", id_of(now)).status_code == 409
    for wrong in (id_of(now - timedelta(hours=1)), id_of(now + timedelta(hours=1)), str(uuid.uuid4()), "x"):
        assert say(line, part, "ng", wrong).status_code == 422
    assert len(words(line)) == 1
