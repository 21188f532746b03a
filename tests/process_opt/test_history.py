"""What a process file and a history may not be, and that the message says where."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import yaml

from process_opt import history as histories
from process_opt.fit import fit
from process_opt.history import History, parse_history, read_history
from process_opt.pieces import read_pieces, read_table
from process_opt.plant import bar_line
from process_opt.process import as_yaml, parse_process, read_process
from process_opt.simulate import linear_line
from qc.errors import InvalidInput

LINE = linear_line(4, 0)


@pytest.fixture
def table() -> pd.DataFrame:
    return LINE.history(200, 1)


def test_a_process_survives_its_own_yaml(tmp_path) -> None:
    for line in (LINE, bar_line(0)):
        (tmp_path / "p.yaml").write_text(as_yaml(line.process), encoding="utf-8")
        assert read_process(tmp_path / "p.yaml") == line.process


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda c: c.pop("conformance"), "conformance"),
        (lambda c: c["part"].pop("escape"), "escape"),
        (lambda c: c["steps"][1].update(name="s01-op"), "s01-op"),
        (lambda c: c["steps"][1].update(after=["s04-op"]), "s04-op"),
        (lambda c: c["steps"][0]["settings"]["lever1"].update(nominal=1e9), "nominal"),
        (lambda c: c["steps"][0]["settings"]["lever1"].pop("low"), "low"),
        (lambda c: c.update(conformance=["s04-op.colour"]), "s04-op.colour"),
        (lambda c: c["steps"][0].update(cost="much"), "cost"),
        (lambda c: c["part"].update(value=10**400), "part.value must be a number"),
        (lambda c: c.update(steps={}), "steps"),
        (lambda c: c.update(curency="USD"), "is it 'currency'"),
        (lambda c: c["part"].update(escape_limits=0.1), "part does not know .*escape_limits"),
        (lambda c: c["steps"][0]["settings"]["lever1"].update(chang_cost=1), r"settings\.lever1 does not know"),
        (lambda c: c["steps"][0]["measurements"]["length"].update(guage_sd=1), r"measurements\.length does not know"),
        (lambda c: c["steps"][0]["settings"].update({True: {"low": 0, "high": 1, "nominal": 0}}), "in quotes"),
        (lambda c: c["steps"][0]["measurements"].update({" ": {}}), "no name"),
        (lambda c: c["conformance"].append(c["conformance"][0]), "twice"),
    ],
)
def test_a_wrong_process_is_refused_with_the_place(change, named) -> None:
    content = copy.deepcopy(dict(LINE.process.source))
    change(content)
    with pytest.raises(InvalidInput, match=named):
        parse_process(content)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: [", "cannot be read as YAML"),
        ("name: 2026-13-45", "month must be in 1..12"),
        ("name: " + 5000 * "1", "cannot be read as YAML"),
        ("[" * 5000, "cannot be read as YAML"),
        ("name: a\nsteps: []\nname: b\n", "name stands there twice"),
        ("? [1]\n: 2\n", "cannot be read as YAML"),
    ],
)
def test_a_file_that_is_not_yaml_is_refused_in_one_line(tmp_path, text: str, said: str) -> None:
    (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"p\.yaml") as refused:
        read_process(tmp_path / "p.yaml")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_csv_and_parquet_say_the_same(table: pd.DataFrame, tmp_path) -> None:
    table.to_csv(tmp_path / "h.csv", index=False)
    table.to_parquet(tmp_path / "h.parquet")
    one, two = (read_history(tmp_path / n, LINE.process) for n in ("h.csv", "h.parquet"))
    assert one.parts == two.parts
    assert one.settings == pytest.approx(two.settings, nan_ok=True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.assign(colour=1.0), "colour"),
        (lambda t: t.drop(columns="disposition"), "disposition"),
        (lambda t: t.drop(columns="s04-op.length"), r"s04-op\.length"),
        (lambda t: t.assign(part="same"), "same"),
        (lambda t: t.assign(disposition="scrapped"), "every part was scrapped"),
        (lambda t: t.assign(disposition="lost"), "lost"),
        (lambda t: t.assign(assignment="chance"), "chance"),
        (lambda t: t.assign(**{"s02-op.lever1": 1e6}), r"s02-op\.lever1.*unit"),
        (lambda t: t.assign(**{"s04-op.length": t["s04-op.length"] * 1000}), r"s04-op\.length.*unit"),
        (lambda t: t.assign(**{"s02-op.length": t["s02-op.length"] * 1000}), r"s02-op\.length.*unit"),
        (lambda t: t.assign(**{"s02-op.angle": "wide"}), r"row 2.*s02-op\.angle"),
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: pd.DataFrame({";".join(map(str, t.columns)): ["1;2"]}), "columns apart by ';'"),
    ],
)
def test_a_wrong_history_is_refused_with_the_place(table: pd.DataFrame, change, named) -> None:
    with pytest.raises(InvalidInput, match=named):
        parse_history(change(table), LINE.process)


def test_a_deciding_reading_that_is_hardly_on_record_is_no_ground_for_promises(table: pd.DataFrame) -> None:
    table.loc[19:, "s04-op.length"] = np.nan
    with pytest.raises(InvalidInput, match=r"s04-op\.length decides conformance, but the history holds it of 19 parts"):
        fit(LINE.process, parse_history(table, LINE.process))


def test_one_reading_in_another_unit_is_found(table: pd.DataFrame) -> None:
    table.loc[17, "s03-op.length"] *= 1000
    with pytest.raises(InvalidInput, match=r"row 19: s03-op\.length"):
        parse_history(table, LINE.process)


def test_a_setting_that_never_varies_is_noted_not_refused(table: pd.DataFrame) -> None:
    name = "s02-op.lever1"
    table[name] = LINE.process.settings[name][1].nominal
    assert any(name in note for note in parse_history(table, LINE.process).notes)


def test_the_demonstration_plant_has_fifty_steps_ten_factories_and_five_partners() -> None:
    steps = yaml.safe_load(as_yaml(bar_line(0).process))["steps"]
    assert len(steps) == 50
    assert len({s["factory"] for s in steps}) == 10
    assert len({s["partner"] for s in steps}) == 5
    assert any(s.get("optional") for s in steps)


@pytest.fixture
def by_sixty(monkeypatch) -> None:
    """A history is read sixty rows at a time."""
    monkeypatch.setattr(histories, "read_pieces", lambda path: read_pieces(path, 60))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_history_read_in_pieces_is_the_same(table: pd.DataFrame, tmp_path, by_sixty, kind: str) -> None:
    table.loc[130:, "s02-op.lever1"] = None  # a column of which later pieces have nothing
    file = tmp_path / f"h.{kind}"
    table.to_csv(file, index=False) if kind == "csv" else table.to_parquet(file)
    assert [len(piece) for piece in read_pieces(file, 60)] == [60, 60, 60, 20]
    assert len(read_table(file)) == 200
    whole, pieces = parse_history(table, LINE.process), read_history(file, LINE.process)
    for name in History.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name), err_msg=name)


def test_a_mistake_in_a_later_piece_is_told_with_its_row(table: pd.DataFrame, tmp_path, by_sixty) -> None:
    file = tmp_path / "h.csv"
    for column, value, words in (
        ("s03-op.lever1", "much", r"row 152: s03-op.lever1 must be a number"),
        ("disposition", "lost", r"row 152: disposition must be"),
        ("part", table["part"][3], r"lists part .* 2 times"),
    ):
        wrong = table[column].astype(object).where(table.index != 150, value)
        table.assign(**{column: wrong}).to_csv(file, index=False)
        with pytest.raises(InvalidInput, match=words):
            read_history(file, LINE.process)


def test_a_file_without_rows_or_with_damage_says_so(table: pd.DataFrame, tmp_path) -> None:
    for kind in ("csv", "parquet"):
        file = tmp_path / f"empty.{kind}"
        table.iloc[:0].to_csv(file, index=False) if kind == "csv" else table.iloc[:0].to_parquet(file)
        with pytest.raises(InvalidInput, match="has no rows"):
            read_history(file, LINE.process)
    file = tmp_path / "h.csv"
    table.to_csv(file, index=False)
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([*lines[:150], lines[150] + ",1,2,3", *lines[151:]]), encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"h\.csv cannot be read: .*151"):
        read_history(file, LINE.process)
