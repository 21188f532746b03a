"""Before the first step: what is learnt from, what is held back, which network suits the defects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from qc.dataset import DataSet, Sample
from qc.errors import InvalidInput
from segmentation.config import LIGHT, NetworkConfig, TrainConfig, network_config
from segmentation.data import SPECK_PX, Index, index
from segmentation.model import model_id, read_card, read_weights

HELD_BACK = 0.2
"""Share of the training groups that judge the model where the data set names no val images."""

LARGE_PX = 64
"""A class whose typical defect is wider than this (root of its area) needs a network that sees further."""


STARTER = Path(__file__).parent / "starter"
LIGHT_STARTER = Path(__file__).parent / "light_starter"


@dataclass(frozen=True, slots=True)
class Start:
    """The model that a run continues, or begins from."""

    folder: Path
    id: str
    classes: Mapping[int, str]
    weights: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do."""

    classes: Mapping[int, str]
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    held_back: bool
    """`val` was taken from the training images."""
    index: Index
    config: TrainConfig
    network: NetworkConfig
    start: Start | None
    """The model that the run continues: the same network."""
    beginning: Start | None
    """The model whose weights are taken where they fit; None where `start` is given, or ImageNet's are wanted."""
    warnings: tuple[str, ...]


def make_plan(
    data: DataSet,
    *,
    seed: int = 0,
    start_from: Path | None = None,
    config: TrainConfig | None = None,
    network: NetworkConfig | None = None,
) -> Plan:
    """Look at the data set and decide; raises InvalidInput if there is nothing to learn from."""
    train, val = data.split("train"), data.split("val")
    warnings = []
    if unlabelled := sum(s.mask is None and s.split == "train" for s in data.samples):
        warnings.append(f"{unlabelled} training images have no mask; they are skipped, not taken for clean")
    if not train:
        raise InvalidInput(f"{data.name} has no labelled image in its train split; there is nothing to learn from")
    held_back = not val
    if held_back:
        train, val = hold_back(train, seed)
        if val:
            warnings.append(f"no labelled val images: {len(val)} of the train images are held back to judge the model")
        else:
            warnings.append("one part alone: the model is judged on what it has learnt from, its figures mean nothing")
            val = train
    found = index(train, data.classes)
    if not found.blemishes:
        raise InvalidInput(f"no mask of {data.name}'s train split shows a defect; label at least one")
    for class_id, name in data.classes.items():
        if not found.pixels[class_id]:
            warnings.append(f"nobody drew a {name} (class {class_id}) in the train split; the model will not know it")
    if not found.clean:
        warnings.append("no training image is clean; false alarms will be more frequent than they need to be")
    start = None
    if start_from is not None:
        start = read_start(start_from)
        network = network_config(read_card(start_from)["network"])
    config, network = config or default_config(start_from), network or fitting_network(found)
    begins = start is None and config.begin == "starter"
    starter = LIGHT_STARTER if network.encoder == LIGHT else STARTER
    return Plan(
        classes=data.classes,
        train=tuple(train),
        val=tuple(val),
        held_back=held_back,
        index=found,
        config=config,
        network=network,
        start=start,
        beginning=read_start(starter) if begins else None,
        warnings=tuple(warnings),
    )


def default_config(start_from: Path | None) -> TrainConfig:
    """Where nobody chose: what has learnt already learns on at half the rate."""
    usual = TrainConfig()
    return usual if start_from is None else replace(usual, learning_rate=usual.learning_rate / 2)


def read_start(folder: Path) -> Start:
    """The weights and classes of a model folder; raises InvalidInput, NotFound."""
    card = read_card(folder)
    return Start(
        folder=folder,
        id=model_id(folder),
        classes={int(k): str(v) for k, v in sorted(card["classes"].items(), key=lambda c: int(c[0]))},
        weights=read_weights(folder),
    )


def fitting_network(found: Index) -> NetworkConfig:
    """Stride 16 for defects that can be told from their surroundings; stride 32 where a class is large and smooth."""
    for class_id in found.pixels:
        areas = [b.area_px for b in found.blemishes if b.class_id == class_id and b.area_px >= SPECK_PX]
        if areas and np.sqrt(np.median(areas)) > LARGE_PX:
            return NetworkConfig(depth=5, decoder_channels=(64, 48, 32, 24))
    return NetworkConfig()


def hold_back(samples: Sequence[Sample], seed: int) -> tuple[list[Sample], list[Sample]]:
    """Samples to learn from and samples to judge by; a group is on one side, and stays there."""

    def place(group: str) -> str:
        return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()

    groups = sorted({s.group for s in samples}, key=place)
    judges = set(groups[: max(1, round(HELD_BACK * len(groups)))]) if len(groups) > 1 else set()
    return [s for s in samples if s.group not in judges], [s for s in samples if s.group in judges]
