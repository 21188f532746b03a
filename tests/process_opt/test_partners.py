"""Partners keep their rows: what they hand out is enough for the same plan, and says what it cannot know."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel, load_model
from process_opt.partners.interface import Interface, read_interface
from process_opt.partners.joining import join
from process_opt.partners.local import fit_partner
from process_opt.partners.visit import own_rows, seen_by, visits
from process_opt.process import as_yaml, parse_process
from process_opt.recommend import recommend
from process_opt.simulate import Line, linear_line
from qc.errors import InvalidInput
from server.cli import main

PARTS = 600
CHANCE_TOLERANCE, WORST_CHANCE, VALUE_TOLERANCE, PLAN_TOLERANCE = 0.02, 0.06, 0.02, 0.01
"""What keeping the data apart may cost: mean and worst difference of the chance; mean difference of the expected value,
and what the joined plan loses judged by the pooled model, both as shares of what is at stake."""


def at_partners(line: Line, border: int) -> Line:
    """The same line with the steps before place `border` at P1 and the others at P2."""
    content = json.loads(json.dumps(dict(line.process.source)))
    for k, step in enumerate(content["steps"]):
        step["partner"] = "P1" if k < border else "P2"
    line.process = parse_process(content)
    return line


def seen_of(line: Line, table: pd.DataFrame, partner: str) -> pd.DataFrame:
    """A partner's own columns, and the readings that come with the part."""
    own = {s.name: s for s in line.process.steps if s.partner == partner}
    border = [m.name for m in line.process.steps[1].measurements] if partner == "P2" else []
    mine = [c for c in table.columns if c.split(".")[0] in own or c in border]
    return table[["part", "batch", "disposition", "scrapped_at", "assignment", *mine]]


@pytest.fixture(scope="module")
def line() -> Line:
    """Operators steer by more than they log, and every step is read."""
    return at_partners(linear_line(3, 4, states=2, hidden_look=0.5), 2)


@pytest.fixture(scope="module")
def table(line: Line) -> pd.DataFrame:
    return line.history(PARTS, 1)


@pytest.fixture(scope="module")
def files(line: Line, table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every partner's file, made from the command line, where each partner has only what it may see."""
    folder = tmp_path_factory.mktemp("partners")
    (folder / "p.yaml").write_text(as_yaml(line.process), encoding="utf-8")
    for partner in ("P1", "P2"):
        seen_of(line, table, partner).to_csv(folder / f"{partner}.csv", index=False)
        command = ["process", "partner-fit", str(folder / "p.yaml"), str(folder / f"{partner}.csv")]
        assert main([*command, "--partner", partner, "--out", str(folder / f"{partner}.interface")]) == 0
    return [folder / "P1.interface", folder / "P2.interface"]


@pytest.fixture(scope="module")
def interfaces(files: list[Path]) -> list[Interface]:
    return [read_interface(file) for file in files]


@pytest.fixture(scope="module")
def joined(line: Line, interfaces: list[Interface]) -> ProcessModel:
    return join(line.process, interfaces)


@pytest.fixture(scope="module")
def pooled(line: Line, table: pd.DataFrame) -> ProcessModel:
    return fit(line.process, parse_history(table, line.process))


def asked(line: Line, at: int, count: int) -> list[dict[str, Any]]:
    requests = []
    for seed in range(count):
        part = line.start(1000 + seed)
        for step in line.process.steps[:at]:
            part.run_step(step.name)
        requests.append({"part": f"P-{seed}", "at": line.process.steps[at].name, "observed": part.observed})
    return requests


@pytest.mark.parametrize("at", [1, 2])
def test_the_plan_is_that_of_pooled_data_up_to_a_tolerance(
    line: Line, pooled: ProcessModel, joined: ProcessModel, at: int
) -> None:
    from process_opt.what_if import what_if

    stake = line.process.value - line.process.escape
    requests = asked(line, at, 15)
    together, apart = [[recommend(m, r) for r in requests] for m in (pooled, joined)]
    chance = np.array([abs(a["p_conform"] - b["p_conform"]) for a, b in zip(together, apart, strict=True)])
    assert chance.mean() <= CHANCE_TOLERANCE
    assert chance.max() <= WORST_CHANCE
    value = np.array([abs(a["expected_value"] - b["expected_value"]) for a, b in zip(together, apart, strict=True)])
    assert value.mean() <= VALUE_TOLERANCE * stake
    lost = []
    for request, a, b in zip(requests, together, apart, strict=True):
        if a["decision"] in ("continue", "correct") and b["decision"] in ("continue", "correct"):
            other = what_if(pooled, request, b["settings"], b["run"])["expected_value"]
            lost.append((a["expected_value"] - other) / stake)
    assert len(lost) >= 10
    assert np.mean(lost) <= PLAN_TOLERANCE


def wrong_about_settings(line: Line, model: ProcessModel) -> float:
    """How far the effects of all settings are from the true ones, as a share of these."""
    found, true = [], []
    for k, truth in enumerate(line.truths):
        for j, place in enumerate(model.layout.levers[k]):
            setting, v = line.process.steps[k].settings[j], np.zeros((1, 2))
            v[0, j] = model.layout.stretch[place] / ((setting.high - setting.low) / 2)
            true.append(line.unit * truth.move(np.zeros((1, 2)), v)[0] / model.layout.scale)
            found.append(model.motions[k].weights[:, 3 + j])
    return float(np.linalg.norm(np.array(found) - np.array(true)) / np.linalg.norm(true))


def test_what_people_saw_and_did_not_log_is_handled_as_with_pooled_data(
    line: Line, pooled: ProcessModel, joined: ProcessModel
) -> None:
    assert wrong_about_settings(line, joined) <= wrong_about_settings(line, pooled) + 0.03


def test_a_partner_learns_from_nothing_but_its_own_columns(line: Line, table: pd.DataFrame) -> None:
    """Given a table that holds everybody's, it takes the same out of it as from its own."""
    visit = visits(line.process)[1]
    whole, notes = own_rows(table, line.process, visit, where="all.csv")
    alone, _ = own_rows(seen_of(line, table, "P2"), line.process, visit, where="own.csv")
    assert np.array_equal(whole.settings, alone.settings, equal_nan=True)
    assert np.array_equal(whole.readings, alone.readings, equal_nan=True)
    assert notes == ["6 columns of other partners were not used"]
    small = {n.split(".")[0] for n in [*seen_by(line.process, visit).settings]}
    assert small == {"s03-op"}


def test_a_file_grows_with_the_steps_and_never_with_the_parts(interfaces: list[Interface]) -> None:
    def numbers(content: Any) -> int:
        if isinstance(content, dict | list):
            return sum(map(numbers, content.values() if isinstance(content, dict) else content))
        return 1

    weights = sum(s.weights.size for v in interfaces[1].visits for s in v.steps)
    assert numbers(json.loads(interfaces[1].text())["visits"]) < weights * (weights + 1) / 2 + 10 * weights
    assert f"H1-{0:06d}" not in interfaces[1].text()


def test_too_few_parts_for_an_interface_are_refused(line: Line, table: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match="needs at least 200, so that no part can be told from it"):
        fit_partner(line.process, table.head(150), "P2")


def test_a_missing_partner_another_version_and_another_unit_are_told_apart(
    line: Line, interfaces: list[Interface], tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="the interface of partner P2 is missing"):
        join(line.process, interfaces[:1])
    with pytest.raises(InvalidInput, match="two interfaces of partner P1"):
        join(line.process, [interfaces[0], interfaces[0]])
    content = json.loads(json.dumps(dict(line.process.source)))
    lever = content["steps"][2]["settings"]["lever1"]
    lever["unit"] = "kN"
    with pytest.raises(InvalidInput, match=r"P2 has s03-op.lever1 in u, this process in kN; agree on one unit"):
        join(parse_process(content), interfaces)
    lever["unit"] = "u"
    lever["high"] += 1.0
    with pytest.raises(
        InvalidInput, match=r"P2 was made for another version of linear-3 \(s03-op settings s03-op.lever1 high was"
    ):
        join(parse_process(content), interfaces)
    path = tmp_path / "P1.interface"
    path.write_text(interfaces[0].text().replace('"parts": ', '"parts": 1'), encoding="utf-8")
    with pytest.raises(InvalidInput, match="was altered or damaged"):
        read_interface(path)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(InvalidInput, match="is not a process interface"):
        read_interface(path)


def without(interface: Interface, reading: str) -> Interface:
    """As it is made where the partner's table holds no such reading."""
    (visit,) = interface.visits
    means = {name: mean for name, mean in visit.means.items() if name != reading}
    gauge = {name: sd for name, sd in visit.gauge.items() if name != reading}
    return replace(interface, visits=(replace(visit, means=means, gauge=gauge),))


def test_a_reading_that_no_partner_has_is_not_used_and_one_that_decides_or_ties_is_asked_for(
    line: Line, interfaces: list[Interface]
) -> None:
    first, last = interfaces
    model = join(line.process, [without(first, "s01-op.length"), last])
    (request,) = asked(line, 1, 1)
    assert "Not used, as the history never held such a reading: s01-op.length." in recommend(model, request)["reason"]
    with pytest.raises(InvalidInput, match=r"no interface says anything of s03-op\.length"):
        join(line.process, [first, without(last, "s03-op.length")])
    with pytest.raises(InvalidInput, match=r"s02-op\.length is read where the part comes in at P2, but never"):
        join(line.process, [without(first, "s02-op.length"), last])


def test_new_prices_need_no_new_interfaces(line: Line, interfaces: list[Interface]) -> None:
    content = json.loads(json.dumps(dict(line.process.source)))
    content["part"]["value"] = 99.0
    content["steps"][2]["cost"] = 2.0
    assert join(parse_process(content), interfaces).process.value == 99.0


def test_learn_apart_and_advise_together_from_the_command_line(
    line: Line, files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process, model = str(files[0].with_name("p.yaml")), tmp_path / "model"
    history, out = str(files[0].with_name("P2.csv")), str(tmp_path / "P3.interface")
    assert main(["process", "partner-fit", process, history, "--partner", "P3", "--out", out]) == 1
    assert "has no step of partner 'P3'" in capsys.readouterr().err
    assert main(["process", "join", process, *map(str, files), "--out", str(model)]) == 0
    request = asked(line, 2, 1)[0]
    (tmp_path / "r.jsonl").write_text(json.dumps(request), encoding="utf-8")
    answers = tmp_path / "a.jsonl"
    assert main(["process", "recommend", str(model), str(tmp_path / "r.jsonl"), "--out", str(answers)]) == 0
    answer = json.loads(answers.read_text(encoding="utf-8"))
    assert answer["model"] == load_model(model).id
    assert recommend(load_model(model), request)["settings"] == answer["settings"]
