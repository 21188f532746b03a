"""Two readings in each other's place: told with their rows; honest lines, however restless, are let through."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.plant import bar_line
from process_opt.recommend import recommend
from process_opt.simulate import Line, bent_line, linear_line
from qc.errors import InvalidInput

LINE = linear_line(4, 5)
"""Its characteristics lie some fifteen standard deviations apart, and more."""
LENGTH, ANGLE = "s02-op.length", "s02-op.angle"


def exchanged(table: pd.DataFrame, rows: slice, one: str = LENGTH, other: str = ANGLE) -> pd.DataFrame:
    made = table.copy()
    made.loc[rows, one], made.loc[rows, other] = table.loc[rows, other], table.loc[rows, one]
    return made


@pytest.mark.parametrize(
    ("rows", "told"),
    [(slice(17, 17), "row 19"), (slice(100, 199), "rows 102 to 201"), (slice(0, 299, 50), "6 rows from row 2 on")],
)
def test_rows_whose_readings_fit_only_the_other_way_round_are_told(rows: slice, told: str) -> None:
    with pytest.raises(InvalidInput, match=rf"{told}: {LENGTH} and {ANGLE} seem to stand in each other's place"):
        parse_history(exchanged(LINE.history(300, 1), rows), LINE.process)


def test_columns_that_are_exchanged_throughout_are_told_by_other_steps_and_by_their_limits() -> None:
    table = LINE.history(300, 1)
    with pytest.raises(InvalidInput, match=f"{LENGTH} and {ANGLE} seem .* where other steps read"):
        parse_history(exchanged(table, slice(None)), LINE.process)
    last = [name for name in LINE.process.conformance if name.endswith((".length", ".angle"))]
    kept = [c for c in table.columns if not c.endswith((".length", ".angle")) or c in last]
    with pytest.raises(InvalidInput, match=r"each other's place: .* outside its own limits and within the other's"):
        parse_history(exchanged(table[kept], slice(None), *last), LINE.process)


@pytest.mark.parametrize("line", [linear_line(6, 1), bent_line(5, 2), bar_line(3)], ids=["linear", "bent", "bar"])
def test_honest_lines_are_let_through_even_with_slips_in_one_reading(line: Line) -> None:
    table = line.history(300, 3)
    readings = [name for name in line.process.measurements if name in table]
    rng = np.random.default_rng(0)
    for name in readings:
        table.loc[int(rng.integers(300)), name] += 40 * table[name].std()
    assert parse_history(table, line.process).size == 300


def test_a_request_whose_readings_are_exchanged_is_refused_by_name() -> None:
    model = fit(LINE.process, parse_history(LINE.history(300, 1), LINE.process))
    part = LINE.start(1)
    for _ in range(3):
        part.run_step(part.at or "")
    asked = {"part": "P-1", "at": part.at, "observed": dict(part.observed)}
    assert recommend(model, asked)["decision"]
    asked["observed"] |= {LENGTH: part.observed[ANGLE], ANGLE: part.observed[LENGTH]}
    with pytest.raises(InvalidInput, match=f"part P-1: {LENGTH} = .* and {ANGLE} = .* each other's place"):
        recommend(model, asked)
