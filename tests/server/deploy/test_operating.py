"""What whoever looks after a deployment runs: its scripts, in which Docker's and systemd's part is played here."""

from __future__ import annotations

import json
import os
import re
import shlex
import ssl
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlmodel import select

from server import audit, schema
from server.clock import now
from server.db import Database, sqlite_url

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "contracts"))
from certificates import make_certificate
from postgres_server import NotHere, postgres
from written import write

PROGRAMS = Path(__file__).parents[3] / ".venv/bin"

DOCKER = """#!/bin/sh
echo "docker $*" >> "$LOG"
case "$*" in
    "compose --profile backup run --rm backup "*) shift 6; exec "$@" ;;
    "compose exec -T database psql "*) shift 4; exec "$@" ;;
esac
"""
SYSTEMD_RUN = """#!/bin/sh
set -a
while :; do
    case "$1" in
        --property=EnvironmentFile=*) . "${1#--property=EnvironmentFile=}" ;;
        --*) ;;
        *) exec "$@" ;;
    esac
    shift
done
"""
RUNUSER = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n'
NOTES = '#!/bin/sh\necho "${0##*/} $*" >> "$LOG"\n'


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """SQLite in the data folder, or a database `qc` of the role `qc`, as deployments have it."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "home/qc.sqlite3")
        return
    try:
        with postgres("fsync=off") as url:
            engine = create_engine(url, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text("CREATE DATABASE qc"))
            engine.dispose()
            yield make_url(url).set(database="qc").render_as_string(hide_password=False)
    except NotHere as reason:
        pytest.skip(str(reason))


def entries(url: str, *, add: str = "") -> list[str]:
    """The subjects of the audit trail, one of them added first."""
    database = Database(url)
    schema.upgrade(database)
    with database.write() as session:
        if add:
            audit.record(session, "note", add, {}, by="test", at=now())
        session.commit()
    with database.read() as session:
        told = [entry.subject for entry in session.exec(select(audit.AuditEntry).order_by(audit.AuditEntry.n))]
    database.close()
    return told


@pytest.mark.parametrize(
    ("shape", "database_url"),
    [("compose", "sqlite"), ("systemd", "postgres")],
    indirect=["database_url"],
)
def test_a_backup_is_put_back_and_what_was_there_before_stays_beside_it(shape, database_url, templates, tmp_path):
    home, kept = tmp_path / "home", tmp_path / "kept"
    kind = "sqlite" if database_url.startswith("sqlite") else "postgres"
    scripts = templates.deployment(r"(backup|restore)\.sh", shape=shape, database=kind)
    places = {"/var/backups/qc": kept, "/backups/": f"{kept}/", "/var/lib/qc": home, "/data": home, "/etc/qc": tmp_path}
    places |= {"/opt/qc/.venv/bin": PROGRAMS}
    for name, script in scripts.items():
        for there, here in places.items():
            script = script.replace(there, str(here))
        write(tmp_path, {name: script})
    tools = {"docker": DOCKER, "systemd-run": SYSTEMD_RUN, "runuser": RUNUSER, "systemctl": NOTES}
    for name, script in tools.items():
        (write(tmp_path / "bin", {name: script}) / name).chmod(0o755)
    settings = {"QC_HOME": str(home)} | ({"QC_DATABASE_URL": database_url} if kind == "postgres" else {})
    write(
        tmp_path, {"qc.env": "".join(f"{name}={value}\n" for name, value in settings.items()), "secrets/server.env": ""}
    )
    server = make_url(database_url)
    found = {"PATH": f"{tmp_path / 'bin'}:{PROGRAMS}:{os.environ['PATH']}", "LOG": str(tmp_path / "log")}
    found |= {"PGHOST": server.host or "", "PGPORT": str(server.port or ""), "PGUSER": "qc", "PGDATABASE": "postgres"}

    def run(script: str, *words: str, told: dict[str, str]) -> None:
        command = ["sh", tmp_path / script, *words]
        done = subprocess.run(command, env=os.environ | found | told, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    write(home, {"products/bar.yaml": "before"})
    kept.mkdir()
    (kept / ".2026-01-01T013000Z.cut-off").mkdir()
    assert entries(database_url, add="before") == ["before"]
    run("backup.sh", told=settings)  # which qc-backup.service and the container have
    (made,) = kept.iterdir()
    write(home, {"products/bar.yaml": "after", "products/new.yaml": "after"})
    assert entries(database_url, add="after") == ["before", "after"]

    run("restore.sh", made.name, told=settings if shape == "compose" else {})
    assert entries(database_url) == ["before"]
    assert {file.name: file.read_text() for file in (home / "products").iterdir()} == {"bar.yaml": "before"}
    (beside,) = home.glob(".before-*")
    assert (beside / "products/new.yaml").read_text() == "after"
    assert not (home / ".restored").exists()
    if kind == "postgres":
        (other,) = databases(database_url)
        assert entries(server.set(database=other).render_as_string(hide_password=False)) == ["before", "after"]
    else:
        assert entries(sqlite_url(beside / "qc.sqlite3")) == ["before", "after"]
    log = (tmp_path / "log").read_text().splitlines()
    stopped = [number for number, line in enumerate(log) if " stop " in line]
    assert len(stopped) == 1
    assert any(word in log[-1] for word in (" up --detach", "systemctl start qc"))


def databases(url: str) -> list[str]:
    """Those that were in service before."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.scalars(text("SELECT datname FROM pg_database WHERE datname LIKE 'qc_before_%'"))
        told = list(found)
    engine.dispose()
    return told


def installed(folder: Path, root: Path, clone: Path) -> None:
    """Run a deployment's install.sh as if `root` were the machine, with no other account than one's own on it."""
    script = (folder / "install.sh").read_text()
    for place in ("/opt/", "/etc/", "/var/", "/usr/local/"):
        script = script.replace(place, f"{root}{place}")
        (root / place.strip("/")).mkdir(parents=True, exist_ok=True)
    for place in ("etc/systemd/system", "usr/local/bin", "var/backups"):
        (root / place).mkdir(parents=True, exist_ok=True)
    script = re.sub(r" -[og] (qc|10001)\b", "", script)
    write(folder, {"here.sh": script})
    for tool in ("docker", "systemctl", "useradd", "python3"):
        (write(root / "bin", {tool: NOTES}) / tool).chmod(0o755)
    told = {"PATH": f"{root / 'bin'}:{os.environ['PATH']}", "LOG": str(root / "log")}
    output("sh", folder / "here.sh", clone, environment=told)


def test_a_newer_version_is_installed_without_the_modules_that_it_has_no_longer(templates, tmp_path):
    folder, clone, root = tmp_path / "plant", tmp_path / "clone", tmp_path / "machine"
    write(folder, templates.deployment(shape="systemd", labels="none"))
    write(folder, {"secrets/server.env": ""})

    def release(files: dict[str, str]) -> None:
        git = ("git", "-C", clone, "-c", "user.name=a", "-c", "user.email=a@example.com")
        write(clone, files)
        output("git", "init", "--quiet", clone)
        output(*git, "add", "--all")
        output(*git, "commit", "--quiet", "--message", "a version")

    release({"server/old.py": "", "server/set_up.py": "", "qc/same.py": "1", "frontend/package.json": "{}"})
    installed(folder, root, clone)
    write(root / "opt/qc", {"frontend/dist/index.html": "built", ".venv/bin/python": "an environment"})
    (clone / "server/old.py").unlink()
    release({"server/new.py": "", "qc/same.py": "2"})
    installed(folder, root, clone)
    programs = root / "opt/qc"
    assert sorted(file.name for file in (programs / "server").iterdir()) == ["new.py", "set_up.py"]
    assert (programs / "qc/same.py").read_text() == "2"
    assert (programs / "frontend/dist/index.html").exists(), "what was made there stays"
    assert (programs / ".venv/bin/python").exists()
    assert not (programs / ".new").exists()
    assert (root / "log").read_text().count("set_up.py --without-tests") == 2


def test_a_deployment_in_a_folder_of_any_name_is_backed_up_every_night(templates, tmp_path):
    verify = "/usr/bin/systemd-analyze"
    if not Path(verify).exists():
        pytest.skip("systemd is not installed")
    folder = tmp_path / 'Werk "Süd" & Söhne | 100% $HOME'
    write(folder, templates.deployment(shape="compose"))
    installed(folder, tmp_path / "machine", tmp_path)
    unit = tmp_path / "machine/etc/systemd/system/qc-backup.service"
    (command,) = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    write(tmp_path, {"tried.service": f"[Service]\nType=oneshot\n{command}\n"})
    asked = [verify, "verify", "--man=no", "--recursive-errors=no", tmp_path / "tried.service"]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=60).stderr
    assert "tried.service" not in told, told
    words = shlex.split(command.partition("=")[2])
    assert [word.replace("%%", "%").replace("$$", "$") for word in words] == ["/bin/sh", str(folder / "backup.sh")]


KEY = r'{"type": "service_account", "private_key": "-----BEGIN-----\nMII$HOME+/=\n-----END-----\n", "client": "#1"}'
"""Like a service account's key: JSON with backslashes, quotes and signs that files of settings may take for theirs."""


@pytest.mark.parametrize("shape", ["compose", "systemd", "kubernetes"])
def test_a_service_accounts_key_arrives_as_it_was_filled_in(shape, templates, tmp_path):
    script = templates.deployment(r"secrets\.sh", shape=shape, blobs="gcs")["secrets.sh"]
    subprocess.run(["sh", write(tmp_path, {"secrets.sh": script}) / "secrets.sh"], check=True, capture_output=True)
    filled = (tmp_path / "secrets/server.env").read_text().replace("FILL-IN", KEY)
    assert KEY in filled
    assert read_as(shape, filled, tmp_path) == KEY


def read_as(shape: str, filled: str, folder: Path) -> str:
    """The key as the program reads it that hands the file on."""
    name = "GOOGLE_SERVICE_ACCOUNT_KEY"
    if shape == "kubernetes":  # kubectl's --from-env-file takes what comes after the sign as it stands
        (line,) = [line for line in filled.splitlines() if line.startswith(f"{name}=")]
        return line.partition("=")[2]
    if shape == "compose":
        services = {"s": {"image": "x", "env_file": ["server.env"]}}
        write(folder, {"server.env": filled, "compose.yaml": json.dumps({"services": services})})
        told = output(PROGRAMS / "docker-compose", "--file", folder / "compose.yaml", "config", "--format", "json")
        said: str = json.loads(told)["services"]["s"]["environment"][name]
        return said.replace("$$", "$")  # as it would be written in compose.yaml
    generator = Path("/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator")
    if not generator.exists():
        pytest.skip("systemd is not installed")
    # the service's own reader, which alone would put variables in place of $NAME
    write(folder, {"environment.d/qc.conf": filled.replace("$", r"\u0024")})
    told = output(generator, environment={"XDG_CONFIG_HOME": str(folder)})
    (line,) = [line for line in told.splitlines() if line.startswith(f"{name}=")]
    return shlex.split(line)[0].partition("=")[2].replace(r"\u0024", "$")


def output(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=os.environ | (environment or {}), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_container_is_healthy_when_its_server_answers_with_and_without_a_certificate(tls, templates, tmp_path):
    text = templates.deployment("Dockerfile$", shape="compose")["Dockerfile"]
    command = json.loads(re.findall(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", text, re.MULTILINE)[-1])
    answers = ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    if tls:
        certificate, key = make_certificate(tmp_path, "station")
        secured = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        secured.load_cert_chain(certificate, key)
        answers.socket = secured.wrap_socket(answers.socket, server_side=True)
    thread = Thread(target=answers.serve_forever)
    thread.start()
    told = {"QC_TLS_CERTIFICATE": "/tls/tls.crt"} if tls else {}
    asked = [sys.executable, *(word.replace(":8000", f":{answers.server_port}") for word in command[1:])]
    try:
        output(*asked, environment=told)
    finally:
        answers.shutdown()
        thread.join()
        answers.server_close()
    with pytest.raises(AssertionError):  # nobody is there any more
        output(*asked, environment=told)


class Healthy(BaseHTTPRequestHandler):
    """Answers as the server's own page of health does."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/v1/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing into the output of the tests."""
