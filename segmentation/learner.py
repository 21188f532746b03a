"""One step of learning: the weights of a run, their moving average, and what moves both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segmentation.config import TrainConfig
from segmentation.losses import training_loss
from segmentation.networks import Network
from segmentation.teacher import Teacher, lesson
from segmentation.together import Crew, mean_of_batches

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]
"""As `Crops.draw` gives it."""

LARGEST_GRADIENT = 5.0
"""Ordinary steps stay below 1; a crop with a wrong label may not throw the weights far."""


class Learner:
    """A network that learns, alone or with the other processes of a crew.

    `net` holds the weights as they are, `average` the moving average of those that are numbers with a fraction, by
    their names in the network's state, `optimiser` the moments of AdamW. The encoder's first `frozen_stages` stay.
    """

    def __init__(self, net: Network, config: TrainConfig, device: str, *, tutor: Teacher | None, crew: Crew) -> None:
        self.net, self.config, self.device, self.tutor, self.crew = net.to(device), config, device, tutor, crew
        self._frozen = net.first_stages(config.frozen_stages)
        for stage in self._frozen:
            stage.requires_grad_(False)
        self.average = {n: w.clone() for n, w in net.state_dict().items() if w.is_floating_point()}
        self.optimiser = _optimiser(net, config)

    def learn(self, batches: Sequence[Batch], rate: float, step: int) -> float:
        """Make step number `step` (1 and up) on this process's batches and those of the others; returns the loss.

        `rate` is the learning rate as a share of its highest.
        """
        self.net.train()
        for stage in self._frozen:
            stage.eval()
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["highest"]

        def backward(number: int) -> float:
            loss = self._loss(batches[number])
            loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())

        self.optimiser.zero_grad(set_to_none=True)
        several = self.config.batches_a_step
        told = backward(0) if several == 1 else mean_of_batches(self.net, self.crew, several, backward)
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), LARGEST_GRADIENT)
        self.optimiser.step()
        self._follow(step)
        return told

    def learnt(self) -> Mapping[str, Tensor]:
        """The network's state with the averaged weights."""
        return {**self.net.state_dict(), **self.average}

    def _loss(self, batch: Batch) -> Tensor:
        pixels, target, quality = batch
        x = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2)  # B x 3 x C x C, channels last without a copy
        wanted = torch.from_numpy(target).to(self.device).long()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            scaled = x.float() / 127.5 - 1.0
            logits = self.net(scaled)
            taught = None if self.tutor is None else self.tutor(scaled)
        logits = logits.float()
        trusted = None if (quality == 1).all() else torch.from_numpy(quality).to(self.device)
        loss = training_loss(logits, wanted, self.config, trusted)
        return loss if taught is None else loss + lesson(logits, taught)

    def _follow(self, step: int) -> None:
        """Move the average a little towards the weights; fast at first, so that the start is soon forgotten."""
        share = 1.0 / min(self.config.ema_steps, 1 + step / 4)
        current = self.net.state_dict()
        for name, kept in self.average.items():
            kept.lerp_(current[name], share)


def _optimiser(net: Network, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; what already knows something slower than the rest, norms and biases without decay."""
    groups = []
    knowing, beginning = net.parts()
    for part, rate in [(p, config.encoder_rate) for p in knowing] + [(p, 1.0) for p in beginning]:
        learning = [p for p in part.parameters() if p.requires_grad]
        matrices = [p for p in learning if p.ndim > 1]
        others = [p for p in learning if p.ndim <= 1]
        for parameters, decay in ((matrices, config.weight_decay), (others, 0.0)):
            groups.append({"params": parameters, "highest": config.learning_rate * rate, "weight_decay": decay})
    return torch.optim.AdamW(groups, lr=config.learning_rate)
