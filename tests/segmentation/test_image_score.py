"""The score of an image from more than its surest pixel: only where it orders better, never against the verdict."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from qc.defects import find_blobs, frame_score
from qc.errors import InvalidInput
from qc.ports import Segmentation
from segmentation.config import network_config
from segmentation.image_score import AS_SUREST, ImageScore, choose, counts, fit, summary
from segmentation.matching import facts
from segmentation.metrics import collect, part_scores
from segmentation.model import CARD, load_network, load_segmenter, model_id, read_card, save_model

EDGE, THRESHOLD = 0.4, 0.7


def answer(*regions: tuple[int, int, float], size: int = 60) -> Segmentation:
    """Background at log-odds -6, and squares: place, side, log-odds."""
    log_odds = np.full((size, size), -6.0, np.float16)
    for place, side, odds in regions:
        log_odds[place : place + side, place : place + side] = odds
    return Segmentation(log_odds, np.ones((size, size), np.uint8))


def images(seed: int, *, telling: float, parts: int = 40) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Summaries of two views of each part; how much larger regions on defective parts are is `telling`."""
    random = np.random.default_rng(seed)
    numbers, defective, names = [], [], []
    for part in range(parts):
        bad = part % 2 == 0
        for _ in range(2):
            sure = random.normal(1.0 if bad else -1.0, 2.0)
            area = 3.0 + random.normal(telling if bad else -telling, 1.0)
            numbers.append([sure, sure - abs(random.normal()), area, abs(random.normal(0.7, 0.5))])
            defective.append(bad)
            names.append(f"part{part}")
    return np.array(numbers), np.array(defective), names


def test_an_answer_is_summed_up_by_its_surest_region():
    seen = answer((5, 4, 2.0), (30, 10, 3.0), (50, 2, 0.5))
    surest, mean, area, regions = summary(seen, edge=EDGE)
    assert (surest, mean) == (3.0, 3.0)
    assert (area, regions) == pytest.approx((np.log(100), np.log(3)))


def test_where_nothing_reaches_the_edge_what_is_doubtful_speaks():
    assert summary(answer((5, 4, -2.0)), edge=EDGE) == pytest.approx([-2.0, -2.0, np.log(16), 0.0])
    assert summary(answer(), edge=EDGE) == pytest.approx([-6.0, -6.0, 0.0, 0.0])


def test_the_score_never_contradicts_the_verdict():
    random = np.random.default_rng(3)
    score = ImageScore((-0.4, 0.9, 1.3, -2.0), 0.7)
    for _ in range(200):
        seen = answer(*((int(p), int(s), float(o)) for p, s, o in random.uniform((0, 1, -8), (50, 9, 8), (3, 3))))
        value = score(seen, threshold=THRESHOLD, edge=EDGE)
        found = find_blobs(seen, threshold=THRESHOLD, edge=EDGE)
        assert 0 <= value <= 1
        assert (value >= THRESHOLD) == any(b.counts for b in found) == counts(seen, threshold=THRESHOLD)


def test_thresholds_are_compared_with_the_surest_defect_however_the_image_is_scored():
    seen = replace(answer((5, 4, 2.0)), score=0.97)
    truth = np.zeros((60, 60), np.uint8)
    compared = facts(seen, truth, {1: "scratch"}, threshold=THRESHOLD, edge=EDGE)
    assert compared.score == 0.97
    assert compared.surest == compared.alarms[0] == pytest.approx(1 / (1 + np.exp(-2.0)))
    figures = collect([compared])
    assert part_scores(figures)[0] == [0.97]
    assert part_scores(figures, of_defects=True)[0] == [compared.surest]


def test_few_images_change_little():
    numbers, defective, _ = images(0, telling=2.0, parts=2)
    few = np.abs(np.subtract(fit(numbers, defective).weights, AS_SUREST)).sum()
    numbers, defective, _ = images(0, telling=2.0, parts=200)
    many = np.abs(np.subtract(fit(numbers, defective).weights, AS_SUREST)).sum()
    assert few < many


def test_a_combination_that_orders_parts_left_out_better_is_used():
    numbers, defective, parts = images(1, telling=1.5)
    trial = choose(numbers, numbers[:, 0] > 0.8, defective, parts, threshold=THRESHOLD)
    assert trial.score is not None
    assert trial.about["image_ap_left_out"] > trial.about["image_ap_of_surest_pixel"]


def test_chance_is_not_taken_for_knowledge():
    used = 0
    for seed in range(8):
        numbers, defective, parts = images(seed, telling=0.0)
        used += choose(numbers, numbers[:, 0] > 0.8, defective, parts, threshold=THRESHOLD).score is not None
    assert used <= 1


def test_too_few_parts_leave_the_surest_pixel_in_charge():
    numbers, defective, parts = images(1, telling=1.5, parts=14)
    trial = choose(numbers, numbers[:, 0] > 0.8, defective, parts, threshold=THRESHOLD)
    assert trial.score is None
    assert "parts" in trial.about["why_not"]


def with_score(model, out, score: ImageScore) -> dict:
    """The same network and numbers in another folder, with a combination; its card."""
    card, network = load_network(model)
    return save_model(
        out,
        network.state_dict(),
        config=network_config(card["network"]),
        classes={int(k): v for k, v in card["classes"].items()},
        reach=card["reach_px"],
        calibration=(card["calibration"]["scale"], card["calibration"]["offset"]),
        threshold=card["threshold"],
        edge=card["edge"],
        half=False,
        image_score=score,
        about={},
    )


def test_the_combination_is_part_of_what_a_model_is(model, scratches, tmp_path):
    """An old card has none, and loads as before; one with a combination has another id, and scores by it."""
    old = load_segmenter(model)
    assert old.image_score is None
    assert "why_not" in read_card(model)["figures"]["image_score"]  # three parts to judge on
    new = tmp_path / "new"
    card = with_score(model, new, ImageScore((0.5, 0.2, 0.6, 0.1), -2.0))
    assert model_id(new) == card["id"] != model_id(model)
    eyes = load_segmenter(new)
    pixels = cv2.imread(str(scratches / "images" / "p00_left.png"), cv2.IMREAD_GRAYSCALE)
    a, b = old.segment(pixels), eyes.segment(pixels)
    assert np.array_equal(a.log_odds, b.log_odds)
    assert a.score is None
    assert frame_score(b) == b.score == eyes.image_score(b, threshold=eyes.threshold, edge=eyes.edge)

    card["image_score"]["weights"] = [0.6, 0.2, 0.6, 0.1]
    (new / CARD).write_text(json.dumps(card))
    with pytest.raises(InvalidInput, match="changed after training"):
        model_id(new)
