"""Somebody else's drawing changed in the real Label Studio: whose it is then, and what becomes of the first."""

import re

import httpx
import pytest
from sqlmodel import select

from labeling.collect import Outcome, collect_task
from labeling.convert import to_results
from labeling.people import newest_of_each
from labeling.quality import pairs
from labeling.records import Annotation
from labeling.studio import Studio

pytestmark = pytest.mark.studio
CLASSES = {1: "scratch", 2: "dent"}
SCRATCH = (300, 200, 60, 3, 1, 0.4)


@pytest.fixture(scope="module")
def joins(process):
    """Opens an account for a person as an invitation does; what the person may then do there."""
    people = {}

    def join(name):
        if name not in people:
            people[name] = Studio(process.url, token_of(process, name))
        return people[name]

    yield join
    for person in people.values():
        person.close()


def token_of(process, name):
    with (
        Studio(process.url, process.account.token) as owner,
        httpx.Client(base_url=process.url, trust_env=False, follow_redirects=True, timeout=120) as browser,
    ):
        invited = owner.call("GET", "api/invite")["invite_url"]
        secret = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get(invited).text)[1]
        form = {"email": f"{name}@example.com", "password": "long enough, and no secret"}
        browser.post(invited, data=form | {"csrfmiddlewaretoken": secret}, headers={"Referer": process.url})
        return browser.get("/api/current-user/token").json()["token"]


def submits(person, task, mask):
    body = {"result": to_results(mask, CLASSES)}
    return person.call("POST", f"api/tasks/{task.studio_task_id}/annotations/", json=body)["id"]


def changes(person, annotation, mask):
    person.call("PATCH", f"api/annotations/{annotation}/", json={"result": to_results(mask, CLASSES)})


def collected(line, studio, task):
    outcome = collect_task(line.session, studio, line.blobs, task, line.later())
    line.session.commit()
    return outcome


def standing(line):
    rows = line.session.exec(select(Annotation).order_by(Annotation.updated_at)).all()
    return [(row.by.split("@")[0], dict(row.drawn), row.superseded, row.deleted) for row in rows]


def test_what_each_person_drew_is_kept_and_the_last_word_counts(line, studio, joins, draw):
    ada, cem = joins("ada"), joins("cem")
    task = line.asks_in(studio, boxes=[SCRATCH])
    drawing = submits(ada, task, draw(task, (10, 10, 20, 5, 1)))
    assert collected(line, studio, task) is Outcome.FINISHED

    changes(cem, drawing, draw(task, (10, 10, 20, 5, 2), (40, 10, 9, 9, 2)))
    assert collected(line, studio, task) is Outcome.FINISHED
    first, second = ("ada", {"scratch": 1}, True, False), ("cem", {"dent": 2}, False, False)
    assert standing(line) == [first, second]
    assert collected(line, studio, task) is Outcome.UNCHANGED
    assert len(newest_of_each(line.session)[0][1]) == 2
    assert pairs(line.session, line.blobs, CLASSES) == [], "who corrects has seen the first drawing"

    changes(ada, drawing, draw(task, (10, 10, 20, 5, 1)))
    collected(line, studio, task)
    assert standing(line) == [("cem", {"dent": 2}, True, False), ("ada", {"scratch": 1}, False, False)]

    studio.call("DELETE", f"api/annotations/{drawing}/")
    assert collected(line, studio, task) is Outcome.REOPENED
    assert [deleted for *_, deleted in standing(line)] == [True, True]


def test_what_we_write_in_a_persons_name_is_that_persons(line, studio, joins, draw):
    ada = joins("ada")
    task = line.asks_in(studio, boxes=[SCRATCH])
    drawing = submits(ada, task, draw(task, (10, 10, 20, 5, 1)))
    changes(studio, drawing, draw(task, (10, 10, 20, 5, 2)))
    collected(line, studio, task)
    assert standing(line) == [("ada", {"dent": 1}, False, False)]


def test_two_who_drew_for_themselves_are_compared(line, studio, joins, draw):
    task = line.asks_in(studio, boxes=[SCRATCH])
    for name in ("ada", "cem"):
        submits(joins(name), task, draw(task, (10, 10, 20, 5, 1)))
    collected(line, studio, task)
    (pair,) = pairs(line.session, line.blobs, CLASSES)
    assert pair.part == task.part
    assert (pair.first == pair.second).all()
