"""Where a worker works and what computes there: each says so when it comes, and whoever serves tells people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segmentation.segmenter import FrameSegmenter


@dataclass(frozen=True, slots=True)
class Seat:
    """A worker that is ready."""

    kind: int
    """Its place among the kinds that are served."""
    machine: str
    """Address of the computer."""
    node: str
    """Ray's id of the node; several of them may be on one computer."""
    gpus: tuple[str, ...]
    """What Ray gave it of the machine, by Ray's numbers."""
    runtime: str
    on_gpu: bool
    """False with `gpus`: PyTorch cannot use them there."""

    def __str__(self) -> str:
        where, numbers = f"a worker of kind {self.kind + 1} on {self.machine}", " and ".join(self.gpus)
        if self.on_gpu:
            return f"{where}: {self.runtime} on GPU {numbers}"
        without = f", as PyTorch cannot use GPU {numbers} there (no build for it, or no driver)" if self.gpus else ""
        return f"{where}: {self.runtime} on its processor{without}"


def given_gpus() -> tuple[str, ...]:
    """The GPUs that Ray gave this worker.

    Not what CUDA_VISIBLE_DEVICES says: a machine's own value of it is left to workers that were given none.
    """
    import ray

    return tuple(ray.get_runtime_context().get_accelerator_ids().get("GPU", ()))


def own_seat(kind: int, segmenter: FrameSegmenter) -> Seat:
    """The seat of the worker in which this is called; it was opened by `server.cluster.eyes.open_eyes`."""
    import ray

    from server.cluster.eyes import on_gpu

    node = ray.get_runtime_context().get_node_id()
    address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return Seat(kind, address, node, given_gpus(), segmenter.runtime, on_gpu())


class Roll:
    """An actor to which workers that come say where they are. It computes nothing."""

    def __init__(self) -> None:
        self._seats: list[Seat] = []

    def say(self, seat: Seat) -> None:
        """A worker is ready."""
        self._seats.append(seat)

    def since(self, count: int) -> list[Seat]:
        """Those that came after the first `count`."""
        return self._seats[count:]
