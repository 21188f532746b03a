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
"""What comes before the operator's page is seen, compressed: on a tablet in a hall it is there within a second."""


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


def first_scripts(dist: Path) -> list[Path]:
    """What comes before the operator's page is seen: the scripts of index.html, and all that these import at once."""
    index = (dist / "index.html").read_text(encoding="utf-8")
    found = [dist / name for name in dict.fromkeys(re.findall(r"assets/[\w-]+\.js", index))]
    for script in found:  # grows meanwhile
        source = script.read_text(encoding="utf-8")
        named = re.findall(r"""(?:\bfrom|\bimport)\s*["']\./([\w-]+\.js)["']""", source)
        found += [one for name in named if (one := script.parent / name) not in found]
    return found


def kilobytes(scripts: list[Path]) -> float:
    return sum(len(gzip.compress(script.read_bytes())) for script in scripts) / 1000


def test_the_operators_page_loads_little_at_first():
    dist = FRONTEND / "dist"
    if not (dist / "index.html").is_file():
        pytest.skip("the pages are not built; run make setup, or npm ci and npm run build in frontend/")
    first = first_scripts(dist)
    later = {script.name.split("-")[0] for script in (dist / "assets").glob("*.js")} - {
        one.name.split("-")[0] for one in first
    }
    assert {"EngineerPage", "ProcessPage", "LabelPage", "MoneyPage", "ModelsPage", "AdminPage"} <= later
    words = list((dist / "assets").glob("station-*.js"))  # some only lead to another, which lies beside them
    assert len(words) >= 3
    for own in words:  # English is always among the first; another language comes besides
        assert own not in first
        assert kilobytes([*first, own]) < MOST_KB, f"{kilobytes([*first, own]):.0f} kB with {own.name}"


def test_the_types_are_of_this_server():
    """`openapi.json` is committed, so that building needs no Python; it must not fall behind."""
    from server.app import create_app
    from server.settings import Settings

    committed = json.loads((FRONTEND / "openapi.json").read_text(encoding="utf-8"))
    now = create_app(Settings(home=Path(os.devnull).parent / "no-such-home")).openapi()
    again = "run: qc openapi --out frontend/openapi.json && cd frontend && npm run api"
    assert committed["paths"] == json.loads(json.dumps(now["paths"])), again
    assert committed["components"] == json.loads(json.dumps(now["components"])), again
