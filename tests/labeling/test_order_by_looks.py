"""Of ten pictures of one scratch a person labels one; what looks like nothing labelled before comes first."""

from __future__ import annotations

import numpy as np
import pytest

from labeling import order
from labeling.priority import Candidate, novelties, weigh


def waits(line, part):
    """A label task for a part with one doubtful scratch, as doubtful as all the others."""
    return line.asks(line.inspects(part=part, boxes=[(300, 200, 60, 3, 1, 0.6)]), reason="review")[0]


def test_ten_alike_do_not_stand_before_the_one_that_looks_different(line):
    random = np.random.default_rng(0)
    alike = [waits(line, f"alike{n}") for n in range(10)]
    odd = waits(line, "odd")
    looks = {task.id: random.normal(0, 0.01, 8).astype(np.float32) for task in alike}
    looks[odd.id] = np.full(8, 3.0, np.float32)
    order.rank(line.session)
    assert len({task.urgency for task in (*alike, odd)}) == 1, "without their looks nothing tells them apart"
    order.rank(line.session, looks=looks)
    ranked = sorted([*alike, odd], key=lambda task: -task.urgency)
    assert odd in ranked[:2]
    assert ranked[2].urgency < ranked[1].urgency


def test_what_resembles_the_labelled_is_worth_less_and_the_page_says_why(line):
    known, new = waits(line, "known"), waits(line, "new")
    looks = {known.id: np.zeros(8, np.float32), new.id: np.full(8, 2.0, np.float32)}
    order.rank(line.session, looks=looks, known=[np.zeros(8, np.float32)])
    assert new.urgency > known.urgency
    assert known.grounds["reasons"]["novelty"] == 0.0
    assert 0.3 < new.grounds["reasons"]["novelty"] <= 0.4, "as far as it is likely to be a defect"


def test_no_number_counts_for_its_unit():
    looks = {"a": np.array([0.0, 1000.0], np.float32), "b": np.array([1.0, 2000.0], np.float32)}
    scaled, known = order.standardised(looks, [np.array([0.5, 1500.0], np.float32)])
    first, second = (abs(a - b) for a, b in zip(scaled["a"], scaled["b"], strict=True))
    assert first == pytest.approx(second, rel=1e-4)
    assert len(known) == 1
    assert order.standardised({}, []) == ({}, [])


def test_an_embedding_only_adds_to_what_the_models_memory_says():
    old = Candidate("old", 0.5, embedding=(0.0, 0.0), novelty=0.8)
    far = Candidate("far", 0.5, embedding=(5.0, 5.0))
    bare = Candidate("bare", 0.5, novelty=0.3)
    found = novelties([old, far, bare], [(0.0, 0.0)])
    assert (found["old"], found["bare"]) == (0.8, 0.3)
    assert found["far"] > 0.3
    worth = weigh([old, far, bare], labelled={}, known=[(0.0, 0.0)])
    assert worth["far"] > worth["bare"]
