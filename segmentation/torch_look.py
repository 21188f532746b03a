"""A network in torch as a look: the model itself, with which every other runtime is compared."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from segmentation.answering import Answering
from segmentation.embedding import AnsweringInside, AnsweringWithCells, describes
from segmentation.looking import DescribingLook, Look, Planes
from segmentation.networks import Network


def torch_look(network: Network, *, device: str = "cpu", threads: int | None = None) -> Look:
    """The network, put on `device` (`cpu` or `cuda`), as a look.

    On a GPU, too, it is computed in float32, so that its verdicts are the processor's. `threads` are for one window on
    the processor; None: torch's choice.
    """
    if device == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # convolutions would keep ten bits of every number
    net = cast(Any, network).to(memory_format=torch.channels_last).eval().to(device)

    def run(answering: Answering, window: NDArray[np.uint8], *asked: NDArray[np.int64]) -> Planes:
        if threads is not None and torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            said = answering(*(torch.from_numpy(fed).to(device) for fed in (window[None], *asked)))
            return tuple(plane.cpu().numpy() for plane in said)

    if not describes(network):
        return DescribingLook(partial(run, Answering(net).eval()))
    return DescribingLook(partial(run, AnsweringWithCells(net).eval()), partial(run, AnsweringInside(net).eval()))
