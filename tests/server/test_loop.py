"""Doubt becomes a label task, in the transaction of what it belongs to; jobs do the rest."""

from __future__ import annotations

import json
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlmodel import select, update

from labeling.records import Annotation, LabelTask, Reason, TaskState
from qc.records import Inspection
from server import assigning, audit, label_jobs, label_trail, registry, retrain_asking
from server.access import Role
from server.audit import AuditEntry
from server.audit_check import verify
from server.events import EventBus
from server.jobs import queue
from server.jobs.records import Job, JobState
from server.loop import kinds
from server.settings import Settings
from server.studio_service import SECRET_HEADER, webhook_secret
from server.watch_records import Alarm
from server.where import Where


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


def test_each_kind_of_job_has_a_name_on_the_page_of_jobs(line):
    """In English; the other languages' lists are checked by their types."""
    text = (Path(__file__).parents[2] / "frontend/src/text/en/office.ts").read_text(encoding="utf-8")
    (names,) = re.findall(r"^    jobKind: \{\n(.*?)^    \},", text, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"^      (\w+):", names, re.MULTILINE)) == set(kinds(line.context))


def test_a_doubtful_part_becomes_a_label_task_and_a_clear_one_does_not(line):
    doubtful = line.send(line.picture(doubtful=9), part="P-doubt").json()
    line.send(line.picture(), part="P-fine")
    line.send(line.picture(dark=9), part="P-bad")

    (task,) = tasks(line)
    assert (task["inspection_id"], task["part"]) == (doubtful["id"], "P-doubt")
    assert (task["reason"], task["state"]) == ("review", "open")
    assert task["crop"] == [0, 0, 120, 90]
    assert task["url"] is None


def test_a_share_of_the_clear_parts_is_labelled_whatever_the_model_says(tmp_path, run_line):
    with run_line(tmp_path / "home", label_at_random=1.0) as line:
        line.send(line.picture(), part="P-fine")
        line.send(line.picture(dark=9), part="P-bad")
        line.send(line.picture(doubtful=9), part="P-doubt")
        wait_for(lambda: len(tasks(line)) == 3)
        found = {task["part"]: task["reason"] for task in tasks(line)}
        with line.context.database.read() as session:
            chances = {task.chance for task in session.exec(select(LabelTask))}
    assert found == {"P-fine": "sample", "P-bad": "sample", "P-doubt": "review"}
    assert chances == {1.0}
    assert Settings.model_fields["label_at_random"].default > 0, "or nothing is estimated without bias"


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


def test_enough_new_labels_ask_for_a_retraining_once(database):
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
            return retrain_asking.ask_if_enough(session, after_labels=3, now=noon + timedelta(minutes=minute))

        labels(2, minute=1)
        assert ask(2) == []
        labels(1, minute=3)
        (asked,) = ask(4)
        assert asked.arguments == {"why": "3 new labels"}
        assert ask(5) == []
        labels(3, minute=6)
        assert [job.id for job in ask(7)] == [asked.id]  # it is not finished, and will see the new ones too


NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def finished_task(session, moment, part="P", product="", station="S"):
    inspection = Inspection(part=part, product=product, station=station, received_at=NOON)
    session.add(inspection)
    session.flush()
    crop = {"crop_x": 0, "crop_y": 0, "crop_width": 9, "crop_height": 9}
    about = {"part": part, "station": station, "reason": Reason.REVIEW, "urgency": 0.5, "opened_at": NOON}
    task = LabelTask(inspection_id=inspection.id, n=0, **about, **crop, state=TaskState.DONE, closed_at=moment)
    session.add(task)
    session.flush()
    return task


def test_while_a_station_has_drifted_a_quarter_of_the_labels_asks_for_a_retraining(database):
    with database.write() as session:

        def ask(minute, **how):
            how = {"after_labels": 8, "on_drift": True} | how
            return retrain_asking.ask_if_enough(session, now=NOON + timedelta(minutes=minute), **how)

        finished_task(session, NOON)
        finished_task(session, NOON)
        assert ask(1) == [], "nothing has drifted"
        alarm = Alarm(kind="rate", station="S", what="p", message="S: more are not ok", since=NOON, raised_at=NOON)
        session.add(alarm)
        session.flush()
        assert ask(2, on_drift=False) == []
        assert ask(2, after_labels=12) == [], "two are less than a quarter of twelve"
        assert [job.arguments for job in ask(3)] == [{"why": "2 new labels, and drift: S: more are not ok"}]
        session.execute(update(Job).values(state=JobState.DONE.value))
        finished_task(session, NOON + timedelta(minutes=4))
        finished_task(session, NOON + timedelta(minutes=4))
        assert ask(5) == [], "this alarm was answered by a retraining"
        alarm.raised_at = NOON + timedelta(minutes=6)
        alarm.closed_at = NOON + timedelta(minutes=7)
        session.flush()
        assert ask(8) == [], "a person closed it"


def give_own(session, *wheres):
    """Each of these places has a model of its own."""
    registry.add(session, model_id="sha256:own", folder="models/none", card={}, now=NOON)
    for where in wheres:
        before = NOON - timedelta(minutes=1)
        assigning.assign(session, EventBus(), "sha256:own", where=where, by="eva", at=before, reason="it differs")


def test_labels_of_a_place_with_a_model_of_its_own_ask_for_a_retraining_of_that_place(database):
    bar, bench = Where("bar"), Where("", "S-2")
    with database.write() as session:

        def ask(minute):
            at = NOON + timedelta(minutes=minute)
            return [job.arguments for job in retrain_asking.ask_if_enough(session, after_labels=3, now=at)]

        for _ in range(3):
            finished_task(session, NOON - timedelta(minutes=2), product="bar", station="S-1")
        give_own(session, bar, bench)
        assert ask(0) == [], "what was labelled before belongs to the model of all, which has asked for it"
        for product, station in (("bar", "S-1"), ("bar", "S-2"), ("seat", "S-1"), ("bar", "S-3"), ("seat", "S-2")):
            finished_task(session, NOON, product=product, station=station)
        assert ask(1) == [], "two of the bar, two of the bench, which goes before the product, and one of neither"
        assert retrain_asking.labelled_at(session, bar) == [("bar", "S-1"), ("bar", "S-3")]
        assert retrain_asking.labelled_at(session, bench) == [("bar", "S-2"), ("seat", "S-2")]
        finished_task(session, NOON + timedelta(minutes=2), product="bar", station="S-1")
        assert ask(3) == [{"why": "3 new labels", "product": "bar", "station": ""}]
        finished_task(session, NOON + timedelta(minutes=4), product="seat", station="S-2")
        assert ask(5) == [{"why": "3 new labels", "product": "", "station": "S-2"}]
        for _ in range(2):
            finished_task(session, NOON + timedelta(minutes=6), product="seat", station="S-1")
        assert ask(7) == [{"why": "3 new labels"}], "what has no model of its own asks for the one of everywhere"
        assigning.roll_back(session, EventBus(), where=bar, by="eva", at=NOON)
        for _ in range(3):
            finished_task(session, NOON + timedelta(minutes=8), product="bar", station="S-1")
        assert ask(9) == [{"why": "3 new labels"}], "the champion of all serves the bar again"


def test_drift_asks_where_it_was_seen_for_a_retraining_of_that_place_alone(database):
    with database.write() as session:

        def ask(minute):
            at = NOON + timedelta(minutes=minute)
            asked = retrain_asking.ask_if_enough(session, after_labels=8, on_drift=True, now=at)
            return [job.arguments for job in asked]

        give_own(session, Where("bar"))
        for product in ("bar", "bar", "seat", "seat"):
            finished_task(session, NOON, product=product, station="S-1")
        about = {"kind": "appearance", "station": "S-1", "message": "S-1: they look different", "since": NOON}
        alarm = Alarm(**about, what="bar", raised_at=NOON, figures={"product": "bar"})
        session.add(alarm)
        session.flush()
        why = "2 new labels, and drift: S-1: they look different"
        assert ask(1) == [{"why": why, "product": "bar", "station": ""}]
        session.execute(update(Job).values(state=JobState.DONE.value))
        session.add(Alarm(**about, what="seat", raised_at=NOON, figures={"product": "seat"}))
        session.flush()
        assert ask(2) == [{"why": why}]


def test_each_drawing_that_comes_home_is_changed_or_taken_back_is_in_the_trail_with_it(database):
    def entries():
        with database.read() as session:
            rows = session.exec(select(AuditEntry).order_by(AuditEntry.n))
            return [(row.kind, row.by, json.loads(row.body)["drawn"]) for row in rows]

    with label_trail.keep(database.patient(), lambda: NOON) as session:
        task = finished_task(session, NOON, part="P-7")
        about = {"studio_project": "7", "studio_annotation_id": 1, "classes": {}, "updated_at": NOON}
        drawn = Annotation(
            label_task_id=task.id, by="ada", mask_key="labels/1.png", drawn={"pit": 1}, received_at=NOON, **about
        )
        session.add(drawn)
        session.flush()
        session.rollback()
        assert entries() == [], "what is not kept is not told"
        task = finished_task(session, NOON, part="P-7")
        drawn = Annotation(
            label_task_id=task.id, by="ada", mask_key="labels/1.png", drawn={"pit": 1}, received_at=NOON, **about
        )
        session.add(drawn)
        session.commit()
        drawn.superseded = True
        session.commit()
        drawn.mask_key, drawn.drawn = "labels/2.png", {"pit": 2}
        session.commit()
        drawn.deleted = True
        session.commit()
    assert entries() == [
        ("label", "ada", {"pit": 1}),
        ("label", "ada", {"pit": 2}),
        ("label.removed", "ada", {"pit": 2}),
    ]
    with database.write() as session:
        assert len(audit.naming(session, "P-7", set())) == 3, "an erasure of the part finds them"
        verify(session)


def test_a_retraining_by_hand_is_for_engineers_and_joins_one_under_way(line):
    assert line.post("/jobs/retrain", Role.OPERATOR).status_code == 403
    with line.context.database.write() as session:
        waiting = queue.enqueue(
            session, retrain_asking.KIND, now=line.context.now(), key=retrain_asking.KIND, delay=timedelta(hours=1)
        )
        session.commit()
    answer = line.post("/jobs/retrain", Role.ENGINEER)

    assert (answer.status_code, answer.json()["id"]) == (202, waiting.id)
    assert [job["id"] for job in line.get("/jobs", params={"kind": "retrain"}).json()["items"]] == [waiting.id]
    assert line.get("/jobs", params={"kind": "retrain", "state": "done"}).json()["items"] == []
    assert line.get("/jobs/nothing").status_code == 404


def test_a_person_may_have_the_model_of_one_place_retrained(line):
    place = {"product": "bar", "reason": "a new alloy"}
    assert line.post("/jobs/retrain", Role.OPERATOR, json=place).status_code == 403
    asked = line.post("/jobs/retrain", Role.ENGINEER, json=place).json()
    assert (asked["product"], asked["station"]) == ("bar", "")
    (job,) = jobs_of(line, retrain_asking.KIND)
    assert job.key == "retrain:bar/"
    assert job.arguments["why"].endswith(": a new alloy")
    wait_for(lambda: line.get(f"/jobs/{asked['id']}").json()["state"] == JobState.FAILED)
    problem = line.get(f"/jobs/{asked['id']}").json()["problem"]
    assert problem.startswith(("there is no champion", "no label task of bar is finished")), problem


def test_health_names_the_jobs_and_the_server_inspects_without_label_studio(line):
    components = line.get("/health").json()["components"]

    assert components["jobs"]["state"] == "ok"
    assert "label-studio" not in components or components["label-studio"]["state"] == "off"
    assert line.send(line.picture(doubtful=9)).status_code == 201


def test_a_server_without_a_job_to_do_leaves_the_database_to_the_line(line):
    wait_for(lambda: all(job["state"] in ("done", "failed") for job in line.get("/jobs").json()["items"]))
    looks, writes = threading.Semaphore(0), []

    @event.listens_for(line.context.database.engine, "begin")
    def begun(connection):
        if threading.current_thread().name.startswith("jobs-"):
            looks.release()
            writes.extend([threading.current_thread().name] * bool(connection.get_execution_options().get("qc_write")))

    assert all(looks.acquire(timeout=120) for _ in range(24)), "each of its threads looks every second"
    assert writes == []


def test_jobs_that_a_restart_interrupts_go_on_after_it(run_line, tmp_path):
    home = tmp_path / "home"
    with run_line(home) as line, line.context.database.write() as session:
        job = queue.enqueue(session, "install_starter", now=line.context.now(), delay=timedelta(seconds=1)).id
        session.commit()
    with run_line(home) as line:
        wait_for(lambda: line.get(f"/jobs/{job}").json()["state"] == JobState.DONE)
