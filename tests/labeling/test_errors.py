"""Wrong labels are found, each of the five kinds, and a good label is left in peace."""

import cv2
import numpy as np
import pytest

from labeling.drawings import ASIDE_PX, aside, distance
from labeling.errors import find_errors
from labeling.evidence import components, measure, shapes, valley
from labeling.questions import Kind
from labeling.seed_errors import seed_errors
from qc.errors import InvalidInput
from qc.geometry import Box
from qc.ports import Segmentation

CLASSES = {1: "scratch", 2: "dent"}
SIZE = (200, 260)


def part_surface(random, *, defects):
    """True labels: scratches and dents at random places, never touching."""
    mask = np.zeros(SIZE, np.uint8)
    for _ in range(defects):
        for _ in range(50):
            one = np.zeros(SIZE, np.uint8)
            x, y = int(random.integers(30, 230)), int(random.integers(30, 170))
            class_id = int(random.integers(1, 3))
            if class_id == 1:
                turn = random.uniform(0, np.pi)
                end = (round(x + 24 * np.cos(turn)), round(y + 24 * np.sin(turn)))
                cv2.line(one, (x, y), end, 1, 3)
            else:
                cv2.circle(one, (x, y), int(random.integers(4, 9)), 1, -1)
            if not (cv2.dilate(one, np.ones((9, 9), np.uint8)) & (mask > 0)).any():
                mask[one > 0] = class_id
                break
    return mask


def answer(truth, random, *, missed=0.02, false_alarms=1):
    """What a good model says: blurred truth with noise; one in fifty missed, one in thirty called by another name, a
    harmless mark suspected on each image. What a model misses looks like a label that should not be there."""
    odds = np.full(SIZE, -4.0, np.float32)
    class_id = np.where(random.random(SIZE) < 0.5, 1, 2).astype(np.uint8)
    for c, box, pixels in components(truth):
        if random.random() < missed:
            continue
        place = np.s_[box.y : box.bottom, box.x : box.right]
        odds[place][pixels] = random.uniform(1.0, 5.0)
        class_id[place][pixels] = c if random.random() < 0.97 else 3 - c
    for _ in range(int(random.poisson(false_alarms))):
        x, y = int(random.integers(5, 250)), int(random.integers(5, 190))
        cv2.circle(odds, (x, y), 3, float(random.uniform(-2.5, 1.5)), -1)
    odds = cv2.GaussianBlur(odds, (0, 0), 1.0) + 0.4 * random.standard_normal(SIZE).astype(np.float32)
    return Segmentation(odds.astype(np.float16), class_id)


def asked(truths, labels, *, seed=1, **settings):
    random = np.random.default_rng(seed)
    library = shapes(list(labels.values()))
    measured = [
        measure(answer(truths[n], random), labels[n], image=n, part=n, library=library, random=random) for n in labels
    ]
    return find_errors(measured, **settings)


@pytest.fixture(scope="module")
def surfaces():
    random = np.random.default_rng(7)
    return {f"part{k:03d}": part_surface(random, defects=int(random.integers(0, 5))) for k in range(80)}


@pytest.fixture(scope="module")
def spoilt(surfaces):
    """(labels, what was spoilt, the queue)."""
    labels, seeded = seed_errors(surfaces, share=0.1, random=np.random.default_rng(5))
    return labels, seeded, asked(surfaces, labels).questions


@pytest.fixture(scope="module")
def clean(surfaces):
    return asked(surfaces, surfaces).questions


def test_four_fifths_of_seeded_errors_stand_at_the_head_of_the_queue(spoilt):
    _, seeded, questions = spoilt
    first = questions[: 2 * len(seeded)]
    found = [s for s in seeded if any(q.image == s.image and q.box.touches(s.box) for q in first)]
    assert {s.kind for s in seeded} == set(Kind)
    assert len(found) >= 0.8 * len(seeded)


@pytest.mark.parametrize("kind", list(Kind))
def test_an_error_of_each_kind_is_called_by_its_name(spoilt, kind):
    _, seeded, questions = spoilt
    ours = [s for s in seeded if s.kind is kind]
    named = [
        s for s in ours if any(q.kind is kind and q.image == s.image and q.box.touches(s.box) for q in questions[:40])
    ]
    assert len(named) >= len(ours) / 2


def test_a_class_the_model_never_finds_is_not_called_spurious():
    random = np.random.default_rng(2)
    truths = {f"p{k}": part_surface(random, defects=3) for k in range(40)}
    seen = {n: np.where(t == 1, 0, t).astype(np.uint8) for n, t in truths.items()}  # blind for scratches
    questions = asked(seen, truths).questions
    scratches = [q.certainty for q in questions if q.drawn_class == 1 and q.kind is Kind.SPURIOUS]
    assert max(scratches) < 0.2


def test_certainty_is_a_chance_and_correct_labels_are_rarely_doubted(surfaces, clean):
    assert all(0 <= q.certainty <= 1 and 0 <= q.harm <= 1 for q in clean)
    drawn = sum(len(components(mask)) for mask in surfaces.values())
    assert sum(q.priority > 0.5 for q in clean) < 0.05 * drawn


def test_every_drawn_defect_has_one_place_in_the_queue(surfaces, clean):
    drawn = sum(len(components(mask)) for mask in surfaces.values())
    assert sum(q.drawn_class is not None for q in clean) == drawn
    assert [q.priority for q in clean] == sorted((q.priority for q in clean), reverse=True)


def test_a_shifted_scratch_is_asked_about_once_and_told_where_it_belongs():
    random = np.random.default_rng(4)
    truths = {f"p{k}": part_surface(random, defects=3) for k in range(40)}
    labels = dict(truths)
    name = next(n for n, t in truths.items() if (t == 1).any())
    box, pixels = next((b, p) for c, b, p in components(truths[name]) if c == 1)
    moved = truths[name].copy()
    moved[box.y : box.bottom, box.x : box.right][pixels] = 0
    moved[box.y - 9 : box.bottom - 9, box.x : box.right][pixels] = 1
    labels[name] = moved
    random = np.random.default_rng(0)
    library = shapes(list(labels.values()))
    measured = [
        measure(answer(truths[n], random, missed=0.0), labels[n], image=n, part=n, library=library, random=random)
        for n in labels
    ]
    about = [q for q in find_errors(measured).questions[:5] if q.image == name]
    assert [q.kind for q in about] == [Kind.SHIFTED]
    assert abs(about[0].move[0]) <= 2
    assert abs(about[0].move[1] - 9) <= 2
    assert "down" in about[0].sentence(CLASSES)


def test_no_drawing_is_said_to_belong_beyond_the_image():
    mask, random = np.zeros(SIZE, np.uint8), np.random.default_rng(6)
    mask[40:44, 2:60] = 1
    odds = np.full(SIZE, -4.0, np.float32)
    odds[40:44, :30] = 3.0  # of a scratch that goes on beyond the left edge
    seen = Segmentation(odds.astype(np.float16), np.ones(SIZE, np.uint8))
    measured = measure(seen, mask, image="a", part="a", library=shapes([mask]), random=random)
    (drawn,) = measured.drawn
    assert drawn.move == (-2, 0)
    assert all(np.isfinite(gain) and gain >= 0 for gain in drawn.gain_if_moved)


def test_a_kind_without_examples_is_named_and_not_asked_about():
    one = np.zeros(SIZE, np.uint8)
    cv2.circle(one, (100, 100), 6, 1, -1)
    labels = {f"p{k}": one for k in range(10)}
    doubts = asked(labels, labels)
    assert doubts.unjudged == (Kind.WRONG_CLASS,)
    assert not any(q.kind in doubts.unjudged for q in doubts.questions)


def test_two_defects_drawn_as_one_are_asked_about_where_every_image_has_one_drawing():
    random, labels, truths = np.random.default_rng(11), {}, {}
    for k in range(30):
        mask = np.zeros(SIZE, np.uint8)
        x, y = int(random.integers(30, 180)), int(random.integers(30, 170))
        cv2.line(mask, (x, y), (x + 30, y + int(random.integers(-12, 12))), 1, 3)
        labels[f"p{k}"] = truths[f"p{k}"] = mask
    pieces, stroke = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    cv2.line(pieces, (40, 90), (62, 94), 1, 3)
    cv2.line(pieces, (90, 98), (115, 100), 1, 3)
    cv2.line(stroke, (40, 90), (115, 100), 1, 3)
    truths["two"], labels["two"] = pieces, np.maximum(pieces, stroke)
    assert all(len(components(mask)) == 1 for mask in labels.values())

    merged = [q for q in asked(truths, labels).questions if q.kind is Kind.MERGED]
    assert merged[0].image == "two"
    assert sum(q.certainty > 0.5 for q in merged) <= 1


def test_a_shape_stands_beside_itself_on_free_ground_only():
    random, pixels = np.random.default_rng(0), np.ones((4, 30), bool)
    occupied = np.zeros((60, 200), bool)
    occupied[:, :100] = True
    box = Box(60, 20, 30, 4)
    places = [aside(box, pixels, occupied, random) for _ in range(20)]
    assert all(not occupied[p.y : p.bottom, p.x : p.right].any() for p in places if p is not None)
    gaps = [distance(box, p) for p in places if p is not None]
    assert gaps
    assert all(gap >= ASIDE_PX[0] - 1 for gap in gaps)
    assert aside(box, pixels, np.ones((60, 200), bool), random) is None


def test_a_harmless_class_comes_later(surfaces):
    few = dict(list(surfaces.items())[:30])
    questions = asked(few, few, weights={1: 0.1}).questions
    scratches = [q.priority for q in questions if q.drawn_class == 1 and q.proposed_class in (None, 1)]
    assert max(scratches) <= 0.1


def test_the_valley_between_two_peaks_is_as_deep_as_it_is():
    odds = np.full((10, 30), 1.0)
    odds[:, :10], odds[:, 20:] = 5.0, 4.0
    depth, gap = valley(odds)
    assert depth == pytest.approx(4.0 - 2.0)  # levels go by one: the lowest above the saddle is 2
    assert gap == pytest.approx(1 / 3)
    assert valley(np.full((10, 30), 3.0)) == (0.0, 0.0)


def test_seeding_never_touches_the_masks_it_was_given(surfaces):
    before = {n: m.copy() for n, m in surfaces.items()}
    labels, seeded = seed_errors(surfaces, share=0.1, random=np.random.default_rng(1))
    assert all((surfaces[n] == before[n]).all() for n in before)
    changed = {n for n in labels if (labels[n] != surfaces[n]).any()}
    assert changed == {s.image for s in seeded}


def test_kinds_take_turns_in_the_order_that_is_wished(surfaces):
    few = dict(list(surfaces.items())[:12])
    for kinds in (list(Kind), list(Kind)[2:] + list(Kind)[:2]):
        _, seeded = seed_errors(few, share=0.1, random=np.random.default_rng(1), kinds=kinds)
        assert [s.kind for s in seeded[:2]] == kinds[:2]


def test_an_answer_of_another_size_is_refused():
    seen = Segmentation(np.zeros((5, 5), np.float16), np.ones((5, 5), np.uint8))
    with pytest.raises(InvalidInput, match="labels are"):
        measure(seen, np.zeros((6, 5), np.uint8), image="a", part="a", library=[], random=np.random.default_rng(0))
