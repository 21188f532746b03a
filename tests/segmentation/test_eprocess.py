"""One may look at the wager between champion and challenger after every part."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from qc.errors import InvalidInput
from segmentation.eprocess import ALPHA, Wager, gain, purses_of_disagreements, wager, weighted

PAIRS, LOOKS = 2_000, 1_000


def exact_mixture(wins: int, losses: int) -> float:
    """The mixture over stakes s with density 6 s (1 - s), integrated numerically."""

    def purse(stake: float) -> float:
        return 6 * stake * (1 - stake) * (1 + stake) ** wins * (1 - stake) ** losses

    return float(quad(purse, 0, 1, epsabs=0, epsrel=1e-11, limit=500)[0])


@pytest.mark.parametrize(("wins", "losses"), [(0, 1), (5, 0), (12, 3), (120, 80), (60, 110)])
def test_the_purse_is_the_mean_over_all_stakes(wins, losses):
    told = wager([1] * wins + [-1] * losses)
    assert told.e_value == pytest.approx(exact_mixture(wins, losses), rel=1e-9)
    assert (told.wins, told.losses, told.parts) == (wins, losses, wins + losses)


def test_two_equal_models_looked_at_after_every_part_are_promoted_falsely_at_most_once_in_twenty():
    coins = np.random.default_rng(1).random((PAIRS, LOOKS)) < 0.5
    false = (purses_of_disagreements(coins) >= 1 / ALPHA).any(axis=1).mean()
    assert false <= ALPHA


@pytest.mark.parametrize(("right", "parts"), [(0.6, 191), (0.7, 37), (0.8, 14)])
def test_a_better_model_is_promoted_after_few_disagreements(right, parts):
    coins = np.random.default_rng(2).random((PAIRS, LOOKS)) < right
    reached = purses_of_disagreements(coins) >= 1 / ALPHA
    first = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, LOOKS + 1)
    assert np.median(first) <= parts


def test_the_table_of_many_comparisons_says_what_the_wager_says_part_by_part():
    coins = np.random.default_rng(3).random((2, 300)) < 0.6
    table = purses_of_disagreements(coins)
    for row, comparison in enumerate(coins):
        purse = Wager()
        for n, won in enumerate(comparison):
            purse.see(1 if won else -1)
            assert table[row, n] == pytest.approx(purse.evidence().e_value, rel=1e-9)


def test_parts_on_which_both_say_the_same_change_nothing_and_proof_once_given_stays():
    before = wager([1] * 10)
    assert wager([1] * 10 + [0] * 1000).e_value == before.e_value
    later = wager([1] * 10 + [-1] * 30)
    assert before.proved
    assert later.proved
    assert later.e_value < 1 < later.highest


def test_not_worse_by_a_margin_needs_parts_and_is_lost_by_misses():
    assert wager([0] * 200, margin=0.05).proved
    assert not wager([0] * 20, margin=0.05).proved
    rng = np.random.default_rng(4)
    worse = rng.choice([-1, 0], p=[0.05, 0.95], size=(300, 400))  # exactly as bad as must not be called harmless
    assert np.mean([wager(row, margin=0.05).proved for row in worse]) <= ALPHA


def test_a_random_share_of_the_parts_is_weighed_for_the_parts_that_nobody_looked_at():
    assert weighted(1, 0.1, 0.1) == 1
    assert weighted(-1, 1.0, 0.1) == pytest.approx(-0.1)
    with pytest.raises(InvalidInput, match="shares"):
        weighted(1, 0.1, 0.5)


def test_escapes_that_both_let_pass_count_by_the_random_share_and_prove_nothing_falsely():
    """Worse by just the margin: of 20 defective parts one passes the challenger alone; the rest passes both, and one in
    25 of these is looked at."""
    rng, proved, runs = np.random.default_rng(7), 0, 300
    for _ in range(runs):
        purse = Wager(margin=0.05)
        for _ in range(400):
            if rng.random() < 0.05:
                purse.see(-1)
            elif rng.random() < 0.04:
                purse.see(0, stands_for=25)
        proved += purse.evidence().proved
    assert proved <= 0.05 * runs + 2 * (0.05 * 0.95 * runs) ** 0.5
    few, weighed = Wager(margin=0.05), Wager(margin=0.05)
    for _ in range(6):
        few.see(0)
        weighed.see(0, stands_for=25)
    assert weighed.evidence().proved
    assert not few.evidence().proved
    for one, number in ((1, 2.0), (0, 0.5)):
        with pytest.raises(InvalidInput):
            few.see(one, stands_for=number)


def test_who_was_right_alone_wins():
    assert gain(True, False, True) == 1
    assert gain(False, True, False) == 1
    assert gain(True, True, False) == -1
    assert gain(True, True, True) == 0
    assert gain(False, True, True) == 0


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"alpha": 1.0}, {"margin": 1.0}, {"margin": -0.1}])
def test_a_wager_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(InvalidInput):
        Wager(**wrong)
    with pytest.raises(InvalidInput, match="gain"):
        Wager().see(1.5)
