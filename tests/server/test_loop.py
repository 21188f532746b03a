"""Doubt becomes a label task, in the transaction of what it belongs to; jobs do the rest."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from labeling.records import LabelTask, Reason, TaskState
from qc.records import Inspection
from server import label_jobs, retrain_job, schema
from server.access import Role
from server.db import Database, sqlite_url
from server.jobs import queue
from server.jobs.records import Job, JobState
from server.studio_service import SECRET_HEADER, webhook_secret


def wait_for(true, *, patience=120):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def tasks(line, **wanted):
    return line.get("/label-tasks", params=wanted).json()["items"]


def decide(line, inspection, verdict):
    body = {"verdict": verdict, "reason": "I looked at it"}
    return line.post(f"/inspections/{inspection['id']}/decision", Role.OPERATOR, json=body)


def hook(line, payload, *, secret=None):
    secret = webhook_secret(line.context.settings.home.resolve()) if secret is None else secret
    return line.client.post("/api/v1/label-studio/webhook", json=payload, headers={SECRET_HEADER: secret})


def jobs_of(line, kind):
    with line.context.database.read() as session:
        return list(session.exec(select(Job).where(Job.kind == kind)))


def pushed_task(line, number=41):
    """A label task that Label Studio has under a number."""
    line.send(line.picture(doubtful=9))
    with line.context.database.write() as session:
        task = session.exec(select(LabelTask)).one()
        task.state, task.studio_task_id, task.studio_project = TaskState.PUSHED, number, "7@2026"
        session.add(task)
        session.commit()
        return task.id


def test_a_doubtful_part_becomes_a_label_task_and_a_clear_one_does_not(line):
    doubtful = line.send(line.picture(doubtful=9), part="P-doubt").json()
    line.send(line.picture(), part="P-fine")
    line.send(line.picture(dark=9), part="P-bad")

    (task,) = tasks(line)
    assert (task["inspection_id"], task["part"]) == (doubtful["id"], "P-doubt")
    assert (task["reason"], task["state"]) == ("review", "open")
    assert task["crop"] == [0, 0, 120, 90]
    assert task["url"] is None


def test_a_part_on_which_a_person_disagreed_is_labelled_first(line):
    line.send(line.picture(doubtful=9), part="P-doubt")
    passed = line.send(line.picture(), part="P-scratched").json()
    assert decide(line, passed, "ok").status_code in (200, 201)
    assert [task["part"] for task in tasks(line)] == ["P-doubt"]

    decide(line, passed, "ng")
    asked = [(task["part"], task["reason"]) for task in tasks(line)]
    assert asked == [("P-scratched", "overruled"), ("P-doubt", "review")]
    decide(line, passed, "ng")
    assert len(tasks(line)) == 2


def test_label_tasks_come_in_pages(line):
    for n in range(5):
        line.send(line.picture(doubtful=9, mark=n), part=f"P-{n}")
    first = line.get("/label-tasks", params={"limit": 2}).json()
    second = line.get("/label-tasks", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    third = line.get("/label-tasks", params={"limit": 2, "cursor": second["next_cursor"]}).json()

    parts = [item["part"] for page in (first, second, third) for item in page["items"]]
    assert parts == [f"P-{n}" for n in range(5)]
    assert third["next_cursor"] is None
    assert tasks(line, state="done") == []
    assert line.get("/label-tasks", params={"cursor": "nonsense"}).status_code == 422


def test_a_webhook_with_a_wrong_secret_is_turned_away(line):
    payload = {"action": "ANNOTATION_CREATED", "task": {"id": 41}}

    assert hook(line, payload, secret="guess").status_code == 401
    assert hook(line, payload, secret="").status_code == 401
    assert jobs_of(line, label_jobs.COLLECT) == []


def test_a_webhook_becomes_a_job_and_a_replay_joins_it(line):
    task = pushed_task(line)
    payload = {"action": "ANNOTATION_CREATED", "task": {"id": 41}, "annotation": {"id": 9, "result": ["x"] * 1000}}
    with line.context.database.write() as session:  # the job waits, so that the replays find it
        key = f"{label_jobs.COLLECT}:{task}"
        waiting = queue.enqueue(
            session, label_jobs.COLLECT, {"label_task": task}, now=line.context.now(), key=key, delay=timedelta(hours=1)
        )
        session.commit()

    answers = [hook(line, payload) for _ in range(5)]

    assert {answer.status_code for answer in answers} == {202}
    assert [answer.json() for answer in answers] == [{"jobs": [waiting.id]}] * 5
    (job,) = jobs_of(line, label_jobs.COLLECT)
    assert job.arguments == {"label_task": task}


@pytest.mark.parametrize(
    "payload", [{"action": "PROJECT_UPDATED"}, {"action": "ANNOTATION_CREATED", "task": {"id": 4711}}]
)
def test_a_webhook_about_somebody_elses_business_is_heard_and_needs_nothing(line, payload):
    pushed_task(line)
    answer = hook(line, payload)

    assert (answer.status_code, answer.json()) == (202, {"jobs": []})


@pytest.mark.parametrize("body", [b"not json", b"[1, 2]", b'{"no": "action"}'])
def test_a_webhook_that_makes_no_sense_is_refused(line, body):
    secret = webhook_secret(line.context.settings.home.resolve())
    headers = {SECRET_HEADER: secret, "Content-Type": "application/json"}
    answer = line.client.post("/api/v1/label-studio/webhook", content=body, headers=headers)

    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid_input"


def test_enough_new_labels_ask_for_a_retraining_once(tmp_path):
    database = Database(sqlite_url(tmp_path / "qc.sqlite3"))
    schema.upgrade(database)
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    with database.write() as session:

        def labels(number, minute):
            for _ in range(number):
                inspection = Inspection(part="P", station="S", received_at=noon)
                session.add(inspection)
                session.flush()
                done = {"state": TaskState.DONE, "opened_at": noon, "closed_at": noon + timedelta(minutes=minute)}
                crop = {"crop_x": 0, "crop_y": 0, "crop_width": 9, "crop_height": 9}
                about = {"part": "P", "station": "S", "reason": Reason.REVIEW, "urgency": 0.5}
                session.add(LabelTask(inspection_id=inspection.id, n=0, **about, **crop, **done))
                session.flush()

        def ask(minute):
            return retrain_job.ask_if_enough(session, after_labels=3, now=noon + timedelta(minutes=minute))

        labels(2, minute=1)
        assert ask(2) is None
        labels(1, minute=3)
        asked = ask(4)
        assert asked is not None
        assert asked.arguments == {"why": "3 new labels"}
        assert ask(5) is None
        labels(3, minute=6)
        assert ask(7).id == asked.id  # it is not finished, and will see the new ones too
    database.close()


def test_a_retraining_by_hand_is_for_engineers_and_joins_one_under_way(line):
    assert line.post("/jobs/retrain", Role.OPERATOR).status_code == 403
    with line.context.database.write() as session:
        waiting = queue.enqueue(
            session, retrain_job.KIND, now=line.context.now(), key=retrain_job.KIND, delay=timedelta(hours=1)
        )
        session.commit()
    answer = line.post("/jobs/retrain", Role.ENGINEER)

    assert (answer.status_code, answer.json()["id"]) == (202, waiting.id)
    assert [job["id"] for job in line.get("/jobs", params={"kind": "retrain"}).json()["items"]] == [waiting.id]
    assert line.get("/jobs", params={"kind": "retrain", "state": "done"}).json()["items"] == []
    assert line.get("/jobs/nothing").status_code == 404


def test_health_names_the_jobs_and_the_server_inspects_without_label_studio(line):
    components = line.get("/health").json()["components"]

    assert components["jobs"]["state"] == "ok"
    assert "label-studio" not in components or components["label-studio"]["state"] == "off"
    assert line.send(line.picture(doubtful=9)).status_code == 201


def test_jobs_that_a_restart_interrupts_go_on_after_it(run_line, tmp_path):
    home = tmp_path / "home"
    with run_line(home) as line, line.context.database.write() as session:
        job = queue.enqueue(session, "install_starter", now=line.context.now(), delay=timedelta(seconds=1)).id
        session.commit()
    with run_line(home) as line:
        wait_for(lambda: line.get(f"/jobs/{job}").json()["state"] == JobState.DONE)
