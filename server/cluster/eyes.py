"""A model at work on one machine of a cluster, with what runs best there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qc.errors import InvalidInput
from server.cluster.parcels import Parcel, unpacked
from server.cluster.seats import given_gpus

if TYPE_CHECKING:
    from segmentation.segmenter import FrameSegmenter

SAME, BEST = "torch", "best"
RUNTIMES = (SAME, BEST, "onnx", "openvino")
"""`torch`: to the bit what one computer of this kind says. `best`: what each machine found to be the fastest among
those that are exact and change no verdict (`segmentation.ready`). The others: that one, once it has proved the same."""


def open_eyes(parcel: Parcel, *, runtime: str = SAME, threads: int = 1, keep_cells: bool = False) -> FrameSegmenter:
    """The model of a parcel, on the GPU that Ray gave this worker where PyTorch can use it, else with `runtime`.

    Args:
        parcel: a model folder.
        runtime: one of `RUNTIMES`.
        threads: CPU threads for one frame.
        keep_cells: hand on what the encoder makes of each place.

    Raises:
        InvalidInput: no such runtime, or one that may not compute this model on this machine; or no model.
    """
    import torch

    from segmentation.model import load_segmenter
    from segmentation.ready import is_ready, make_ready, open_ready
    from segmentation.runtimes import EXACT

    if runtime not in RUNTIMES:
        raise InvalidInput(f"the runtime on a cluster is one of {RUNTIMES}, not {runtime!r}")
    folder = unpacked(parcel)
    torch.set_num_threads(threads)
    if on_gpu():
        found = load_segmenter(folder, device="cuda")
    elif runtime == SAME:
        found = load_segmenter(folder, threads=threads)
    else:
        ready = _ready_folder(folder)
        if not is_ready(folder, ready):
            make_ready(folder, ready, runtimes=EXACT if runtime == BEST else (runtime,), threads=threads)
        found = open_ready(folder, ready, threads=threads, runtime="" if runtime == BEST else runtime)
    return replace(found, keep_cells=keep_cells)


def on_gpu() -> bool:
    """Whether a GPU computes in this worker: it was given one, and PyTorch can use it."""
    import torch

    return bool(given_gpus()) and torch.cuda.is_available()


def _ready_folder(folder: Path) -> Path:
    """Beside the unpacked model, one for each process: machines of a test share their temporary folder."""
    return folder.with_name(f"{folder.name}.ready.{os.getpid()}")
