"""The real Label Studio server as a child of ours: its own environment, its own data folder, no network needed."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from qc.durable import write_whole
from qc.errors import Unavailable

EMAIL = "admin@example.com"
"""The first account's name; it never receives mail."""

START = Path(__file__).with_name("studio_start.py")
"""By which its program is run, without this folder among those that it imports from."""

START_S = 300.0
"""The very first start migrates a database: 55 s on a free core, several times that on a busy machine."""

STOP_S = 10.0
"""How long it may take to stop before it is killed."""


@dataclass(frozen=True, slots=True)
class Account:
    """How to log in."""

    email: str
    password: str
    token: str
    """For programs: `Authorization: Token …`; 40 characters, as Label Studio's database wants it."""


class StudioProcess:
    """One Label Studio server, its database and its files under one folder."""

    def __init__(
        self, env: Path, data: Path, *, port: int, host: str = "127.0.0.1", public_url: str | None = None
    ) -> None:
        """Describe it; nothing runs yet.

        Args:
            env: the virtual environment that Label Studio is installed in.
            data: the folder for everything it keeps; made if missing.
            port: where it listens, on `host` only.
            public_url: how browsers reach it, where a proxy stands before it.
        """
        self.env, self.data, self.port, self.host = Path(env).absolute(), Path(data).absolute(), port, host
        self.url = f"http://{host}:{port}"
        self.public_url = public_url or self.url
        self.account = account(self.data / "account.json")
        self.log = self.data / "label-studio.log"
        self._pid_file = self.data / "label-studio.pid"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process, also the number of its process group; None if we started none."""
        return None if self._child is None else self._child.pid

    def start(self, *, wait: bool = True, timeout_s: float = START_S, give_up: threading.Event | None = None) -> None:
        """Start it, and wait until it answers. One that a killed parent left behind on these data is ended first.

        Raises:
            Unavailable: it is not installed, died, or did not answer in time; the message names the log.
        """
        if self.alive():
            return
        program, python = self.env / "bin" / "label-studio", self.env / "bin" / "python3"
        if not (program.is_file() and python.is_file()):
            raise Unavailable(
                f"Label Studio is not installed in {self.env}; `make run` installs it, or give the address of yours"
            )
        (self.data / "files").mkdir(parents=True, exist_ok=True)
        self._end_leftover()
        command = [str(python), "-P", str(START), str(program), "start", "--no-browser", "--log-level", "WARNING"]
        command += ["--internal-host", self.host, "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command,
                env=self._environment(),
                cwd=self.data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._pid_file.write_text(str(self._child.pid), encoding="ascii")
        if wait:
            self.wait(timeout_s=timeout_s, give_up=give_up)

    def wait(self, *, timeout_s: float = START_S, give_up: threading.Event | None = None) -> None:
        """Wait until it answers; raises Unavailable as `start` does, and as soon as `give_up` is set."""
        end = time.monotonic() + timeout_s
        give_up = give_up or threading.Event()
        while not self.healthy():
            if give_up.is_set():
                raise Unavailable("Label Studio was still starting when it was no longer wanted")
            if not self.alive():
                code = None if self._child is None else self._child.returncode
                raise Unavailable(
                    f"Label Studio stopped while starting (exit {code}); its last words are in {self.log}"
                )
            if time.monotonic() > end:
                raise Unavailable(f"Label Studio did not answer on {self.url} within {timeout_s:.0f} s; see {self.log}")
            give_up.wait(0.25)

    def alive(self) -> bool:
        """Does the process that we started live?"""
        return self._child is not None and self._child.poll() is None

    def healthy(self) -> bool:
        """Does our process live and answer?"""
        if not self.alive():
            return False
        try:
            answer = httpx.get(f"{self.url}/health", timeout=5.0, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and self.alive()

    def stop(self, *, timeout_s: float = STOP_S) -> None:
        """Stop the whole process group: politely, then not. Stopping twice is fine."""
        if self._child is None:
            return
        for signum, patience_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, 5.0)):
            if _signal_group(self._child.pid, signum):
                try:
                    self._child.wait(patience_s)
                except subprocess.TimeoutExpired:
                    continue
            break
        _signal_group(self._child.pid, signal.SIGKILL)  # helpers that outlived their parent
        self._child.wait()
        self._child = None
        self._pid_file.unlink(missing_ok=True)

    def _end_leftover(self) -> None:
        """A server whose parent was killed still holds the port and the database."""
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return
        if f"LABEL_STUDIO_BASE_DATA_DIR={self.data}".encode() in environment:  # the number was not given to another
            _signal_group(pid, signal.SIGKILL)

    def _environment(self) -> dict[str, str]:
        """Its variables. Nothing goes out: no analytics, no version check, no error reports."""
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("LABEL_STUDIO_", "DJANGO_"))}
        for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "DATABASE_URL"):
            ours.pop(name, None)
        return ours | {
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.data),
            "DJANGO_DB": "sqlite",
            "DATABASE_NAME": str(self.data / "label-studio.sqlite3"),
            "LABEL_STUDIO_HOST": self.public_url if self.public_url != self.url else "",
            "LABEL_STUDIO_USERNAME": self.account.email,
            "LABEL_STUDIO_PASSWORD": self.account.password,
            "LABEL_STUDIO_USER_TOKEN": self.account.token,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",  # counts only at the very first start
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.data / "files"),
            "SSRF_PROTECTION_ENABLED": "false",  # or it refuses to call the webhook on this machine
            "ML_BLOCK_LOCAL_IP": "false",  # likewise our model
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "COLLECT_ANALYTICS": "0",
            "LATEST_VERSION_CHECK": "false",
            "PYTHONUNBUFFERED": "1",
        }


def account(path: Path) -> Account:
    """The account in this file, which is made, for this user's eyes only, if it is not there."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return Account(known["email"], known["password"], known["token"])
    except FileNotFoundError:
        new = Account(EMAIL, secrets.token_urlsafe(12), secrets.token_hex(20))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unavailable(
            f"{path} cannot be read ({error}); delete its folder to begin with an empty Label Studio"
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    told = json.dumps({"email": new.email, "password": new.password, "token": new.token})
    write_whole(path, told, mode=0o600)
    return new


def _signal_group(group: int, signum: int) -> bool:
    """Send a signal to a process group; False if it is gone."""
    try:
        os.killpg(group, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True
