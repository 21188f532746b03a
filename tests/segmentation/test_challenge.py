"""Champion and challenger on the same parts."""

import numpy as np
import pytest

from qc.dataset import open_dataset
from qc.errors import InvalidInput
from qc.ports import Segmentation
from segmentation.challenge import compare


class Drawing:
    """A segmenter that answers with the truth of the tests' data set, except for what it is told to spoil."""

    threshold = edge = 0.5

    def __init__(self, dataset, name, *, misses=0, invents=0, classes=None):
        self.model_id, self.classes = name, classes or dict(dataset.classes)
        self._answers = {}
        for sample in dataset.split("val"):
            truth = sample.labels(dataset.classes)
            log_odds = np.where(truth > 0, 5, -8).astype(np.float16)
            if truth.any() and misses:
                log_odds[:] = -8
                misses -= 1
            if not truth.any() and invents:
                log_odds[:5, :9] = 4
                invents -= 1
            self._answers[sample.pixels().tobytes()] = Segmentation(log_odds, np.ones(truth.shape, np.uint8))

    def segment(self, pixels):
        return self._answers[pixels.tobytes()]


@pytest.fixture
def dataset(scratches):
    return open_dataset(scratches)


def test_one_that_misses_less_takes_over(dataset):
    result = compare(Drawing(dataset, "old", misses=1), Drawing(dataset, "new"), dataset)
    assert result.promote
    assert "escapes 0 against 1" in result.reason
    assert result.challenger["defect_recall_at_1"] == 1.0
    assert result.as_json()["difference"]["parts"] == 3


def test_one_that_lets_more_pass_does_not_however_few_false_alarms_it_makes(dataset):
    result = compare(Drawing(dataset, "old", invents=2), Drawing(dataset, "new", misses=1), dataset)
    assert not result.promote
    assert "pass" in result.reason


def test_the_same_again_does_not_take_over(dataset):
    result = compare(Drawing(dataset, "old"), Drawing(dataset, "new"), dataset)
    assert not result.promote
    assert "not better" in result.reason


def test_a_challenger_may_know_a_new_class(dataset):
    wider = {1: "scratch", 2: "dent"}
    assert compare(Drawing(dataset, "old", misses=1), Drawing(dataset, "new", classes=wider), dataset).promote


def test_models_that_mean_something_else_by_a_class_are_not_compared(dataset):
    with pytest.raises(InvalidInput, match="dent"):
        compare(Drawing(dataset, "old"), Drawing(dataset, "new", classes={1: "dent"}), dataset)
