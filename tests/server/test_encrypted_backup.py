"""An encrypted backup comes back with its key; once something was erased, earlier ones can be read no more."""

from __future__ import annotations

import shutil
import time

import pytest

from qc.errors import InvalidInput
from server.access import Role
from server.cli import main
from server.encrypted_backup import CONTENT, decrypt


@pytest.fixture
def home(tmp_path, monkeypatch, database_of):
    monkeypatch.setenv("QC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QC_DATABASE_URL", database_of(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def keys(tmp_path):
    return tmp_path / "stick"


def fill(run_line, home, *parts: str) -> None:
    with run_line(home) as line:
        for part in parts:
            line.send(line.picture(dark=9), part=part, trigger_id=part)


def everything(folder) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def test_it_comes_back_with_its_key_and_says_nothing_without(run_line, tmp_path, home, keys, monkeypatch, capsys):
    fill(run_line, home, "Smith-4711", "P-2")
    assert main(["backup", str(tmp_path / "out"), "--keys", str(keys)]) == 0
    assert not list(home.glob(".*")), "no plain copy is left"
    assert b"Smith-4711" not in everything(tmp_path / "out")
    shutil.rmtree(home)
    monkeypatch.delenv("QC_DATABASE_URL")

    assert main(["restore", str(tmp_path / "out")]) == 1
    assert "--keys" in capsys.readouterr().err
    assert main(["restore", str(tmp_path / "out"), "--keys", str(tmp_path / "another")]) == 1
    assert "key of this backup is not in" in capsys.readouterr().err
    assert not home.exists()

    assert main(["restore", str(tmp_path / "out"), "--keys", str(keys)]) == 0
    with run_line(home) as line:
        assert {item["part"] for item in line.get("/inspections").json()["items"]} == {"Smith-4711", "P-2"}


def test_after_an_erasure_earlier_backups_can_be_read_no_more(run_line, tmp_path, home, keys, monkeypatch, capsys):
    fill(run_line, home, "Smith-4711", "P-2")
    assert main(["backup", str(tmp_path / "before"), "--keys", str(keys)]) == 0
    assert main(["backup", str(tmp_path / "before2"), "--keys", str(keys)]) == 0
    assert len(list(keys.iterdir())) == 2, "nothing was erased: both can be read"
    with run_line(home) as line:
        asked = line.post("/erasures", Role.ADMIN, json={"part": "Smith-4711", "reason": "asked"}).json()["id"]
        until = time.monotonic() + 60
        while line.get(f"/jobs/{asked}").json()["state"] != "done":
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.02)
    capsys.readouterr()
    assert main(["backup", str(tmp_path / "after"), "--keys", str(keys)]) == 0
    assert "keys of 2 earlier backups were destroyed" in capsys.readouterr().out
    shutil.rmtree(home)
    monkeypatch.delenv("QC_DATABASE_URL")
    for old in ("before", "before2"):
        assert main(["restore", str(tmp_path / old), "--keys", str(keys)]) == 1
    assert main(["restore", str(tmp_path / "after"), "--keys", str(keys)]) == 0
    with run_line(home) as line:
        assert {item["part"] for item in line.get("/inspections").json()["items"]} == {"P-2"}


@pytest.mark.parametrize("damage", ["a byte", "cut", "a chunk less", "two chunks swapped", "appended"])
def test_every_damage_is_found(run_line, tmp_path, home, keys, damage):
    fill(run_line, home, "P-1")
    # not to be compressed away, and of several chunks
    (home / "products" / "notes.bin").write_bytes(bytes(range(256)) * (4 << 12))
    assert main(["backup", str(tmp_path / "out"), "--keys", str(keys)]) == 0
    file = tmp_path / "out" / CONTENT
    data, chunk = bytearray(file.read_bytes()), (1 << 20) + 16
    assert len(data) > 3 * chunk
    if damage == "a byte":
        data[2 * chunk + 5] ^= 1
    elif damage == "cut":
        del data[-chunk:]
    elif damage == "a chunk less":
        del data[chunk : 2 * chunk]
    elif damage == "two chunks swapped":
        data[:chunk], data[chunk : 2 * chunk] = data[chunk : 2 * chunk], data[:chunk]
    else:
        data += data[:chunk]
    file.write_bytes(data)
    with pytest.raises(InvalidInput, match="altered or cut short"):
        decrypt(tmp_path / "out", tmp_path / "plain", keys)


def test_keys_are_not_kept_beside_what_they_lock(run_line, tmp_path, home, capsys):
    fill(run_line, home, "P-1")
    assert main(["backup", str(tmp_path / "out"), "--keys", str(home / "keys")]) == 1
    assert "another disk" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def on_the_page(line) -> list[dict]:
    """Asks for a backup and waits for it; all that there are then."""
    job = line.post("/backups", Role.ADMIN).json()["id"]
    until = time.monotonic() + 60
    while line.get(f"/jobs/{job}").json()["state"] in ("waiting", "running"):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    done = line.get(f"/jobs/{job}").json()
    assert done["state"] == "done", done["problem"]
    return line.get("/backups", Role.ADMIN).json()["items"]


def test_a_backup_that_is_asked_for_on_the_page_is_encrypted_too(run_line, tmp_path, home, keys, monkeypatch):
    with run_line(home, backups=tmp_path / "disk", backup_keys=keys) as line:
        line.send(line.picture(dark=9), part="Smith-4711", trigger_id="1")
        line.send(line.picture(), part="P-2", trigger_id="2")
        (first,) = on_the_page(line)
        assert (first["inspections"], first["files"] > 0, first["entries"] > 0) == (2, True, True)
        assert b"Smith-4711" not in everything(tmp_path / "disk")
        assert not list(home.glob(".backup*")), "no plain copy is left"
        erased = line.post("/erasures", Role.ADMIN, json={"part": "Smith-4711", "reason": "asked for"}).json()["id"]
        until = time.monotonic() + 60
        while line.get(f"/jobs/{erased}").json()["state"] != "done":
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.02)
        time.sleep(max(0.0, 1.0 - time.time() % 1))  # a backup is named by its second
        (second,) = on_the_page(line)  # the first can be read no more, and is gone
        assert second["name"] != first["name"]
    assert len(list(keys.iterdir())) == 1
    shutil.rmtree(home)
    monkeypatch.delenv("QC_DATABASE_URL")
    assert main(["restore", str(tmp_path / "disk" / second["name"]), "--keys", str(keys)]) == 0
    with run_line(home) as line:
        assert {item["part"] for item in line.get("/inspections").json()["items"]} == {"P-2"}


def test_plain_backups_of_the_page_do_not_outlive_an_erasure_either(run_line, tmp_path, home):
    with run_line(home, backups=tmp_path / "disk") as line:
        line.send(line.picture(dark=9), part="Smith-4711", trigger_id="1")
        line.send(line.picture(), part="P-2", trigger_id="2")
        (first,) = on_the_page(line)
        time.sleep(max(0.0, 1.0 - time.time() % 1))  # a backup is named by its second
        assert len(on_the_page(line)) == 2, "nothing was erased: both stay"
        erased = line.post("/erasures", Role.ADMIN, json={"part": "Smith-4711", "reason": "asked for"}).json()["id"]
        until = time.monotonic() + 120
        while line.get(f"/jobs/{erased}").json()["state"] != "done":
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.02)
        assert b"Smith-4711" in everything(tmp_path / "disk")
        time.sleep(max(0.0, 1.0 - time.time() % 1))
        (left,) = on_the_page(line)
        trail = line.get("/audit", Role.ADMIN, params={"kind": "backup.removed"}).json()["items"]
    assert left["inspections"] == 1
    assert b"Smith-4711" not in everything(tmp_path / "disk")
    assert first["name"] in [entry["subject"] for entry in trail]


def test_keys_within_the_installation_are_refused(run_line, home):
    with run_line(home, backup_keys=home / "keys") as line:
        job = line.post("/backups", Role.ADMIN).json()["id"]
        until = time.monotonic() + 60
        while (told := line.get(f"/jobs/{job}").json())["state"] not in ("done", "failed"):
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.02)
    assert "QC_BACKUP_KEYS" in told["problem"]
