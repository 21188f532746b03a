"""Whatever was altered afterwards, in the trail or in the rows, is found and named."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text

from qc.errors import Conflict
from server.access import Role
from server.audit_check import verify


@pytest.fixture
def busy(line):
    """A line with three verdicts and a decision on record, one after the other."""
    installed(line)
    ids = [line.send(line.picture(dark=5 * (n % 2)), part=f"P-{n}").json()["id"] for n in range(3)]
    line.post(f"/inspections/{ids[1]}/decision", Role.OPERATOR, json={"verdict": "ok", "reason": "a hair"})
    line.ids = ids
    return line


def installed(line) -> None:
    """Waits for the starter model: its installation is an entry, too, and must not fall between the others."""
    until = time.monotonic() + 60
    while not count(line, "SELECT count(*) FROM job WHERE kind = 'install_starter' AND state = 'done'"):
        assert time.monotonic() < until, "the starter model was never installed"
        time.sleep(0.02)


def count(line, statement: str) -> int:
    with line.context.database.read() as session:
        return session.execute(text(statement)).scalar()


def check(line) -> tuple[int, str]:
    with line.context.database.read() as session:
        return verify(session)


def alter(line, statement: str, **values: object) -> None:
    with line.context.database.write() as session:
        assert session.execute(text(statement), values).rowcount == 1
        session.commit()


def first_entry(line) -> int:
    """Entries before the first verdict: the installation of a model is on record, too."""
    return count(line, "SELECT min(n) FROM auditentry WHERE kind = 'verdict'")


def test_a_trail_that_nobody_touched_is_whole_and_ends_in_one_seal(busy):
    number, seal = check(busy)
    assert number == first_entry(busy) + 3
    assert len(seal) == 64
    assert check(busy) == (number, seal)


def test_an_altered_verdict_is_found_though_the_trail_is_whole(busy):
    alter(busy, "UPDATE inspection SET verdict = 'OK' WHERE id = :id", id=busy.ids[1])
    with pytest.raises(Conflict, match=busy.ids[1]) as found:
        check(busy)
    assert found.value.details["n"] == first_entry(busy) + 1


def test_a_picture_exchanged_afterwards_is_found(busy):
    alter(busy, "UPDATE exposure SET sha256 = 'another' WHERE inspection_id = :id", id=busy.ids[2])
    with pytest.raises(Conflict, match=busy.ids[2]):
        check(busy)


def test_an_altered_decision_is_found(busy):
    alter(busy, "UPDATE decision SET reason = 'clean' WHERE inspection_id = :id", id=busy.ids[1])
    with pytest.raises(Conflict, match="decision"):
        check(busy)


@pytest.mark.parametrize("column", ["body", "at", "by", "subject", "kind"])
def test_an_altered_entry_is_found_whatever_was_altered(busy, column):
    n = first_entry(busy)
    value = "2020-01-01 00:00:00.000000" if column == "at" else "altered"
    alter(busy, f'UPDATE auditentry SET "{column}" = :value WHERE n = :n', value=value, n=n)
    with pytest.raises(Conflict, match=f"entry {n} ") as found:
        check(busy)
    assert found.value.details["n"] == n


def test_every_byte_of_an_entry_counts_also_where_it_cannot_be_read_any_more(busy):
    if busy.context.database.dialect != "sqlite":
        pytest.skip("PostgreSQL takes no bytes that are no text, and no date that is none")
    n = first_entry(busy)
    for column in ("at", "kind", "subject", "by", "body", "seal"):
        with busy.context.database.read() as session:
            was = session.execute(text(f'SELECT CAST("{column}" AS BLOB) FROM auditentry WHERE n = {n}')).scalar()
        change = f'UPDATE auditentry SET "{column}" = CAST(:bytes AS TEXT) WHERE n = :n'
        places = range(0, len(was), 29 if column == "body" else 1)
        for place in places if column != "at" else [at for at in places if chr(was[at]).isdigit()]:
            for mask in (1, 0x80):  # another letter, and no letter at all
                altered = was[:place] + bytes([was[place] ^ mask]) + was[place + 1 :]
                alter(busy, change, bytes=altered, n=n)
                with pytest.raises(Conflict, match=f"entry {n} ") as found:
                    check(busy)
                assert found.value.details["n"] == n
        alter(busy, f'UPDATE auditentry SET "{column}" = :bytes WHERE n = :n', bytes=was, n=n)
        with pytest.raises(Conflict, match=f"entry {n} "):  # the same bytes, but no text
            check(busy)
        alter(busy, change, bytes=was, n=n)
    check(busy)


def test_a_row_that_cannot_be_read_any_more_is_found_by_its_entry(busy):
    if busy.context.database.dialect != "sqlite":
        pytest.skip("PostgreSQL takes no word that is none of the verdicts, and no date that is none")
    for column, junk in (("verdict", "xx"), ("received_at", "xx"), ("score", "xx")):
        was = count(busy, f"SELECT {column} FROM inspection WHERE id = '{busy.ids[2]}'")
        alter(busy, f"UPDATE inspection SET {column} = :junk WHERE id = :id", junk=junk, id=busy.ids[2])
        with pytest.raises(Conflict, match=busy.ids[2]):
            check(busy)
        alter(busy, f"UPDATE inspection SET {column} = :was WHERE id = :id", was=was, id=busy.ids[2])
    check(busy)


def test_a_missing_entry_is_found_in_the_middle_and_at_the_end(busy):
    n = first_entry(busy)
    alter(busy, "DELETE FROM auditentry WHERE n = :n", n=n + 3)
    with pytest.raises(Conflict, match="cut off"):
        check(busy)
    alter(busy, "DELETE FROM auditentry WHERE n = :n", n=n + 1)
    with pytest.raises(Conflict, match=f"entry {n + 1} is missing"):
        check(busy)


def test_a_verdict_and_its_entry_are_kept_together_or_not_at_all(line, monkeypatch):
    from server import audit

    def no_room(*_, **__):
        raise OSError("no room left")

    monkeypatch.setattr(audit, "record", no_room)
    answer = line.send(line.picture())
    assert answer.status_code == 503, "neither the verdict nor the failure could be recorded"
    (stored,) = line.get("/inspections").json()["items"]
    assert (stored["progress"], stored["verdict"]) == ("received", None)
    monkeypatch.undo()
    end = time.monotonic() + 30
    while line.get(f"/inspections/{stored['id']}").json()["verdict"] != "ok":
        assert time.monotonic() < end, "it was to be tried again"
        time.sleep(0.1)
    check(line)
    with line.context.database.read() as session:
        assert session.execute(text("SELECT count(*) FROM auditentry WHERE kind = 'verdict'")).scalar() == 1
