"""The PostgreSQL of the tests leaves nothing behind, whatever ends them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

PROGRAM = """
import sys, time
sys.path.insert(0, sys.argv[1])
from postgres_server import NotHere, postgres
try:
    with postgres("fsync=off") as url:
        print(url, flush=True)
        time.sleep(600)
except NotHere as why:
    print(why, flush=True)
"""


def test_whoever_started_it_is_killed_and_it_ends_with_its_folder():
    command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            told = process.stdout.readline().strip()
            if "://" not in told:
                pytest.skip(told)
            socket = f"qc-postgres-*/.s.PGSQL.{make_url(told).port}"
            (folder,) = [found.parent for found in Path(tempfile.gettempdir()).glob(socket)]
        finally:
            process.kill()
    until = time.monotonic() + 120
    while folder.exists():
        assert time.monotonic() < until, f"PostgreSQL still runs in {folder}"
        time.sleep(0.05)
