"""What a check of the labels doubts is asked of people, as label tasks; nothing is changed by it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from sqlmodel import select

from labeling.manifest import write_manifest
from labeling.records import Annotation, LabelTask, TaskState
from server.cli import main

SENTENCE = "Is there a pit at (30, 20) that nobody drew?"


@pytest.fixture
def asks(line, tmp_path, monkeypatch, capsys):
    """Runs `qc data ask` beside the server about pictures of its inspections; what it says."""
    for name, value in line.environment.items():
        monkeypatch.setenv(name, value)

    def run(*questions, frames=(), most=20):
        folder = tmp_path / f"set {len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        write_manifest(
            folder,
            now=datetime.now(UTC),
            frames=[{"file": f"{i}_0.png", "inspection": i, "n": 0} for i in frames],
        )
        (tmp_path / "q.jsonl").write_text("".join(f"{json.dumps(q)}\n" for q in questions))
        status = main(["data", "ask", str(tmp_path / "q.jsonl"), str(folder), "--most", str(most)])
        said = capsys.readouterr()  # what the server writes down meanwhile is among it
        words = [text for text in said.out.splitlines() if "new tasks" in text]
        return status, words[0] if words else said.err.strip()

    return run


def missing(image, **changed):
    """A question as `qc data errors` writes it."""
    said = {"image": image, "kind": "missing", "bbox": [30, 20, 8, 5], "drawn": None, "proposed": "pit"}
    return {**said, "certainty": 0.8, "question": SENTENCE, **changed}


def test_a_doubted_label_becomes_a_task_that_says_what_is_asked_and_is_asked_once(line, asks):
    first, second = (line.send(line.picture(mark=k), part=f"P-{k}").json()["id"] for k in (1, 2))
    carried = {"doubted": [f"{second}_0"], "there": [10, 10, 4, 4], "classes": ["pit"], "certainty": 0.5}
    questions = [
        missing(f"{first}_0"),
        missing("kos04_Part3"),  # of a set that was mixed in: no inspection
        {**carried, "question": "Was a pit forgotten?"},  # as `qc data conflicts` writes it
        {"part": "P-2", "images": [], "doubted": [], "certainty": 0.5, "question": "of a piece as a whole"},
    ]
    said = "2 new tasks, 0 done ones for one more person, 0 asked already; 1 about pictures that are not kept here"
    assert asks(*questions, frames=[first, second]) == (0, said)
    tasks = {t["inspection_id"]: t for t in line.get("/label-tasks").json()["items"]}
    assert (tasks[first]["why"], tasks[second]["why"]) == (SENTENCE, "Was a pit forgotten?")
    assert {t["reason"] for t in tasks.values()} == {"review"}
    assert asks(*questions, frames=[first, second])[1].startswith("0 new tasks, 0 done ones for one more person, 2 ")
    assert len(line.get("/label-tasks").json()["items"]) == 2


def test_where_the_very_crop_was_labelled_one_more_person_is_asked(line, asks):
    inspection = line.send(line.picture(doubtful=9)).json()["id"]
    with line.context.database.write() as session:
        task = session.exec(select(LabelTask)).one()
        task.state = TaskState.DONE
        now = datetime.now(UTC)
        drawn = {"studio_project": "7@2026", "studio_annotation_id": 1, "by": "anna", "mask_key": "labels/1.png"}
        session.add(Annotation(label_task_id=task.id, updated_at=now, received_at=now, **drawn))
        session.add(task)
        session.commit()
    for counts in ("0 new tasks, 1 done ones", "0 new tasks, 0 done ones"):
        assert asks(missing(f"{inspection}_0"), frames=[inspection])[1].startswith(counts)
    with line.context.database.read() as session:
        task = session.exec(select(LabelTask)).one()
        assert (task.people, task.grounds["sentence"]) == (2, SENTENCE)
        assert session.exec(select(Annotation.mask_key)).all() == ["labels/1.png"]


def test_no_more_are_asked_than_were_wanted(line, asks):
    inspections = [line.send(line.picture(mark=k), part=f"P-{k}").json()["id"] for k in (1, 2, 3)]
    assert asks(*[missing(f"{i}_0") for i in inspections], frames=inspections, most=2)[1].startswith("2 new tasks")
    assert len(line.get("/label-tasks").json()["items"]) == 2


def test_a_file_that_makes_no_sense_is_refused_in_one_sentence_and_nothing_is_asked(line, asks):
    inspection = line.send(line.picture()).json()["id"]
    image = f"{inspection}_0"
    for question, words in (
        (["not", "a", "question"], "line 1"),
        (missing(image, bbox=[1, 2]), "line 1"),
        (missing(image, bbox=[1, 2, 0, 4]), "line 1"),
        (missing(image, certainty=7), "line 1"),
        (missing(image, bbox=[115, 2, 30, 4]), "not on"),
        (missing(image, bbox=[-5, 2, 30, 4]), "not on"),
    ):
        status, said = asks(question, frames=[inspection])
        assert (status, len(said.splitlines())) == (1, 1)
        assert words in said
    assert line.get("/label-tasks").json()["items"] == []
