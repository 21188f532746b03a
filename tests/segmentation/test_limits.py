"""What a card says of where its model proves nothing."""

import numpy as np
import pytest

from qc.dataset import open_dataset
from segmentation.config import TrainConfig
from segmentation.limits import limits
from segmentation.model import read_card
from segmentation.plan import make_plan

LENGTHS = {"unit": "mm", "sizes": [0.4, 9.0]}


@pytest.fixture
def data(scratches):
    return open_dataset(scratches)


def told(data, *, defects: int, a90_95: float | None):
    one = {"defects": defects, "a90_95": a90_95}
    detection = {**LENGTHS, "all": one, "classes": {name: one for name in data.classes.values()}}
    plan = make_plan(data, config=TrainConfig(begin="imagenet"))
    crops = [np.full((8, 8), 100, np.uint8), np.array([[90, 130]], np.uint8)]
    return plan, limits(data, plan, detection, crops)


def test_classes_with_few_examples_and_lengths_that_nothing_shows_are_named(data):
    plan, found = told(data, defects=9, a90_95=None)
    (name,) = data.classes.values()

    assert found["few_examples"] == {name: {"learnt": len(plan.index.blemishes), "judged": 9}}
    assert found["not_shown_below"] == {"all": None, name: None}
    assert (found["unit"], found["lengths_seen"]) == ("mm", [0.4, 9.0])


def test_views_parts_and_surface_are_those_it_learnt_from(data):
    plan, found = told(data, defects=50, a90_95=1.5)

    assert found["parts"] == len({s.part for s in plan.train})
    assert found["views"] == sorted({s.view for s in plan.train})
    assert found["surface"] == {"mean": [100.0, 110.0], "deviation": [0.0, 20.0]}
    assert found["not_shown_below"]["all"] == 1.5
    assert "stations" not in found  # nobody told them


def test_a_trained_model_carries_them_in_its_card(model):
    card = read_card(model)

    assert card["limits"]["views"] == ["left", "right"]
    assert card["limits"]["unit"] == card["figures"]["detection"]["unit"] == "px"
    assert set(card["limits"]["few_examples"]) <= set(card["classes"].values())
