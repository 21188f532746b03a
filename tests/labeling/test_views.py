"""Views of a piece that contradict each other are asked about; what a class's visibility explains is not."""

from pathlib import Path

import numpy as np
import pytest

from labeling.views import Contradiction, ViewLabels, contradictions, view_labels
from qc.dataset import open_dataset

TILES = Path(__file__).parents[2] / "../shared/data/magnetic_tile"
NAMES = {1: "blowhole", 2: "crack"}


def piece(part, *views):
    """One picture for each dictionary of class to area."""
    return [ViewLabels(part, str(n), f"{part}-{n}", areas) for n, areas in enumerate(views)]


def usual(count=30, *, class_id=1, views=6):
    """Pieces on which everybody agrees."""
    random = np.random.default_rng(1)
    areas = [[int(100 * np.exp(0.15 * random.standard_normal())) for _ in range(views)] for _ in range(count)]
    return [label for k in range(count) for label in piece(f"p{class_id}-{k}", *[{class_id: a} for a in areas[k]])]


def clean(count=30, views=6):
    return [label for k in range(count) for label in piece(f"c{k}", *[{}] * views)]


def test_two_names_for_one_defect_come_first():
    labels = usual() + usual(class_id=2) + clean()
    odd = piece("odd", {1: 100}, {1: 95}, {2: 105}, {1: 100}, {1: 98}, {1: 100})
    first = contradictions(labels + odd)[0]
    assert (first.part, first.kind, first.classes) == ("odd", Contradiction.CLASS, (1, 2))
    assert first.doubted == ("odd-2",)
    assert first.certainty > 0.9
    assert "a blowhole or crack" in first.sentence(NAMES)


def test_two_defects_that_are_both_drawn_everywhere_are_no_contradiction():
    labels = usual() + usual(class_id=2) + clean()
    two = piece("two", *[{1: 100, 2: 100}] * 6)
    assert all(q.certainty < 0.05 for q in contradictions(labels + two) if q.part == "two")


def test_a_blank_view_is_asked_about_where_the_class_always_shows():
    labels = usual() + clean()
    gap = piece("gap", {1: 100}, {1: 100}, {}, {1: 100}, {1: 100}, {1: 100})
    first = contradictions(labels + gap)[0]
    assert (first.part, first.kind, first.doubted) == ("gap", Contradiction.PRESENCE, ("gap-2",))
    assert first.certainty > 0.5


def test_a_blank_view_is_explained_where_the_class_never_shows_in_it():
    labels = [x for k in range(30) for x in piece(f"p{k}", {1: 100}, {1: 100}, {})] + clean(views=3)
    assert max(q.certainty for q in contradictions(labels)) < 0.05


def test_a_defect_in_one_of_six_views_is_doubted():
    labels = usual() + clean()
    lone = piece("lone", {}, {}, {1: 100}, {}, {}, {})
    assert contradictions(labels + lone)[0].part == "lone"


def test_a_stray_size_is_noticed_and_the_usual_scatter_is_not():
    labels = usual()
    stray = piece("stray", {1: 100}, {1: 95}, {1: 105}, {1: 400}, {1: 98}, {1: 102})
    questions = contradictions(labels + stray)
    assert (questions[0].part, questions[0].kind, questions[0].doubted) == (
        "stray",
        Contradiction.SIZE,
        ("stray-3",),
    )
    assert sum(q.certainty > 0.5 for q in questions) <= 2


def test_a_piece_with_one_view_says_nothing():
    assert contradictions(piece("one", {1: 5})) == []


@pytest.fixture(scope="module")
def tiles():
    if not TILES.is_dir():
        pytest.skip("the magnetic tiles (../shared/data/magnetic_tile) are not here")
    data = open_dataset(TILES)
    return view_labels([s for s in data.samples if s.part in _some(data)], data.classes)


def _some(data):
    """Pieces with something drawn: the others cannot contradict, and reading them takes time."""
    return {s.part for s in data.samples if s.columns["class"] != "Free"}


def test_the_tile_that_is_frayed_in_two_exposures_and_has_a_blowhole_in_a_third_is_among_the_first_20(tiles):
    truly = {q.part for q in contradictions(tiles) if q.kind is Contradiction.CLASS}
    assert "tile002" in [q.part for q in contradictions(tiles)][:20]
    assert "tile002" in truly


def test_every_tile_whose_exposures_were_given_different_classes_is_among_the_first_20(tiles):
    classes = {}
    for sample in open_dataset(TILES).samples:
        classes.setdefault(sample.part, set()).add(sample.columns["class"])
    differently = {part for part, names in classes.items() if len(names) > 1}
    assert len(differently) >= 5
    assert differently <= {q.part for q in contradictions(tiles)[:20]}


def test_seven_tiles_with_one_exposure_renamed_are_all_among_the_first_20(tiles):
    random = np.random.default_rng(0)
    by_part = {}
    for label in tiles:
        by_part.setdefault(label.part, []).append(label)
    whole = sorted(p for p, views in by_part.items() if len(views) >= 3 and all(len(v.areas) == 1 for v in views))
    for part in random.choice(whole, 7, replace=False).tolist():
        k = int(random.integers(len(by_part[part])))
        old = by_part[part][k]
        ((class_id, area),) = old.areas.items()
        new = int(random.choice([c for c in range(1, 6) if c != class_id]))
        by_part[part][k] = ViewLabels(part, old.view, old.image, {new: area})
        renamed = by_part.setdefault("renamed", [])
        renamed.append(part)
    chosen = set(by_part.pop("renamed"))
    first = [q.part for q in contradictions([v for views in by_part.values() for v in views])][:20]
    assert chosen <= set(first)
