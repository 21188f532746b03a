"""Batches, the recipe and their tables over REST, on a fitted process."""

from __future__ import annotations

import copy
import csv
import io
import json
import time

import pytest
from sqlmodel import select

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.process import parse_process
from process_opt.records import BatchDecision
from process_opt.simulate import linear_line
from server.access import Role
from server.audit import AuditEntry

BAR = "/processes/bar"


@pytest.fixture(scope="module")
def plant():
    """Six steps; the limits lie beside where parts end today, so that a better recipe is there to be found."""
    line = linear_line(6, 3, every=2)
    content = copy.deepcopy(dict(line.process.source))
    for name in content["conformance"]:
        step, reading = name.split(".")
        limits = next(one for one in content["steps"] if one["name"] == step)["measurements"][reading]
        limits["lower"], limits["upper"] = (
            (limits["lower"] + limits["upper"]) / 2,
            limits["upper"] * 1.5 - limits["lower"] / 2,
        )
    content["steps"][4] |= {"optional": True, "needs_approval": True, "cost": 0.1}
    line.process = parse_process(content)
    return line


@pytest.fixture(scope="module")
def model(plant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("process") / "model"
    fit(plant.process, parse_history(plant.history(800, seed=4), plant.process)).save(folder)
    return folder


def asks_about(line, plant, seeds, batch: str, steps: int = 4) -> list[dict]:
    """Parts of a batch half way through, and what is advised."""
    asked = []
    for seed in seeds:
        part = plant.start(seed)
        for _ in range(steps):
            part.run_step(part.at)
        asked.append({"part": f"P-{seed}", "at": part.at, "observed": part.observed, "batch": batch})
    return line.post(f"{BAR}/recommendations", Role.MACHINE, json=asked).json()


def table(answer) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].startswith("attachment")
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))


def finishes(line, plant, advice: dict, seed: int, batch: str) -> None:
    part = plant.start(seed)
    for _ in range(4):
        part.run_step(part.at)
    while part.at is not None:
        skipped = part.at == plant.process.steps[4].name and part.at not in advice["run"]
        mine = {n: v for n, v in advice["settings"].items() if n.startswith(f"{part.at}.")}
        part.run_step(part.at, mine)
        if skipped:
            continue
    told = {"part": advice["part"], "batch": batch, "disposition": "finished", "assignment": "recommendation"}
    answer = line.post(f"{BAR}/outcomes", Role.MACHINE, json={**told, "observed": part.observed})
    assert answer.status_code == 202, answer.text


def test_a_batch_is_decided_on_as_a_whole_and_its_table_has_every_part(served, plant):
    told = asks_about(served, plant, range(8), "heat 7/a")
    assert served.get(f"{BAR}/batches").json()["items"][0] | {"asked_at": ""} == {
        "batch": "heat 7/a", "parts": 8, "waiting": 8, "asked_at": "",
    }  # fmt: skip
    found = served.get(f"{BAR}/batch", params={"batch": "heat 7/a"}).json()
    assert (found["parts"], found["waiting"], found["ended"]) == (8, {told[0]["at"]: 8}, {})
    decided = found["decision"]
    assert {part["id"] for part in decided["parts"]} == {one["id"] for one in told}
    assert decided["plans"][0]["money"] >= decided["plans"][-1]["money"]

    finishes(served, plant, told[0], 0, "heat 7/a")
    after = served.get(f"{BAR}/batch", params={"batch": "heat 7/a"}).json()
    assert sum(after["waiting"].values()) == 7
    assert sum(after["ended"].values()) == 1
    assert after["brought"]["recommended"] == 1
    assert served.get(f"{BAR}/batches").json()["items"][0]["waiting"] == 7

    rows = table(served.get(f"{BAR}/batch.csv", params={"batch": "heat 7/a"}))
    assert [row["part"] for row in rows] == [one["part"] for one in told]
    assert rows[0]["came_of_it"] in ("in", "out", "unknown")
    assert {row["batch_decision"] for row in rows[1:]} == {after["decision"]["decision"]}
    advised = table(served.get(f"{BAR}/recommendations.csv"))
    assert {row["batch"] for row in advised} == {"heat 7/a"}
    assert len(advised) == 8
    assert served.get(f"{BAR}/batch", params={"batch": "nobody"}).status_code == 404
    assert served.get(f"{BAR}/batch", params={"batch": "heat 7/a", "at": "s01"}).status_code == 404


def test_a_decision_on_a_batch_is_kept_told_and_followed_to_what_it_brought(served, plant):
    batch = {"batch": "heat 9"}
    asked = asks_about(served, plant, range(60, 66), "heat 9")
    told = []
    served.context.events.keep(
        lambda session, event: told.append(event.data) if event.kind == "recommendation" else None
    )
    decided = served.get(f"{BAR}/batch", params=batch).json()["decision"]
    word = {"at": decided["at"], "seen": decided["seen"], "reason": "One charge of the furnace, one heat"}
    at = f"{BAR}/batch/decision"
    assert served.post(at, Role.OPERATOR, params=batch, json=word).status_code == 403
    for nothing in ("fine", "好", "可以"):
        assert served.post(at, params=batch, json={**word, "reason": nothing}).status_code == 422
    assert (
        served.post(at, params=batch, json={**word, "seen": "other", "reason": "同一炉料同样热处理"}).status_code == 409
    )
    assert served.post(at, params=batch, json={**word, "seen": "other"}).status_code == 409
    assert told == []
    taken = served.post(at, params=batch, json={**word, "apart": False})
    assert taken.status_code == 201, taken.text
    parts = taken.json()["parts"]
    assert parts == [one["part"] for one in asked]
    assert served.post(at, params=batch, json=word).status_code == 409, "its parts are advised anew by now"

    plan = next(one for one in decided["plans"] if one["plan"] == decided["decision"])
    assert [(one["part"], one["decision"], one["settings"]) for one in told] == [
        (part, decided["decision"], plan["settings"]) for part in parts
    ]
    shown = {one["part"]: one for one in decided["parts"]}
    for one in told:
        seen = shown[one["part"]]
        assert one["expected_value"] == seen["value_shared"]
        assert seen["p_shared"] in (None, one["p_conform"])
        assert one["alternatives"][0]["decision"] == seen["decision"]
    for part in parts:
        if not plan["run"]:  # rework still needs its permission, as ever
            mine = served.get(f"{BAR}/parts/{part}/plan", Role.MACHINE).json()
            assert (mine["decision"], mine["settings"]) == (decided["decision"], plan["settings"])
    with served.context.database.read() as session:
        entry = session.exec(select(AuditEntry).where(AuditEntry.kind == "batch.decided")).one()
    assert json.loads(entry.body)["parts"] == parts
    assert json.loads(entry.body)["reason"] == word["reason"]

    observed = plant.start(60).observed
    outcome = {"part": parts[0], "batch": "heat 9", "disposition": "scrapped", "scrapped_at": decided["at"]}
    outcome |= {"observed": observed, "assignment": "recommendation"}
    assert served.post(f"{BAR}/outcomes", Role.MACHINE, json=outcome).status_code == 202
    (kept,) = served.get(f"{BAR}/batch", params=batch).json()["taken"]
    assert (kept["plan"], kept["parts"], kept["reason"]) == (plan, sorted(parts), word["reason"])
    assert (kept["brought"]["recommended"], kept["brought"]["followed"], kept["brought"]["scrapped"]) == (1, 1, 1)
    again = served.get(f"{BAR}/batch", params=batch).json()["decision"]
    word |= {"seen": again["seen"], "reason": "Two more were measured since"}
    assert served.post(at, params=batch, json={**word, "apart": False}).status_code == 201
    second, first = served.get(f"{BAR}/batch", params=batch).json()["taken"]
    assert (second["parts"], first["parts"]) == (sorted(parts[1:]), parts[:1]), "the later decision counts"

    gone = served.post("/erasures", Role.ADMIN, json={**batch, "reason": "the customer asked"}).json()
    until = time.monotonic() + 120
    while served.get(f"/jobs/{gone['id']}").json()["state"] in ("waiting", "running"):
        assert time.monotonic() < until
        time.sleep(0.05)
    with served.context.database.read() as session:
        assert session.exec(select(BatchDecision)).all() == []
        entries = session.exec(select(AuditEntry).where(AuditEntry.kind == "batch.decided")).all()
    assert all("erased" in json.loads(entry.body) for entry in entries)


def test_one_word_permits_the_rework_of_every_part_that_waits_for_it(served, plant):
    told = asks_about(served, plant, range(20, 45), "B2")
    waiting = [one["part"] for one in told if one["run"]]
    assert waiting, "rework pays on one part in ten here"
    assert served.get(f"{BAR}/batch", params={"batch": "B2"}).json()["permission"] == len(waiting)
    word = {"answer": "approved", "risk": "A second pass may thin the wall; it is measured again"}
    at = f"{BAR}/batch/approval"
    assert served.post(at, Role.OPERATOR, params={"batch": "B2"}, json=word).status_code == 403
    assert served.post(at, params={"batch": "B2"}, json={**word, "risk": "fine"}).status_code == 422
    assert served.post(at, params={"batch": "B2"}, json=word).json() == {"parts": waiting}
    for part in waiting:
        assert served.get(f"{BAR}/parts/{part}/plan", Role.MACHINE).status_code == 200
    assert served.post(at, params={"batch": "B2"}, json=word).status_code == 409


def test_a_recipe_is_proposed_by_a_job_tried_told_by_its_outcomes_and_taken_in(served, plant):
    nothing = served.get(f"{BAR}/recipe").json()
    assert (nothing["job"], nothing["proposals"], nothing["problem"]) == (None, [], None)
    asked = served.post(f"{BAR}/recipe", json={"parts": 3, "later": 10**9, "count": 1})
    assert asked.status_code == 202
    assert served.post(f"{BAR}/recipe", json={}).json()["id"] == asked.json()["id"], "a search under way is joined"
    until = time.monotonic() + 500
    while (found := served.get(f"{BAR}/recipe").json())["job"]["state"] in ("waiting", "running"):
        assert time.monotonic() < until, found["job"]
        time.sleep(1)
    assert found["job"]["state"] == "done", found["job"]["problem"]
    assert found["of_this_model"]
    assert found["trials"] == [], "looking opens no trial"
    (proposal,) = found["proposals"]
    assert proposal["gain_interval"][0] <= proposal["gain"] <= proposal["gain_interval"][1]
    assert 0 <= proposal["gain_chance"] <= 1
    assert proposal["decision"] == "try", proposal["reason"]
    assert {one["setting"]: one["proposed"] for one in proposal["each"]} == proposal["settings"]
    assert [row["setting"] for row in table(served.get(f"{BAR}/recipe.csv"))] == [
        p["setting"] for p in proposal["each"]
    ]

    trials = f"{BAR}/recipe/trials"
    name = next(iter(proposal["settings"]))
    assert served.post(trials, json={"settings": {name: 1e9}}).status_code == 422
    assert served.post(trials, json={"settings": {"no.such": 1.0}}).status_code == 422
    assert served.post(trials, Role.OPERATOR, json={"settings": proposal["settings"]}).status_code == 403
    (trial,) = served.post(trials, json={"settings": proposal["settings"]}).json()["trials"]
    assert (trial["state"], trial["told"], trial["settings"]) == (
        "open",
        0,
        pytest.approx(proposal["settings"], rel=1e-4),
    )
    end = f"{trials}/{trial['trial']}/end"
    assert served.post(end, json={"how": "told"}).status_code == 409, "nobody told anything of it"

    usual = {s.name: s.nominal for step in plant.process.steps if not step.optional for s in step.settings}
    for seed, settings in ((1, usual), (2, usual | proposal["settings"]), (3, usual | proposal["settings"])):
        part = plant.start(900 + seed)
        while part.at is not None:
            part.run_step(part.at, {n: v for n, v in settings.items() if n.startswith(f"{part.at}.")})
        told = {"part": f"T-{seed}", "disposition": "finished", "observed": {**part.observed, **settings}}
        assert served.post(f"{BAR}/outcomes", Role.MACHINE, json=told).status_code == 202
    assert served.get(f"{BAR}/recipe").json()["trials"][0]["told"] == 2, "the part made as usual belongs to no trial"
    (done,) = served.post(end, json={"how": "told"}).json()["trials"]
    assert done["state"] == "done"
    assert done["money"] is not None
    assert served.post(end, json={"how": "called off"}).status_code == 404


def test_losses_and_effects_are_tables(served, plant):
    told = asks_about(served, plant, range(2), "B1")
    finishes(served, plant, told[0], 0, "B1")
    rows = table(served.get(f"{BAR}/capability.csv"))
    assert {row["parts_of"] for row in rows} == {"advice followed"}
    assert {row["reading"] for row in rows if row["decides"] == "yes"} == set(plant.process.conformance)
    assert {row["setting"] for row in table(served.get(f"{BAR}/levers.csv"))} == set(plant.process.settings)
