"""Kinds of workers: as they are written, and who gets the next window."""

from __future__ import annotations

import pytest

from qc.errors import InvalidInput
from server.cluster import kinds
from server.cluster.kinds import NODE_LABEL, Kind, Shares, parse_kind, selector, usual_kinds
from server.cluster.seats import Seat


def test_a_kind_as_a_person_writes_it():
    assert parse_kind("best:1-8") == Kind()
    assert parse_kind("openvino:2-4,cores=2,on=cpu-box") == Kind("openvino", 2, 4, cores=2.0, on="cpu-box")
    assert parse_kind("torch:1-1,gpus=0.5").gpus == 0.5
    assert (Kind().resources, Kind(on="gpu-box").resources) == ({}, {"gpu-box": kinds.A_LITTLE})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("openvino", "write RUNTIME:LEAST-MOST"),
        ("openvino:1-2,ram=3", "write RUNTIME:LEAST-MOST"),
        ("tensorrt:1-2", "is one of"),
        ("torch:0-2", "at least 1"),
        ("torch:3-2", "not 3 to 2"),
    ],
)
def test_what_is_no_kind_is_refused_in_a_sentence(text, told):
    with pytest.raises(InvalidInput, match=told):
        parse_kind(text)


def node(name: str, *, alive: bool = True, **has: float) -> dict[str, object]:
    return {"NodeID": name, "Alive": alive, "Resources": has}


HEAD, BOX = node("head"), node("box", CPU=16.0)
GPU_BOX, LOST = node("gpus", CPU=8.0, GPU=2.0), node("lost", alive=False, CPU=8.0, GPU=4.0)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([HEAD, BOX, LOST], [Kind(most=6)]),
        ([HEAD, BOX, GPU_BOX, LOST], [Kind(most=2, gpus=1.0), Kind(most=6)]),
        ([HEAD, GPU_BOX], [Kind(most=2, gpus=1.0)]),
    ],
)
def test_a_cluster_is_served_by_what_its_machines_have(nodes, expected):
    assert usual_kinds(nodes, Kind(most=6)) == expected


def test_who_needs_no_gpu_stays_away_from_the_machines_that_have_one():
    given, none, told = Kind(gpus=1.0), Kind("openvino"), Kind("onnx", on="cpu_box")
    kinds, nodes = [given, none, told], [HEAD, BOX, GPU_BOX, LOST]
    assert [selector(kind, kinds, nodes) for kind in kinds] == [{}, {NODE_LABEL: "!in(gpus)"}, {}]
    assert selector(none, [none, told], nodes) == {}, "nobody here wants the GPU"
    assert selector(none, kinds, [HEAD, GPU_BOX]) == {}, "there is no other machine"


def test_a_worker_says_where_it_is_and_what_computes():
    seat = Seat(0, "10.0.0.5", "gpus", ("0", "1"), "torch", on_gpu=True)
    assert str(seat) == "a worker of kind 1 on 10.0.0.5: torch on GPU 0 and 1"
    assert str(Seat(1, "10.0.0.6", "box", (), "openvino", on_gpu=False)).endswith("10.0.0.6: openvino on its processor")
    assert "PyTorch cannot use GPU 0 there" in str(Seat(0, "10.0.0.5", "gpus", ("0",), "torch", on_gpu=False))


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so."""
    now = [0.0]
    monkeypatch.setattr(kinds.time, "perf_counter", lambda: now[0])
    return now


def answers(shares: Shares, n: int, seconds: float, clock: list[float]) -> None:
    with shares.at_work(n):
        clock[0] += seconds


def test_each_kind_is_tried_once_and_then_the_one_that_is_done_first(clock):
    shares = Shares(2)
    assert shares.next() == 0
    with shares.at_work(0):
        assert shares.next() == 1, "nothing is known of either, and this one is free"
    answers(shares, 0, 4.0, clock)
    assert shares.next() == 1
    answers(shares, 1, 1.0, clock)
    with shares.at_work(1), shares.at_work(1):
        assert shares.next() == 1, "three windows of a second are done before one of four"
        with shares.at_work(1), shares.at_work(1):
            assert shares.next() == 0
    assert shares.next({1}) == 0
    assert shares.next({0, 1}) is None


def test_what_fails_tells_nothing_of_the_pace_and_keeps_no_place(clock):
    shares = Shares(2)
    answers(shares, 0, 2.0, clock)
    answers(shares, 1, 3.0, clock)
    with pytest.raises(OSError, match="gone"), shares.at_work(0):
        raise OSError("gone")
    assert shares.next() == 0
