"""The network itself, rounded, says where it need not be asked: 8 bit looks everywhere, float32 where that sees more.

A processor computes a network in 8 bit some three times as fast as in float32, and a little wrong: near the odds at
which a verdict begins by a third of a log-odds or so. That is too much to measure a defect by, and very little beside
what tells a defect from clean metal. So no verdict rests on 8 bit. Every cell of `CELL_PX` px whose highest log-odds,
as 8 bit sees them, lie less than `MARGIN` below what a verdict may rest on, is looked at again in float32, with its
neighbours and its whole halo, and on from there as far as what is found reaches (`segmentation.first_look.beyond`):
a defect, its outline and its size are the float32 network's own. Of the other cells the frame keeps what 8 bit said, so
that its surest pixel and what the encoder makes of each place are known everywhere, as ever.

What could be lost is a defect of which 8 bit is off by more than `MARGIN` at every pixel. How far it is off is measured
on the model's own validation frames when the model is made ready (`Errors`), and it is refused where `MARGIN` is less
than `SAFE` times that. On another surface it may be off by more, as the ranges of 8 bit were read from this one; so it
is measured again on each frame, where both have looked, and a frame on which `MARGIN` is too little is looked at whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput
from qc.frame import to_8bit
from qc.geometry import Box
from segmentation import tiled
from segmentation.first_look import CELL_PX, Floats, Seen, cells_in, cells_of, widened
from segmentation.looking import SCREENED, Planes, open_graph
from segmentation.operating_point import calibrated
from segmentation.segmenter import FrameSegmenter

GRAPH = "screen.xml"

MARGIN = 2.5
"""In calibrated log-odds: twelve times less likely than what a verdict may rest on."""

SAFE = 4.0
"""So many times the typical (root mean square) error must fit into `MARGIN`."""

NEAR = 4.0
"""Log-odds on either side of what a verdict may rest on, within which the error counts: what is surely nothing, or
surely something, may be off by more, and often is."""

FEWEST = 30
"""Cells near what a verdict may rest on, to measure the error by: its own error is then an eighth (`1 / sqrt(2 n)`)."""

HALO_PX = 64
"""What a tile looks at around its core in 8 bit. Less than the reach of any network, as most of what a network sees
lies near; what is off for that is measured with the rest."""

LEAST = -60.0
"""Log-odds below this are kept as this."""


@dataclass(frozen=True, slots=True)
class Screen:
    """A `segmentation.first_look.Sparing`; one object may be used from several threads at once."""

    glance: Callable[[NDArray[np.uint8]], Planes]
    """`H x W x 3` RGB, sides multiples of `CELL_PX`, to the highest log-odds in each cell, before calibration, and,
    where the network has such an encoder, what it makes of each place, `C x h x w`."""
    calibration: tuple[float, float]
    """Scale and offset of the log-odds."""
    level: float
    """Calibrated log-odds from which on a cell is looked at: `MARGIN` below what a verdict may rest on."""

    @property
    def everywhere(self) -> None:
        """The network looks at all of it: a frame's features are those of all of it here, too."""

    def see(self, pixels: NDArray[Any]) -> Seen:
        """As `Sparing` says."""
        log_odds, described = self._asked(pixels)
        return Seen(widened(log_odds) >= self.level, log_odds, described)

    def borne_out(self, before: Seen, log_odds: NDArray[np.float16], looked: NDArray[np.bool_]) -> bool:
        """Does `MARGIN` hold on this frame? True where too little of it was looked at to tell."""
        if before.log_odds is None:
            raise ValueError("a screen says how likely a defect is in every cell")
        said, truth = before.log_odds[looked], highest(log_odds)[looked]
        near = np.abs(truth - (self.level + MARGIN)) <= NEAR
        return near.sum() < FEWEST or bool(SAFE * _typical(said[near] - truth[near]) <= MARGIN)

    def log_odds(self, pixels: NDArray[Any]) -> Floats:
        """`rows x columns` of cells: the highest in each, calibrated, as 8 bit sees them."""
        return self._asked(pixels)[0]

    def _asked(self, pixels: NDArray[Any]) -> tuple[Floats, list[tuple[Box, Floats]]]:
        log_odds = np.empty(cells_of(*pixels.shape[:2]), np.float32)
        described = []
        for box, (highest_in_each, *places) in tiled.answers(pixels, self.glance, reach=HALO_PX, stride=CELL_PX):
            log_odds[cells_in(box)] = np.maximum(calibrated(highest_in_each, *self.calibration), LEAST)
            described += [(box, places[0])] if places else []
        return log_odds, described


def screened(eyes: FrameSegmenter, folder: Path, *, threads: int | None = None) -> FrameSegmenter:
    """`eyes`, which look in float32, asked only where 8 bit may see something.

    Args:
        eyes: without a first look of their own.
        folder: where `segmentation.runtimes.write` has written the graphs.
        threads: as in `segmentation.looking.open_look`.

    Raises:
        InvalidInput: the file is not there or damaged.
    """
    path = folder / GRAPH
    if not path.is_file():
        raise InvalidInput(f"{folder} holds nothing for {SCREENED}; make it ready again")
    try:
        run, _ = open_graph(path, SCREENED, threads)
    except RuntimeError as error:
        raise InvalidInput(f"{path} is damaged ({error}); make it ready again") from error
    screen = Screen(lambda window: run({"picture": window[None]}), eyes.calibration, eyes.whole_from - MARGIN)
    return replace(eyes, first_look=screen, runtime=SCREENED)


@dataclass(slots=True)
class Errors:
    """How far 8 bit is off, on frames that float32 has seen whole."""

    eyes: FrameSegmenter
    """What `screened` gave."""
    screen: Screen = field(init=False)
    near: int = 0
    squared: float = 0.0
    telling: int = 0
    """Cells that a verdict may rest on."""
    lost: int = 0
    """Of these, how many would not be looked at."""
    clean: int = 0
    in_vain: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.eyes.first_look, Screen):
            raise TypeError("these eyes have no screen")
        self.screen = self.eyes.first_look

    def count(self, pixels: NDArray[Any], log_odds: NDArray[np.float16]) -> None:
        """Add a frame, and what float32 says of all of it, `H x W`, calibrated."""
        said, truth, level = self.screen.log_odds(to_8bit(pixels)), highest(log_odds), self.eyes.whole_from
        near = np.abs(truth - level) <= NEAR
        self.near += int(near.sum())
        self.squared += float(np.square(said[near] - truth[near]).sum())
        telling = truth >= level
        self.telling += int(telling.sum())
        self.lost += int((telling & (widened(said) < self.screen.level)).sum())
        clean = widened(widened(truth)) < level
        self.clean += int(clean.sum())
        self.in_vain += int((clean & (said >= self.screen.level)).sum())

    @property
    def typical(self) -> float:
        """The root mean square error near what a verdict may rest on, in log-odds."""
        return float(np.sqrt(self.squared / self.near)) if self.near else 0.0

    @property
    def refusal(self) -> str:
        """Why it may not serve; empty if it may."""
        if self.lost:
            return f"{self.lost} of {self.telling} places that a verdict may rest on would not be looked at"
        if self.near < FEWEST:
            return f"{self.near} places near a verdict are too few to tell how far 8 bit is off; show it {FEWEST}"
        if SAFE * self.typical > MARGIN:
            return f"8 bit is off by {self.typical:.2f} log-odds near a verdict, more than {MARGIN / SAFE:.2f}"
        return ""

    def work(self) -> float:
        """Of a clean surface, the share that float32 looks at: each place in vain costs it a window of its own."""
        side = 3 * CELL_PX + 2 * tiled.halo_of(self.eyes.reach, self.eyes.stride)
        return min(1.0, self.in_vain / max(1, self.clean) * (side / CELL_PX) ** 2)

    def as_json(self) -> dict[str, Any]:
        """For `ready.json`."""
        return {
            "cells_a_verdict_may_rest_on": self.telling,
            "of_these_not_looked_at": self.lost,
            "cells_near_a_verdict": self.near,
            "typical_error": round(self.typical, 4),
            "margin": MARGIN,
            "clean_cells": self.clean,
            "of_these_looked_at_in_vain": self.in_vain,
        }


def _typical(errors: Floats) -> float:
    """Their root mean square."""
    return float(np.sqrt(np.square(errors).mean()))


def highest(log_odds: NDArray[np.float16]) -> Floats:
    """`H x W` -> the highest in each cell, `rows x columns`."""
    height, width = log_odds.shape
    rows, columns = cells_of(height, width)
    room = ((0, rows * CELL_PX - height), (0, columns * CELL_PX - width))
    padded = np.pad(log_odds.astype(np.float32), room, constant_values=LEAST)
    cells: Floats = padded.reshape(rows, CELL_PX, columns, CELL_PX).max(axis=(1, 3))
    return cells
