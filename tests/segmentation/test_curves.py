"""Curves against their definitions, on random maps."""

import numpy as np
import pytest

from segmentation.curves import area_under_overlap, overlap_counts, precision_recall, recall_over_alarms


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


def test_precision_and_recall_at_every_score():
    curve = precision_recall(np.array([0.9, 0.5]), np.array([0.7]), np.array([0.9, 0.5, -1.0]))
    assert [(p["score"], p["precision"], p["recall"]) for p in curve] == [
        (0.9, 1.0, pytest.approx(1 / 3, abs=1e-5)),
        (0.7, 0.5, pytest.approx(1 / 3, abs=1e-5)),
        (0.5, pytest.approx(2 / 3, abs=1e-5), pytest.approx(2 / 3, abs=1e-5)),
    ]
    assert precision_recall(np.zeros(0), np.zeros(0), np.array([0.5])) == []


def test_recall_over_false_alarms():
    curve = recall_over_alarms(np.array([0.7, 0.6, 0.2]), np.array([0.9, 0.5, -1.0]), images=2)
    assert [(p["false_alarms"], round(p["recall"], 3)) for p in curve] == [
        (0.0, 0.333),
        (0.5, 0.333),
        (1.0, 0.333),
        (1.0, 0.667),
        (1.5, 0.667),
    ]


def test_a_curve_of_many_scores_is_thinned_and_keeps_its_ends():
    scores = np.linspace(0.05, 0.99, 5000)
    curve = precision_recall(scores, scores, scores)
    assert len(curve) <= 200
    assert (curve[0]["score"], curve[-1]["score"]) == (0.99, 0.05)
