"""Is the advice worth money? By lot, and right however often one looks."""

from __future__ import annotations

import numpy as np
import pytest

from process_opt.process import Process, parse_process
from process_opt.serving import Trial, serving_of
from process_opt.worth import (
    ADVICE,
    ALPHA,
    USUAL,
    Lot,
    Purse,
    Worth,
    draw_lot,
    in_words,
    money_bounds,
    offered,
    purse_of,
    weigh,
)  # fmt: skip
from qc.errors import InvalidInput

LOW, HIGH = -70.0, 42.0
TRIAL = Trial("autumn", share=0.5, loss=2.0, always=False)


def lots(gain: float, parts: int, seed: int, *, share: float = 0.5, believed: float = 0.0) -> list[Lot]:
    """Parts that end as good (42) or as an escape (-60), where advice is worth `gain` each."""
    rng = np.random.default_rng(seed)
    advised = rng.random(parts) < share
    chance = rng.uniform(0.5, 0.9, parts)  # differs from part to part, and is what usual handling is expected to give
    better = chance + np.where(advised, gain / 102, 0.0)
    money = np.where(rng.random(parts) < better, 42.0, -60.0)
    usual = 102 * chance - 60
    return [
        Lot(ADVICE if a else USUAL, share, float(m), float(u + believed), float(u))
        for a, m, u in zip(advised, money, usual, strict=True)
    ]


def purses(runs: list[list[Lot]]) -> tuple[np.ndarray, np.ndarray]:
    """Sums of psi in units, and of squared xi, after every part of every run."""
    totals, squares = np.zeros((2, len(runs), len(runs[0])))
    for r, run in enumerate(runs):
        purse = Purse(LOW, HIGH)
        for i, lot in enumerate(run):
            purse.see(lot)
            totals[r, i], squares[r, i] = purse.total / purse.unit, purse.square
    return totals, squares


@pytest.mark.parametrize("believed", [0.0, 20.0])
def test_worthless_advice_is_called_better_or_worse_in_at_most_one_run_of_twenty(believed: float) -> None:
    """500 runs, looked at after every one of 300 parts; also where the model believes in a gain that is not there."""
    totals, squares = purses([lots(0.0, 300, seed, believed=believed) for seed in range(500)])
    claimed = np.zeros(500, dtype=bool)
    for side in (1.0, -1.0):
        claimed |= (purse_of(side * totals, squares) >= np.log(2 / ALPHA)).any(axis=1)
    assert claimed.mean() <= 0.05


def test_the_interval_holds_the_truth_at_every_look_in_nineteen_runs_of_twenty() -> None:
    gain = 8.0
    totals, squares = purses([lots(gain, 300, 1000 + seed) for seed in range(200)])
    off = totals - gain / Purse(LOW, HIGH).unit * np.arange(1, 301)
    wrong = np.zeros(200, dtype=bool)
    for side in (1.0, -1.0):
        wrong |= (purse_of(side * off, squares) >= np.log(2 / ALPHA)).any(axis=1)
    assert wrong.mean() <= 0.05


def test_advice_that_is_worth_money_is_found_to_be() -> None:
    worth = weigh(lots(15.0, 2000, 3), LOW, HIGH)
    assert worth.claim == "better"
    assert worth.low < 15.0 < worth.high
    assert worth.evidence > 40
    assert "is worth money: +" in in_words(worth, "EUR")
    assert weigh(lots(-15.0, 2000, 4), LOW, HIGH).claim == "worse"


def test_the_interval_ends_where_a_purse_would_be_proof() -> None:
    drawn = lots(10.0, 400, 5)
    purse = Purse(LOW, HIGH)
    for lot in drawn:
        purse.see(lot)
    worth = purse.worth()
    at_low = purse_of(np.array((purse.total - worth.low * worth.parts) / purse.unit), np.array(purse.square))
    assert float(at_low) == pytest.approx(np.log(2 / ALPHA), abs=1e-6)
    assert worth.gain == pytest.approx((worth.low + worth.high) / 2)


def test_uneven_lots_do_not_favour_either_side() -> None:
    found = [weigh(lots(5.0, 400, seed, share=0.8), LOW, HIGH).gain for seed in range(60)]
    assert np.mean(found) == pytest.approx(5.0, abs=3 * np.std(found) / np.sqrt(60))


def test_before_the_first_part_nothing_is_known() -> None:
    assert weigh([], LOW, HIGH) == Worth(0, 0, 0.0, LOW - HIGH, HIGH - LOW, 1.0)


def test_a_lot_can_be_drawn_again_and_another_trial_draws_anew() -> None:
    names = [f"P-{i}" for i in range(2000)]
    first = [draw_lot("bar", TRIAL, n) for n in names]
    assert first == [draw_lot("bar", TRIAL, n) for n in names]
    assert 0.46 < first.count(ADVICE) / 2000 < 0.54
    again = [draw_lot("bar", Trial("winter", 0.5, 2.0, False), n) for n in names]
    assert 0.4 < np.mean([a == b for a, b in zip(first, again, strict=True)]) < 0.6


def process(**serving: object) -> Process:
    return parse_process(
        {
            "name": "bar",
            "part": {"value": 42.0, "scrap": 1.5, "escape": -60.0},
            "conformance": ["end.width"],
            "serving": serving,
            "steps": [
                {"name": "draw", "cost": 1.0, "setup_cost": 0.5, "settings": {
                    "force": {"low": 0, "high": 10, "nominal": 4, "change_cost": 0.25}}},
                {"name": "end", "cost": 2.0, "measurements": {"width": {"lower": 1, "upper": 2}}},
            ],
        }
    )  # fmt: skip


def test_only_parts_with_two_acceptable_ways_are_in_the_trial() -> None:
    near = {"decision": "correct", "part": "P", "expected_value": 30.0, "value_if_continued": 28.5}
    far = {**near, "value_if_continued": 10.0}
    assert offered(process(), TRIAL, near) == {
        "name": "autumn", "arm": draw_lot("bar", TRIAL, "P"), "share": 0.5, "if_advised": 30.0, "if_usual": 28.5,
    }  # fmt: skip
    assert offered(process(), TRIAL, far) is None
    assert offered(process(), Trial("autumn", 0.5, 2.0, always=True), far) is not None
    assert offered(process(), TRIAL, {**near, "decision": "abstain"}) is None


def test_money_is_bounded_by_what_a_part_can_cost_and_bring() -> None:
    assert money_bounds(process()) == (-60.0 - 1.0 - 0.5 - 0.25 * 6 - 2.0, 42.0)


def test_nothing_is_allowed_unless_the_process_says_so_and_mistakes_are_named() -> None:
    assert serving_of(process()).trial is None
    assert serving_of(process()).explore is None
    allowed = serving_of(process(trial={"loss": 1.0}, explore={"price": 0.5, "chance": 0.02, "steps": ["draw"]}))
    assert allowed.trial == Trial("1", 0.5, 1.0, False)
    assert allowed.explore is not None
    assert allowed.explore.steps == ("draw",)
    with pytest.raises(
        InvalidInput, match=r"serving.explore.steps must be names of steps with settings, not \['end'\]"
    ):
        process(explore={"price": 0.5, "chance": 0.02, "steps": ["end"]})
    with pytest.raises(InvalidInput, match=r"serving.trial.share must be a number from 0.1 to 0.9, not 1"):
        process(trial={"share": 1, "loss": 1.0})
    with pytest.raises(InvalidInput, match=r"serving.trial.loss must be a number of at least 0, not None"):
        process(trial={"share": 0.5})
    with pytest.raises(InvalidInput, match="serving does not know 'explor'"):
        process(explor={})
