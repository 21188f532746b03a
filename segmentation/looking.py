"""Looks without torch: a network's file at work in ONNX Runtime or OpenVINO, for whoever only inspects.

Nothing here, nor in what it imports, needs a library that trains (a test holds that); the program of the edge
(`segmentation.edge`) is built from it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput
from segmentation.openvino_core import core

Answer = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Log-odds of any defect, `H x W`, before calibration; place of the likeliest defect class among the class ids in
ascending order, 0 and up, `H x W`."""

Look = Callable[[NDArray[np.uint8]], Answer]
"""`H x W x 3` RGB, sides multiples of the network's stride, to its answer."""

ROWS, COLUMNS = "rows_of_px_", "columns_of_px_"
"""Names of inputs that say which of the coarsest cells are asked about; the cells' side follows."""

SHAPES = 100
"""Layers at work on windows of so many shapes OpenVINO keeps ready, of each stream; by itself 5,000, a gigabyte where
every frame has windows of other sizes. Less takes no longer: what is made anew is little beside a look."""

SCREENED = "openvino-screened"
"""Computes in float32, but only where the same network in 8 bit may have seen something (`segmentation.screening`)."""

FILES = {
    "onnx": "model.onnx",
    "openvino": "model.xml",
    "openvino-bf16": "model.xml",
    "openvino-int8": "int8.xml",
    SCREENED: "model.xml",
}

Planes = tuple[NDArray[Any], ...]
"""Log-odds, class places, and cells `C x h x w` (none where the network has no such encoder)."""

Run = Callable[[dict[str, NDArray[Any]]], Planes]
"""A graph at work: its inputs by their names, to its outputs."""

Inside = Callable[[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]], Planes]
"""A window, and which rows and columns of its coarsest cells (of one stride of the network) are asked about, ascending
without a gap, to the planes of these cells alone. Of its halo the first half of the network needs all, the second only
`segmentation.tiled.RIM_CELLS`, which are for the caller to ask about and to throw away."""


@dataclass(frozen=True, slots=True)
class Abreast:
    """The same graph for several windows of a frame at once, each with threads of its own."""

    see: Callable[[NDArray[np.uint8]], Planes]
    inside: Inside | None
    count: int
    """How many at once."""


@dataclass(frozen=True, slots=True)
class DescribingLook:
    """A look that can say more than its answer: `look.see(window)` gives the cells as well."""

    see: Callable[[NDArray[np.uint8]], Planes]
    inside: Inside | None = None
    """None: a window is computed whole."""
    abreast: Abreast | None = None
    """None: one window after the other."""

    def __call__(self, window: NDArray[np.uint8]) -> Answer:
        log_odds, place, *_ = self.see(window)
        return log_odds, place


def describing(look: Look) -> DescribingLook:
    """A look as one that may say more than its answer; it need not."""
    return look if isinstance(look, DescribingLook) else DescribingLook(look)


def open_look(name: str, folder: Path, *, threads: int | None = None, at_once: int = 1) -> Look:
    """What `write` has written, at work. Several threads may look at once.

    Args:
        name: one of `RUNTIMES` except torch.
        folder: where the files are.
        threads: CPU threads for one window; None: as many as torch uses, or the machine has where torch is not at work.
        at_once: windows of a frame that are computed side by side, each with so many threads, and up to 1.4 GB of
            memory in float32; all of these threads compute the window of a frame that has only one.

    Raises:
        InvalidInput: no such runtime, or its files are not there or damaged.
    """
    if name not in FILES:
        raise InvalidInput(f"the runtime must be one of {sorted(FILES)}, not {name!r}")
    path = folder / FILES[name]
    if not path.is_file():
        raise InvalidInput(f"{folder} holds no model for {name}; make it ready again")
    try:
        each = threads or _usual_threads()
        alone = _look(*open_graph(path, name, each * at_once))
        if at_once == 1:
            return alone
        several = _onnx(path, each) if name == "onnx" else _openvino(path, name, each * at_once, streams=at_once)
        beside = _look(*several)
        return replace(alone, abreast=Abreast(beside.see, beside.inside, at_once))
    except RuntimeError as error:
        raise InvalidInput(f"{path} is damaged ({error}); make it ready again") from error


def open_graph(path: Path, name: str, threads: int | None = None) -> tuple[Run, list[str]]:
    """A file that runtime `name` reads, at work, and the names of its inputs; raises RuntimeError for a damaged one."""
    count = threads or _usual_threads()
    return _onnx(path, count) if name == "onnx" else _openvino(path, name, count)


def _usual_threads() -> int:
    torch = sys.modules.get("torch")  # never loaded for this question alone
    return int(torch.get_num_threads()) if torch is not None else os.cpu_count() or 1


def _onnx(path: Path, threads: int) -> tuple[Run, list[str]]:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as told

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (told.Fail, told.InvalidGraph, told.InvalidProtobuf, told.NotImplemented, told.RuntimeException) as error:
        raise RuntimeError(str(error)) from error

    def run(fed: dict[str, NDArray[Any]]) -> Planes:
        return tuple(session.run(None, fed))

    return run, [one.name for one in session.get_inputs()]


def _openvino(path: Path, name: str, threads: int, *, streams: int = 1) -> tuple[Run, list[str]]:
    """Each of the `streams` computes a window of its own, with its share of the threads."""
    precision = "bf16" if name == "openvino-bf16" else "f32"
    how = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    how["CPU_RUNTIME_CACHE_CAPACITY"] = SHAPES
    if streams > 1:
        how |= {"NUM_STREAMS": streams, "ENABLE_CPU_PINNING": False}  # other work may want the very core
    compiled = core().compile_model(path, "CPU", how)
    own = threading.local()  # a request serves one thread at a time

    planes = len(compiled.outputs)

    def run(fed: dict[str, NDArray[Any]]) -> Planes:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        said = own.request.infer(fed, share_inputs=True)
        return tuple(said[k].copy() for k in range(planes))  # the next window overwrites the request's own

    return run, [one.any_name for one in compiled.inputs]


def _look(run: Run, inputs: list[str]) -> DescribingLook:
    """A graph that takes a picture, and perhaps which of its cells are asked about (`ROWS`, `COLUMNS`), as a look."""
    sides = [int(name.removeprefix(ROWS)) for name in inputs if name.startswith(ROWS)]
    if not sides:
        return DescribingLook(lambda window: run({"picture": window[None]}))
    (stride,) = sides

    def inside(window: NDArray[np.uint8], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Planes:
        return run({"picture": window[None], f"{ROWS}{stride}": rows, f"{COLUMNS}{stride}": columns})

    def see(window: NDArray[np.uint8]) -> Planes:
        return inside(window, *(np.arange(side // stride) for side in window.shape[:2]))

    return DescribingLook(see, inside)
