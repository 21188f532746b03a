"""Rework needs permission: nothing is carried out before a person has assessed the risk, and all of it is on record."""

from __future__ import annotations

import copy
import json

import pytest
from sqlmodel import select

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.process import parse_process
from process_opt.simulate import linear_line
from qc.errors import InvalidInput
from server import audit
from server.access import Role
from server.audit_check import verify

BAR = "/processes/bar"
RISK = {"answer": "approved", "risk": "A second pass may thin the wall; it is measured again afterwards"}


@pytest.fixture(scope="module")
def plant():
    """Six steps, the fifth a rework that needs permission."""
    line = linear_line(6, 3, every=2)
    content = copy.deepcopy(dict(line.process.source))
    content["steps"][4] |= {"optional": True, "needs_approval": True, "cost": 0.1}
    line.process = parse_process(content)
    return line


@pytest.fixture(scope="module")
def model(plant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("process") / "model"
    fit(plant.process, parse_history(plant.history(800, seed=4), plant.process)).save(folder)
    return folder


def question(plant, seed):
    part = plant.start(seed)
    for _ in range(4):
        part.run_step(part.at)
    return {"part": f"P-{seed}", "at": part.at, "observed": part.observed}, part


@pytest.fixture
def proposed(served, plant):
    """A part for which the optimiser proposes the rework: `(request, its way so far, answer)`."""
    for seed in range(60):
        asked, part = question(plant, seed)
        answer = served.post(f"{BAR}/recommendations", Role.MACHINE, json=asked).json()
        if answer["run"]:
            return asked, part, answer
    pytest.fail("no part of sixty was worth reworking")


def trail(line, kind):
    with line.context.database.read() as session:
        rows = session.exec(select(audit.AuditEntry).where(audit.AuditEntry.kind == kind)).all()
        verify(session)
    return [(row.by, json.loads(row.body)) for row in rows]


def approve(line, answer, word=RISK, role=Role.ENGINEER):
    return line.post(f"{BAR}/recommendations/{answer['id']}/approval", role, json=word)


def test_rework_is_not_carried_out_before_an_engineer_approved_it(served, plant, proposed):
    asked, _, answer = proposed
    rework = plant.process.steps[4].name
    assert answer["needs_approval"] == answer["run"] == [rework]
    plan = f"{BAR}/parts/{asked['part']}/plan"
    refused = served.get(plan, Role.MACHINE)
    assert refused.status_code == 409
    assert rework in refused.json()["error"]["message"]
    assert approve(served, answer, role=Role.OPERATOR).status_code == 403

    told = approve(served, answer).json()
    assert (told["state"], told["steps"]) == ("approved", [rework])
    carried = served.get(plan, Role.MACHINE).json()
    assert (carried["run"], carried["settings"]) == ([rework], answer["settings"])
    (listed,) = [i for i in served.get(f"{BAR}/recommendations").json()["items"] if i["id"] == answer["id"]]
    assert listed["permission"] == told
    ((by, body),) = trail(served, "rework.approved")
    assert by == told["said"][0]["by"]
    assert (body["risk"], body["steps"]) == (RISK["risk"], [rework])

    again = served.post(f"{BAR}/recommendations", Role.MACHINE, json=asked).json()
    assert again["id"] != answer["id"]
    assert served.get(plan, Role.MACHINE).json()["recommendation"] == again["id"], "the word was about the part's step"
    assert "newer" in approve(served, answer).json()["error"]["message"]


def test_declined_rework_stays_undone_until_somebody_thinks_better_of_it(served, proposed):
    asked, _, answer = proposed
    plan = f"{BAR}/parts/{asked['part']}/plan"
    assert approve(served, answer, {**RISK, "answer": "declined"}).json()["state"] == "declined"
    assert "declined" in served.get(plan).json()["error"]["message"]
    assert [s["answer"] for s in approve(served, answer).json()["said"]] == ["declined", "approved"]
    assert served.get(plan).status_code == 200


@pytest.mark.parametrize("approved", [True, False])
def test_what_was_reworked_and_measured_afterwards_is_kept_with_or_without_permission(
    served, plant, proposed, approved
):
    asked, part, answer = proposed
    if approved:
        approve(served, answer)
    for step in (part.at, plant.process.steps[5].name):
        part.run_step(step, {n: v for n, v in answer["settings"].items() if n.startswith(f"{step}.")})
    outcome = {"part": asked["part"], "disposition": "finished", "observed": part.observed}
    told = served.post(f"{BAR}/outcomes", Role.MACHINE, json=outcome).json()
    assert told["reworked_without_permission"] == ([] if approved else [asked["part"]])
    ((_, body),) = trail(served, "rework.carried_out")
    assert body["permission"] == ("approved" if approved else "waiting")
    last = plant.process.steps[5]
    assert body["measured_since"].keys() == {m.name for m in last.measurements}
    late = approve(served, answer)
    assert late.status_code == 409
    assert "known already" in late.json()["error"]["message"]


def test_a_word_without_a_risk_or_about_nothing_is_refused(served, plant, proposed):
    _, _, answer = proposed
    assert approve(served, answer, {**RISK, "risk": "  fine "}).status_code == 422
    assert approve(served, {"id": "nobody"}).status_code == 404
    for seed in range(60, 90):
        asked, _ = question(plant, seed)
        plain = served.post(f"{BAR}/recommendations", Role.MACHINE, json=asked).json()
        if not plain["run"]:
            break
    assert "proposes no rework" in approve(served, plain).json()["error"]["message"]
    assert served.get(f"{BAR}/parts/{asked['part']}/plan").json()["permission"]["state"] == "not needed"
    assert served.get(f"{BAR}/parts/nobody/plan").status_code == 404


def test_a_part_with_a_slash_in_its_name_has_a_plan(served, plant):
    asked = {**question(plant, 3)[0], "part": "LOT/3"}
    answer = served.post(f"{BAR}/recommendations", Role.MACHINE, json=asked).json()
    for address in (f"{BAR}/parts/LOT%2F3/plan", f"{BAR}/parts/LOT/3/plan"):
        told = served.get(address, Role.MACHINE)
        assert told.status_code == (409 if answer.get("needs_approval") else 200)
        assert served.client.get(f"/api/v1{address}").status_code == 401
    if told.status_code == 200:
        assert told.json()["part"] == "LOT/3"


def test_only_rework_may_ask_for_permission(plant):
    content = copy.deepcopy(dict(plant.process.source))
    content["steps"][1]["needs_approval"] = True
    with pytest.raises(InvalidInput, match="for rework"):
        parse_process(content)
