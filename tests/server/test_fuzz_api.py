"""The API of a real server, asked by Schemathesis: whatever is sent, no 5xx, no traceback, no growing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

HERE = Path(__file__).parent


def test_no_request_and_no_order_of_requests_makes_the_server_err():
    done = subprocess.run(
        [
            *(sys.executable, str(HERE / "fuzz_api.py")),
            *("--examples", "1", "--stories", "4", "--pictures", "40", "--seconds", "20"),
        ],
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    for part in ("routes", "stories", "pictures"):
        assert f"{part}: " in done.stdout


@pytest.mark.parametrize(
    ("status", "body", "is_a_mistake"),
    [
        (500, b'{"error": {"code": "failed"}}', True),
        (502, b"", True),
        (503, b"upstream is away", True),
        (200, b"Traceback (most recent call last)", True),
        (503, b'{"error": {"code": "unavailable"}}', False),
        (422, b'{"error": {"code": "invalid_input"}}', False),
    ],
)
def test_what_counts_as_a_mistake(status, body, is_a_mistake, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import fuzz_api

    answer = httpx.Response(status, content=body)
    if is_a_mistake:
        with pytest.raises(fuzz_api.Mistake):
            fuzz_api.check(answer, "a request")
    else:
        assert fuzz_api.check(answer, "a request") == status
