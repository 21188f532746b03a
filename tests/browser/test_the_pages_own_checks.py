"""The pages' own checks: types, lint, units, and what a first visit has to load."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FRONTEND = Path(__file__).parents[2] / "frontend"

MOST_KB = 250
"""All scripts, compressed: on a tablet in a hall they are there within a second."""


def npm(*words: str) -> subprocess.CompletedProcess[str]:
    beside = Path(sys.executable).parent
    path = os.pathsep.join([str(beside), os.environ.get("PATH", "")])
    found = shutil.which("npm", path=path)
    if found is None or not (FRONTEND / "node_modules").is_dir():
        pytest.skip("the pages' packages are not installed; run make setup, or npm ci in frontend/")
    command = [found, "run", "--silent", *words]
    return subprocess.run(command, cwd=FRONTEND, env={**os.environ, "PATH": path}, capture_output=True, text=True)


@pytest.mark.parametrize("check", ["types", "lint", "test"])
def test_the_pages_pass_their_own(check):
    done = npm(check)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_first_visit_loads_little_and_everything():
    """Nothing is fetched later: a station shows every page also while the server is away."""
    dist = FRONTEND / "dist"
    if not (dist / "index.html").is_file():
        pytest.skip("the pages are not built; run make setup, or npm ci and npm run build in frontend/")
    named = re.findall(r"assets/[\w-]+\.js", (dist / "index.html").read_text(encoding="utf-8"))
    scripts = set((dist / "assets").glob("*.js"))
    assert scripts == {dist / name for name in named}
    size = sum(len(gzip.compress(script.read_bytes())) for script in scripts)
    assert size < MOST_KB * 1000, f"{size / 1000:.0f} kB"


def test_the_types_are_of_this_server():
    """`openapi.json` is committed, so that building needs no Python; it must not fall behind."""
    from server.app import create_app
    from server.settings import Settings

    committed = json.loads((FRONTEND / "openapi.json").read_text(encoding="utf-8"))
    now = create_app(Settings(home=Path(os.devnull).parent / "no-such-home")).openapi()
    again = "run: qc openapi --out frontend/openapi.json && cd frontend && npm run api"
    assert committed["paths"] == json.loads(json.dumps(now["paths"])), again
    assert committed["components"] == json.loads(json.dumps(now["components"])), again
