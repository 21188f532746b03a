"""What a camera's software writes into the inbox is inspected, exactly once."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time

import pytest
from sqlmodel import select

from qc.records import Exposure, Inspection
from server.ingest import claims


def wait_for(condition, seconds: float = 30.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def inspected(line) -> dict[str, dict]:
    return {item["part"]: item for item in line.get("/inspections").json()["items"] if item["progress"] == "done"}


def test_files_are_taken_with_their_station_part_and_views_and_the_inbox_is_left_empty(line):
    inbox = line.context.settings.home / "inbox"
    (inbox / "S-1" / "P-2").mkdir(parents=True)
    (inbox / "S-1" / "P-1__top.png").write_bytes(line.picture(dark=9))
    (inbox / "S-1" / "P-2" / "left.png").write_bytes(line.picture())
    (inbox / "S-1" / "P-2" / "right.jpg").write_bytes(line.picture(ending=".jpg"))
    (inbox / "S-1" / "P-3.png").write_bytes(line.picture())
    found = wait_for(lambda: (now := inspected(line)) and len(now) == 3 and now)
    assert found["P-1"]["verdict"] == "ng"
    assert [image["view"] for image in found["P-1"]["images"]] == ["top"]
    assert [image["view"] for image in found["P-2"]["images"]] == ["left", "right"]
    assert [image["view"] for image in found["P-3"]["images"]] == [""]
    assert {item["station"] for item in found.values()} == {"S-1"}
    wait_for(lambda: not [file for file in inbox.rglob("*") if file.is_file()])
    assert not (inbox / "S-1" / "P-2").exists()


def test_a_file_that_is_still_being_written_is_left_alone_until_it_is_closed(line):
    inbox = line.context.settings.home / "inbox" / "S-1"
    inbox.mkdir(parents=True)
    data = line.picture(dark=9)
    with (inbox / "P-slow.png").open("wb") as out:
        out.write(data[: len(data) // 2])
        out.flush()
        (inbox / "P-quick.png").write_bytes(line.picture())
        wait_for(lambda: "P-quick" in inspected(line))
        time.sleep(1.0)  # longer than the settle time and the patience together
        assert "P-slow" not in inspected(line)
        assert not list((line.context.settings.home / "rejected").rglob("*"))
        out.write(data[len(data) // 2 :])
    assert wait_for(lambda: inspected(line).get("P-slow"))["verdict"] == "ng"


def test_a_file_by_its_own_account_unfinished_waits_for_its_renaming(line):
    inbox = line.context.settings.home / "inbox" / "S-1"
    inbox.mkdir(parents=True)
    (inbox / "P-1.png.part").write_bytes(line.picture(mark=1))
    (inbox / ".P-2.png").write_bytes(line.picture())
    (inbox / "P-3.png").write_bytes(line.picture())
    wait_for(lambda: "P-3" in inspected(line))
    assert set(inspected(line)) == {"P-3"}
    (inbox / "P-1.png.part").rename(inbox / "P-1.png")
    wait_for(lambda: "P-1" in inspected(line))


def test_a_bad_file_goes_to_rejected_with_the_reason_beside_it_and_the_line_goes_on(line):
    home = line.context.settings.home
    inbox = home / "inbox" / "S-1"
    inbox.mkdir(parents=True)
    (inbox / "P-bad.png").write_bytes(b"no picture at all")
    (inbox / "P-cut.jpg").write_bytes(line.picture(ending=".jpg")[:200])
    (home / "inbox" / "stray.png").write_bytes(line.picture())
    (inbox / "P-good.png").write_bytes(line.picture())
    wait_for(lambda: "P-good" in inspected(line))
    rejected = home / "rejected"
    wait_for(lambda: len(list(rejected.rglob("*.reason.txt"))) == 3)
    assert (rejected / "S-1" / "P-bad.png").read_bytes() == b"no picture at all"
    assert "not a JPEG" in (rejected / "S-1" / "P-bad.png.reason.txt").read_text()
    assert "station" in (rejected / "stray.png.reason.txt").read_text()
    assert set(inspected(line)) == {"P-good"}
    health = line.get("/health").json()["components"]["folder"]
    assert (health["state"], health["rejected"]) == ("ok", 3)


def test_files_that_lie_there_when_the_server_starts_are_taken(run_line, tmp_path):
    inbox = tmp_path / "inbox" / "S-1"
    inbox.mkdir(parents=True)
    with run_line(tmp_path / "other") as other:
        (inbox / "P-1.png").write_bytes(other.picture())
    with run_line(tmp_path) as line:
        wait_for(lambda: "P-1" in inspected(line))


def test_a_crash_between_storing_and_clearing_away_doubles_nothing(run_line, tmp_path):
    inbox = tmp_path / "inbox"
    with run_line(tmp_path, inbox_keep=True) as line:
        (inbox / "S-1" / "P-1").mkdir(parents=True)
        for view in ("left", "right"):
            (inbox / "S-1" / "P-1" / f"{view}.png").write_bytes(line.picture(dark=5 if view == "left" else 0))
        wait_for(lambda: "P-1" in inspected(line))
        wait_for(lambda: (inbox / ".done" / "S-1" / "P-1" / "right.png").exists())
        wait_for(lambda: not list((inbox / ".claims").iterdir()))
    # as a kill -9 leaves it: the claim written, the inspection stored, one of the two files not yet cleared away
    hashes = {f"S-1/P-1/{view}.png": "" for view in ("left", "right")}
    for name in hashes:
        hashes[name] = hashlib.sha256((inbox / ".done" / name).read_bytes()).hexdigest()
    claims.write(inbox, "S-1", "P-1", hashes)
    (inbox / "S-1" / "P-1").mkdir(parents=True)
    shutil.move(inbox / ".done" / "S-1" / "P-1" / "right.png", inbox / "S-1" / "P-1" / "right.png")
    with run_line(tmp_path, inbox_keep=True) as line:
        wait_for(lambda: not list((inbox / ".claims").iterdir()) and not (inbox / "S-1" / "P-1").exists())
        with line.context.database.read() as session:
            assert len(session.exec(select(Inspection)).all()) == 1
            assert len(session.exec(select(Exposure)).all()) == 2


def test_a_crash_before_storing_loses_nothing(run_line, tmp_path):
    inbox = tmp_path / "inbox"
    (inbox / "S-1").mkdir(parents=True)
    with run_line(tmp_path / "other") as other:
        picture = other.picture(dark=5)
    (inbox / "S-1" / "P-1.png").write_bytes(picture)
    claims.write(inbox, "S-1", "P-1", {"S-1/P-1.png": "whatever it was when the claim was written"})
    with run_line(tmp_path) as line:
        wait_for(lambda: "P-1" in inspected(line))
        wait_for(lambda: not list((inbox / ".claims").iterdir()))


def test_an_old_modification_time_does_not_make_a_growing_file_finished(line):
    inbox = line.context.settings.home / "inbox" / "S-1"
    inbox.mkdir(parents=True)
    file = inbox / "P-1.png"
    file.write_bytes(line.picture())
    os.utime(file, (1, 1))
    wait_for(lambda: "P-1" in inspected(line))


@pytest.mark.parametrize("keeps", [False, True])
def test_a_file_that_cannot_be_taken_away_holds_up_no_other(run_line, tmp_path, monkeypatch, keeps):
    really, stuck = {"unlink": os.unlink, "rename": os.rename}, ("left.png", "bad.png")

    def refusing(name):
        def call(path, *rest, **more):
            if os.path.basename(path) in stuck and "inbox" in os.fspath(path) and ".done" not in os.fspath(path):
                raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
            return really[name](path, *rest, **more)

        return call

    with run_line(tmp_path / "home", inbox_keep=keeps) as line:
        for name in really:
            monkeypatch.setattr(os, name, refusing(name))
        home = line.context.settings.home
        first, other = home / "inbox" / "A" / "P-1", home / "inbox" / "B"
        for folder in (first, other):
            folder.mkdir(parents=True)
        (first / "left.png").write_bytes(line.picture(mark=1))
        (first / "right.png").write_bytes(line.picture(mark=2))
        (home / "inbox" / "bad.png").write_bytes(b"no picture, and no station")
        wait_for(lambda: "P-1" in inspected(line))
        inbox = line.context.parts["folder"]
        wait_for(lambda: inbox.state().get("stuck") == 2)
        (other / "P-2.png").write_bytes(line.picture(mark=3))
        wait_for(lambda: "P-2" in inspected(line) and not (other / "P-2.png").exists())
        assert wait_for(lambda: inbox.state().get("stuck") == 2), "which is said, also after other parts"
        assert "check its permissions" in inbox.state()["message"]
        assert [file.name for file in first.iterdir()] == ["left.png"]
        monkeypatch.undo()
        wait_for(lambda: inbox.state()["state"] == "ok" and not first.exists())
        with line.context.database.read() as session:
            assert sorted(session.exec(select(Inspection.part))) == ["P-1", "P-2"]
        assert not list((home / "inbox" / ".claims").glob("*.json"))
        assert [file.name for file in (home / "rejected").rglob("*.png")] == ["bad.png"], "not a copy for each look"
