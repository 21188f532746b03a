"""A real server for a bench: started on a data folder of its own with the starter model, and ended with the bench."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
FIRST_ANSWER_S = 300.0


@dataclass(frozen=True)
class RealServer:
    """One that can inspect."""

    url: str
    """Of its REST interface, without a slash at the end."""
    key: str
    """Of an engineer."""
    home: Path
    pid: int
    env: Mapping[str, str]

    def command(self, *words: str) -> str:
        """What `qc WORDS` prints, on this server's installation."""
        asked = [sys.executable, "-m", "server", *words]
        return subprocess.run(asked, env=self.env, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    def memory_mb(self) -> float:
        """PSS of the server and all it has begun, in 10^6 bytes: shared pages count once."""
        return _memory_mb(self.pid)


@contextmanager
def real_server(**settings: str) -> Iterator[RealServer]:
    """`settings`: its environment variables beside `QC_HOME`. Those of this process that begin with QC_ do not hold."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        env = _environment({"QC_LABEL_STUDIO": "false", **settings, "QC_HOME": home, "PORT": str(port)})
        with open(Path(home) / "printed", "wb") as out:
            server = subprocess.Popen([sys.executable, "-m", "server", "up"], env=env, cwd=ROOT, stdout=out, stderr=out)
        try:
            url = f"http://127.0.0.1:{port}/api/v1"
            _wait_until_able(url)
            made = RealServer(url, "", Path(home), server.pid, env)
            yield replace(made, key=made.command("key", "create", "--role", "engineer").split()[-1])
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("QC_")}
    return {**mine, **settings, "PYTHONPATH": str(ROOT)}


def _memory_mb(pid: int) -> float:
    below = [
        int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()
    ]
    told = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    own = next(int(line.split()[1]) for line in told if line.startswith("Pss:"))
    return own * 1024 / 1e6 + sum(_memory_mb(child) for child in below)


def _wait_until_able(url: str) -> None:
    until = time.monotonic() + FIRST_ANSWER_S
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/health", timeout=10).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise SystemExit("the server does not start")
