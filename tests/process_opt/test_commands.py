"""The command line: fit, recommend, and what is left behind when it fails."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from process_opt.cli import register
from process_opt.model import load_model
from process_opt.process import as_yaml
from process_opt.simulate import linear_line
from qc.errors import InvalidInput


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    args = parser.parse_args(list(words))
    code: int = args.run(args)
    return code


def test_fit_then_recommend_leaves_a_model_a_report_and_one_answer_a_line(tmp_path) -> None:
    line = linear_line(4, 0)
    (tmp_path / "p.yaml").write_text(as_yaml(line.process), encoding="utf-8")
    line.history(600, 1).to_csv(tmp_path / "h.csv", index=False)
    model = tmp_path / "model"
    assert run("process", "fit", str(tmp_path / "p.yaml"), str(tmp_path / "h.csv"), "--out", str(model)) == 0
    assert {f.name for f in model.iterdir()} == {"model.json", "arrays.npz", "report.json", "report.html"}
    assert json.loads((model / "report.json").read_text())["check"]["coverage90"]
    requests = tmp_path / "r.jsonl"
    part = line.start(1)
    part.run_step("s01-op")
    ask = {"part": "P", "at": "s02-op", "observed": part.observed}
    requests.write_text(json.dumps(ask) + "\n" + json.dumps(ask | {"part": "Q"}) + "\n")
    out = tmp_path / "a.jsonl"
    assert run("process", "recommend", str(model), str(requests), "--out", str(out)) == 0
    assert [json.loads(a)["part"] for a in out.read_text().splitlines()] == ["P", "Q"]
    before = out.read_text()
    huge = json.dumps({**ask, "observed": {"s01-op.length": 10**400}})
    for wrong in ("{oops", "[" * 100_000, '{"part": ' + 5000 * "1" + "}", huge):
        requests.write_text(json.dumps(ask) + f"\n{wrong}\n")
        with pytest.raises(InvalidInput, match="line 2"):
            run("process", "recommend", str(model), str(requests), "--out", str(out))
        assert out.read_text() == before


def test_a_fit_that_fails_leaves_nothing(tmp_path) -> None:
    line = linear_line(4, 0)
    (tmp_path / "p.yaml").write_text(as_yaml(line.process), encoding="utf-8")
    line.history(10, 1).to_csv(tmp_path / "h.csv", index=False)
    with pytest.raises(InvalidInput, match="at least 50"):
        run("process", "fit", str(tmp_path / "p.yaml"), str(tmp_path / "h.csv"), "--out", str(tmp_path / "m"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["h.csv", "p.yaml"]


def test_learn_goes_on_from_a_model_with_further_parts_and_passes_over_those_it_knows(tmp_path, capsys) -> None:
    line = linear_line(3, 0)
    (tmp_path / "p.yaml").write_text(as_yaml(line.process), encoding="utf-8")
    line.history(300, 1).to_csv(tmp_path / "h.csv", index=False)
    line.history(40, 2).assign(assignment=["recommendation"] * 30 + ["operator"] * 10).to_csv(
        tmp_path / "more.csv", index=False
    )
    first, second, third = (str(tmp_path / name) for name in ("first", "second", "third"))
    assert run("process", "fit", str(tmp_path / "p.yaml"), str(tmp_path / "h.csv"), "--out", first) == 0
    assert run("process", "learn", first, str(tmp_path / "more.csv"), "--out", second) == 0
    assert "took in 40 of 40 parts; settings' effects moved by 30" in capsys.readouterr().out
    assert load_model(Path(second)).learnt["outcomes"] == 40
    assert run("process", "learn", second, str(tmp_path / "more.csv"), "--out", third) == 0
    assert "took in 0 of 40 parts; settings' effects moved by 0" in capsys.readouterr().out
    assert load_model(Path(third)).id == load_model(Path(second)).id
    (tmp_path / "more.csv").write_text("part,disposition\nP,lost\n", encoding="utf-8")
    with pytest.raises(InvalidInput):
        run("process", "learn", first, str(tmp_path / "more.csv"), "--out", str(tmp_path / "fourth"))
    assert not (tmp_path / "fourth").exists()
