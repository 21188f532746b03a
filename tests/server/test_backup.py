"""A backup of a running system, and the drill: the house burns down, and everything is back."""

from __future__ import annotations

import json
import shutil
import threading

import pytest
from sqlmodel import select

from qc.errors import Conflict, InvalidInput, NotFound, Unavailable
from qc.records import Exposure
from server import audit_check
from server.access import Role
from server.backup import backup, restore
from server.cli import main
from server.clock import now
from server.db import sqlite_url
from server.judging import frames_of


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def url(home, database_of):
    return database_of(home)


def test_the_drill_a_backup_of_a_busy_server_brings_back_every_part_it_had_answered_for(run_line, tmp_path, home, url):
    answered: list[dict] = []
    stop = threading.Event()
    with run_line(home) as line:
        first = line.send(line.picture(dark=9), part="P-first", trigger_id="T-first").json()
        line.post(f"/inspections/{first['id']}/decision", Role.OPERATOR, json={"verdict": "ok", "reason": "a hair"})

        def go_on() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                pictures = [line.picture(mark=n % 70), line.picture(mark=n % 70, dark=5)]
                told = line.send(*pictures, part=f"P-{n}", trigger_id=f"T-{n}").json()
                answered.append(told)

        sender = threading.Thread(target=go_on)
        sender.start()
        try:
            while len(answered) < 3:
                stop.wait(0.02)
            known = [first, *answered]
            made = backup(home, url, tmp_path / "backup", now=now())
        finally:
            stop.set()
            sender.join()
    assert made.inspections >= len(known)
    shutil.rmtree(home)

    assert restore(tmp_path / "backup", home).inspections == made.inspections
    with run_line(home) as line:
        for told in known:
            back = line.get(f"/inspections/{told['id']}").json()
            assert (back["part"], back["verdict"]) == (told["part"], told["verdict"])
            for image in told["images"]:
                got = line.get(f"/inspections/{told['id']}/images/{image['n']}/original")
                assert got.status_code == 200
                assert got.headers["etag"] == f'"{image["sha256"]}"'
        assert line.get(f"/inspections/{first['id']}").json()["decision"]["reason"] == "a hair"
        again = line.send(line.picture(), part="P-first", trigger_id="T-first")
        assert (again.status_code, again.json()["id"]) == (200, first["id"])
        with line.context.database.read() as session:
            assert audit_check.verify(session)[0] >= made.entries


@pytest.fixture
def kept(run_line, tmp_path, home, url):
    """A small installation and its backup."""
    with run_line(home) as line:
        line.send(line.picture(dark=9), part="P-1")
    backup(home, url, tmp_path / "backup", now=now())
    return tmp_path / "backup"


def test_what_can_be_made_again_and_secrets_of_the_moment_stay_out(kept, home):
    names = json.loads((kept / "manifest.json").read_text())["files"]
    assert "qc.sqlite3" in names
    assert any(name.startswith("files/blobs/originals/") for name in names)
    assert "files/products/default.yaml" in names
    assert not any(name.startswith(("files/cache", "files/logs", "files/server.lock")) for name in names)
    assert (kept.stat().st_mode & 0o077) == 0


@pytest.mark.parametrize("what", ["altered", "missing"])
def test_a_damaged_backup_is_refused_by_the_name_of_the_file_and_nothing_is_restored(kept, tmp_path, what):
    picture = next((kept / "files/blobs/originals").rglob("*.png"))
    if what == "altered":
        data = bytearray(picture.read_bytes())
        data[len(data) // 2] ^= 1
        picture.write_bytes(bytes(data))
    else:
        picture.unlink()
    with pytest.raises(InvalidInput, match=picture.name):
        restore(kept, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert list(tmp_path.glob(".new*")) == []


def test_a_backup_that_points_outside_of_itself_is_refused(kept, tmp_path):
    manifest = json.loads((kept / "manifest.json").read_text())
    manifest["files"]["files/../../escaped"] = "0" * 64
    (kept / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InvalidInput, match="tampered"):
        restore(kept, tmp_path / "new")


def test_nothing_is_overwritten(kept, home, url, tmp_path):
    with pytest.raises(Conflict, match="not empty"):
        restore(kept, home)
    with pytest.raises(Conflict, match="exists already"):
        backup(home, url, kept, now=now())
    with pytest.raises(InvalidInput, match="no backup"):
        restore(tmp_path, tmp_path / "new")
    with pytest.raises(Unavailable, match="does not answer"):
        backup(home, "postgresql+psycopg://qc@127.0.0.1:9/qc", tmp_path / "x", now=now())
    with pytest.raises(NotFound, match="no database"):
        backup(home, sqlite_url(tmp_path / "none.sqlite3"), tmp_path / "x", now=now())


def test_a_picture_that_is_missing_is_said_and_no_backup_pretends_to_be_whole(run_line, tmp_path, home, url):
    with run_line(home) as line:
        line.send(line.picture(dark=9), part="P-1")
        with line.context.database.read() as session:
            key = session.exec(select(Exposure.original_key)).one()
    (home / "blobs" / key).unlink()
    with pytest.raises(Unavailable, match="missing"):
        backup(home, url, tmp_path / "backup", now=now())
    assert not (tmp_path / "backup").exists()


def test_the_commands_say_what_they_did(kept, home, url, tmp_path, monkeypatch, capsys):
    if not url.startswith("sqlite"):
        pytest.skip("what is said of PostgreSQL is a test of tests/contracts/test_backup_of_postgresql.py")
    monkeypatch.setenv("QC_HOME", str(home))
    assert main(["backup", str(tmp_path / "second")]) == 0
    assert "1 inspections" in capsys.readouterr().out
    monkeypatch.setenv("QC_HOME", str(tmp_path / "new"))
    assert main(["restore", str(tmp_path / "second")]) == 0
    said = capsys.readouterr().out
    assert "the audit trail is whole" in said
    assert "QC_DATABASE_URL" not in said
    assert main(["restore", str(tmp_path / "second")]) == 1
    assert "not empty" in capsys.readouterr().err

    other = tmp_path / "other.sqlite3"
    monkeypatch.setenv("QC_DATABASE_URL", sqlite_url(other))
    monkeypatch.setenv("QC_HOME", str(tmp_path / "newer"))
    assert main(["restore", str(tmp_path / "second")]) == 0
    assert "QC_DATABASE_URL names another database, which was not touched" in capsys.readouterr().out
    assert not other.exists()


def test_a_stored_picture_that_was_altered_is_not_judged_anew_as_if_it_were_the_parts(run_line, tmp_path, home):
    with run_line(home) as line:
        line.send(line.picture(dark=9), part="P-1")
        with line.context.database.read() as session:
            exposures = list(session.exec(select(Exposure)))
        context, key = line.context, exposures[0].original_key
        (whole,) = frames_of(exposures, context.blobs, context.decode)
        assert whole.sha256 == exposures[0].sha256
        (home / "blobs" / key).write_bytes(line.picture(dark=2))
        with pytest.raises(Unavailable, match=f"{key} is damaged"):
            frames_of(exposures, context.blobs, context.decode)
