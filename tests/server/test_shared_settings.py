"""Parts of a batch share a furnace: a person decides on it once, and whoever asks about another part is held to it."""

from __future__ import annotations

import pytest

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.simulate import furnace_line
from server.access import Role

BAR = "/processes/bar"
FURNACE = "s04-op.lever1"


@pytest.fixture(scope="module")
def plant():
    return furnace_line(5, 1, levers=1)


@pytest.fixture(scope="module")
def model(plant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("process") / "model"
    fit(plant.process, parse_history(plant.history(1200, seed=1), plant.process)).save(folder)
    return folder


def asks(line, plant, seeds, batch: str) -> list[dict]:
    """Parts of a batch before the third step, and what is advised."""
    asked = []
    for seed in seeds:
        part = plant.start(300 + seed, 3)
        for _ in range(2):
            part.run_step(part.at)
        asked.append({"part": f"P-{seed}", "at": part.at, "observed": part.observed, "batch": batch})
    answer = line.post(f"{BAR}/recommendations", Role.MACHINE, json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_furnace_is_decided_on_once_for_the_batch(served, plant):
    first = asks(served, plant, range(6), "heat 7")
    assert all(one["decided"] == {} for one in first), "nobody has decided anything"
    found = served.get(f"{BAR}/batch", params={"batch": "heat 7"}).json()
    decision = found["decision"]
    assert decision["decision"] == "shared"
    assert "each" not in {plan["plan"] for plan in decision["plans"]}
    common = next(plan for plan in decision["plans"] if plan["plan"] == "shared")["shared"]
    word = {"at": decision["at"], "seen": decision["seen"], "apart": False, "reason": "one charge of the furnace"}
    taken = served.post(f"{BAR}/batch/decision", Role.ENGINEER, params={"batch": "heat 7"}, json=word)
    assert taken.status_code == 201, taken.text
    assert len(taken.json()["parts"]) == 6
    mine = {part["part"]: part for part in decision["parts"]}
    newest = {}
    for row in served.get(f"{BAR}/recommendations").json()["items"]:
        newest.setdefault(row["part"], row["answer"])
    for name, answer in newest.items():
        assert (answer["decision"], answer["settings"]) == (
            mine[name]["decision_shared"],
            mine[name]["settings_shared"],
        )

    (late,) = asks(served, plant, [11], "heat 7")
    assert late["decided"] == common, "a part that comes later finds the furnace decided"
    (other,) = asks(served, plant, [11], "heat 8")
    assert other["decided"] == {}
    wondered = served.post(
        f"{BAR}/what-if", Role.ENGINEER, json={"part": "P-0", "at": "s03-op", "batch": "heat 7", "observed": {}}
    ).json()
    assert wondered["settings"].get(FURNACE, common[FURNACE]) == pytest.approx(common[FURNACE], rel=1e-5)

    setting = plant.process.settings[FURNACE][1]
    ran = setting.nominal + 0.25 * (setting.high - setting.nominal)
    through = {"part": "P-5", "at": "s05-op", "batch": "heat 7", "observed": {FURNACE: ran}}
    assert served.post(f"{BAR}/recommendations", Role.MACHINE, json=through).status_code == 200
    (after,) = asks(served, plant, [12], "heat 7")
    assert after["decided"] == {FURNACE: ran}, "what a part of the batch was run with stands before what was decided"
    again = served.get(f"{BAR}/batch", params={"batch": "heat 7", "at": "s03-op"}).json()["decision"]
    for plan in again["plans"]:
        assert FURNACE not in plan["shared"] or plan["shared"][FURNACE] == pytest.approx(ran, rel=1e-5)
    assert "shared" not in {plan["plan"] for plan in again["plans"]}

    bad = {"part": "P-9", "at": "s03-op", "batch": "heat 7", "decided": {"s09.heat": 1.0}}
    refused = served.post(f"{BAR}/recommendations", Role.MACHINE, json=bad)
    assert refused.status_code == 422
    assert "s09.heat" in refused.text
