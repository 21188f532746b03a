"""Kappa against worked examples, and the gauge study from the columns of a split."""

from pathlib import Path

import numpy as np
import pytest

from qc.dataset import Sample
from qc.errors import InvalidInput
from segmentation.agreement import agreement_report, cohen_kappa, fleiss_kappa, said_by_inspectors


def test_kappa_of_the_worked_example():
    """45 both yes, 15 and 25 of one kind, 15 both no: observed 0.60, by chance 0.54, kappa 0.1304."""
    one = np.repeat([1.0, 1, 0, 0], [45, 15, 25, 15])
    other = np.repeat([1.0, 0, 1, 0], [45, 15, 25, 15])
    assert cohen_kappa(one, other) == pytest.approx(0.1304, abs=1e-4)


def test_kappa_of_two_who_agree_is_one_and_of_two_who_toss_coins_nothing():
    random = np.random.default_rng(1)
    said = (random.random(20_000) < 0.3).astype(float)
    assert cohen_kappa(said, said) == 1
    assert abs(cohen_kappa(said, random.permutation(said))) < 0.03
    assert np.isnan(cohen_kappa(np.zeros(5), np.zeros(5)))


def test_fleiss_kappa_of_two_inspectors_is_scotts_pi():
    random = np.random.default_rng(2)
    one = (random.random(500) < 0.4).astype(float)
    other = np.where(random.random(500) < 0.8, one, 1 - one)
    share = (one.mean() + other.mean()) / 2
    chance = share**2 + (1 - share) ** 2
    assert fleiss_kappa([one, other]) == pytest.approx(((one == other).mean() - chance) / (1 - chance))


def test_who_did_not_look_is_left_out():
    one, other = np.array([1.0, 0, 1, np.nan]), np.array([1.0, 0, np.nan, 0])
    assert cohen_kappa(one, other) == 1
    assert fleiss_kappa([one, other]) == 1


def sample(number, **said):
    return Sample(Path(f"i{number}.png"), None, "test", f"p{number}", "", f"p{number}", said)


def test_the_model_stands_beside_the_inspectors():
    truth = np.arange(40) % 2 == 0
    samples = [
        sample(
            n,
            **{
                "inspector:anna": "ng" if bad else "ok",
                "inspector:anna:2": "ng" if bad and n != 2 else "ok",
                "inspector:ben": "ng" if bad or n < 10 else "ok",
            },
        )
        for n, bad in enumerate(truth)
    ]
    report = agreement_report(samples, truth, truth, lambda figure: {"value": figure(np.ones(40))})
    assert report["inspectors"]["anna"]["kappa_with_truth"]["value"] == 1
    assert report["inspectors"]["anna"]["kappa_with_oneself"]["value"] == pytest.approx(0.95)
    assert report["inspectors"]["ben"]["kappa_with_oneself"] is None
    assert report["inspectors_with_each_other"]["value"] < report["model_with_inspectors"]["value"]
    assert agreement_report([sample(1)], truth[:1], truth[:1], dict) is None


def test_a_word_that_is_no_verdict_is_named():
    with pytest.raises(InvalidInput, match=r"i1.png: inspector:anna must be ok, ng or empty, not 'maybe'"):
        said_by_inspectors([sample(1, **{"inspector:anna": "maybe"})])
