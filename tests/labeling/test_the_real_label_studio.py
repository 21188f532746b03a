"""Tasks go to the real Label Studio server and labels come home, whatever is lost, repeated or killed on the way."""

import json
import os
import signal
import stat
import sys
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import httpx
import numpy as np
import pytest
from sqlmodel import select

from labeling import book, quality
from labeling.collect import Outcome, collect_task, receive, sweep
from labeling.config import hints_of, is_current, label_config, labels_of
from labeling.convert import from_results, to_results
from labeling.people import newest_of_each
from labeling.push import TOGETHER, push_open_tasks
from labeling.records import Annotation, LabelTask, TaskState
from labeling.studio import Studio
from labeling.studio_process import StudioProcess
from labeling.studio_view import URGENT_FIRST
from qc.errors import InvalidInput, NotFound, Unavailable
from qc.frame import decode

pytestmark = pytest.mark.studio
SCRATCH = (300, 200, 60, 3, 1, 0.4)
CLASSES = {1: "scratch", 2: "dent"}


def stored(line, annotation):
    data = np.frombuffer(line.blobs.get(annotation.mask_key), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)


def annotations(line):
    return line.session.exec(select(Annotation).order_by(Annotation.studio_annotation_id)).all()


def swept(line, studio):
    return sweep(line.session, studio, line.blobs, line.later())


def collected(line, studio, task):
    outcome = collect_task(line.session, studio, line.blobs, task, line.later())
    line.session.commit()
    return outcome


def test_a_task_shows_the_crop_pixel_for_pixel_with_the_models_mask_and_the_way_back(line, studio):
    task = line.asks_in(studio, boxes=[SCRATCH], part="P-7", frame=(1500, 2000))
    there = studio.task(task.studio_task_id)
    data, (polygons, prediction) = there["data"], there["predictions"]
    (exposure,) = line.exposures(line.session.get(type(line.inspects()), task.inspection_id))

    shown = httpx.get(studio.url + data["image"], headers={"Authorization": f"Token {studio.token}"}, trust_env=False)
    frame = decode(line.blobs.get(exposure.original_key))
    crop = task.crop
    assert (decode(shown.content) == frame[crop.y : crop.bottom, crop.x : crop.right]).all()

    proposed = from_results(prediction["result"], CLASSES, height=crop.height, width=crop.width).mask
    x, y, w, h = SCRATCH[:4]
    wanted = np.zeros_like(proposed)
    wanted[y - crop.y : y - crop.y + h, x - crop.x : x - crop.x + w] = 1
    assert (proposed == wanted).all()
    assert (prediction["score"], prediction["model_version"]) == (0.5, "sha256:feed")
    assert [r["type"] for r in polygons["result"]] == ["polygonlabels"]
    assert (from_results(polygons["result"], CLASSES, height=crop.height, width=crop.width).mask == wanted).all()
    assert (data["part"], data["view"], data["inspection"], data["n"]) == ("P-7", "top", task.inspection_id, 0)
    assert (data["crop"], data["sha256"], data["label_task"]) == (crop.as_list(), exposure.sha256, task.id)
    assert task.state is TaskState.PUSHED


def test_what_a_person_draws_comes_home_pixel_for_pixel(line, studio, person, draw):
    task = line.asks_in(studio, boxes=[SCRATCH])
    mask = draw(task, (10, 20, 90, 2, 1), (200, 100, 31, 17, 2), (5, 5, 9, 9, 255))
    person(studio, task, mask)

    assert collected(line, studio, task) is Outcome.FINISHED
    (annotation,) = annotations(line)
    assert (stored(line, annotation) == mask).all()
    assert (annotation.by, annotation.lead_time_s) == ("admin@example.com", 12.5)
    assert (task.state, task.closed_at) == (TaskState.DONE, line.now)


def test_a_part_without_a_defect_comes_home_as_clean(line, studio, person, draw):
    task = line.asks_in(studio, boxes=[SCRATCH])
    person(studio, task, draw(task))
    assert collected(line, studio, task) is Outcome.FINISHED
    assert not stored(line, annotations(line)[0]).any()


def test_reading_the_same_annotation_again_changes_nothing(line, studio, person, draw):
    task = line.asks_in(studio, boxes=[SCRATCH])
    person(studio, task, draw(task, (1, 1, 5, 5, 1)))
    assert collected(line, studio, task) is Outcome.FINISHED
    before = [a.model_dump() for a in annotations(line)]
    assert collected(line, studio, task) is Outcome.UNCHANGED
    assert swept(line, studio).finished == []
    assert [a.model_dump() for a in annotations(line)] == before


def test_a_later_change_and_a_removal_are_followed_by_the_sweep(line, studio, person, draw):
    task = line.asks_in(studio, boxes=[SCRATCH])
    number = person(studio, task, draw(task, (1, 1, 5, 5, 1)))
    assert swept(line, studio).finished == [task.id]

    better = draw(task, (1, 1, 7, 7, 2))
    studio.call("PATCH", f"api/annotations/{number}/", json={"result": to_results(better, CLASSES)})
    assert swept(line, studio).finished == [task.id]
    assert (stored(line, annotations(line)[0]) == better).all()

    studio.call("DELETE", f"api/annotations/{number}/")
    assert swept(line, studio).outcomes == {Outcome.REOPENED: 1}
    assert annotations(line)[0].deleted
    assert (task.state, task.closed_at) == (TaskState.PUSHED, None)
    assert swept(line, studio).outcomes == {}


def test_the_newer_of_two_peoples_drawings_counts_until_it_is_removed(line, studio, person, draw):
    task = line.asks_in(studio, boxes=[SCRATCH])
    person(studio, task, draw(task, (1, 1, 5, 5, 1)))
    second = person(studio, task, draw(task, (1, 1, 6, 6, 1)))
    swept(line, studio)
    assert [a.superseded for a in annotations(line)] == [True, False]
    studio.call("DELETE", f"api/annotations/{second}/")
    swept(line, studio)
    assert [(a.superseded, a.deleted) for a in annotations(line)] == [(False, False), (False, True)]
    assert task.state is TaskState.DONE


def test_a_skipped_task_waits_for_somebody_else(line, studio):
    task = line.asks_in(studio, boxes=[SCRATCH])
    studio.call("POST", f"api/tasks/{task.studio_task_id}/annotations/", json={"result": [], "was_cancelled": True})
    swept(line, studio)
    assert (task.state, annotations(line)) == (TaskState.PUSHED, [])


def test_a_drawing_that_makes_no_sense_is_reported_and_mended_later(line, studio, person, draw):
    task = line.asks_in(studio, boxes=[SCRATCH])
    results = to_results(draw(task, (1, 1, 5, 5, 1)), CLASSES)
    results[0]["value"]["brushlabels"] = ["scratch", "dent"]
    made = studio.call("POST", f"api/tasks/{task.studio_task_id}/annotations/", json={"result": results})
    assert swept(line, studio).outcomes == {Outcome.REFUSED: 1}
    assert "give it exactly one" in task.problem
    assert task.state is TaskState.PUSHED

    results[0]["value"]["brushlabels"] = ["dent"]
    studio.call("PATCH", f"api/annotations/{made['id']}/", json={"result": results})
    assert swept(line, studio).finished == [task.id]
    assert task.problem is None


def test_a_task_deleted_in_label_studio_is_closed_and_stays_closed(line, studio, person, draw):
    task = line.asks_in(studio, boxes=[SCRATCH])
    person(studio, task, draw(task, (1, 1, 5, 5, 1)))
    swept(line, studio)
    studio.delete_task(task.studio_task_id)
    assert swept(line, studio).outcomes == {Outcome.GONE: 1}
    assert (task.state, annotations(line)[0].deleted) == (TaskState.CANCELLED, True)
    push_open_tasks(line.session, studio, line.blobs, line.later())
    assert list(studio.tasks()) == []


def test_somebody_elses_tasks_in_our_project_are_counted_and_left_alone(line, studio, person, draw):
    task = line.asks_in(studio, boxes=[SCRATCH])
    studio.call("POST", "api/tasks/", json={"project": studio.project, "data": {"image": "/x.png"}})
    studio.call("POST", "api/tasks/", json={"project": studio.project, "data": {"image": "/x", "label_task": "stale"}})
    report = swept(line, studio)
    assert (report.listed, report.unknown) == (3, 2)
    assert len(list(studio.tasks())) == 3
    assert task.state is TaskState.PUSHED


def test_labels_made_in_bulk_of_which_no_webhook_told_are_found_by_the_sweep(line, studio, draw):
    for k in range(3):
        line.asks_in(studio, boxes=[SCRATCH], part=f"P-{k}")
    tasks = line.session.exec(select(LabelTask)).all()
    for task in tasks:  # behind our back: no webhook is set up in this project
        result = to_results(draw(task, (3, 3, 8, 2, 1)), CLASSES)
        studio.call("POST", f"api/tasks/{task.studio_task_id}/annotations/", json={"result": result})
    assert sorted(swept(line, studio).finished) == sorted(t.id for t in tasks)
    assert len(annotations(line)) == 3


def test_a_push_that_was_cut_off_after_creating_the_task_makes_no_double(line, studio):
    (task,) = line.asks(line.inspects(boxes=[SCRATCH]))
    push_open_tasks(line.session, studio, line.blobs, line.now)
    number = task.studio_task_id
    task.state, task.studio_task_id, task.studio_project = TaskState.OPEN, None, None  # the crash: nothing was noted
    line.session.commit()
    report = push_open_tasks(line.session, studio, line.blobs, line.now)
    assert (report.created, report.found, task.studio_task_id) == (0, 1, number)
    assert len(list(studio.tasks())) == 1


def test_the_sweep_alone_finds_what_a_cut_off_push_created_and_removes_a_double(line, studio):
    task = line.asks_in(studio, boxes=[SCRATCH])
    number = task.studio_task_id
    data = studio.task(number)["data"]
    studio.create_task(data, [], score=0.1, model="none")
    task.state, task.studio_task_id, task.studio_project = TaskState.OPEN, None, None
    line.session.commit()
    assert swept(line, studio).doubles == 1
    assert (task.state, task.studio_task_id) == (TaskState.PUSHED, number)
    assert [t.id for t in studio.tasks()] == [number]


def test_a_picture_that_cannot_be_shown_is_closed_with_the_reason_and_the_others_go_on(line, studio):
    (bad,) = line.asks(line.inspects(boxes=[SCRATCH]), urgency=1.0)
    (good,) = line.asks(line.inspects(boxes=[SCRATCH]), urgency=0.1)
    (exposure,) = [e for e in line.exposures(line.session.get(type(line.inspects()), bad.inspection_id))]
    line.blobs.put(exposure.original_key, b"not a picture")
    report = push_open_tasks(line.session, studio, line.blobs, line.now)
    assert (report.created, report.failed) == (1, 1)
    assert (bad.state, good.state) == (TaskState.CANCELLED, TaskState.PUSHED)
    assert "not a JPEG" in bad.problem


def test_the_most_urgent_task_is_shown_first(line, studio):
    for part, urgency in (("a", 0.2), ("b", 0.9), ("c", 0.5)):
        line.asks(line.inspects(part=part, boxes=[SCRATCH]), urgency=urgency)
    push_open_tasks(line.session, studio, line.blobs, line.now)
    (view,) = [
        v
        for v in studio.call("GET", "api/dm/views/", params={"project": studio.project})
        if v["data"]["title"] == URGENT_FIRST
    ]
    shown = studio.call("GET", "api/tasks/", params={"view": view["id"], "project": studio.project})
    assert [t["data"]["part"] for t in shown["tasks"]] == ["b", "c", "a"]


def test_a_new_order_is_shown_after_the_next_sweep(line, studio):
    tasks = {part: line.asks(line.inspects(part=part, boxes=[SCRATCH]), urgency=0.5)[0] for part in ("a", "b", "c")}
    push_open_tasks(line.session, studio, line.blobs, line.now)
    for part, urgency in (("a", 0.12), ("b", 0.1), ("c", 0.95)):
        tasks[part].urgency = urgency
    line.session.commit()
    assert swept(line, studio).moved == 3
    assert swept(line, studio).moved == 0
    (view,) = [
        v
        for v in studio.call("GET", "api/dm/views/", params={"project": studio.project})
        if v["data"]["title"] == URGENT_FIRST
    ]
    shown = studio.call("GET", "api/tasks/", params={"view": view["id"], "project": studio.project})
    assert [t["data"]["part"] for t in shown["tasks"]] == ["c", "a", "b"]


def test_labellers_read_the_label_book_where_they_draw(line, studio):
    title = studio.call("GET", f"api/projects/{studio.project}/")["title"]
    now = {"by": "eva", "now": line.now}
    first = book.write(line.session, "dent", definition="A hollow", limits=[], after=0, **now)
    limits = [book.Limit("width_mm", 0.5)]
    for page, words in ((first, "A hollow"), (None, "A round hollow Labelled: width from 0.5 mm.")):
        if page is None:
            book.write(line.session, "dent", definition="A round hollow", limits=limits, after=first.version, **now)
        studio.ensure_project(CLASSES, title=title, told=book.told(line.session, "http://here/labels/book"))
        shown = studio.call("GET", f"api/projects/{studio.project}/")
        assert hints_of(shown["label_config"]) == {"dent": words}
        assert shown["show_instruction"] is True
        assert f"<b>dent</b>: {words}" in shown["expert_instruction"]
        assert 'href="http://here/labels/book"' in shown["expert_instruction"]


def test_setting_up_twice_changes_nothing_and_a_new_class_is_added(studio):
    title = studio.call("GET", f"api/projects/{studio.project}/")["title"]
    project, identity = studio.project, studio.identity
    with Studio(studio.url, studio.token) as again:
        again.ensure_project({1: "scratch", 3: "pit"}, title=title)
        assert (again.project, again.identity) == (project, identity)
        labels = labels_of(studio.call("GET", f"api/projects/{project}/")["label_config"])
        assert sorted(labels) == ["dent", "pit", "scratch"]
        first = again.ensure_webhook("http://127.0.0.1:9/a/hook", {"X-Secret": "one"})
        assert again.ensure_webhook("http://127.0.0.1:10/a/hook", {"X-Secret": "two"}) == first
    (hook,) = studio.call("GET", "api/webhooks/", params={"project": project})
    assert (hook["url"], hook["headers"]) == ("http://127.0.0.1:10/a/hook", {"X-Secret": "two"})


@pytest.fixture
def ear():
    """A real HTTP receiver of webhooks: `(headers, payload)` in order of arrival."""
    heard, arrived = deque(), threading.Semaphore(0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((dict(self.headers), json.loads(body)))
            self.send_response(200)
            self.end_headers()
            arrived.release()

        def log_message(self, *args):
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def next_one():
        assert arrived.acquire(timeout=60), "no webhook arrived"
        return heard.popleft()

    yield f"http://127.0.0.1:{server.server_port}/hook", next_one
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_webhook_names_the_task_carries_the_secret_and_may_be_replayed(line, studio, person, draw, ear):
    url, next_one = ear
    studio.ensure_webhook(url, {"X-QC-Webhook-Secret": "s3cret"})
    task = line.asks_in(studio, boxes=[SCRATCH])
    number = person(studio, task, draw(task, (1, 1, 5, 5, 1)))
    headers, payload = next_one()
    assert headers["X-QC-Webhook-Secret"] == "s3cret"
    assert payload["action"] == "ANNOTATION_CREATED"
    assert receive(line.session, payload) == [task.id]
    assert collected(line, studio, task) is Outcome.FINISHED
    assert receive(line.session, payload) == [task.id]
    assert collected(line, studio, task) is Outcome.UNCHANGED

    studio.call("PATCH", f"api/annotations/{number}/", json={"result": to_results(draw(task), CLASSES)})
    _, payload = next_one()
    assert (payload["action"], receive(line.session, payload)) == ("ANNOTATION_UPDATED", [task.id])

    studio.call("DELETE", f"api/annotations/{number}/")
    _, payload = next_one()
    assert (payload["action"], receive(line.session, payload)) == ("ANNOTATIONS_DELETED", [task.id])

    studio.delete_task(task.studio_task_id)
    _, payload = next_one()
    assert (payload["action"], receive(line.session, payload)) == ("TASKS_DELETED", [task.id])
    assert collected(line, studio, task) is Outcome.GONE


def test_a_forged_webhook_can_make_us_look_but_not_believe(line, studio):
    task = line.asks_in(studio, boxes=[SCRATCH])
    forged = {
        "action": "ANNOTATION_CREATED",
        "task": {"id": task.studio_task_id, "data": {"label_task": task.id}},
        "annotation": {"id": 10**12, "task": "x", "result": [{"type": "brushlabels"}]},
    }
    assert receive(line.session, forged) == [task.id]
    assert collected(line, studio, task) is Outcome.UNCHANGED
    assert annotations(line) == []
    assert receive(line.session, {"action": "PROJECT_DELETED"}) == []
    assert receive(line.session, {"action": "TASKS_DELETED", "tasks": [{"id": 999999}, 5, None]}) == []
    with pytest.raises(InvalidInput, match="action"):
        receive(line.session, {"task": {}})


def test_killing_label_studio_in_the_middle_of_a_push_doubles_and_loses_nothing(line, studio, process):
    for k in range(2 * TOGETHER + 1):  # the last is not sent before it is told of the first
        line.asks(line.inspects(part=f"P-{k}", boxes=[SCRATCH]))

    def kill_after_some(done):
        if done == TOGETHER:
            os.killpg(process.pid, signal.SIGKILL)

    with pytest.raises(Unavailable):
        push_open_tasks(line.session, studio, line.blobs, line.now, progress=kill_after_some)
    line.session.rollback()
    process.stop()
    process.start()
    waiting = line.session.exec(select(LabelTask).where(LabelTask.state == TaskState.OPEN)).all()
    assert 1 <= len(waiting) <= TOGETHER + 1
    report = push_open_tasks(line.session, studio, line.blobs, line.later())
    assert report.created + report.found == len(waiting)
    tasks = line.session.exec(select(LabelTask)).all()
    assert sorted(t.key for t in studio.tasks()) == sorted(t.id for t in tasks)
    assert {t.state for t in tasks} == {TaskState.PUSHED}


def test_a_task_that_became_golden_while_label_studio_was_away_is_offered_to_everybody_by_the_sweep(
    line, studio, person, draw
):
    task = line.asks_in(studio, boxes=[SCRATCH])
    person(studio, task, draw(task, (10, 10, 20, 5, 1)))
    collected(line, studio, task)
    quality.make_golden(line.session, task.id)
    line.session.commit()
    assert studio.task(task.studio_task_id)["overlap"] == 1
    assert swept(line, studio).asked == 1
    assert studio.task(task.studio_task_id)["overlap"] == quality.EVERYBODY
    assert swept(line, studio).asked == 0


def test_tasks_return_when_label_studio_was_set_up_anew(line, studio):
    waiting = line.asks_in(studio, boxes=[SCRATCH])
    studio.call("DELETE", f"api/projects/{studio.project}/")
    studio.ensure_project(CLASSES, title="born again")
    assert swept(line, studio).reopened == 1
    assert push_open_tasks(line.session, studio, line.blobs, line.now).created == 1
    assert [t.key for t in studio.tasks()] == [waiting.id]


def test_an_address_where_nobody_answers_and_a_wrong_token_are_told_apart(studio):
    nobody, stranger = Studio("http://127.0.0.1:9", "0" * 40, timeout_s=2), Studio(studio.url, "0" * 40)
    with nobody, pytest.raises(Unavailable, match="does not answer"):
        nobody.check()
    with stranger, pytest.raises(Unavailable, match="refuses the token"):
        stranger.check()
    with pytest.raises(NotFound):
        studio.task(10**6)
    assert studio.check() == "admin@example.com"


def test_secrets_are_kept_from_other_users_and_survive_a_restart(process):
    assert stat.S_IMODE((process.data / "account.json").stat().st_mode) == 0o600
    again = StudioProcess(process.env, process.data, port=process.port)
    assert again.account == process.account
    with Studio(process.url, process.account.token) as studio:
        assert process.account.token not in repr(studio)


def test_a_missing_installation_is_said_in_a_sentence(tmp_path):
    with pytest.raises(Unavailable, match="is not installed"):
        StudioProcess(tmp_path / "nothing", tmp_path / "data", port=1).start()


def test_an_installation_that_dies_at_once_names_its_log(tmp_path):
    program = tmp_path / "env/bin/label-studio"
    program.parent.mkdir(parents=True)
    program.write_text("raise SystemExit(3)\n")
    (program.parent / "python3").symlink_to(sys.executable)
    child = StudioProcess(tmp_path / "env", tmp_path / "data", port=1)
    with pytest.raises(Unavailable, match=r"exit 3.*label-studio\.log"):
        child.start()
    child.stop()


def test_a_task_says_why_and_one_for_two_people_stays_open_until_a_second_has_labelled_it(line, studio, person, draw):
    (task,) = line.asks(line.inspects(boxes=[SCRATCH]))
    task.people, question = 2, "Is there a dent at (40, 30) that nobody drew?"
    task.grounds = {**task.grounds, "sentence": question}
    (other,) = line.asks(line.inspects(boxes=[SCRATCH], part="P-2"))
    push_open_tasks(line.session, studio, line.blobs, line.now)
    assert studio.task(task.studio_task_id)["data"]["why"] == question
    assert "why" not in studio.task(other.studio_task_id)["data"]
    mask = draw(task, (10, 10, 20, 5, 1))
    for each in (task, other, task):  # the same person twice is one person
        person(studio, each, mask)
    assert studio.task(other.studio_task_id)["is_labeled"]
    assert not studio.task(task.studio_task_id)["is_labeled"]

    ben = studio.call("POST", "api/users/", json={"email": "ben@example.com", "username": "ben"})
    body = {"result": to_results(mask, CLASSES), "completed_by": ben["id"]}
    studio.call("POST", f"api/tasks/{task.studio_task_id}/annotations/", json=body)
    assert studio.task(task.studio_task_id)["is_labeled"]
    assert collected(line, studio, task) is Outcome.FINISHED
    ((_, drawn),) = newest_of_each(line.session)
    assert len({row.by for row in drawn}) == 2


def test_an_older_project_gets_the_tools_that_ask_the_model(line, studio):
    old = label_config(["scratch", "dent"]).replace('name="click"', 'name="other"')
    studio.call("PATCH", f"api/projects/{studio.project}/", json={"label_config": old})
    studio.ensure_project(CLASSES, title=studio.call("GET", f"api/projects/{studio.project}/")["title"])
    assert is_current(studio.call("GET", f"api/projects/{studio.project}/")["label_config"])
