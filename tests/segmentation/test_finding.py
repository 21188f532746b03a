"""What a card says of how small a defect is found, and of what was missed."""

import numpy as np
import pytest

from qc.geometry import Box
from segmentation.curves import OverlapCounts
from segmentation.finding import LONGEST, finding
from segmentation.matching import ImageFacts, TrueDefect

CLASSES = {1: "scratch", 2: "dent"}


def image(name: str, *defects: TrueDefect) -> ImageFacts:
    none = OverlapCounts(np.zeros(2), np.zeros(2), 0)
    return ImageFacts(
        image=name, part=name, score=0.5, surest=0.5, defective=bool(defects), defects=defects, alarms=(),
        confusion=np.zeros((3, 3), np.int64), hits=(), worst_alarms=(), overlap=none,
    )  # fmt: skip


def defect(length: float, found_at: float | None, class_id: int = 1) -> TrueDefect:
    return TrueDefect(class_id, area_px=int(3 * length), found_at=found_at, box=Box(1, 2, 30, 4), length_px=length)


def test_the_longest_misses_come_first_with_the_score_that_would_have_found_them():
    facts = [image("a", defect(10, 0.9), defect(40, 0.3)), image("b", defect(90, None, class_id=2)), image("c")]
    told = finding(facts, CLASSES, threshold=0.5)["misses"]

    assert [(m["image"], m["class"], m["length_px"], m["found_at"]) for m in told] == [
        ("b", "dent", 90, None),
        ("a", "scratch", 40, 0.3),
    ]
    assert told[0]["box"] == [1, 2, 30, 4]
    many = finding([image("a", *(defect(n + 1, None) for n in range(30)))], CLASSES, threshold=0.5)["misses"]
    assert [m["length_px"] for m in many] == [30 - n for n in range(LONGEST)]


def test_detection_is_told_for_all_and_for_each_class_within_the_lengths_seen():
    found = [image(f"f{n}", defect(4.0 + n, 0.9 if n > 12 else None)) for n in range(40)]
    told = finding(found, CLASSES, threshold=0.5)["detection"]

    assert told["sizes"] == [4.0, 43.0]
    assert (told["all"]["defects"], told["all"]["hits"], told["classes"]["dent"]["defects"]) == (40, 27, 0)
    assert told["all"]["a90"]["value"] == pytest.approx(17, abs=3)


def test_lengths_are_told_in_millimetres_where_the_views_are_calibrated():
    found = [image(f"f{n}", defect(4.0 + n, 0.9 if n > 12 else None)) for n in range(40)]
    px, mm = (finding(found, CLASSES, threshold=0.5, mm_per_px=scale) for scale in (None, 0.05))

    assert (px["detection"]["unit"], mm["detection"]["unit"]) == ("px", "mm")
    assert mm["detection"]["sizes"] == [0.2, 2.15]
    assert mm["detection"]["all"]["a90"]["value"] == pytest.approx(
        0.05 * px["detection"]["all"]["a90"]["value"], abs=1e-4
    )
    assert [m["length_mm"] for m in mm["misses"][:2]] == [0.8, 0.75]
    assert px["misses"][0]["length_mm"] is None


def test_without_a_drawn_defect_nothing_is_claimed():
    told = finding([image("a")], CLASSES, threshold=0.5)

    assert told["misses"] == []
    assert "sizes" not in told["detection"]
    assert told["detection"]["all"]["a90_95"] is None
