"""Several batches make one step: one after the other here, or side by side by processes that train one model together.

Each batch's gradients and statistics are computed from the same weights; their mean is summed up in the order of the
batches, whoever computed them. So the weights do not depend on how many processes there are: equal to the last bit
where all are of one kind (processor, libraries, threads).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from qc.errors import InvalidInput


class Crew(Protocol):
    """Those who train one model together; each runs the same training, and the first one's word holds."""

    @property
    def rank(self) -> int:
        """Of this process, from 0; rank 0 validates, keeps and saves."""
        ...

    @property
    def ranks(self) -> int:
        """How many there are."""
        ...

    @property
    def keep_every_s(self) -> float | None:
        """How much work a power cut may cost, in seconds; None: as alone."""
        ...

    def agreed(self, words: list[float]) -> list[float]:
        """What rank 0 says; everybody asks at the same point."""
        ...

    def gathered(self, own: Tensor) -> list[Tensor]:
        """Everybody's tensor, by rank; all of one shape and type."""
        ...

    def kept(self, folder: Path) -> None:
        """Told by rank 0 when a checkpoint has been written to `folder`."""
        ...


@dataclass(frozen=True, slots=True)
class _Alone:
    """One process."""

    rank: int = 0
    ranks: int = 1
    keep_every_s: float | None = None

    def agreed(self, words: list[float]) -> list[float]:
        return words

    def gathered(self, own: Tensor) -> list[Tensor]:
        return [own]

    def kept(self, folder: Path) -> None:
        pass


ALONE = _Alone()


def own_batches(crew: Crew, batches: int) -> range:
    """Which of a step's batches this process computes; raises InvalidInput: more processes than batches."""
    if crew.ranks > batches:
        raise InvalidInput(
            f"{crew.ranks} processes cannot share {batches} batches a step; set batches_a_step to at least as many"
        )
    return range(crew.rank, batches, crew.ranks)


def mean_of_batches(net: nn.Module, crew: Crew, batches: int, backward: Callable[[int], float]) -> float:
    """Leave the mean gradient of a step's batches, and the mean of the statistics they lead to, in the network.

    Args:
        net: every process's, with equal weights and buffers.
        crew: who takes part.
        batches: of the step, by all processes.
        backward: computes the gradients of the n-th batch this process has of the step, and returns its loss.

    Returns:
        The mean loss.
    """
    learning = [p for p in net.parameters() if p.requires_grad]
    running = [b for b in net.buffers() if b.is_floating_point()]
    counts = [b for b in net.buffers() if not b.is_floating_point()]
    before, counted = [b.clone() for b in running], [c.clone() for c in counts]
    size = 1 + sum(t.numel() for t in (*learning, *running))
    own = torch.zeros(-(-batches // crew.ranks), size, device=learning[0].device)
    for slot in range(len(own_batches(crew, batches))):
        for buffer, value in zip(running, before, strict=True):
            buffer.copy_(value)
        net.zero_grad(set_to_none=True)
        loss = backward(slot)
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in learning]
        own[slot] = torch.cat([own.new_tensor([loss]), *(t.detach().reshape(-1) for t in (*grads, *running))])
    everybody = crew.gathered(own)
    total = everybody[0][0].clone()
    for number in range(1, batches):
        total += everybody[number % crew.ranks][number // crew.ranks]
    total /= batches
    at = 1
    for tensor in (*learning, *running):
        mean = total[at : at + tensor.numel()].reshape(tensor.shape)
        at += tensor.numel()
        if isinstance(tensor, nn.Parameter):
            tensor.grad = mean.clone(memory_format=torch.preserve_format)
        else:
            tensor.copy_(mean)
    for count, value in zip(counts, counted, strict=True):  # a step, not a batch: equal for everybody
        count.copy_(torch.where(count == value, value, value + 1))
    return float(total[0])
