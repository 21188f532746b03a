"""Signed checkpoints outside: whatever is done to the trail, its end or the file, is found and named."""

from __future__ import annotations

import json
import stat
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlmodel import select

from qc.errors import Conflict, InvalidInput
from server import audit, checkpoint
from server.audit import FIRST, AuditEntry, canonical, seal_of
from server.audit_check import verify
from server.cli import main


@pytest.fixture
def trail(line, tmp_path):
    """A trail of some entries that belong to no row, and a signed checkpoint in its middle and at its end."""
    line.file = tmp_path / "elsewhere" / "checkpoints.jsonl"
    context = line.context
    line.context.parts.pop("jobs").stop()
    key = checkpoint.signing_key(context.settings.home.resolve())
    for part in (4, 5):
        with context.database.write() as session:
            for n in range(part):
                body = {"from": "shadow", "to": "advise", "n": n}
                audit.record(session, "station mode", f"S-{n}", body, by="eva", at=context.now())
            session.commit()
        with context.database.read() as session:
            checkpoint.append(line.file, checkpoint.sign(session, key, now=context.now()))
    return line


def check(line, **options) -> int:
    with line.context.database.read() as session:
        verify(session)
        return checkpoint.check(session, checkpoint.read(line.file), **options)


def alter(line, statement, **values):
    with line.context.database.write() as session:
        session.execute(text(statement), values)
        session.commit()


def reseal(line):
    """What a forger would do: seal every entry anew, so that the chain is whole again."""
    with line.context.database.write() as session:
        seal = FIRST
        for entry in session.exec(select(AuditEntry).order_by(AuditEntry.n)):
            seal = entry.seal = seal_of(seal, entry)
        session.commit()


def test_an_untouched_trail_agrees_with_what_was_signed(trail):
    assert check(trail) == 2
    assert check(trail, key=checkpoint.public_key(trail.context.settings.home)) == 2
    file = trail.context.settings.home / checkpoint.KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_trail_that_was_written_anew_from_an_entry_on_is_found(trail):
    alter(trail, "UPDATE auditentry SET body = :body WHERE n = 2", body=canonical({"to": "decide"}))
    reseal(trail)
    with trail.context.database.read() as session:
        verify(session)  # the chain alone cannot tell
    with pytest.raises(Conflict, match="written anew"):
        check(trail)


def test_an_end_that_was_cut_off_is_found(trail):
    alter(trail, "DELETE FROM auditentry WHERE n > (SELECT max(n) - 2 FROM auditentry)")
    with trail.context.database.read() as session:
        verify(session)
    with pytest.raises(Conflict, match="its end is cut off"):
        check(trail)


def test_a_checkpoint_that_was_altered_forged_or_put_elsewhere_is_found(trail, tmp_path):
    first, second = checkpoint.read(trail.file)
    strange = checkpoint.signing_key(tmp_path / "another")
    with trail.context.database.read() as session:
        forged = checkpoint.sign(session, strange, now=trail.context.now())
        for wrong, why in (
            ([replace(first, at="2020-01-01T00:00:00+00:00"), second], "altered"),
            ([replace(first, signature=second.signature), second], "altered"),
            ([replace(first, signature="nonsense"), second], "altered"),
            ([second, first], "out of order"),
            ([first, forged], "another key"),
        ):
            with pytest.raises(Conflict, match=why):
                checkpoint.check(session, wrong)
        with pytest.raises(Conflict, match="another key"):
            checkpoint.check(session, [forged], key=first.key)
    trail.file.write_text("nonsense\n")
    with pytest.raises(InvalidInput, match="line 1"):
        checkpoint.read(trail.file)


def test_any_byte_of_any_entry_altered_is_found_with_its_place(trail):
    """Every column of every entry, one change each; then entries removed, put elsewhere, and slipped in."""
    with trail.context.database.read() as session:
        entries = [entry.model_dump() for entry in session.exec(select(AuditEntry).order_by(AuditEntry.n))]
    columns = ("kind", "subject", "by", "body", "seal")
    for entry in entries:
        for name in columns:
            old = entry[name]
            for place in range(0, len(old), 7):
                new = old[:place] + chr(ord(old[place]) ^ 1) + old[place + 1 :]
                _found(trail, entry["n"], f'UPDATE auditentry SET "{name}" = :new WHERE n = :n', new=new, n=entry["n"])
    for entry in entries[:-1]:
        _found(trail, entry["n"], "DELETE FROM auditentry WHERE n = :n", n=entry["n"])


def _found(trail, entry, statement, **values) -> None:
    with trail.context.database.write() as session:
        session.execute(text(statement), values)
        with pytest.raises(Conflict) as found:
            verify(session)
        assert found.value.details["n"] == entry, (statement, values)
        session.rollback()


def test_entries_that_change_places_or_are_slipped_in_are_found(trail):
    with trail.context.database.write() as session:
        session.execute(text("UPDATE auditentry SET n = -1 WHERE n = 3"))
        session.execute(text("UPDATE auditentry SET n = 3 WHERE n = 4"))
        session.execute(text("UPDATE auditentry SET n = 4 WHERE n = -1"))
        with pytest.raises(Conflict, match="entry 3 "):
            verify(session)
        session.rollback()
        last = session.execute(text("SELECT max(n) FROM auditentry")).scalar()
        session.execute(
            text("INSERT INTO auditentry SELECT n + 1, at, kind, subject, by, body, seal FROM auditentry WHERE n = :n"),
            {"n": last},
        )
        with pytest.raises(Conflict, match=f"entry {last + 1} "):
            verify(session)


def test_the_command_line_signs_prints_the_key_and_verifies(trail, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("QC_HOME", str(trail.context.settings.home))
    monkeypatch.setenv("QC_DATABASE_URL", trail.context.settings.db_url)
    assert main(["audit", "key"]) == 0
    key = capsys.readouterr().out.strip()
    assert main(["audit", "sign", "--checkpoints", str(trail.file)]) == 0
    assert [json.loads(line)["key"] for line in trail.file.read_text().splitlines()] == [key] * 3
    assert main(["audit", "verify", "--checkpoints", str(trail.file), "--key", key]) == 0
    assert "agrees with 3 signed checkpoints" in capsys.readouterr().out
    alter(trail, "DELETE FROM auditentry WHERE n = (SELECT max(n) FROM auditentry)")
    assert main(["audit", "verify", "--checkpoints", str(trail.file)]) == 1
    assert "cut off" in capsys.readouterr().err
    assert main(["audit", "verify"]) == 0
