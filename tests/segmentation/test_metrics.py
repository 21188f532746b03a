"""Figures against hand-made cases and against scikit-learn's definitions."""

from dataclasses import replace

import numpy as np
import pytest

from qc.dataset import IGNORE
from qc.ports import Segmentation
from segmentation.image_score import ImageScore
from segmentation.matching import facts
from segmentation.metrics import auroc, average_precision, collect, intersection_over_union, recall_at, report
from segmentation.operating_point import Calibration, Tally, calibrated

CLASSES = {1: "scratch", 4: "dent"}


def seen(shape=(40, 60), blobs=()):
    log_odds, class_id = np.full(shape, -8, np.float16), np.ones(shape, np.uint8)
    for place, score, kind in blobs:
        log_odds[place], class_id[place] = np.log(score / (1 - score)), kind
    return Segmentation(log_odds, class_id)


def drawn(*blobs, shape=(40, 60)):
    truth = np.zeros(shape, np.uint8)
    for place, kind in blobs:
        truth[place] = kind
    return truth


SCRATCH = np.s_[5:8, 5:25]
DENT = np.s_[25:35, 40:50]
CORNER = np.s_[0:3, 50:60]


def facts_of(answer, truth, part="p", image="i"):
    return facts(answer, truth, CLASSES, threshold=0.5, part=part, image=image)


def test_a_found_a_missed_and_an_invented_defect():
    f = facts_of(seen(blobs=[(SCRATCH, 0.9, 1), (CORNER, 0.7, 1)]), drawn((SCRATCH, 1), (DENT, 4)))
    assert {d.class_id: d.found_at is not None for d in f.defects} == {1: True, 4: False}
    assert f.alarms == (pytest.approx(0.7, abs=0.01),)
    assert f.score == pytest.approx(0.9, abs=0.01)


def test_a_blob_over_half_of_the_frame_finds_nothing():
    f = facts_of(seen(blobs=[(np.s_[:, :40], 0.9, 1)]), drawn((SCRATCH, 1)))
    assert f.defects[0].found_at is None
    assert len(f.alarms) == 1


def test_a_scratch_found_in_pieces_is_found_at_the_score_that_covers_a_tenth():
    pieces = [(np.s_[5:8, 5:6], 0.95, 1), (np.s_[5:8, 10:12], 0.8, 1)]
    f = facts_of(seen(blobs=pieces), drawn((SCRATCH, 1)))
    assert f.defects[0].found_at == pytest.approx(0.8, abs=0.01)


def test_what_nobody_knows_is_neither_missed_nor_invented():
    f = facts_of(seen(blobs=[(DENT, 0.9, 4)]), drawn((DENT, IGNORE)))
    assert f.defects == ()
    assert f.alarms == ()
    assert not f.defective
    assert f.confusion.sum() == 40 * 60 - 100


def test_what_nobody_knows_calls_no_image_bad_and_no_part_rejected():
    """The answer reaches a pixel beyond what is unknown, as a brush never follows a model's edge."""
    grown = np.s_[24:35, 40:50]
    f = facts_of(seen(blobs=[(grown, 0.9, 4), (CORNER, 0.3, 1)]), drawn((DENT, IGNORE)))
    assert f.score == f.surest == pytest.approx(0.3, abs=0.01)
    assert f.class_scores == {1: pytest.approx(0.3, abs=0.01)}
    nothing = facts_of(seen(blobs=[(SCRATCH, 0.9, 1)]), drawn((np.s_[:, :], IGNORE)))
    assert nothing.score < 1e-6


def test_a_score_that_a_model_has_of_its_own_leaves_out_what_nobody_knows_too():
    score = ImageScore((1.0, 0.0, 0.0, 0.0), 0.5)
    answer = seen(blobs=[(DENT, 0.9, 4), (CORNER, 0.3, 1)])
    answer = replace(answer, score=score(answer, threshold=0.5, edge=0.5))
    whole = facts(answer, drawn(), CLASSES, threshold=0.5, image_score=score)
    assert whole.score == answer.score > 0.5
    partly = facts(answer, drawn((DENT, IGNORE)), CLASSES, threshold=0.5, image_score=score)
    assert partly.score == score(seen(blobs=[(CORNER, 0.3, 1)]), threshold=0.5, edge=0.5) < 0.5


def test_a_defect_that_goes_on_where_nobody_looked_is_found_by_what_lies_on_its_drawn_end():
    f = facts_of(seen(blobs=[(np.s_[5:8, 5:60], 0.9, 1)]), drawn((np.s_[:, 15:], IGNORE), (np.s_[5:8, 5:15], 1)))
    assert [d.found_at for d in f.defects] == [pytest.approx(0.9, abs=0.01)]
    assert f.alarms == ()
    assert f.score == pytest.approx(0.9, abs=0.01)


def test_iou_by_class_of_a_half_right_answer():
    f = facts_of(seen(blobs=[(np.s_[5:8, 5:15], 0.9, 1)]), drawn((SCRATCH, 1)))
    iou = intersection_over_union(f.confusion)
    assert iou[1] == pytest.approx(0.5)
    assert np.isnan(iou[2])


def test_a_doubtful_blob_is_no_pixel_of_the_mask_but_counts_in_the_sweep():
    f = facts_of(seen(blobs=[(SCRATCH, 0.2, 1)]), drawn((SCRATCH, 1)))
    assert f.confusion[1, 1] == 0
    assert f.defects[0].found_at == pytest.approx(0.2, abs=0.01)


def test_recall_at_a_number_of_false_alarms():
    answers = [
        facts_of(seen(blobs=[(SCRATCH, 0.9, 1)]), drawn((SCRATCH, 1)), part="a"),
        facts_of(seen(blobs=[(SCRATCH, 0.3, 1), (CORNER, 0.6, 1)]), drawn((SCRATCH, 1)), part="b"),
    ]
    figures = collect(answers)
    once = np.ones(2)
    assert recall_at(figures, once, 0.1) == 0.5  # the alarm at 0.6 may not happen, so 0.3 is out of reach
    assert recall_at(figures, once, 1.0) == 1.0
    assert np.isnan(recall_at(figures, once, 1.0, of=figures.defect_class == 4))


def test_average_precision_and_auroc_against_their_definitions():
    random = np.random.default_rng(1)
    for _ in range(20):
        positive = random.random(40) < 0.3
        positive[:2] = True, False
        score = np.round(random.random(40) + 0.5 * positive, 1)  # with ties
        weight = random.integers(1, 4, 40)
        s, p = np.repeat(score, weight), np.repeat(positive, weight)
        pairs = (s[p][:, None] > s[~p]) + 0.5 * (s[p][:, None] == s[~p])
        steps, recall_before = 0.0, 0.0
        for limit in np.unique(s)[::-1]:
            recall = p[s >= limit].sum() / p.sum()
            steps += (recall - recall_before) * p[s >= limit].mean()
            recall_before = recall
        assert average_precision(score, positive, weight.astype(float)) == pytest.approx(steps)
        assert auroc(score, positive, weight.astype(float)) == pytest.approx(pairs.mean())


def test_the_report_of_a_perfect_model_is_perfect_and_says_how_sure_that_is():
    good = [facts_of(seen(blobs=[(SCRATCH, 0.9, 1)]), drawn((SCRATCH, 1)), part=f"a{n}") for n in range(4)]
    clean = [facts_of(seen(), drawn(), part=f"b{n}") for n in range(4)]
    figures = report(good + clean, CLASSES)
    for name in ("image_ap", "image_auroc", "part_ap", "defect_recall_at_0.1", "pixel_f1", "mean_iou"):
        assert figures[name]["value"] == 1.0
        assert figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"]
    for name in ("image_ap", "image_auroc", "part_ap", "defect_recall_at_1"):
        assert figures[name]["low"] == pytest.approx(0.025 ** (1 / 4), abs=1e-4), "four parts prove little"
    assert figures["classes"]["dent"]["iou"]["value"] is None


def test_the_threshold_is_where_masks_agree_best():
    answer = seen(blobs=[(SCRATCH, 0.7, 1), (DENT, 0.4, 1)])
    tally = Tally(CLASSES)
    tally.add(answer, drawn((SCRATCH, 1)))
    threshold, iou = tally.best()
    assert 0.4 < threshold <= 0.7
    assert iou == 1.0


def test_calibrated_probabilities_are_frequencies():
    random = np.random.default_rng(2)
    true = random.normal(-2, 2, (300, 300))
    truth = (random.random(true.shape) < 1 / (1 + np.exp(-true))).astype(np.uint8)
    raw = ((true + 1.0) / 2.0).astype(np.float16)  # the network is half as sure as it should be, and shifted
    fit = Calibration()
    fit.add(Segmentation(raw, np.ones(raw.shape, np.uint8)), truth)
    scale, offset = fit.fit()
    assert scale == pytest.approx(2.0, abs=0.1)
    assert offset == pytest.approx(-1.0, abs=0.1)
    assert np.allclose(calibrated(raw, 2.0, -1.0), true, atol=0.02)
