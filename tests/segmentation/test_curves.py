"""Curves against their definitions, on random maps."""

import numpy as np
import pytest

from segmentation.curves import Scored, area_under_overlap, overlap_counts, precision_recall, recall_over_alarms


def exact_overlap(background, regions, highest=0.3):
    """The per-region overlap curve at every distinct score, integrated by fine interpolation."""
    scores = np.unique(np.concatenate([background, *regions]))[::-1]
    rate = np.array([0.0] + [(background >= s).mean() for s in scores])
    covered = np.array([0.0] + [np.mean([(r >= s).mean() for r in regions]) for s in scores])
    grid = np.linspace(0, highest, 20_001)
    heights = np.interp(grid, rate, covered)
    return float(((heights[1:] + heights[:-1]) / 2).mean())


def test_overlap_by_levels_is_the_exact_area():
    random = np.random.default_rng(1)
    background = random.normal(-3, 2, 4000).astype(np.float16)
    regions = [random.normal(mean, 1.5, size).astype(np.float16) for mean, size in ((2, 30), (-1, 400), (0, 7))]
    counts = overlap_counts(background, regions)
    area = area_under_overlap(counts.background, counts.regions, counts.count)
    assert area == pytest.approx(exact_overlap(background, regions), abs=0.005)
    assert 0.3 < area < 0.95


def test_every_region_counts_the_same_however_small():
    hit, missed = np.full(5, 8.0, np.float16), np.full(5000, -9.0, np.float16)
    background = np.linspace(-8, -2, 9000).astype(np.float16)
    counts = overlap_counts(background, [hit, missed])
    assert area_under_overlap(counts.background, counts.regions, counts.count) == pytest.approx(0.5, abs=0.005)


def test_a_perfect_map_has_the_whole_area_and_an_empty_truth_none():
    counts = overlap_counts(np.full(100, -9.0, np.float16), [np.full(10, 9.0, np.float16)])
    assert area_under_overlap(counts.background, counts.regions, counts.count) == pytest.approx(1)
    empty = overlap_counts(np.full(100, -9.0, np.float16), [])
    assert np.isnan(area_under_overlap(empty.background, empty.regions, empty.count))


def scored(*scores):
    """Each from a part of its own."""
    return Scored(np.array(scores), np.arange(len(scores)))


def test_overlap_by_class_adds_up_to_that_of_all():
    regions = [np.full(10, 9.0, np.float16), np.full(5, -9.0, np.float16), np.full(7, 9.0, np.float16)]
    counts = overlap_counts(np.full(100, -9.0, np.float16), regions, [2, 1, 2])
    assert {kind: count for kind, (_, count) in counts.classes.items()} == {1: 1, 2: 2}
    assert np.allclose(sum(shares for shares, _ in counts.classes.values()), counts.regions)
    of_two = area_under_overlap(counts.background, *counts.classes[2])
    assert of_two == pytest.approx(1)
    assert area_under_overlap(counts.background, *counts.classes[1]) < of_two


def test_a_score_counts_in_every_draw_of_its_part():
    scores = Scored(np.array([0.9, 0.5, 0.5]), np.array([0, 1, 0]))
    drawn = scores.at_least(np.array([0.9, 0.6, 0.5]), np.array([[1.0, 1.0], [2.0, 0.0]]))
    assert drawn.tolist() == [[1, 1, 3], [2, 2, 4]]


def test_the_band_of_a_curve_is_what_resampled_parts_give():
    random = np.random.default_rng(0)
    weights = np.concatenate([np.ones((1, 40)), random.multinomial(40, np.full(40, 1 / 40), size=400)])
    hits = Scored(np.full(30, 0.9), np.arange(30))
    alarms = Scored(np.full(10, 0.8), np.arange(30, 40))
    surest, all_of_them = precision_recall(hits, alarms, hits, weights)
    assert surest["precision_low"] == surest["precision_high"] == 1.0
    assert all_of_them["precision"] == 0.75
    assert all_of_them["precision_low"] == pytest.approx(0.75 - 1.96 * (0.75 * 0.25 / 40) ** 0.5, abs=0.03)
    assert all_of_them["precision_high"] == pytest.approx(0.75 + 1.96 * (0.75 * 0.25 / 40) ** 0.5, abs=0.03)
    assert surest["recall_low"] == 1.0


def test_precision_and_recall_at_every_score():
    curve = precision_recall(scored(0.9, 0.5), scored(0.7), scored(0.9, 0.5, -1.0), np.ones((2, 3)))
    assert [(p["score"], p["precision"], p["recall"]) for p in curve] == [
        (0.9, 1.0, pytest.approx(1 / 3, abs=1e-5)),
        (0.7, 0.5, pytest.approx(1 / 3, abs=1e-5)),
        (0.5, pytest.approx(2 / 3, abs=1e-5), pytest.approx(2 / 3, abs=1e-5)),
    ]
    assert precision_recall(scored(), scored(), scored(0.5), np.ones((2, 3))) == []


def test_recall_over_false_alarms():
    curve = recall_over_alarms(scored(0.7, 0.6, 0.2), scored(0.9, 0.5, -1.0), np.array([0, 1]), np.ones((2, 3)))
    assert [(p["false_alarms"], round(p["recall"], 3)) for p in curve] == [
        (0.0, 0.333),
        (0.5, 0.333),
        (1.0, 0.333),
        (1.0, 0.667),
        (1.5, 0.667),
    ]


def test_a_curve_of_many_scores_is_thinned_and_keeps_its_ends():
    scores = Scored(np.linspace(0.05, 0.99, 5000), np.zeros(5000, np.int64))
    curve = precision_recall(scores, scores, scores, np.ones((2, 1)))
    assert len(curve) <= 200
    assert (curve[0]["score"], curve[-1]["score"]) == (0.99, 0.05)
