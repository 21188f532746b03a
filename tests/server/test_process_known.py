"""How well a process is known, asked over REST: levers, promises kept, exploring."""

from __future__ import annotations

from dataclasses import replace

import pytest

from process_opt.diagnose import diagnose
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import load_model
from process_opt.records import Outcome, Recommendation
from process_opt.serving import allowing
from process_opt.simulate import linear_line
from server import process_promises, process_service
from server.access import Role
from server.kept_counts import KeptCounts

NAME = "seat-bar"


@pytest.fixture(scope="module")
def plant():
    return linear_line(5, seed=3)


@pytest.fixture(scope="module")
def folder(plant, tmp_path_factory):
    """A model of the line, learnt from its history."""
    made = tmp_path_factory.mktemp("process") / "model"
    fit(plant.process, parse_history(plant.history(400, seed=4), plant.process)).save(made)
    return made


def serve(line, model):
    """Let a model folder answer, as `qc process register` does."""
    context = line.context
    home = context.settings.home.resolve()
    found, key = process_service.take_in(home, NAME, model)
    report = process_service.plain(load_model(model).report())
    with context.database.write() as session:
        process_service.register(session, NAME, found, key, now=context.now(), report=report)
        session.commit()


@pytest.fixture
def served(line, folder):
    serve(line, folder)
    return line


def ask(line, plant, seed):
    """A part after two steps: the answer, and the part."""
    part, observed = plant.start(seed), {}
    for _ in range(2):
        observed |= part.run_step(part.at)
    wish = {"part": f"P-{seed}", "at": part.at, "observed": observed}
    return line.post(f"/processes/{NAME}/recommendations", Role.MACHINE, json=wish).json(), part


def comes_of_it(line, part, answer, assignment):
    """Done as advised to the end, and told."""
    if answer["decision"] == "scrap":
        outcome = {"disposition": "scrapped", "scrapped_at": answer["at"], "observed": dict(part.observed)}
    else:
        while part.at is not None:
            mine = {k.split(".", 1)[1]: v for k, v in answer["settings"].items() if k.startswith(f"{part.at}.")}
            part.run_step(part.at, mine)
        outcome = {"disposition": "finished", "observed": dict(part.observed)}
    told = {"part": answer["part"], "assignment": assignment, **outcome}
    assert line.post(f"/processes/{NAME}/outcomes", Role.MACHINE, json=told).status_code == 202
    return outcome


def test_every_lever_is_told_with_its_interval_and_unknown_ones_with_the_trial_that_would_tell(served, plant, folder):
    told = served.get(f"/processes/{NAME}/levers").json()
    known = {lever.setting: lever for lever in diagnose(load_model(folder))}

    assert [one["setting"] for one in told["items"]] == list(plant.process.settings)
    assert told["currency"] == plant.process.currency
    for one in told["items"]:
        lever = known[one["setting"]]
        assert one["effect_low"] <= one["effect"] <= one["effect_high"]
        assert one["effect"] == pytest.approx(lever.effect, abs=1e-4)
        assert one["effect_high"] - one["effect"] == pytest.approx(1.6449 * lever.error, abs=1e-4)
        assert one["to_high_90"][0] <= one["to_high"] <= one["to_high_90"][1]
        assert (one["dither_parts"] is None) == one["identified"]


def test_of_many_rows_too_the_levers_are_those_of_the_model_that_serves(served, plant, tmp_path):
    served.context.counts = KeptCounts(few=0)
    ask(served, plant, 1)
    before = served.get(f"/processes/{NAME}/levers").json()
    fit(plant.process, parse_history(plant.history(500, seed=9), plant.process)).save(tmp_path / "newer")
    serve(served, tmp_path / "newer")
    now = served.get(f"/processes/{NAME}/levers").json()
    known = {lever.setting: lever for lever in diagnose(load_model(tmp_path / "newer"))}
    assert {one["setting"]: one["effect"] for one in now["items"]} == pytest.approx(
        {name: lever.effect for name, lever in known.items()}, abs=1e-4
    )
    assert now != before


def test_promises_are_counted_by_decision_from_parts_that_followed_and_were_measured(served, plant):
    empty = served.get(f"/processes/{NAME}/promises").json()
    assert (empty["state"], empty["decisions"], empty["chances"]) == ("no outcome", [], [])

    limits = {name: plant.process.measurements[name][1] for name in plant.process.conformance}
    promised: dict[str, list[tuple[float, bool]]] = {}
    for seed in range(8):
        answer, part = ask(served, plant, seed)
        outcome = comes_of_it(served, part, answer, "recommendation")
        good = all(m.lower <= outcome["observed"].get(name, m.upper + 1) <= m.upper for name, m in limits.items())
        promised.setdefault(answer["decision"], []).append((answer["p_conform"], good))
    ask(served, plant, 99)  # and nothing is known of it yet
    told = served.get(f"/processes/{NAME}/promises").json()

    assert sum(one["advised"] for one in told["decisions"]) == 9
    assert sum(one["known"] for one in told["decisions"]) == 8
    for one in told["decisions"]:
        mine = promised.get(one["decision"], [])
        if one["decision"] in ("continue", "correct") and mine:
            assert one["parts"] == one["followed"] == len(mine)
            assert one["promised"] == pytest.approx(sum(p for p, _ in mine) / len(mine), abs=1e-3)
            assert one["kept"] == pytest.approx(sum(good for _, good in mine) / len(mine), abs=1e-3)
            assert one["low"] <= one["kept"] <= one["high"]
        else:
            assert (one["parts"], one["promised"]) == (0, None)
    checked = [one for kind in ("continue", "correct") for one in promised.get(kind, [])]
    assert sum(one["parts"] for one in told["chances"]) == len(checked) > 0


def test_the_state_of_the_promises_is_what_the_model_learnt(served, folder):
    model = load_model(folder)
    bets = {"wealth": [1.2, 0.9, 0.6], "finished": 40.0, "promised": 36.0, "kept": 35.0, "withdrawn": False}
    narrow = {**model.check, "widen": [1.0] * len(model.process.conformance)}
    wide = {**model.check, "widen": [1.5] * len(model.process.conformance)}

    def told(check, promises):
        with served.context.database.read() as session:
            learnt = {**model.learnt, "promises": promises}
            return process_promises.promises(session, NAME, replace(model, check=check, learnt=learnt))

    assert told(narrow, bets).state == "as promised"
    assert told(wide, bets).state == "widened"
    assert told(narrow, bets | {"withdrawn": True}).state == "withdrawn"
    assert told(wide, {}).state == "no outcome"
    assert told(narrow, bets).since_fit.model_dump() == {"finished": 40, "promised": 0.9, "kept": 0.875}
    assert told(narrow, bets).evidence == pytest.approx(0.9)


def test_exploring_tells_its_price_and_how_far_each_setting_has_come(served, plant, folder, tmp_path):
    off = served.get(f"/processes/{NAME}/exploring").json()
    assert (off["allowed"], off["price"], off["parts"], off["settings"]) == (False, None, 0, [])

    allowing(load_model(folder), {"explore": {"price": 5.0, "chance": 0.2}}).save(tmp_path / "exploring")
    serve(served, tmp_path / "exploring")
    moved = []
    for seed in range(6):
        answer, part = ask(served, plant, seed)
        if found := answer.get("explored"):
            moved.append(found)
            comes_of_it(served, part, answer, "dither")
    assert moved, "a price of 5 lets some part be explored"
    told = served.get(f"/processes/{NAME}/exploring").json()

    assert (told["allowed"], told["price"], told["chance"], told["parts"]) == (True, 5.0, 0.2, len(moved))
    assert told["expected_price"] == pytest.approx(sum(one["price"] for one in moved), abs=0.01)
    names = [name for one in moved for name in one["settings"]]
    assert {one["setting"]: (one["asked"], one["told"]) for one in told["settings"]} == {
        name: (names.count(name), names.count(name)) for name in names
    }


def test_advice_about_steps_that_the_process_no_longer_has_is_not_counted(served, plant):
    answer, part = ask(served, plant, 3)
    comes_of_it(served, part, answer, "recommendation")
    decisions = served.get(f"/processes/{NAME}/promises").json()["decisions"]
    money = served.get(f"/processes/{NAME}/summary").json()
    now = served.context.now()
    gone = {**answer, "part": "old", "at": "gone"}
    came = {"disposition": "scrapped", "scrapped_at": "gone", "assignment": "recommendation", "observed": {}}
    with served.context.database.write() as session:
        session.add(Recommendation(process=NAME, part="old", at="gone", answer=gone, asked_at=now))
        session.add(Recommendation(process=NAME, part="old too", at=answer["at"], answer=answer, asked_at=now))
        for name in ("old", "old too"):
            session.add(Outcome(process=NAME, part=name, content={"part": name, **came}, received_at=now))
        session.commit()
    told = served.get(f"/processes/{NAME}/promises").json()["decisions"]

    assert [(one["known"], one["parts"]) for one in told] == [(one["known"], one["parts"]) for one in decisions]
    assert served.get(f"/processes/{NAME}/summary").json() == money


def test_what_is_not_served_is_not_known(line):
    for what in ("levers", "promises", "exploring"):
        assert line.get(f"/processes/nobody/{what}").status_code == 404
