"""DataSet -> the network of a first look: every drawn defect is to be interesting somewhere, clean surface nowhere.

A defect needs one interesting cell only, because looking goes on from there (`segmentation.first_look.beyond`): its
loss is that of its most interesting cell (multiple instance learning, Dietterich et al. 1997). Clean cells weigh
together ten times as much as the defects, for what is looked at in vain is what costs time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from qc.dataset import IGNORE, Sample
from qc.errors import InvalidInput
from qc.progress import Progress
from segmentation.data import Crops, index
from segmentation.first_look import CELL_PX
from segmentation.first_look_network import FirstLookNetwork, as_stored, load

STARTER = Path(__file__).parent / "first_look_starter.safetensors"
"""What a first look begins from: it has seen marks on imaginary metal (`segmentation.starter_recipe`)."""

STEPS = 800
CROP_PX, BATCH, DEFECT_SHARE = 512, 6, 0.6
RATE = 4e-3
"""Highest learning rate; it rises and falls once (Smith and Topin 2019, arXiv:1708.07120)."""

CLEAN_WEIGHT = 10.0
"""Of the clean cells together, beside one for the defects together."""

SPECK_PX = 4
"""A defect of fewer drawn pixels is not learnt."""

FEWEST = 8
"""Drawn defects to learn from."""

Cells = NDArray[np.bool_]


class NoFirstLook(InvalidInput):
    """A first look cannot be had from these data, or is not worth having; the model looks everywhere."""


def learn(
    samples: Sequence[Sample],
    classes: Mapping[int, str],
    *,
    begin: Path | None = STARTER,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> FirstLookNetwork:
    """A network fitted to what people drew on `samples`, in the precision in which it is stored.

    Args:
        samples: labelled images.
        classes: all of them are defects.
        begin: another first look whose weights to start from; None: from nothing.
        steps: of learning, each on `BATCH` crops of `CROP_PX` px.
        seed: of weights and crops; the same seed gives the same network on the same machine.
        progress: told how far it is.

    Raises:
        NoFirstLook: fewer than `FEWEST` defects are drawn.
        InvalidInput: what `begin` names is damaged.
    """
    found = index(samples, classes)
    if len(found.blemishes) < FEWEST:
        raise NoFirstLook(
            f"the train images show {len(found.blemishes)} drawn defects; a first look learns from at least {FEWEST}"
        )
    torch.manual_seed(seed)
    network = FirstLookNetwork() if begin is None else load(begin)
    crops = Crops(samples, classes, found, crop_px=CROP_PX, batch=BATCH, defect_share=DEFECT_SHARE, seed=seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    network.train()
    for step in range(steps):
        pictures, masks, _ = crops.draw(step)
        loss = _loss(network, pictures, masks)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if progress:
            progress((step + 1) / steps, f"first look learns, loss {float(loss.detach()):.2f}")
    return as_stored(network.eval())


def _loss(network: FirstLookNetwork, pictures: NDArray[np.uint8], masks: NDArray[np.uint8]) -> torch.Tensor:
    interest = network(torch.from_numpy(pictures))
    found, clean = [], []
    for own, mask in zip(interest, masks, strict=True):
        found += [own[torch.from_numpy(cells)].max() for cells in regions(mask, SPECK_PX)]
        clean.append(own[torch.from_numpy(surely_clean(mask))])
    in_vain = torch.cat(clean)
    parts = [CLEAN_WEIGHT * F.softplus(in_vain).mean()] if len(in_vain) else []
    parts += [F.softplus(-torch.stack(found)).mean()] if found else []
    if not parts:
        raise InvalidInput("nothing on these images is known: neither defects are drawn nor is anything clean")
    return torch.stack(parts).sum()


def regions(labels: NDArray[np.uint8], speck_px: int) -> list[Cells]:
    """The cells, `rows x columns`, of each drawn defect of at least `speck_px` pixels."""
    drawn = ((labels > 0) & (labels != IGNORE)).astype(np.uint8)
    count, places, stats, _ = cv2.connectedComponentsWithStats(drawn, connectivity=8)
    kept = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= speck_px]
    return [in_cells(places == k) > 0 for k in kept]


def surely_clean(labels: NDArray[np.uint8]) -> Cells:
    """Cells on which, and next to which, nothing is drawn; `rows x columns`."""
    drawn = in_cells((labels > 0) & (labels != IGNORE)) > 0
    near = cv2.dilate(drawn.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    clean: Cells = ~near & (in_cells(labels == IGNORE) == 0)
    return clean


def in_cells(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Pixels of a mask in each cell, `rows x columns`."""
    height, width = mask.shape
    rows, columns = -(-height // CELL_PX), -(-width // CELL_PX)
    padded = np.pad(mask, ((0, rows * CELL_PX - height), (0, columns * CELL_PX - width)))
    counts: NDArray[np.int64] = padded.reshape(rows, CELL_PX, columns, CELL_PX).sum(axis=(1, 3))
    return counts
