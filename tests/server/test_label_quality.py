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


def draws(line, task_id: str, by: str, *, columns: int, days: int, specks: int = 0) -> None:
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
        said |= {"lead_time_s": 20.0 + 10 * specks, "specks": specks}
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


def test_it_is_told_who_labelled_how_much_lately_and_whose_editor_left_marks(line, finished):
    draws(line, finished, "ann", columns=36, days=-40, specks=9)  # too long ago
    draws(line, finished, "ann", columns=36, days=-2, specks=3)
    draws(line, finished, "ann", columns=36, days=-1)
    with line.context.database.write() as session:
        (removed,) = session.exec(select(Annotation).where(Annotation.by == "expert")).all()
        removed.deleted = True
        session.add(removed)
        session.commit()
    told = line.get("/labels/quality").json()["work"]
    assert told == [{"person": "ann", "drawings": 2, "seconds_each": 35.0, "specks": 3, "with_specks": 1}]
    rows = [row.split(",") for row in line.get("/labels/quality.csv").text.splitlines()]
    assert [(row[1], row[2], row[5]) for row in rows if row[0] == "ann"] == [
        ("seconds_each", "35.0", "2"),
        ("specks", "3", "1"),
    ]


def test_an_engineer_reads_who_drew_what_and_whoever_may_label_it_next_does_not(line, finished):
    draws(line, finished, "ann", columns=36, days=1)
    with line.context.database.write() as session:
        for row in session.exec(select(Annotation)):
            row.drawn = {"pit": 1} if row.by == "ann" else None
            session.add(row)
        session.commit()
    (told,) = line.get("/label-tasks", params={"state": "done"}).json()["items"]
    assert told["drawn"] == [{"by": "ann", "drawn": {"pit": 1}}, {"by": "expert", "drawn": None}]
    (told,) = line.get("/label-tasks", Role.LABELLER, params={"state": "done"}).json()["items"]
    assert told["drawn"] == []
