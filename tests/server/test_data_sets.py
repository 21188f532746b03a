"""Versions of the data set over REST: what each retraining learnt from, and what changed from one to another."""

from __future__ import annotations

import shutil
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import pytest

from labeling.manifest import write_manifest
from qc.records import new_id
from segmentation.render import render_dataset
from server.access import Role
from server.jobs.records import Job, JobState

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def book(definition: str) -> dict:
    return {"classes": {"pit": {"definition": definition, "limits": [], "examples": []}}}


@pytest.fixture
def two_versions(line) -> tuple[str, str, Path]:
    """Two retrainings froze their labels; in the second a mask was drawn over and one image is gone."""
    first, second = new_id(), new_id()
    home = line.context.settings.home
    old, new = (home / "retraining" / job / "dataset" for job in (first, second))
    render_dataset(old, 3, seed=4, width=160, height=120)
    shutil.copytree(old, new)
    one, *_, last = sorted((new / "masks").glob("*.png"))
    mask = cv2.imread(str(one), cv2.IMREAD_UNCHANGED)
    mask[5:15, 5:15] = 1 if mask[5, 5] == 0 else 0
    cv2.imwrite(str(one), mask)
    last.unlink()
    next((new / "images").glob(f"{last.stem}.*")).unlink()
    rows = (new / "split.csv").read_text().splitlines()
    (new / "split.csv").write_text("\n".join(row for row in rows if last.stem not in row) + "\n")
    label = {"by": "ann", "at": DAY.isoformat()}
    write_manifest(old, now=DAY, frames=[{"file": one.name, "labels": [label]}], book=book("A hole"))
    frames = [{"file": one.name, "labels": [label, {**label, "by": "ben"}]}]
    write_manifest(new, now=DAY + timedelta(days=7), frames=frames, book=book("A round hole"))
    with line.context.database.write() as session:
        told = {"model": "sha256:dark-spots", "promoted": False, "reason": "no better", "data": ""}
        done = {"kind": "retrain", "state": JobState.DONE, "result": told, "created_at": DAY, "not_before": DAY}
        session.add(Job(id=second, **done))
        session.commit()
    return first, second, new


def test_every_version_is_listed_with_who_drew_it_and_the_model_that_learnt_from_it(line, two_versions):
    first, second, new = two_versions
    found = line.get("/data-sets", Role.LABELLER).json()["items"]
    assert [one["job"] for one in found] == [second, first], "the newest first"
    assert found[0]["images"] == found[1]["images"] - 1 == len(list((new / "images").iterdir()))
    assert [(one["drawings"], one["people"], one["kept"]) for one in found] == [(2, 2, True), (1, 1, True)]
    assert [one["model"] for one in found] == ["sha256:dark-spots", None]
    assert sum(found[1]["parts"].values()) == 3
    assert line.get("/data-sets", Role.OPERATOR).status_code == 403


def test_what_changed_is_told_by_looking_and_by_hashes_once_the_pictures_are_gone(line, two_versions):
    first, second, new = two_versions
    at = f"/data-sets/{second}/difference"
    told = line.get(at, params={"since": first}).json()
    assert (told["looked"], told["same"], told["relabelled"]) == (True, False, 1)
    assert (told["removed"]["count"], told["added"]["count"], told["book"]) == (1, 0, ["pit"])
    [mask] = told["masks"]
    assert mask["changed_px"] == 100
    assert mask["before"] != mask["after"]
    assert line.get(at, params={"since": second}).json()["same"]

    for pictures in ("images", "masks"):  # as tidying away does
        shutil.rmtree(new / pictures)
    told = line.get(at, params={"since": first}).json()
    assert (told["looked"], told["relabelled"], told["removed"]["count"], told["book"]) == (False, 1, 1, ["pit"])
    assert not line.get("/data-sets").json()["items"][0]["kept"]
    for wrong in ("..", str(uuid.uuid4()), first[:8]):
        assert line.get(at, params={"since": wrong}).status_code == 404
