"""Who may do what, and how people and machines prove who they are."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from qc.errors import Unavailable
from server import access, auth, cli, first_login, passwords, schema
from server.access import PREFIX, Role, same_path
from server.app import create_app
from server.db import Database
from server.errors import NotLoggedIn, TooMany
from server.schema import all_tables
from server.settings import Settings


def test_every_route_has_a_rule_and_every_rule_a_route(tmp_path):
    paths = create_app(Settings(home=tmp_path)).openapi()["paths"]
    served = {
        (method.upper(), same_path(path.removeprefix(PREFIX))) for path, calls in paths.items() for method in calls
    }
    ruled = {(method, same_path(path)) for method, path in access.RULES}
    assert served - ruled == set(), "these routes have no rule in server.access.RULES, so nobody can reach them"
    assert ruled - served == set(), "these rules belong to no route"


@pytest.fixture
def strangers(line, tmp_path):
    """What somebody without a right may show: nothing, a guess, a key that is over, revoked, or of another plant."""
    now = line.context.now()
    with line.context.database.write() as session:
        over = auth.create_key(session, "over", Role.ADMIN, now=now - timedelta(days=3), days=2)
        revoked = auth.create_key(session, "revoked", Role.ADMIN, now=now)
        auth.revoke_keys(session, "revoked", now=now)
        session.commit()
    elsewhere = Database(Settings(home=tmp_path).db_url)
    schema.upgrade(elsewhere)
    with elsewhere.write() as session:
        foreign = auth.create_key(session, "foreign", Role.ADMIN, now=now)
        session.commit()
    elsewhere.close()
    keys = {"wrong": "qc_guess", "over": over, "revoked": revoked, "foreign": foreign}
    return {"none": {}} | {name: {"Authorization": f"Bearer {key}"} for name, key in keys.items()}


def test_to_strangers_nothing_but_the_public_calls_answers(line, strangers):
    for (method, path), allowed in access.RULES.items():
        if allowed is None:
            continue
        address = access.address_of(path).replace("{", "").replace("}", "")
        for name, head in strangers.items():
            answer = line.client.request(method, address, headers=head)
            assert answer.status_code == 401, (method, path, name)
            told = answer.json()["error"]
            if access.is_protocol(path):
                assert told.startswith(("log in", "this key")), (method, path, name, told)
            else:
                assert told["code"] == "not_logged_in", (method, path, name)


def test_each_role_may_do_what_the_table_says_and_no_more(line):
    for (method, path), allowed in access.RULES.items():
        if allowed is None or path == "/events":  # the stream of events would be read for ever
            continue
        address = (
            access.address_of(path)
            .replace("{n}", "0")
            .replace("{level}/{column}_{row}", "0/0_0")
            .replace("{", "")
            .replace("}", "")
        )
        for role in Role:
            status = line.client.request(method, address, headers=line.head(role)).status_code
            if role in allowed:
                assert status not in (401,), (role, method, path)
                assert status != 403 or path == "/session/password", (role, method, path)
            else:
                assert status == 403, (role, method, path)


def test_an_unknown_address_tells_strangers_nothing_and_others_that_it_is_not_there(line):
    assert line.client.get("/api/v1/secrets").status_code == 401
    answer = line.get("/secrets")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    wrong = line.client.put("/api/v1/inspections", headers=line.head())
    assert wrong.status_code == 405
    assert wrong.json()["error"]["code"] == "method_not_allowed"


def test_a_key_ends_after_its_days_and_when_it_is_revoked(line):
    context = line.context
    with context.database.write() as session:
        over = auth.create_key(session, "old", Role.MACHINE, now=context.now() - timedelta(days=3), days=2)
        current = auth.create_key(session, "new", Role.MACHINE, now=context.now(), days=2)
        session.commit()

    def status(key: str) -> int:
        return line.client.get("/api/v1/stations", headers={"Authorization": f"Bearer {key}"}).status_code

    assert (status(over), status(current), status("qc_guess")) == (401, 200, 401)
    with context.database.write() as session:
        assert auth.revoke_keys(session, "new", now=context.now()) == 1
        session.commit()
    assert status(current) == 401


def test_the_first_log_in_works_is_readable_by_its_owner_only_and_is_forgotten_with_its_password(line):
    settings = line.context.settings
    file = first_login.file(settings)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    name, password = first_login.read(settings)
    for who in (name, "hunter2"):  # the second is a password in the wrong field: nobody writes it down
        wrong = line.client.post("/api/v1/session", json={"name": who, "password": "a wrong one"})
        assert wrong.status_code == 401
    answer = line.client.post("/api/v1/session", json={"name": name, "password": password})
    assert answer.json() == {"name": "admin", "role": "admin"}
    trail = [one for one in line.get("/audit", Role.ADMIN).json()["items"] if one["kind"].startswith("login")]
    assert [(one["kind"], one["subject"], one["by"]) for one in trail] == [
        ("login", "admin", "admin"),
        ("login.failed", "admin", "admin"),
    ]
    cookie = answer.headers["set-cookie"].lower()
    assert "qc_session=" in cookie
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert line.client.get("/api/v1/session").json()["name"] == "admin"
    new = {"old": password, "new": "a better password"}
    assert line.client.post("/api/v1/session/password", json=new, headers={"X-QC": "1"}).status_code == 204
    assert not file.exists()
    assert line.client.get("/api/v1/session").status_code == 401, "changing the password ends every log-in"
    again = line.client.post("/api/v1/session", json={"name": name, "password": "a better password"})
    assert again.status_code == 200


def log_in(line) -> None:
    name, password = first_login.read(line.context.settings)
    assert line.client.post("/api/v1/session", json={"name": name, "password": password}).status_code == 200


def test_a_browser_must_show_that_it_is_ours_before_it_changes_anything(line):
    told = line.send(line.picture(dark=5)).json()
    log_in(line)
    path = f"/api/v1/inspections/{told['id']}/decision"
    assert line.client.post(path, json={"verdict": "ok"}).status_code == 403
    assert line.client.post(path, json={"verdict": "ok"}, headers={"X-QC": "1"}).status_code == 201
    assert line.client.get("/api/v1/inspections").status_code == 200


def test_logging_out_ends_the_session(line):
    log_in(line)
    assert line.client.delete("/api/v1/session").status_code == 204
    assert line.client.get("/api/v1/inspections").status_code == 401


def test_a_log_in_is_over_after_its_hours(line):
    log_in(line)
    began = line.context.now()
    line.context.now = lambda: began + timedelta(hours=line.context.settings.session_hours, seconds=1)
    assert line.client.get("/api/v1/session").status_code == 401


def test_guessing_passwords_is_slowed_down_and_an_unknown_name_looks_like_a_known_one(line):
    for name in ("admin", "nobody"):
        answers = [line.client.post("/api/v1/session", json={"name": name, "password": "guess"}) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429]
        assert int(answers[-1].headers["retry-after"]) > 0
    began = line.context.now()
    line.context.now = lambda: began + timedelta(minutes=6)
    log_in(line)


def test_guessing_many_at_once_is_no_way_around_the_limit(line):
    def guess(number: int) -> int:
        return line.client.post("/api/v1/session", json={"name": "admin", "password": f"guess {number}"}).status_code

    with ThreadPoolExecutor(30) as people:
        told = list(people.map(guess, range(30)))
    assert set(told) <= {401, 429, 503}
    assert told.count(401) <= line.context.settings.login_failures


def test_few_passwords_are_compared_at_once_and_who_comes_too_many_comes_again():
    def compare(_: int) -> bool | None:
        with suppress(Unavailable):
            return passwords.fits("a guess", passwords.NOBODY)
        return None

    with ThreadPoolExecutor(3 * passwords.AT_MOST) as people:
        told = list(people.map(compare, range(3 * passwords.AT_MOST)))
    assert False in told
    assert None in told, "as many as that take 64 MiB each, and the threads that answer the line"
    assert compare(0) is False


def test_what_was_no_failure_does_not_count_and_a_clock_that_is_set_back_locks_nobody_out():
    limit, now = auth.FailureLimit(2), datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(3):
        with pytest.raises(Unavailable), limit.attempt("anna", now=now):
            raise Unavailable("too many at this moment")
    for _ in range(2):
        with pytest.raises(NotLoggedIn), limit.attempt("anna", now=now):
            raise NotLoggedIn("wrong")
    with pytest.raises(TooMany), limit.attempt("anna", now=now):
        raise AssertionError("nobody gets here")
    with limit.attempt("anna", now=now - timedelta(hours=1)):
        pass
    limit.check("anna", now=now)


def test_a_crowd_of_names_does_not_make_forget_who_is_guessed_right_now(monkeypatch):
    monkeypatch.setattr(auth.FailureLimit, "MOST", 50)
    limit, now = auth.FailureLimit(3), datetime(2026, 1, 1, tzinfo=UTC)
    for n in range(100):
        limit.failed(f"nobody {n}", now=now)
        if n % 40 == 0:
            limit.failed("admin", now=now)
    with pytest.raises(TooMany):
        limit.check("admin", now=now)


def test_an_account_has_so_many_log_ins_at_once_and_the_oldest_ends(run_line, tmp_path):
    with run_line(tmp_path / "home", log_ins_at_once=2) as line:
        name, password = first_login.read(line.context.settings)
        began, cookies = line.context.now(), []
        for n in range(3):
            line.context.now = lambda n=n: began + timedelta(seconds=n)
            line.client.cookies.clear()
            assert line.client.post("/api/v1/session", json={"name": name, "password": password}).status_code == 200
            cookies.append(line.client.cookies["qc_session"])
        line.client.cookies.clear()
        heads = [{"Cookie": f"qc_session={cookie}"} for cookie in cookies]
        assert [line.client.get("/api/v1/session", headers=head).status_code for head in heads] == [401, 200, 200]
        (told,) = [one for one in line.get("/audit", Role.ADMIN).json()["items"] if one["kind"] == "login.displaced"]
        assert (told["subject"], told["by"]) == (name, name)


def test_a_notice_is_read_by_everybody_before_they_log_in(run_line, tmp_path):
    with run_line(tmp_path / "home", login_notice="For staff of the plant only.") as line:
        assert line.client.get("/api/v1/session/ways").json()["notice"] == "For staff of the plant only."


def test_what_a_command_does_with_accounts_and_keys_is_in_the_trail(line, monkeypatch):
    for name, value in line.environment.items():
        monkeypatch.setenv(name, value)
    for words in (
        ["user", "add", "anna", "--role", "operator"],
        ["user", "password", "anna"],
        ["key", "create", "--role", "machine", "--name", "press", "--days", "2"],
        ["key", "revoke", "press"],
    ):
        assert cli.main(words) == 0
    told = line.get("/audit", Role.ADMIN).json()["items"][:4]
    assert [(one["kind"], one["subject"]) for one in reversed(told)] == [
        ("account.added", "anna"),
        ("account.password", "anna"),
        ("key.added", "press"),
        ("key.revoked", "press"),
    ]
    assert {one["by"] for one in told} == {f"command line, user {os.getuid()}"}


def heard(terminal: int, words: bytes) -> None:
    """Wait until a command has said so."""
    said = b""
    while words not in said:
        said += os.read(terminal, 1000)


def test_a_running_server_does_not_wait_for_what_somebody_types_at_a_terminal(line):
    here, there = pty.openpty()
    command = [sys.executable, "-m", "server", "user", "password", "admin"]
    env = {**os.environ, **line.environment}
    with subprocess.Popen(command, env=env, stdin=there, stdout=there, stderr=there, start_new_session=True) as asking:
        os.close(there)
        heard(here, b"Password: ")
        with line.context.database.write() as session:  # raises after some seconds where the command holds the lock
            auth.create_key(session, "press", Role.MACHINE, now=line.context.now())
            session.commit()
        os.write(here, b"a better password\n")
        heard(here, b"Again: ")
        os.write(here, b"a better password\n")
    os.close(here)
    assert asking.returncode == 0
    better = {"name": "admin", "password": "a better password"}
    assert line.client.post("/api/v1/session", json=better).status_code == 200


def test_who_has_a_log_in_cannot_guess_its_password_either_and_the_trail_tells_of_it(run_line, tmp_path):
    with run_line(tmp_path / "home", login_failures=3) as line:
        log_in(line)
        guess = {"old": "a guess", "new": "mine from now on"}
        for expected in (401, 401, 401, 429):
            answer = line.client.post("/api/v1/session/password", json=guess, headers={"X-QC": "1"})
            assert answer.status_code == expected
        kinds = [one["kind"] for one in line.get("/audit", Role.ADMIN).json()["items"]]
        assert kinds.count("login.failed") == 3
        assert "account.password" not in kinds
        began = line.context.now()
        line.context.now = lambda: began + timedelta(minutes=6)
        _, password = first_login.read(line.context.settings)
        right = {"old": password, "new": "a better password"}
        assert line.client.post("/api/v1/session/password", json=right, headers={"X-QC": "1"}).status_code == 204
        newest = line.get("/audit", Role.ADMIN).json()["items"][0]
        assert (newest["kind"], newest["subject"], newest["by"]) == ("account.password", "admin", "admin")


def everything_stored(database: Database, home: Path) -> bytes:
    """The database's files; of PostgreSQL, whose files are not ours to read, every row of every table."""
    if database.dialect == "sqlite":
        database.close()
        return b"".join(file.read_bytes() for file in home.glob("qc.sqlite3*"))
    with database.read() as session:
        rows = [str(row) for table in all_tables().sorted_tables for row in session.execute(select(table))]
    return "\n".join(rows).encode()


def test_passwords_and_keys_lie_in_the_database_only_as_hashes(line):
    name, password = first_login.read(line.context.settings)
    log_in(line)
    stored = everything_stored(line.context.database, line.context.settings.home)
    for secret in (password, line.keys[Role.MACHINE], line.client.cookies["qc_session"]):
        assert secret.encode() not in stored
    assert b"$argon2id$" in stored
    assert name.encode() in stored
