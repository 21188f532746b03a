"""Who did how well on tasks whose truth is known, and when."""

from __future__ import annotations

from datetime import timedelta

import cv2
import numpy as np
import pytest
from sqlmodel import select

from labeling.records import Annotation, LabelTask, TaskState
from server.access import Role

CLASSES = {"1": "pit"}


def draws(line, task_id: str, by: str, *, columns: int, days: int) -> None:
    """A person submits a pit of so many columns, 8 px high; the newest drawing stands."""
    drawn = np.zeros((96, 128), np.uint8)
    drawn[40:48, 20 : 20 + columns] = 1
    key, at = f"labels/{task_id}-{by}-{days}.png", line.context.now() + timedelta(days=days)
    line.context.blobs.put(key, bytes(cv2.imencode(".png", drawn)[1]))
    with line.context.database.write() as session:
        for old in session.exec(select(Annotation).where(Annotation.label_task_id == task_id)):
            old.superseded = True
            session.add(old)
        number = len(session.exec(select(Annotation)).all()) + 1
        said = {"studio_project": "1", "studio_annotation_id": number, "by": by, "mask_key": key, "classes": CLASSES}
        session.add(Annotation(label_task_id=task_id, updated_at=at, received_at=at, **said))
        session.commit()


@pytest.fixture
def finished(line):
    """A task that an expert finished: a pit of 40 columns."""
    told = line.send(line.picture(), part="P-1").json()
    with line.context.database.write() as session:
        crop = {"crop_x": 0, "crop_y": 0, "crop_width": 128, "crop_height": 96}
        plain = {"n": 0, "part": "P-1", "station": "S-1", "reason": "sample", "urgency": 0.5}
        task = LabelTask(inspection_id=told["id"], opened_at=line.context.now(), state=TaskState.DONE, **plain, **crop)
        session.add(task)
        session.commit()
        number = task.id
    draws(line, number, "expert", columns=40, days=0)
    return number


def test_golden_tasks_are_listed_with_everybodys_score_and_its_day(line, finished):
    assert line.get("/labels/quality").json()["golden"] == []
    assert line.post(f"/label-tasks/{finished}/golden", Role.LABELLER).status_code == 403
    made = line.post(f"/label-tasks/{finished}/golden")
    assert made.status_code == 200, made.text
    draws(line, finished, "ann", columns=36, days=1)
    draws(line, finished, "ben", columns=0, days=2)
    told = line.get("/labels/quality").json()
    assert [(one["id"], one["part"], one["golden"]) for one in told["golden"]] == [(finished, "P-1", True)]
    marks = {one["person"]: one["marks"] for one in told["labellers"]}
    assert {person: [(mark["task"], mark["score"]) for mark in seen] for person, seen in marks.items()} == {
        "ann": [(finished, 1.0)],
        "ben": [(finished, 0.0)],
    }, "whoever made it golden is not marked"
    assert marks["ann"][0]["at"] < marks["ben"][0]["at"]
    assert line.get("/labels/quality", Role.LABELLER).status_code == 403, "nobody is told which tasks are golden"
