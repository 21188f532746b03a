"""A network in torch as a look: the model itself, with which every other runtime is compared."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from segmentation.answering import Answering
from segmentation.embedding import AnsweringWithCells, describes
from segmentation.looking import DescribingLook, Look
from segmentation.networks import Network


def torch_look(network: Network, *, device: str = "cpu", threads: int | None = None) -> Look:
    """The network, put on `device`, as a look; `threads` for one window on the CPU, None: torch's choice."""
    kind = AnsweringWithCells if describes(network) else Answering
    answering = kind(cast(Any, network).to(memory_format=torch.channels_last)).eval().to(device)

    def see(window: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
        if threads is not None and torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            said = answering(torch.from_numpy(window)[None].to(device))
            return tuple(plane.cpu().numpy() for plane in said)

    return DescribingLook(see)
