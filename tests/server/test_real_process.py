"""A real server process on a real port: what it prints, what a kill -9 costs, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import per_home
import pytest
from sqlmodel import select

from qc.records import Exposure, Inspection
from server.audit import AuditEntry
from server.db import Database

HERE = Path(__file__).parent
QC = [sys.executable, "-m", "server"]


def environment(home: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("QC_")},
        "QC_HOME": str(home),
        **per_home.environment(home),
        "PORT": "0",
        "QC_LABEL_STUDIO": "false",
        "QC_RETRAIN_CRON": "",
        "PYTHONPATH": str(HERE.parents[1]),
    }


@contextmanager
def running(home: Path, *, seconds: float = 0.0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process that is able to inspect, and its address."""
    command = [sys.executable, str(HERE / "slow_server.py"), str(seconds)]
    process = subprocess.Popen(
        command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home.parent
    )
    try:
        address = None
        for line in process.stdout:
            if found := re.search(r"http://[\d.]+:\d+", line):
                address = found[0]
                break
        assert address, process.stderr.read()
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        drain.start()
        end = time.monotonic() + 60
        while httpx.get(f"{address}/api/v1/health").status_code != 200:
            assert time.monotonic() < end
            time.sleep(0.1)
        yield process, address
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        drain.join(5)
        process.stdout.close()
        process.stderr.close()


def qc(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*QC, *arguments], env=environment(home), capture_output=True, text=True, cwd=home.parent)


@pytest.fixture
def pictures(run_line, tmp_path) -> dict[str, bytes]:
    """Of four parts with a dark spot."""
    with run_line(tmp_path / "scratch") as line:
        return {f"T-{n}": line.picture(dark=9, mark=n) for n in range(4)}


def test_a_kill_in_the_middle_of_an_inspection_loses_nothing_and_doubles_nothing(tmp_path, pictures):
    home = tmp_path / "home"
    made = qc(home, "key", "create", "--role", "machine")
    assert made.returncode == 0, made.stderr
    head = {"Authorization": f"Bearer {made.stdout.splitlines()[-1]}"}

    def send(address: str, trigger: str) -> httpx.Response:
        return httpx.post(
            f"{address}/api/v1/inspections",
            headers=head,
            data={"part": trigger, "station": "S-1", "trigger_id": trigger},
            files=[("image", ("a.png", pictures[trigger], "image/png"))],
            timeout=60,
        )

    def try_to_send(address: str, trigger: str) -> None:
        try:
            send(address, trigger)
        except httpx.HTTPError:
            cut.append(trigger)

    cut: list[str] = []
    with running(home, seconds=60) as (process, address):
        senders = [threading.Thread(target=try_to_send, args=(address, f"T-{n}")) for n in range(3)]
        for sender in senders:
            sender.start()
        database = Database(per_home.address_of(home))
        end = time.monotonic() + 60
        while True:
            with database.read() as session:
                if len(session.exec(select(Inspection)).all()) == 3:
                    break
            assert time.monotonic() < end
            time.sleep(0.05)
        database.close()
        process.kill()
        for sender in senders:
            sender.join()
    assert sorted(cut) == ["T-0", "T-1", "T-2"]

    with running(home) as (process, address):
        answers = {trigger: send(address, trigger) for trigger in cut}  # the line sends again what got no answer
        assert {answer.status_code for answer in answers.values()} == {200}
        assert {answer.json()["verdict"] for answer in answers.values()} == {"ng"}
        assert send(address, "T-3").status_code == 201
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0

    database = Database(per_home.address_of(home))
    with database.read() as session:
        assert len(session.exec(select(Inspection)).all()) == 4
        assert len(session.exec(select(Exposure)).all()) == 4
        verdicts = session.exec(select(AuditEntry).where(AuditEntry.kind == "verdict")).all()
        assert len({entry.subject for entry in verdicts}) == len(verdicts) == 4
        audited = len(session.exec(select(AuditEntry)).all())  # the first champion is in the trail, too
    database.close()
    checked = qc(home, "audit", "verify")
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.startswith(f"{audited} entries")


def test_open_event_streams_do_not_keep_the_server_from_ending(tmp_path):
    home = tmp_path / "home"
    key = qc(home, "key", "create", "--role", "operator").stdout.splitlines()[-1]
    with running(home) as (process, address):
        head = {"Authorization": f"Bearer {key}"}
        with httpx.stream("GET", f"{address}/api/v1/events", headers=head, timeout=30) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry:")
            process.send_signal(signal.SIGTERM)
            assert list(lines)[-1:] in ([], [""])
        began = time.monotonic()
        process.wait(30)
        assert time.monotonic() - began < 20


def test_two_servers_do_not_share_a_data_folder_and_a_taken_port_is_said_so(tmp_path):
    home = tmp_path / "home"
    with running(home) as (_, address):
        second = qc(home, "up")
        assert second.returncode == 1
        assert "another server already runs" in second.stderr
        assert len(second.stderr.strip().splitlines()) == 1
        taken = {**environment(tmp_path / "other"), "PORT": address.rsplit(":", 1)[1]}
        third = subprocess.run([*QC, "up"], env=taken, capture_output=True, text=True, cwd=tmp_path)
        assert third.returncode == 1
        assert "cannot be used" in third.stderr


def test_the_log_is_json_carries_the_requests_id_and_tells_no_secret(tmp_path):
    home = tmp_path / "home"
    key = qc(home, "key", "create", "--role", "machine").stdout.splitlines()[-1]
    with running(home) as (_, address):
        answer = httpx.get(f"{address}/api/v1/inspections", headers={"Authorization": f"Bearer {key}"})
        name, password = (home / "first-login.txt").read_text().split()
        httpx.post(f"{address}/api/v1/session", json={"name": name, "password": password})
    text = (home / "logs" / "server.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    (line,) = [line for line in lines if line.get("request") == answer.headers["x-request-id"]]
    assert (line["path"], line["status"], line["by"]) == ("/api/v1/inspections", 200, "machine")
    assert key not in text
    assert password not in text
