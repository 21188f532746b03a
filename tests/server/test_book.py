"""The label book over REST: an engineer defines, a labeller proposes, everybody reads, and the trail knows who."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from sqlmodel import select

from labeling.book_records import BookExample
from labeling.records import Annotation, LabelTask, TaskState
from server import audit_check
from server.access import Role
from server.audit import AuditEntry

PIT = {"definition": "A round hole with a sharp edge", "limits": [{"measure": "width_mm", "low": 0.2}]}


def put(line, role=Role.ENGINEER, name="pit", **body):
    return line.client.put(f"/api/v1/label-book/{name}", headers=line.head(role), json={**PIT, **body})


def labelled(line, *people, part="P-1"):
    """A doubtful part whose only crop was labelled by these people: (name, x of a 9 x 9 pit or None)."""
    inspection = line.send(line.picture(doubtful=9), part=part).json()
    context = line.context
    with context.database.write() as session:
        task = session.exec(select(LabelTask).where(LabelTask.inspection_id == inspection["id"])).one()
        for place, (person, x) in enumerate(people):
            mask = np.zeros((task.crop_height, task.crop_width), np.uint8)
            if x is not None:
                mask[50:59, x : x + 9] = 1
            key = f"labels/{task.id}/{person}.png"
            context.blobs.put(key, cv2.imencode(".png", mask)[1].tobytes())
            session.add(
                Annotation(
                    label_task_id=task.id,
                    studio_project=part,
                    studio_annotation_id=place,
                    updated_at=context.now(),
                    by=person,
                    mask_key=key,
                    classes={"1": "pit"},
                    received_at=context.now(),
                )
            )
        task.state, task.closed_at = TaskState.DONE, context.now()
        session.add(task)
        session.commit()
        return inspection, task.id


def kinds(line):
    with line.context.database.read() as session:
        audit_check.verify(session)
        return [(e.kind, e.by) for e in session.exec(select(AuditEntry)) if e.kind.startswith("label")]


def test_an_engineer_defines_a_class_and_everybody_reads_it(line):
    empty = line.get("/label-book", Role.OPERATOR).json()
    assert (empty["version"], [c["name"] for c in empty["classes"]]) == (0, ["pit"])
    assert put(line, Role.LABELLER).status_code == 403
    written = put(line)
    assert written.status_code == 200, written.text
    assert written.json()["limits"] == [{"measure": "width_mm", "low": 0.2, "high": None}]
    again = put(line, definition="A hole", after=1).json()
    assert [(c["version"], c["change"]) for c in again["history"]] == [(2, "definition"), (1, "definition and limits")]
    old = line.get("/label-book/pit", Role.LABELLER, params={"version": 1}).json()
    assert old["definition"] == PIT["definition"]
    assert kinds(line) == [("label_book", "engineer key")] * 2


def test_what_cannot_be_written_is_said(line):
    assert put(line, name="pitt").json()["error"]["message"] == "there is no class 'pitt'; there are pit"
    assert put(line, limits=[{"measure": "width_mm", "low": 3, "high": 1}]).status_code in (400, 422)
    assert put(line, definition="  ").status_code in (400, 422)
    put(line)
    late = put(line, definition="Another word")
    assert late.status_code == 409
    assert "read it again" in late.json()["error"]["message"]


def test_a_labeller_proposes_an_example_and_an_engineer_takes_it_into_the_book(line):
    _, task = labelled(line, ("ann", 60))
    body = {"label_task": task, "shows": "is", "note": "seen from above"}
    made = line.post("/label-book/pit/examples", Role.LABELLER, json=body)
    assert made.status_code == 201, made.text
    assert made.json()["state"] == "proposed"
    page = line.get("/label-book/pit").json()
    assert ([e["id"] for e in page["examples"]], [e["note"] for e in page["proposals"]]) == ([], ["seen from above"])
    picture = line.client.get(made.json()["picture"], headers=line.head(Role.OPERATOR))
    assert picture.headers["content-type"] == "image/png"
    pixels = cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_COLOR)
    assert list(pixels.shape[1::-1]) == made.json()["crop"][2:]

    address = f"/label-examples/{made.json()['id']}/answer"
    assert line.post(address, Role.LABELLER, json={"accept": True}).status_code == 403
    assert line.post(address, json={"accept": True}).json()["state"] == "accepted"
    page = line.get("/label-book/pit").json()
    assert (page["version"], [e["id"] for e in page["examples"]], page["proposals"]) == (1, [made.json()["id"]], [])
    line.post(address, json={"accept": False})
    assert line.get("/label-book/pit").json()["examples"] == []
    assert [e["id"] for e in line.get("/label-book/pit", params={"version": 1}).json()["examples"]] == [
        made.json()["id"]
    ]
    assert [kind for kind, _ in kinds(line)] == [
        "label_book.example",
        "label_book.answer",
        "label_book",
        "label_book.answer",
        "label_book",
    ]


def test_an_engineers_example_of_an_inspection_stands_at_once_and_goes_when_its_part_is_erased(line):
    inspection = line.send(line.picture(dark=20), part="P-7").json()
    body = {"inspection_id": inspection["id"], "shows": "is_not", "note": "oil"}
    made = line.post("/label-book/pit/examples", json=body).json()
    assert made["state"] == "accepted"
    with line.context.database.read() as session:
        row = session.get(BookExample, made["id"])
    assert line.context.blobs.exists(row.picture_key)
    assert line.post("/erasures", Role.ADMIN, json={"part": "P-7", "reason": "asked for"}).status_code == 202
    until = time.monotonic() + 60
    while line.get("/label-book/pit").json()["examples"]:
        assert time.monotonic() < until, "the example was never erased"
        time.sleep(0.05)
    assert line.client.get(made["picture"], headers=line.head()).status_code == 404
    assert not line.context.blobs.exists(row.picture_key)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "name one of the two"),
        ({"label_task": "none"}, "there is no label task none"),
        ({"inspection_id": "none"}, "none"),
    ],
)
def test_an_example_of_nothing_is_refused(line, body, said):
    answer = line.post("/label-book/pit/examples", json=body)
    assert answer.status_code in (400, 404, 422)
    assert said in answer.json()["error"]["message"]


def test_what_was_drawn_by_mistake_becomes_an_example_of_what_it_is_not(line):
    labelled(line, ("ann", 60), ("ben", None))
    (dispute,) = line.get("/label-disputes").json()["items"]
    right = next(v for v in dispute["voices"] if v["by"] == "ben")
    body = {"annotation": right["annotation"], "example": {"class_name": "pit", "shows": "is_not"}}
    assert line.post(f"/label-disputes/{dispute['key']}/settle", json=body).status_code == 200
    (example,) = line.get("/label-book/pit").json()["examples"]
    assert example["shows"] == "is_not"
    with line.context.database.read() as session:
        key = session.get(BookExample, example["id"]).mask_key
    mask = cv2.imdecode(np.frombuffer(line.context.blobs.get(key), np.uint8), cv2.IMREAD_UNCHANGED)
    assert (mask > 0).sum() == 81


def test_a_dispute_is_settled_and_becomes_an_example(line):
    _, task = labelled(line, ("ann", 60), ("ben", None))
    (dispute,) = line.get("/label-disputes", Role.LABELLER).json()["items"]
    assert dispute["kind"] == "people"
    assert {v["by"]: v["drawn"] for v in dispute["voices"]} == {"ann": {"pit": 1}, "ben": {}}
    right = next(v for v in dispute["voices"] if v["by"] == "ann")
    picture = line.client.get(right["picture"], headers=line.head(Role.LABELLER))
    assert picture.content.startswith(b"\x89PNG")
    body = {"annotation": right["annotation"], "note": "it has an edge", "example": {"class_name": "pit"}}
    address = f"/label-disputes/{dispute['key']}/settle"
    assert line.post(address, Role.LABELLER, json=body).status_code == 403
    assert line.post(address, json={"example": {"class_name": "pit"}}).status_code in (400, 422)
    assert line.post(address, json=body).status_code == 200
    after = line.get("/label-disputes").json()
    assert (after["items"], [r["note"] for r in after["settled"]]) == ([], ["it has an edge"])
    (example,) = line.get("/label-book/pit").json()["examples"]
    assert (example["note"], example["part"]) == ("it has an edge", "P-1")
    assert line.post(address, json=body).status_code == 409
    with line.context.database.read() as session:
        assert session.get(LabelTask, task).settled_key.endswith("ann.png")
