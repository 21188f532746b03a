"""A receiver of webhooks in a process of its own (`receiver.py`), that can be away, slow, or say no."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@dataclass
class Receiver:
    """The other side."""

    folder: Path
    secret: str = SECRET
    port: int = 0
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def comes(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("receiver.py")), str(self.folder), self.secret]
        self.process = subprocess.Popen([*command, str(self.port)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def goes(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def forgets(self) -> None:
        """Begin anew: all is well, and nothing came."""
        for name in ("behaviour.json", "received.jsonl"):
            (self.folder / name).unlink(missing_ok=True)

    def behaves(self, **behaviour: Any) -> None:
        new = self.folder / "behaviour.new"
        new.write_text(json.dumps(behaviour))
        new.rename(self.folder / "behaviour.json")

    @property
    def received(self) -> list[dict[str, Any]]:
        """Every request, also those that it refused."""
        file = self.folder / "received.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def taken(self) -> list[dict[str, Any]]:
        """What it answered with 2xx."""
        return [one for one in self.received if one["status"] < 300]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/token-in-the-path"

    def is_named_in(self, home: Path, **more: Any) -> None:
        """Write an `outbound.yaml` that names it `mes`."""
        home.mkdir(exist_ok=True)
        hook = {"url": self.url, "secret": self.secret, "longest_pause_s": 1, "timeout_s": 5, **more}
        (home / "outbound.yaml").write_text(yaml.safe_dump({"allow": ["127.0.0.1"], "webhooks": {"mes": hook}}))
