"""A station badge with its PIN opens an operator's account, and nothing else does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlmodel import select

from qc.errors import InvalidInput
from server import auth
from server.access import Role
from server.audit import AuditEntry
from server.oidc_accounts import MAX_WRONG_PINS, give_badge
from server.records import User

BADGE, PIN = "04A1B2C3D4E5F6", "3141"
QC = Path(sys.executable).with_name("qc")


def give(line, name="otto", role=Role.OPERATOR, code=BADGE, pin=PIN):
    context = line.context
    with context.database.write() as session:
        user = session.get(User, name) or auth.add_user(session, name, role, "long enough", now=context.now())
        session.flush()
        give_badge(session, user, code, pin, now=context.now())
        session.commit()


def log_in(line, name=BADGE, password=PIN):
    return line.client.post("/api/v1/session", json={"name": name, "password": password})


def test_a_badge_with_its_pin_logs_in_and_is_in_the_trail(line):
    give(line)
    assert log_in(line).json() == {"name": "otto", "role": "operator"}
    assert line.client.get("/api/v1/session").json()["name"] == "otto"
    assert log_in(line, password="2718").status_code == 401
    assert log_in(line, name="04FFFFFFFFFFFF").status_code == 401
    assert log_in(line, name="otto", password=PIN).status_code == 401, "the PIN goes with the badge"
    assert log_in(line, name="otto", password="long enough").status_code == 200
    give(line, code="0499999999")
    assert log_in(line).status_code == 401, "the badge before is of no use any more"
    with line.context.database.read() as session:
        kinds = session.exec(select(AuditEntry.kind).where(AuditEntry.subject == "otto").order_by(AuditEntry.n)).all()
    assert kinds == ["badge.given", "login.badge", "login.failed", "login", "badge.given"]


def test_a_badge_is_blocked_after_ten_wrong_pins_wherever_they_come_from(tmp_path, run_line):
    with run_line(tmp_path / "home", login_failures=1000) as line:
        give(line)
        for n in range(MAX_WRONG_PINS - 1):
            assert log_in(line, password=f"10{n:02}").status_code == 401
        assert log_in(line).status_code == 200, "the right one begins the count anew"
        for n in range(MAX_WRONG_PINS):
            assert log_in(line, password=f"10{n:02}").status_code == 401
        blocked = log_in(line)
        assert blocked.status_code == 403
        assert "qc user badge otto" in blocked.json()["error"]["message"]
        give(line)
        assert log_in(line).status_code == 200


def test_a_pin_opens_no_account_that_may_do_much(line):
    with pytest.raises(InvalidInput, match="a PIN is too little for that"):
        give(line, name="eva", role=Role.ENGINEER)
    for pin in ("12", "12ab", "7777", "٣١٤١"):
        with pytest.raises(InvalidInput, match="a PIN has 4 to 12 digits"):
            give(line, pin=pin)
    give(line)
    with line.context.database.write() as session:
        session.get(User, "otto").role = "admin"
        session.commit()
    assert log_in(line).status_code == 403, "it was an operator's"


def test_badges_are_given_and_taken_by_a_command(line, tmp_path):
    def run(*words, told=""):
        command = [QC, "user", *words]
        return subprocess.run(command, env=line.environment, input=told, capture_output=True, text=True, timeout=120)

    with line.context.database.write() as session:
        auth.add_user(session, "otto", Role.OPERATOR, "long enough", now=line.context.now())
        session.commit()
    given = run("badge", "otto", told=f"{BADGE}\n{PIN}\n")
    assert (given.returncode, PIN in given.stdout) == (0, False), given.stderr
    assert log_in(line).status_code == 200
    assert run("badge", "otto", "--take").stdout == "1 badges of otto are taken away\n"
    assert log_in(line).status_code == 401
    assert "error" in line.client.get("/api/v1/session").json()
    nobody = run("badge", "nobody", told=f"{BADGE}\n{PIN}\n")
    assert (nobody.returncode, "there is no account nobody" in nobody.stderr) == (1, True)
