"""A database that goes away and comes back, for kill_nine.py: PostgreSQL stopped, or a SQLite file held locked."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path


class Absent:
    """Makes a database, and takes it away for some seconds at a time."""

    def __init__(self, home: Path) -> None:
        self._file = home / "qc.sqlite3"
        self._folder: Path | None = None
        found = shutil.which("pg_ctl") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))), None)
        self._programs = Path(found).resolve().parent if found else None
        self.settings: dict[str, str] = {}
        """What the server must be told of it."""

    def __enter__(self) -> Absent:
        if self._programs is None:
            return self
        self._folder = Path(tempfile.mkdtemp(prefix="qc-postgres-"))
        self._options: dict = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            account = pwd.getpwnam("postgres")
            os.chown(self._folder, account.pw_uid, account.pw_gid)
            self._options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        data = self._folder / "data"
        initdb = [self._programs / "initdb", "-D", data, "-A", "trust", "-U", "qc"]
        subprocess.run(initdb, cwd=self._folder, **self._options)
        self._start()
        self.settings = {"QC_DATABASE_URL": f"postgresql+psycopg://qc@127.0.0.1:{self._port}/postgres"}
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._stop()
            shutil.rmtree(self._folder, ignore_errors=True)

    def go_away(self, await_server: Callable[[], None], *, times: int, seed: int) -> str:
        """Away for 3 to 20 seconds, back for some; returns what was done, in words."""
        rng, away_s = random.Random(seed), 0.0
        for _ in range(times):
            await_server()
            time.sleep(rng.uniform(1.0, 3.0))
            pause = rng.uniform(3.0, 20.0)
            if self._folder is not None:
                self._stop()
                time.sleep(pause)
                self._start()
            else:
                holder = sqlite3.connect(self._file, isolation_level=None, timeout=30)
                holder.execute("BEGIN IMMEDIATE")
                time.sleep(pause)
                holder.close()
            away_s += pause
            time.sleep(2.0)
        kind = "PostgreSQL was stopped" if self._folder is not None else "SQLite was locked"
        return f"{kind} {times} times, {away_s:.0f} s in all"

    def _start(self) -> None:
        assert self._folder is not None
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -k {self._folder}"
        self._control("-o", options, "-l", str(self._folder / "log"), "-w", "start")

    def _stop(self) -> None:
        self._control("-m", "immediate", "-w", "stop")

    def _control(self, *arguments: str) -> None:
        assert self._programs is not None
        assert self._folder is not None
        command = [str(self._programs / "pg_ctl"), "-D", str(self._folder / "data"), *arguments]
        subprocess.run(command, cwd=self._folder, **self._options)
