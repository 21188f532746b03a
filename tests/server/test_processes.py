"""What to do with a part in the making, asked over REST, and what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import select

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import load_model
from process_opt.process import parse_process
from process_opt.records import Outcome, ProcessVersion, Recommendation
from process_opt.simulate import linear_line
from qc.errors import Conflict, InvalidInput
from server import process_learning
from server import process_service as service
from server.access import Role
from server.audit import AuditEntry
from server.audit_check import verify
from server.jobs import queue

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plant():
    """An imaginary line of five steps."""
    return linear_line(5, seed=3)


@pytest.fixture(scope="module")
def model(plant, tmp_path_factory):
    """A process model learnt from its history."""
    folder = tmp_path_factory.mktemp("process") / "model"
    fit(plant.process, parse_history(plant.history(600, seed=4), plant.process)).save(folder)
    return folder


def register(line, model, name="seat-bar"):
    """As a person does beside the running server."""
    environment = {**os.environ, **line.environment}
    qc = [sys.executable, "-c", "import sys; from server.cli import main; sys.exit(main())"]
    return subprocess.run(
        [*qc, "process", "register", name, str(model)], cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.fixture
def served(line, model):
    """A server with the process registered."""
    done = register(line, model)
    assert done.returncode == 0, done.stderr
    return line


def question(plant, seed=11, steps=2):
    """What is known of a part after its first steps, and what to do next."""
    part, observed = plant.start(seed), {}
    for _ in range(steps):
        step = part.at
        observed |= part.run_step(step)
    return {"part": f"P-{seed}", "at": part.at, "observed": observed}, part


def ask(line, asked, **options):
    return line.post("/processes/seat-bar/recommendations", Role.MACHINE, json=asked, **options)


def tell(line, outcome):
    return line.post("/processes/seat-bar/outcomes", Role.MACHINE, json=outcome)


def finish(part, asked):
    """Go through the remaining steps at nominal settings; the outcome to report."""
    observed = dict(asked["observed"])
    while part.at is not None:
        observed |= part.run_step(part.at)
    return {"part": asked["part"], "disposition": "finished", "assignment": "operator", "observed": observed}


def test_a_registered_process_is_listed_and_shown_without_a_restart(served, plant):
    (listed,) = served.get("/processes").json()["items"]
    shown = served.get("/processes/seat-bar").json()

    assert listed["name"] == "seat-bar"
    assert listed["steps"] == [step.name for step in plant.process.steps]
    assert shown["process"]["part"]["value"] == plant.process.value
    assert shown["model"].startswith("sha256:")
    assert shown["report"]


def test_a_recommendation_has_the_words_of_the_contract_and_is_remembered(served, plant):
    asked, _ = question(plant)
    answer = ask(served, asked)

    assert answer.status_code == 200
    told = answer.json()
    words = {
        "part", "at", "decision", "settings", "run", "measure", "p_conform", "p_conform_interval", "expected_value",
        "value_if_continued", "value_if_scrapped", "causes", "alternatives", "reason", "model", "elapsed_ms",
    }  # fmt: skip
    assert words <= set(told)
    assert told["elapsed_ms"] > 0
    (kept,) = served.get("/processes/seat-bar/recommendations").json()["items"]
    assert (kept["id"], kept["request"], kept["outcome"]) == (told["id"], asked, None)
    assert kept["answer"]["decision"] == told["decision"]

    with served.context.database.write() as session:
        (entry,) = session.exec(select(AuditEntry).where(AuditEntry.kind == "recommendation")).all()
        assert entry.subject == told["id"]
        verify(session)
        row = session.get(Recommendation, told["id"])
        row.answer = {**row.answer, "expected_value": 1e6}
        session.add(row)
        session.flush()
        with pytest.raises(Conflict, match=f"the recommendation that it tells of .{told['id']}. was altered"):
            verify(session)


def test_a_list_of_requests_gets_the_list_of_answers_and_equal_requests_equal_answers(served, plant):
    asked, _ = question(plant)
    one = ask(served, asked).json()
    many = ask(served, [asked, {**asked, "part": "P-other"}]).json()

    def decided(told):
        return {k: v for k, v in told.items() if k not in ("id", "elapsed_ms", "part")}

    assert [told["part"] for told in many] == [asked["part"], "P-other"]
    assert decided(many[0]) == decided(many[1]) == decided(one)
    assert len({one["id"], many[0]["id"], many[1]["id"]}) == 3
    assert ask(served, []).json() == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"at": "s99-nowhere"}, "s99-nowhere"),
        ({"observed": {"s01.nothing": 1.0}}, "s01.nothing"),
        ({"observed": {"SETTING": 1e9}}, "SETTING"),
        ({"observed": {"SETTING": "warm"}}, "SETTING"),
        ({"observed": {"READING": 1e6}}, "READING"),
        ({"part": None}, "part"),
        ({"part": "x" * 129}, "part must be 1 to 128 printable characters"),
        ({"part": "P\0"}, "part must be 1 to 128 printable characters"),
        ({"batch": "B\n"}, "batch must be 1 to 128 printable characters"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_the_name_of_what_is_wrong(served, plant, change, named):
    asked, _ = question(plant)
    names = {"SETTING": next(iter(plant.process.settings)), "READING": next(iter(plant.process.measurements))}
    for word, name in names.items():
        change, named = json.loads(json.dumps(change).replace(word, name)), named.replace(word, name)
    answer = ask(served, {**asked, **change})

    assert answer.status_code == 422
    assert named in answer.json()["error"]["message"]
    with served.context.database.read() as session:
        assert session.exec(select(Recommendation)).all() == []


def test_not_a_number_is_refused_by_name(served, plant):
    asked, _ = question(plant)
    setting = next(iter(plant.process.settings))
    body = json.dumps({**asked, "observed": {setting: float("nan")}})
    answer = ask(served, None, content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert setting in answer.json()["error"]["message"]


def test_one_mistake_in_a_list_refuses_the_list_and_says_which(served, plant):
    asked, _ = question(plant)
    answer = ask(served, [asked, {**asked, "at": "s99-nowhere"}])

    assert answer.status_code == 422
    assert "item 1" in answer.json()["error"]["message"]
    assert served.get("/processes/seat-bar/recommendations").json()["items"] == []


def test_an_unknown_process_is_not_found(served, plant):
    asked, _ = question(plant)
    answer = served.post("/processes/nothing/recommendations", Role.MACHINE, json=asked)

    assert answer.status_code == 404
    assert "nothing" in answer.json()["error"]["message"]
    assert served.get("/processes/nothing").status_code == 404
    assert served.get("/processes/nothing/summary").status_code == 404


def test_recommendations_come_in_pages_newest_first(served, plant):
    asked, _ = question(plant)
    ids = [ask(served, {**asked, "part": f"P-{n}"}).json()["id"] for n in range(5)]
    first = served.get("/processes/seat-bar/recommendations", params={"limit": 3}).json()
    rest = served.get("/processes/seat-bar/recommendations", params={"limit": 3, "cursor": first["next_cursor"]}).json()

    assert [item["id"] for item in (*first["items"], *rest["items"])] == ids[::-1]
    assert rest["next_cursor"] is None
    decision = first["items"][0]["answer"]["decision"]
    same = served.get("/processes/seat-bar/recommendations", params={"decision": decision}).json()["items"]
    assert len(same) == 5


def test_an_outcome_counts_once_and_the_model_learns_from_it_once(served, plant):
    outcomes = []
    for seed in range(30, 34):
        asked, part = question(plant, seed)
        outcomes.append(finish(part, asked))
    before = served.get("/processes/seat-bar").json()["model"]

    assert tell(served, outcomes[0]).json() == {"accepted": 1, "duplicates": 0, "reworked_without_permission": []}
    again = tell(served, [*outcomes, outcomes[1]])
    assert (again.status_code, again.json()["accepted"], again.json()["duplicates"]) == (202, 3, 2)

    learn_now(served)
    after = served.get("/processes/seat-bar").json()
    assert after["model"] != before
    assert after["report"]["outcomes_learnt"] == 4
    with served.context.database.read() as session:
        assert None not in [outcome.learnt_in for outcome in session.exec(select(Outcome))]
        assert [v.current for v in session.exec(select(ProcessVersion).order_by(ProcessVersion.id))] == [False, True]
    learn_now(served)
    assert served.get("/processes/seat-bar").json()["model"] == after["model"]


def learn_now(line):
    """Do what the learning job does, without its patience."""
    context = line.context
    with context.database.write() as session:
        job = queue.enqueue(session, process_learning.KIND, {"process": "seat-bar"}, now=context.now())
        session.commit()
    wait_for(lambda: line.get(f"/jobs/{job.id}").json()["state"] == "done")


def wait_for(true, *, patience=120):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"disposition": "lost"}, "lost"),
        ({"part": "P\0"}, "part must be 1 to 128 printable characters"),
        ({"scrapped_at": "s99-nowhere", "disposition": "scrapped"}, "s99-nowhere"),
        ({"scrapped_at": "s02-op", "disposition": "scrapped"}, "scrapped at s02-op but has s03-op."),
        ({"assignment": "chance"}, "chance"),
        ({"observed": {"s01.nothing": 1.0}}, "s01.nothing"),
        ({"observed": {"READING": -1e6}}, "standard deviations from what the history holds"),
    ],
)
def test_an_outcome_that_makes_no_sense_is_refused_by_name(served, plant, change, named):
    asked, part = question(plant)
    change = json.loads(json.dumps(change).replace("READING", next(iter(plant.process.measurements))))
    answer = tell(served, {**finish(part, asked), **change})

    assert answer.status_code == 422
    assert named in answer.json()["error"]["message"]


def test_an_outcome_keeps_which_machines_ran_the_part(plant, model):
    learnt = load_model(model)
    source = dict(plant.process.source)
    first, *rest = source["steps"]
    process = parse_process({**source, "steps": [{**first, "machines": ["M1", "M2"]}, *rest]})
    told = {"part": "P-1", "disposition": "finished", "machines": {first["name"]: "M2"}}

    kept = service.check_outcome(replace(learnt, process=process), told)

    assert kept["machines"] == {first["name"]: "M2"}
    with pytest.raises(InvalidInput, match="machine 'M9'"):
        service.check_outcome(replace(learnt, process=process), {**told, "machines": {first["name"]: "M9"}})


def test_registering_the_same_model_again_changes_nothing_and_a_bad_folder_is_refused(served, model, tmp_path):
    assert register(served, model).returncode == 0
    with served.context.database.read() as session:
        assert len(session.exec(select(ProcessVersion)).all()) == 1
    (tmp_path / "empty").mkdir()
    for refused in (register(served, tmp_path / "empty"), register(served, model, name="../elsewhere")):
        assert refused.returncode == 1
        assert len(refused.stderr.strip().splitlines()) == 1


def test_an_engineer_tries_settings_on_a_part_and_nothing_is_kept_of_it(served, plant):
    asked, part = question(plant)
    setting = next(s for s in plant.process.steps[part.next].settings)
    wish = {**asked, "settings": {setting.name: setting.high}}
    told = ask(served, asked).json()
    tried = served.post("/processes/seat-bar/what-if", Role.ENGINEER, json=wish)
    again = served.post("/processes/seat-bar/what-if", Role.ENGINEER, json=wish)

    assert tried.status_code == 200, tried.text
    answer = tried.json()
    plans = {p["plan"]: p for p in answer["compared"]}
    assert answer["settings"] == {setting.name: pytest.approx(setting.high, rel=1e-4)}
    assert plans["continue"]["expected_value"] == told["value_if_continued"]
    assert plans["recommended"]["decision"] == told["decision"]
    assert [s["step"] for s in answer["path"]] == [s.name for s in plant.process.steps[part.next :]]
    assert {**answer, "elapsed_ms": 0} == {**again.json(), "elapsed_ms": 0}
    assert len(served.get("/processes/seat-bar/recommendations").json()["items"]) == 1


def test_settings_are_tried_by_engineers_only_and_must_exist(served, plant):
    asked, _ = question(plant)
    assert served.post("/processes/seat-bar/what-if", Role.OPERATOR, json=asked).status_code == 403
    refused = served.post("/processes/seat-bar/what-if", Role.ENGINEER, json={**asked, "settings": {"s9.x": 1}})
    assert refused.status_code == 422
    assert "s9.x" in refused.json()["error"]["message"]


def test_a_trial_gives_parts_out_by_lot_and_says_what_advice_is_worth(line, plant, model, tmp_path):
    from process_opt.model import load_model
    from process_opt.serving import allowing

    allowing(load_model(model), {"trial": {"name": "autumn", "always": True}}).save(tmp_path / "tried")
    assert register(line, tmp_path / "tried").returncode == 0
    lots = []
    for seed in range(6):
        asked, part = question(plant, seed=seed)
        told = ask(line, asked).json()
        assert told["trial"] == ask(line, asked).json()["trial"]
        lots.append(told["trial"]["arm"])
        assert tell(line, finish(part, asked)).status_code == 202
    worth = line.get("/processes/seat-bar/worth").json()

    assert (worth["trial"], worth["parts"], worth["advised"]) == ("autumn", 6, lots.count("advice"))
    assert worth["low"] < worth["gain"] < worth["high"]
    assert line.get("/processes/seat-bar/summary").json()["worth"] == worth["words"]


def test_a_process_without_a_trial_says_how_to_allow_one(served):
    answer = served.get("/processes/seat-bar/worth")

    assert answer.status_code == 404
    assert "qc process allow" in answer.json()["error"]["message"]
    assert served.get("/processes/seat-bar/summary").json()["worth"] is None


def test_outcomes_come_as_a_table_and_one_wrong_row_refuses_all(served, plant):
    table = plant.history(5, seed=9)
    kept = {"Content-Type": "text/csv"}

    def post(text):
        return served.post("/processes/seat-bar/outcomes.csv", Role.MACHINE, content=text, headers=kept)

    whole = table.to_csv(index=False)
    setting = next(name for name in table.columns if name in plant.process.settings)
    lines = whole.splitlines()
    for text, word in (
        (
            "\n".join([*lines[:3], lines[3].replace("finished", "sold").replace("scrapped", "sold"), *lines[4:]]),
            "row 4",
        ),
        (table.assign(**{setting: "much"}).to_csv(index=False), f"row 2: {setting} must be a number"),
        (table.assign(colour="red").to_csv(index=False), "colour"),
        (whole.replace(",", ";"), "does not know"),
        (lines[0] + "\nP-1,finished", "row 2 has more or fewer values"),
        ("batch,disposition\nB-1,finished", "part is missing"),
    ):
        refused = post(text)
        assert refused.status_code == 422, text[:80]
        assert word in refused.json()["error"]["message"]
    with served.context.database.read() as session:
        assert session.exec(select(Outcome)).all() == []
    assert post(whole).json() == {"accepted": 5, "duplicates": 0, "reworked_without_permission": []}
    assert post(whole).json() == {"accepted": 0, "duplicates": 5, "reworked_without_permission": []}
    with served.context.database.read() as session:
        rows = {row.part: row.content for row in session.exec(select(Outcome))}
    first = table.iloc[0]
    told = rows[str(first["part"])]
    assert told["disposition"] == first["disposition"]
    assert told["observed"] == {
        name: float(first[name])
        for name in (*plant.process.settings, *plant.process.measurements)
        if name in table and first[name] == first[name]
    }
