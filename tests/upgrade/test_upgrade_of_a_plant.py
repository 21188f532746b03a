"""A plant made by the code before the last change of the tables, opened by today's; and back, from its backup.

The earlier code is taken from the repository's own history and runs in processes of its own.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("earlier_plant.py")
PACKAGES = ("qc", "labeling", "segmentation", "process_opt", "server", "pyproject.toml")

pytestmark = pytest.mark.timeout(900)


def git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def earlier(tmp_path_factory) -> Path:
    """The code as it was before the newest migration came."""
    newest = sorted((ROOT / "server/migrations/versions").glob("[0-9]*.py"))[-1]
    try:
        added = git("log", "--diff-filter=A", "--format=%H", "-1", "--", str(newest.relative_to(ROOT))).decode().strip()
        packed = git("archive", "--format=zip", f"{added}^", *PACKAGES)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the clone has no history from which the earlier version could be taken")
    folder = tmp_path_factory.mktemp("earlier")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(folder)
    return folder


def run(code: Path, home: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """A program by the code of one version, on a home."""
    told = {k: v for k, v in os.environ.items() if not k.startswith("QC_")}
    paths = {"PYTHONPATH": str(code), "QC_HOME": str(home), "NO_ALBUMENTATIONS_UPDATE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=code, env={**told, **paths}, capture_output=True, text=True
    )


def qc(code: Path, home: Path, *words: str | Path) -> str:
    done = run(code, home, "-m", "server", *words)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def day(code: Path, home: Path, what: str) -> dict[str, Any]:
    """A day of the plant by that code: what was answered."""
    answers = home.with_name(f"{home.name}-{what}.json")
    done = run(code, home, SCRIPT, what, home, answers)
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(answers.read_text())
    assert told["code"] == str(code)
    return told


def same_parts(now: dict[str, Any], then: dict[str, Any]) -> None:
    """Every part of then has the same answer, pictures and word now; later versions may say more of it."""
    for key, told in then["inspections"].items():
        found = now["inspections"][key]
        assert {name: found[name] for name in told} == told
    assert {key: now["pictures"][key] for key in then["pictures"]} == then["pictures"]
    assert now["models"] == then["models"]
    assert now["again"] == then["again"]  # the same trigger is still the same inspection


def test_a_plant_is_brought_up_to_date_with_all_it_has_and_goes_back_to_its_backup(earlier, tmp_path):
    home, backup = tmp_path / "home", tmp_path / "backup"
    qc(earlier, home, "model", "add", "segmentation/starter", "--promote")
    then = day(earlier, home, "new")
    assert any(told["decision"] for told in then["inspections"].values())
    qc(earlier, home, "backup", backup)

    now = day(ROOT, home, "again")
    same_parts(now, then)
    assert now["one_more"] in ("ok", "review", "ng")
    qc(ROOT, home, "audit", "verify")

    refused = run(earlier, home, "-m", "server", "model", "list")  # the earlier version leaves it alone, and says why
    assert refused.returncode == 1
    assert "newer version" in refused.stderr

    shutil.rmtree(home)
    qc(earlier, home, "restore", backup)
    same_parts(day(earlier, home, "again"), then)
    restored = tmp_path / "restored"
    qc(ROOT, restored, "restore", backup)  # a backup of then may as well be restored by today's version
    qc(ROOT, restored, "audit", "verify")
