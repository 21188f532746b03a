"""Real server processes on one real PostgreSQL, for tests of several servers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

from server import auth
from server.access import Role
from server.clock import now
from server.db import Database

SERVER = Path(__file__).parents[1] / "server" / "slow_server.py"


@dataclass
class Told:
    """What a page was told."""

    lines: list[str] = field(default_factory=list)

    def of(self, kind: str, word: str = "") -> bool:
        pairs = zip(["", *self.lines], self.lines, strict=False)
        return any(before == f"event: {kind}" and word in line for before, line in pairs)


@dataclass
class Running:
    """One of the servers."""

    process: subprocess.Popen[str]
    client: httpx.Client
    home: Path

    def send(self, part: str, mark: int = 0, **fields: str) -> httpx.Response:
        files = [("image", ("a.png", picture(mark), "image/png"))]
        return self.client.post("/inspections", data={"part": part, "station": "S", **fields}, files=files)

    def begins_to_send(self, part: str, mark: int = 0, **fields: str) -> None:
        """Sends a part and does not wait for an answer, as there may be none."""

        def send() -> None:
            try:
                self.send(part, mark, **fields)
            except httpx.TransportError:  # the server was killed meanwhile
                return

        threading.Thread(target=send, daemon=True).start()

    def component(self, name: str) -> dict[str, Any]:
        return self.client.get("/health").json()["components"][name]

    def listens(self) -> Told:
        """Listens as a page does, from now on."""
        told, opened = Told(), threading.Event()

        def listen() -> None:
            try:
                with self.client.stream("GET", "/events", timeout=120) as stream:
                    for line in stream.iter_lines():
                        opened.set()
                        told.lines.append(line)
            except httpx.TransportError:  # at the end of a test the client is closed
                return
            told.lines.append("ended")

        threading.Thread(target=listen, daemon=True).start()
        assert opened.wait(60)
        return told


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not there():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def picture(mark: int = 0) -> bytes:
    grey = np.full((60, 80), 180, np.uint8)
    grey[10:20, 10:20], grey[0, 0] = 20, mark
    return bytes(cv2.imencode(".png", grey)[1])


@contextmanager
def running(
    home: Path, database: Database, blobs: str | Path, seconds: float, more: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A server process that takes `seconds` for a part, until the end; `more` are environment variables."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("QC_")},
        "QC_HOME": str(home),
        "QC_DATABASE_URL": database.url,
        "QC_BLOBS": str(blobs),
        "QC_TAKE_OVER_S": "5",
        "PORT": "0",
        "QC_LABEL_STUDIO": "false",
        "QC_RETRAIN_CRON": "",
        "PYTHONPATH": str(SERVER.parents[2]),
        **(more or {}),
    }
    home.mkdir(exist_ok=True)
    with (home.with_suffix(".log")).open("wb") as log:
        command = [sys.executable, str(SERVER), str(seconds)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        address = next(found[0] for line in process.stdout if (found := re.search(r"http://[\d.]+:\d+", line)))
        threading.Thread(target=process.stdout.read, daemon=True).start()
        with database.write() as session:
            key = auth.create_key(session, home.name, Role.ENGINEER, now=now())
            session.commit()
        with httpx.Client(
            base_url=f"{address}/api/v1", headers={"Authorization": f"Bearer {key}"}, timeout=60
        ) as client:
            until(lambda: client.get("/health").status_code == 200)
            yield Running(process, client, home)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
