"""The nearest are found exactly, or by FAISS; what was removed is found no more."""

from __future__ import annotations

import numpy as np
import pytest

from server.features_index import FeatureIndex


def filled(number: int = 400, **options) -> tuple[FeatureIndex, np.ndarray, list]:
    rows = np.random.default_rng(0).normal(size=(number, 24)).astype(np.float32) * np.arange(1, 25) + 5
    keys = [(f"I-{n:05d}", 0, n % 3) for n in range(number)]
    index = FeatureIndex(**options)
    for first in range(0, number, 37):  # as parts come
        index.add(keys[first : first + 37], rows[first : first + 37])
    return index, rows, keys


def plain(rows, asked):
    """Cosine after scaling by what is usual, in float64."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    unit, one = (rows - mean) / scale, (asked - mean) / scale
    return unit @ one / (np.linalg.norm(unit, axis=1) * np.linalg.norm(one))


def test_the_nearest_are_those_of_a_plain_search():
    index, rows, keys = filled()
    index._learn()  # so that both know the same of what is usual
    alike = plain(rows.astype(np.float64), rows[11].astype(np.float64))
    wanted = [keys[k] for k in np.argsort(-alike)[1:11]]
    found = index.nearest(rows[11], 10, but=keys[11])
    assert [near.key for near in found] == wanted
    assert found[0].similarity == pytest.approx(np.sort(alike)[-2], abs=1e-4)


def test_no_number_counts_for_its_unit():
    index, rows, keys = filled()
    scaled = FeatureIndex()
    scaled.add(keys, rows * np.linspace(0.01, 100, 24, dtype=np.float32))
    index._learn()
    one = [near.key for near in index.nearest(rows[3], 5)]
    assert one == [near.key for near in scaled.nearest(rows[3] * np.linspace(0.01, 100, 24, dtype=np.float32), 5)]


def test_a_vector_comes_back_is_replaced_and_is_gone():
    index, rows, keys = filled()
    assert index.vector(keys[5]) == pytest.approx(rows[5])
    assert index.vectors(keys[5:8]) == pytest.approx(rows[5:8])
    index.add([keys[5]], [rows[9]])
    assert len(index) == 400
    assert index.vector(keys[5]) == pytest.approx(rows[9])
    index.remove(keys[5][0])
    assert index.vector(keys[5]) is None
    assert len(index) == 399
    assert keys[5] not in {near.key for near in index.nearest(rows[9], 400)}
    assert len(index.nearest(rows[9], 1000)) == 399


def test_gaps_are_closed_after_many_were_removed():
    index, rows, keys = filled(3000)
    for key in keys[:1500]:
        index.remove(key[0])
    assert len(index) == 1500
    assert index.nearest(rows[2000], 1)[0].key == keys[2000]


def test_few_or_none_are_no_error():
    index = FeatureIndex()
    assert index.nearest(np.ones(4, np.float32), 5) == []
    index.add([("a", 0, 0)], [np.ones(4, np.float32)])
    assert [near.key for near in index.nearest(np.ones(4, np.float32), 5)] == [("a", 0, 0)]
    assert index.nearest(np.ones(4, np.float32), 5, but=("a", 0, 0)) == []


def test_faiss_finds_nearly_all_of_the_nearest_and_nothing_that_was_removed():
    pytest.importorskip("faiss", reason="FAISS is not installed")
    exact, rows, keys = filled(2000)
    graph, _, _ = filled(2000, faiss_from=500)
    hits = 0
    for k in range(0, 2000, 100):
        wanted = {near.key for near in exact.nearest(rows[k], 10)}
        hits += len(wanted & {near.key for near in graph.nearest(rows[k], 10)})
    assert hits >= 190, "19 of 20"
    graph.remove(keys[0][0])
    assert keys[0] not in {near.key for near in graph.nearest(rows[0], 10)}
