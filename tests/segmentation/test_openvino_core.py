"""A process in which OpenVINO computes survives signals, in whatever order and thread its networks go."""

import ctypes
import subprocess
import sys

import numpy as np
import pytest

from segmentation import looking
from segmentation.openvino_core import apart, core

openvino = pytest.importorskip("openvino")

PROGRAM = """
import gc, signal, sys, threading
from pathlib import Path

import numpy as np

from segmentation.looking import open_graph

heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
kept = [open_graph(Path(sys.argv[1]), "openvino", 1)[0] for _ in range(3)]
picture = {"picture": np.arange(6, dtype=np.float32)}
assert all((one(picture)[0] == picture["picture"] + 1).all() for one in kept)
del kept[0]  # the oldest one goes first
gc.collect()
other = threading.Thread(target=kept.clear)  # and the others somewhere else
other.start()
other.join()
gc.collect()
signal.raise_signal(signal.SIGUSR1)
assert heard == [1]
print("alive")
"""


class Stack(ctypes.Structure):
    """`stack_t` of sigaltstack(2)."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signal_stack():
    """Where this thread's alternate signal stack begins, and whether it has one."""
    found = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found)) == 0
    return found.start, found.flags


def test_a_signal_does_no_harm_after_networks_have_gone(tmp_path):
    picture = openvino.opset13.parameter([-1], np.float32)
    picture.output(0).get_tensor().set_names({"picture"})
    adds_one = openvino.Model([openvino.opset13.add(picture, np.float32(1))], [picture], "adds one")
    openvino.save_model(adds_one, tmp_path / "adds_one.xml", compress_to_fp16=False)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "adds_one.xml")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "alive\n", "")


def test_a_thread_that_asks_for_a_core_keeps_its_signal_stack():
    before = signal_stack()
    assert core() is core()
    assert core().get_property("CPU", "FULL_DEVICE_NAME")
    assert signal_stack() == before

    def another():
        mine = openvino.Core()
        mine.get_property("CPU", "FULL_DEVICE_NAME")
        return mine, signal_stack()

    kept, there = apart(another)
    assert there != before  # OpenVINO still does what this module is for
    assert signal_stack() == before
    del kept
    assert signal_stack() == before


def test_of_windows_of_many_shapes_few_are_kept_ready(tmp_path, monkeypatch):
    made = []

    class Spy:
        def compile_model(self, *asked):
            made.append(asked[2])
            return core().compile_model(*asked)  # a property that it does not know it refuses

    picture = openvino.opset13.parameter([-1], np.float32)
    picture.output(0).get_tensor().set_names({"picture"})
    adds_one = openvino.Model([openvino.opset13.add(picture, np.float32(1))], [picture], "adds one")
    openvino.save_model(adds_one, tmp_path / "adds_one.xml", compress_to_fp16=False)
    monkeypatch.setattr(looking, "core", Spy)
    looking.open_graph(tmp_path / "adds_one.xml", "openvino", 1)
    assert made[0]["CPU_RUNTIME_CACHE_CAPACITY"] == looking.SHAPES
