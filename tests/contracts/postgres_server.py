"""A real PostgreSQL server in a folder of its own, for tests and benchmarks."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ZONE = "Asia/Kolkata"
"""Of the server, as Debian takes the computer's: what forgets to say UTC is off by five and a half hours."""

END = """
read -r _
"$1/pg_ctl" -D "$2/data" -m immediate -w stop
rm -rf "$2"
"""
"""What a shell does when the pipe from this process is closed; of a process that is killed the kernel closes it."""


class NotHere(Exception):
    """PostgreSQL cannot be started here; why, in words."""


@contextmanager
def postgres(*options: str) -> Iterator[str]:
    """Its URL while it runs; `options` are settings such as `fsync=off`. Afterwards nothing of it is left, also where
    this process was killed."""
    programs = _programs()
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            raise NotHere("PostgreSQL does not run as root, and there is no account postgres") from None
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not in pytest's own folder: a second run beside this one closes that to every account but its own.
    folder = Path(tempfile.mkdtemp(prefix="qc-postgres-"))
    if as_user:
        os.chown(folder, as_user["user"], as_user["group"])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/", **as_user}
    # in a session of its own, so that what ends this process does not end it before it has done its work
    last = subprocess.Popen(
        ["sh", "-c", END, "sh", programs, folder], stdin=subprocess.PIPE, start_new_session=True, **quiet
    )
    try:
        data = folder / "data"
        start = f"-p {port} -k {folder} " + " ".join(
            f"-c {one}" for one in ("listen_addresses=127.0.0.1", f"timezone={ZONE}", *options)
        )
        subprocess.run([programs / "initdb", "-D", data, "-A", "trust", "-U", "qc"], check=True, **quiet)
        pg_ctl = [programs / "pg_ctl", "-D", data, "-o", start, "-l", folder / "log", "-w", "start"]
        subprocess.run(pg_ctl, check=True, **quiet)
        yield f"postgresql+psycopg://qc@127.0.0.1:{port}/postgres"
    finally:
        last.communicate()


def _programs() -> Path:
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not debian:
        raise NotHere("PostgreSQL is not installed")
    return debian[-1]
