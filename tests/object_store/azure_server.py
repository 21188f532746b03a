"""Azure's blob store for tests: Azurite, the emulator that Azure's makers give out, as a process of its own.

It is not part of the set-up (382 packages, 245 MB): `.venv/bin/npm install --prefix .venv-azurite azurite`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path

import httpx

NODE = Path(sys.executable).parent / "node"
AZURITE = Path(__file__).parents[2] / ".venv-azurite/node_modules/azurite/dist/src/blob/main.js"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's own, the same everywhere."""
PATIENCE_S = 90.0


class AzureServer:
    """Data in `folder`, and a container `plant`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        where = ("--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder))
        quiet = ("--silent", "--disableTelemetry", "--skipApiVersionCheck")
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen([NODE, AZURITE, *where, *quiet], stdout=log, stderr=log, cwd=folder)
        try:
            self._make_container("plant")
        except BaseException:
            self.close()
            raise

    def environment(self) -> dict[str, str]:
        """What a client needs besides the URL, as environment variables."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_STORAGE_ENDPOINT": self.endpoint,
        }

    def close(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def _make_container(self, name: str) -> None:
        """Waits until it answers, too. Signed by hand: clients of stores make no containers."""
        until = time.monotonic() + PATIENCE_S
        while True:
            told = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
            lines = [f"{header}:{value}" for header, value in told.items()]
            signed = "\n".join(["PUT", *[""] * 11, *lines, f"/{ACCOUNT}/{ACCOUNT}/{name}", "restype:container"])
            seal = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
            head = told | {"Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(seal).decode()}"}
            try:
                httpx.put(f"{self.endpoint}/{name}?restype=container", headers=head).raise_for_status()
                return
            except httpx.TransportError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.1)
