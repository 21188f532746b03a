"""With a certificate the server speaks HTTPS and nothing else; one that makes no sense is said at once."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from certificates import make_certificate

HERE = Path(__file__).parent


def environment(home: Path, **changed: Path) -> dict[str, str]:
    """Of a server on any free port, without Label Studio."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("QC_")},
        "QC_HOME": str(home),
        "PORT": "0",
        "QC_LABEL_STUDIO": "false",
        "PYTHONPATH": str(HERE.parents[1]),
        **{name: str(value) for name, value in changed.items()},
    }


def test_with_a_certificate_it_speaks_https_and_nothing_else(tmp_path):
    certificate, key = make_certificate(tmp_path, "station")
    home = tmp_path / "home"
    process = subprocess.Popen(
        [sys.executable, str(HERE / "slow_server.py"), "0"],
        env=environment(home, QC_TLS_CERTIFICATE=certificate, QC_TLS_KEY=key),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
    )
    with process:
        try:
            address = next(found[0] for line in process.stdout if (found := re.search(r"https://[\d.]+:\d+", line)))
            trusting = ssl.create_default_context(cafile=certificate)
            end = time.monotonic() + 60
            while httpx.get(f"{address}/api/v1/health", verify=trusting).status_code != 200:
                assert time.monotonic() < end
                time.sleep(0.1)
            name, password = (home / "first-login.txt").read_text().split()
            who = {"name": name, "password": password}
            entered = httpx.post(f"{address}/api/v1/session", json=who, verify=trusting)
            assert entered.status_code == 200
            assert "Secure" in entered.headers["set-cookie"], "the log-in never travels in the clear"
            with pytest.raises(httpx.TransportError):
                httpx.get(f"{address}/api/v1/health".replace("https", "http"))
            with pytest.raises(httpx.ConnectError, match="certificate"):
                httpx.get(f"{address}/api/v1/health", verify=ssl.create_default_context())
            old = ssl.create_default_context(cafile=certificate)
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
            old.set_ciphers("DEFAULT:@SECLEVEL=0")
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{address}/api/v1/health", verify=old)
        finally:
            process.kill()


def test_a_certificate_that_makes_no_sense_is_said_at_once(tmp_path):
    certificate, key = make_certificate(tmp_path, "station")
    _, other = make_certificate(tmp_path, "another")
    (tmp_path / "words.pem").write_text("no certificate")
    for changed, told in (
        ({"QC_TLS_CERTIFICATE": certificate, "QC_TLS_KEY": other}, "belong together"),
        ({"QC_TLS_CERTIFICATE": certificate}, "cannot be used with the key in it"),
        ({"QC_TLS_CERTIFICATE": tmp_path / "words.pem", "QC_TLS_KEY": key}, "must be PEM"),
        ({"QC_TLS_CERTIFICATE": tmp_path / "none.pem"}, "there is no file"),
        ({"QC_TLS_KEY": key}, "without QC_TLS_CERTIFICATE"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "server", "up"],
            env=environment(tmp_path / "home", **changed),
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == 1, changed
        assert told in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
