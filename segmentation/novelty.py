"""What good parts look like, from clean images alone: a defect that nobody has a class for stands out.

A memory bank (Roth et al. 2022, arXiv:2106.08265, "PatchCore"): features of an encoder that knows ImageNet, on a grid
of `CELL_PX` pixels, thinned out to the few that cover all the others best. A place of a new frame is as novel as its
features are far from the nearest of the bank. Differences from the paper: the encoder is small; each feature is
divided by how much it varies on clean frames; frames of any size are looked at in tiles, with the same answer as whole.
Limits: it knows nothing of size or harm, and a texture that the bank has not seen is novel as a whole; hence a place
that only the bank finds goes to a person (class `qc.verdict.UNKNOWN`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from qc.dataset import DataSet
from qc.errors import InvalidInput
from qc.geometry import Box
from qc.progress import Progress
from segmentation import tiled
from segmentation.config import NetworkConfig
from segmentation.networks import Pretrained, reach

CELL_PX = 8
"""Side of a cell of the grid, in pixels."""

STRIDE = 16
"""Sides of windows are multiples of it, in pixels."""

SMOOTH_CELLS = 7
"""Distances are averaged over a square of so many cells: single far cells are frequent on clean metal."""

BANK = 1500
"""Features that are kept; more make the search slower in proportion and the answer hardly better."""

POOL = 40_000
"""Features among which the bank is chosen."""

HELD_BACK = 0.25
"""Share of the clean parts that are not remembered, but settle from which distance on a place is novel."""

LARGEST_WINDOW_PX = 1536
"""Of a larger frame a window of this size is remembered, at a random place."""

FEWEST_IMAGES = 4


class Features(nn.Module):
    """`B x 3 x H x W` in [-1, 1] -> `B x C x H/8 x W/8`: of the encoder's stages at stride 8 and 16.

    Averages over 3 x 3 cells make a feature speak for its neighbourhood (the paper's equation 1).
    """

    def __init__(self) -> None:
        super().__init__()
        config = NetworkConfig(depth=4, decoder_channels=(8, 8, 8))
        network = Pretrained(config, 1).to(memory_format=torch.channels_last)
        network.load_imagenet(config.encoder)
        self.encoder = network.encoder

    def forward(self, x: Tensor) -> Tensor:
        """Features of every cell."""
        fine, coarse = self.encoder(x)[3:5]
        fine, coarse = (F.avg_pool2d(f, 3, stride=1, padding=1) for f in (fine, coarse))
        return torch.cat([fine, F.interpolate(coarse, scale_factor=2.0, mode="nearest")], dim=1)


class _Unfolded(nn.Module):
    """The features of a cell at each of its pixels, so that `reach` can ask for them."""

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.features(x), scale_factor=float(CELL_PX), mode="nearest")


@dataclass(frozen=True, slots=True)
class Novelty:
    """A memory of clean frames, ready to look at others."""

    bank: NDArray[np.float32]
    """`M x C`: features, each divided by its spread on clean frames."""
    spread: NDArray[np.float32]
    """`C`: standard deviation of each feature on clean frames."""
    limit: float
    """Distance from which on a place is novel: no held-back clean frame had one as far."""
    scale: float
    """How much further makes it likelier by a factor of e, as distance."""

    def log_odds(self, pixels: NDArray[Any], *, threshold: float) -> Iterator[tuple[Any, NDArray[np.float32]]]:
        """Log-odds that a place is novel, tile by tile; minus infinity where it is not.

        Args:
            pixels: the frame, `H x W` or `H x W x 3`.
            threshold: of the model beside, so that a novel place counts as its defects do.

        Yields:
            The place on the frame (an index), and its log-odds, `h x w`.
        """
        least = float(np.log(threshold / (1 - threshold)))
        for place, distance in distances(pixels, self.bank, self.spread):
            beyond = (distance - self.limit) / self.scale
            yield place, np.where(beyond > 0, least + beyond, -np.inf).astype(np.float32)


def save(novelty: Novelty, path: Path) -> None:
    """Write a memory as safetensors; the bank in half precision."""
    numbers = {"limit": novelty.limit, "scale": novelty.scale}
    save_file(
        {
            "bank": novelty.bank.astype(np.float16),
            "spread": novelty.spread,
            **{name: np.array([value], np.float64) for name, value in numbers.items()},
        },
        path,
    )
    path.chmod(0o644)


def load(path: Path) -> Novelty:
    """A memory from a file; raises InvalidInput for a damaged one."""
    try:
        held = load_file(path)
        return Novelty(
            held["bank"].astype(np.float32), held["spread"], float(held["limit"][0]), float(held["scale"][0])
        )
    except (SafetensorError, OSError, KeyError, IndexError) as error:
        raise InvalidInput(f"{path} is damaged: {error}") from error


_FEATURES: list[tuple[Features, int]] = []


def _features() -> tuple[Features, int]:
    """The encoder and how far it sees, in pixels; made once."""
    if not _FEATURES:
        features = Features().eval()
        seen = reach(_Unfolded(features), STRIDE) + SMOOTH_CELLS // 2 * CELL_PX
        _FEATURES.append((features, seen))
    return _FEATURES[0]


def distances(
    pixels: NDArray[Any], bank: NDArray[np.float32], spread: NDArray[np.float32]
) -> Iterator[tuple[Any, NDArray[np.float32]]]:
    """How far each pixel's features are from the nearest of the bank, tile by tile: index on the frame, `h x w`."""
    kept, scale = torch.from_numpy(bank), torch.from_numpy(spread)
    square = (kept * kept).sum(dim=1)

    def look(window: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        found = _cells(window) / scale
        height, width = window.shape[0] // CELL_PX, window.shape[1] // CELL_PX
        nearest = torch.cat([_nearest(rows, kept, square) for rows in torch.split(found, 16384)])
        grid = F.avg_pool2d(
            nearest.reshape(1, height, width), SMOOTH_CELLS, 1, SMOOTH_CELLS // 2, count_include_pad=False
        )[0].numpy()
        return [np.repeat(np.repeat(grid, CELL_PX, axis=0), CELL_PX, axis=1)]

    _, far = _features()
    for box, (found,) in tiled.answers(pixels, look, reach=far, stride=STRIDE):
        yield np.s_[box.y : box.bottom, box.x : box.right], found


def _nearest(rows: Tensor, bank: Tensor, square: Tensor) -> Tensor:
    """Distance of each row to the nearest of the bank; `|a - b|^2 = |a|^2 + |b|^2 - 2 a b`."""
    products: Tensor = torch.addmm(square, rows, bank.T, alpha=-2.0).min(dim=1).values
    squared: Tensor = products + rows.square().sum(dim=1)
    distance: Tensor = squared.clamp(min=0).sqrt()
    return distance


def _cells(window: NDArray[np.uint8]) -> Tensor:
    """`cells x C` features of a window, row by row."""
    features, _ = _features()
    with torch.inference_mode():
        x = torch.from_numpy(window).permute(2, 0, 1)[None].float() / 127.5 - 1.0
        cells: Tensor = features(x)[0].flatten(1).T.contiguous()
    return cells


def remember(
    frames: Mapping[str, Sequence[Callable[[], NDArray[Any]]]], *, seed: int = 0, progress: Progress | None = None
) -> Novelty:
    """Learn what is usual.

    Args:
        frames: clean frames by part; each opens one. Parts are remembered, or held back, as a whole.
        seed: of the choice of parts and cells; the same seed gives the same memory.
        progress: told how far it is.

    Raises:
        InvalidInput: fewer than two parts, or than `FEWEST_IMAGES` images.
    """
    count = sum(map(len, frames.values()))
    if len(frames) < 2 or count < FEWEST_IMAGES:
        raise InvalidInput(
            f"{count} clean images of {len(frames)} parts are too few to know what is usual; give {FEWEST_IMAGES} of 2"
        )
    random = np.random.default_rng(seed)
    names = list(random.permutation(sorted(frames)))
    back = names[: max(1, round(HELD_BACK * len(names)))]
    kept = [opened for name in names[len(back) :] for opened in frames[name]]
    held = [opened for name in back for opened in frames[name]]
    rows = []
    for number, opened in enumerate(kept):
        cells = _cells_of(opened(), random)
        rows.append(cells[random.permutation(len(cells))[: POOL // len(kept) + 1]])
        if progress:
            progress(0.6 * (number + 1) / len(kept), "looking at clean frames")
    pool = np.concatenate(rows)
    spread = pool.std(axis=0) + 1e-6
    bank = _covering(pool / spread, BANK, random)
    highest = []
    for number, opened in enumerate(held):
        highest.append(max(float(d.max()) for _, d in distances(opened(), bank, spread)))
        if progress:
            progress(0.7 + 0.3 * (number + 1) / len(held), "settling the limit")
    tops = np.array(highest)
    # One more clean frame is below the highest of n with probability n / (n + 1).
    limit, scale = float(tops.max()), float(max(tops.std(), 0.02 * tops.max()))
    return Novelty(bank.astype(np.float16).astype(np.float32), spread, limit, scale)


def clean_frames(data: DataSet) -> dict[str, list[Callable[[], NDArray[Any]]]]:
    """The images of `train` that somebody knows to be clean all over, by part.

    Raises:
        InvalidInput: there are none. What nobody knows (IGNORE) may hide a defect, which would be remembered.
    """
    found: dict[str, list[Callable[[], NDArray[Any]]]] = {}
    for sample in data.split("train"):
        if not sample.labels(data.classes).any():
            found.setdefault(sample.part, []).append(sample.pixels)
    if not found:
        raise InvalidInput(f"{data.name} has no train image that is known to be clean; a mask of zeros says so")
    return found


def _cells_of(pixels: NDArray[Any], random: np.random.Generator) -> NDArray[np.float32]:
    """Features of the cells of a frame, or of a window of a large one, `cells x C`."""
    height, width = pixels.shape[:2]
    window = tiled.window_inside(pixels.shape, LARGEST_WINDOW_PX, STRIDE)
    x = int(random.integers(0, max(1, (width - window.width) // STRIDE + 1))) * STRIDE if width > window.width else 0
    y = (
        int(random.integers(0, max(1, (height - window.height) // STRIDE + 1))) * STRIDE
        if height > window.height
        else 0
    )
    seen = tiled.look_at(pixels, Box(x, y, window.width, window.height))
    grid = _cells(seen).numpy().reshape(seen.shape[0] // CELL_PX, seen.shape[1] // CELL_PX, -1)
    # Next to a side where only the window ends, features know less than they will on a whole frame.
    far = -(-_features()[1] // CELL_PX)
    left, top = (far if x else 0), (far if y else 0)
    right = grid.shape[1] - (far if x + window.width < width else 0)
    bottom = grid.shape[0] - (far if y + window.height < height else 0)
    return grid[top:bottom, left:right].reshape(-1, grid.shape[2])


def _covering(pool: NDArray[np.float32], count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """The `count` rows that leave no other row far from all of them (greedy k-centre; Gonzalez 1985)."""
    if len(pool) <= count:
        return pool.astype(np.float32)
    rows = torch.from_numpy(pool.astype(np.float32))
    chosen = [int(random.integers(len(pool)))]
    far = (rows - rows[chosen[0]]).square().sum(dim=1)
    while len(chosen) < count:
        chosen.append(int(far.argmax()))
        far = torch.minimum(far, (rows - rows[chosen[-1]]).square().sum(dim=1))
    return rows[chosen].numpy()
