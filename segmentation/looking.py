"""Looks without torch: a network's file at work in ONNX Runtime or OpenVINO, for whoever only inspects.

Nothing here, nor in what it imports, needs a library that trains (a test holds that); the program of the edge
(`segmentation.edge`) is built from it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput

Answer = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Log-odds of any defect, `H x W`, before calibration; place of the likeliest defect class among the class ids in
ascending order, 0 and up, `H x W`."""

Look = Callable[[NDArray[np.uint8]], Answer]
"""`H x W x 3` RGB, sides multiples of the network's stride, to its answer."""

FILES = {"onnx": "model.onnx", "openvino": "model.xml", "openvino-bf16": "model.xml", "openvino-int8": "int8.xml"}


@dataclass(frozen=True, slots=True)
class DescribingLook:
    """A look that can say more than its answer: `look.see(window)` gives the cells as well."""

    see: Callable[[NDArray[np.uint8]], tuple[NDArray[Any], ...]]
    """A window to log-odds, class places, and cells `C x h x w` (none where the network has no such encoder)."""

    def __call__(self, window: NDArray[np.uint8]) -> Answer:
        log_odds, place, *_ = self.see(window)
        return log_odds, place


def open_look(name: str, folder: Path, *, threads: int | None = None) -> Look:
    """What `write` has written, at work. Several threads may look at once.

    Args:
        name: one of `RUNTIMES` except torch.
        folder: where the files are.
        threads: CPU threads for one window; None: as many as torch uses, or the machine has where torch is not at work.

    Raises:
        InvalidInput: no such runtime, or its files are not there or damaged.
    """
    if name not in FILES:
        raise InvalidInput(f"the runtime must be one of {sorted(FILES)}, not {name!r}")
    path, count = folder / FILES[name], threads or _usual_threads()
    if not path.is_file():
        raise InvalidInput(f"{folder} holds no model for {name}; make it ready again")
    try:
        return _onnx(path, count) if name == "onnx" else _openvino(path, name, count)
    except RuntimeError as error:
        raise InvalidInput(f"{path} is damaged ({error}); make it ready again") from error


def _usual_threads() -> int:
    torch = sys.modules.get("torch")  # never loaded for this question alone
    return int(torch.get_num_threads()) if torch is not None else os.cpu_count() or 1


def _onnx(path: Path, threads: int) -> Look:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def see(window: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
        return tuple(session.run(None, {"picture": window[None]}))

    return DescribingLook(see)


def _openvino(path: Path, name: str, threads: int) -> Look:
    import openvino

    precision = "bf16" if name == "openvino-bf16" else "f32"
    how = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(path, "CPU", how)
    own = threading.local()  # a request serves one thread at a time

    planes = len(compiled.outputs)

    def see(window: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        said = own.request.infer(window[None], share_inputs=True)
        return tuple(said[k].copy() for k in range(planes))  # the next window overwrites the request's own

    return DescribingLook(see)
