"""The network itself, rounded, says where it need not be asked: 8 bit looks everywhere, float32 where a verdict begins.

A processor computes a network in 8 bit some twice as fast as in float32, and a little wrong: near the odds from which
on a defect is listed by a tenth or a fifth of a log-odds. That is too much to measure a defect by, and very little
beside what tells a defect from clean metal. So nothing that is listed, and no verdict, rests on 8 bit: every cell of
`CELL_PX` px whose highest log-odds, as 8 bit sees them, lie less than a margin below `qc.defects.DOUBT` is looked at
again in float32, with its neighbours and its whole halo, and on from there as far as what is found reaches
(`segmentation.first_look.beyond`). Of the other cells the frame keeps the highest that 8 bit saw, so that its surest
pixel is known, and what the encoder makes of each place.

What could be lost is a defect of which 8 bit is off by more than the margin at its surest pixel and in all cells around
it. How far it is off is measured on the model's own validation frames when the model is made ready (`errors_on`), and
sets the margin: `SAFE` times the typical error, or `LEAST_MARGIN`. Where that is more than `MOST_MARGIN` the screen is
refused. On another surface 8 bit may be off by more, as its ranges were read from this one; so it is measured again on
each frame, where both have looked, and a frame on which fewer than `HOLDS` typical errors fit into the margin is looked
at whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qc.frame import to_8bit
from qc.geometry import Box
from segmentation import tiled
from segmentation.first_look import CELL_PX, Floats, Seen, cells_in, cells_of, widened
from segmentation.looking import SCREENED, Look, describing, open_look
from segmentation.operating_point import calibrated
from segmentation.segmenter import FrameSegmenter

SAFE = 6.0
"""So many typical (root mean square) errors fit into the margin on validation frames."""

HOLDS = 4.0
"""So many must on every frame."""

LEAST_MARGIN, MOST_MARGIN = 1.0, 2.5
"""In calibrated log-odds. Of a larger one nobody would know what it is worth: errors so large are not noise."""

NEAR = 4.0
"""Log-odds on either side of what a verdict may rest on, within which the error counts: what is surely nothing, or
surely something, may be off by more, and often is."""

FEWEST = 30
"""Cells near it, to measure the error by: its own error is then an eighth (`1 / sqrt(2 n)`)."""

HALO_PX = 64
"""What a tile looks at around its core in 8 bit. Less than the reach of any network, as most of what a network sees
lies near; what is off for that is measured with the rest."""

WINDOW_PX = 1152**2
"""Largest area of a window in 8 bit. With so small a halo larger ones are no faster, and take more memory."""

LEAST = -60.0
"""Log-odds below this are kept as this."""


@dataclass(frozen=True, slots=True)
class Screen:
    """A `segmentation.first_look.Sparing`; one object may be used from several threads at once."""

    look: Look
    """The network in 8 bit."""
    stride: int
    """Of the network, in pixels; it divides `CELL_PX`."""
    calibration: tuple[float, float]
    """Scale, which is positive, and offset of the log-odds."""
    resting: float
    """Calibrated log-odds of the faintest pixel that a verdict may rest on."""
    margin: float
    """So far below that a cell is looked at."""

    @property
    def level(self) -> float:
        """Calibrated log-odds from which on a cell is looked at."""
        return self.resting - self.margin

    @property
    def everywhere(self) -> None:
        """The network looks at all of it: a frame's features are those of all of it here, too."""

    def see(self, pixels: NDArray[Any]) -> Seen:
        """As `Sparing` says."""
        log_odds, described = self._asked(pixels)
        return Seen(widened(log_odds) >= self.level, log_odds, described)

    def borne_out(self, before: Seen, log_odds: NDArray[np.float16], looked: NDArray[np.bool_]) -> bool:
        """Does the margin hold on this frame? True where too little of it was looked at to tell."""
        if before.highest is None:
            raise ValueError("a screen says how likely a defect is in every cell")
        said, truth = before.highest[looked], highest(log_odds)[looked]
        near = np.abs(truth - self.resting) <= NEAR
        return near.sum() < FEWEST or HOLDS * _typical(said[near] - truth[near]) <= self.margin

    def log_odds(self, pixels: NDArray[Any]) -> Floats:
        """`rows x columns` of cells: the highest in each, calibrated, as 8 bit sees them."""
        return self._asked(pixels)[0]

    def _asked(self, pixels: NDArray[Any]) -> tuple[Floats, list[tuple[Box, Floats]]]:
        found, described = np.empty(cells_of(*pixels.shape[:2]), np.float32), list[tuple[Box, Floats]]()
        for box, (log_odds, _, *cells) in self._answers(pixels):
            found[cells_in(box)] = np.maximum(calibrated(highest(log_odds), *self.calibration), LEAST)
            described += [(box, cells[0])] if cells else []
        return found, described

    def _answers(self, pixels: NDArray[Any]) -> Iterable[tuple[Box, tiled.Planes]]:
        height, width = pixels.shape[:2]
        look = describing(self.look)
        return tiled.answers(
            pixels,
            look.see,
            reach=HALO_PX,
            stride=self.stride,
            core=tiled.balanced_core(height, width, CELL_PX, HALO_PX, WINDOW_PX),
            inside=look.inside,
            abreast=look.abreast,
        )


def screened(
    eyes: FrameSegmenter, folder: Path, *, margin: float, threads: int | None = None, at_once: int = 1
) -> FrameSegmenter:
    """`eyes`, which look in float32, asked only where 8 bit may see something.

    Args:
        eyes: without a first look of their own.
        folder: where `segmentation.runtimes.write` has written the graphs.
        margin: as `errors_on` found it.
        threads, at_once: as in `segmentation.looking.open_look`.

    Raises:
        InvalidInput: the file is not there or damaged.
    """
    look = open_look("openvino-int8", folder, threads=threads, at_once=at_once)
    return replace(
        eyes, first_look=Screen(look, eyes.stride, eyes.calibration, eyes.whole_from, margin), runtime=SCREENED
    )


@dataclass(frozen=True, slots=True)
class Errors:
    """How far 8 bit is off on frames that float32 has seen whole."""

    said: Floats
    """Calibrated log-odds of all cells of all frames, as 8 bit sees them: `n`."""
    around: Floats
    """The highest of each and its neighbours."""
    truth: Floats
    """As float32 sees them."""
    clean: NDArray[np.bool_]
    """Nothing that a verdict may rest on lies in it, or within two cells of it."""
    resting: float
    """Calibrated log-odds of the faintest of these."""

    @property
    def near(self) -> NDArray[np.bool_]:
        """The cells that tell how far it is off."""
        near: NDArray[np.bool_] = np.abs(self.truth - self.resting) <= NEAR
        return near

    @property
    def typical(self) -> float:
        """The root mean square error of these, in log-odds."""
        return _typical(self.said[self.near] - self.truth[self.near]) if self.near.any() else 0.0

    @property
    def margin(self) -> float:
        """What a screen is to leave below what a verdict may rest on."""
        return max(LEAST_MARGIN, SAFE * self.typical)

    @property
    def telling(self) -> int:
        """Cells with something that a verdict may rest on."""
        return int((self.truth >= self.resting).sum())

    @property
    def lost(self) -> int:
        """Of these, how many would not be looked at."""
        return int(((self.truth >= self.resting) & (self.around < self.resting - self.margin)).sum())

    @property
    def in_vain(self) -> int:
        """Of the clean cells, how many would be looked at for their own sake."""
        return int((self.clean & (self.said >= self.resting - self.margin)).sum())

    @property
    def refusal(self) -> str:
        """Why a screen may not serve; empty if it may."""
        if self.lost:
            return f"{self.lost} of {self.telling} places that a verdict may rest on would not be looked at"
        if (near := int(self.near.sum())) < FEWEST:
            return f"{near} places near a verdict are too few to tell how far 8 bit is off; show it {FEWEST}"
        if self.margin > MOST_MARGIN:
            return f"8 bit is off by {self.typical:.2f} log-odds near a verdict, more than {MOST_MARGIN / SAFE:.2f}"
        return ""

    def work(self, eyes: FrameSegmenter) -> float:
        """Of a clean surface, the share that float32 looks at: each place in vain costs it a window of its own."""
        side = 3 * CELL_PX + 2 * tiled.halo_of(eyes.reach, eyes.stride)
        return min(1.0, self.in_vain / max(1, int(self.clean.sum())) * (side / CELL_PX) ** 2)

    def as_json(self) -> dict[str, Any]:
        """For `ready.json`."""
        return {
            "cells_a_verdict_may_rest_on": self.telling,
            "of_these_not_looked_at": self.lost,
            "cells_near_a_verdict": int(self.near.sum()),
            "typical_error": round(self.typical, 4),
            "margin": round(self.margin, 4),
            "clean_cells": int(self.clean.sum()),
            "of_these_looked_at_in_vain": self.in_vain,
        }


def errors_on(eyes: FrameSegmenter, frames: Iterable[NDArray[Any]]) -> Errors:
    """How far the screen of `eyes` is off, with whatever margin; float32 looks at all of each frame."""
    screen = eyes.first_look
    if not isinstance(screen, Screen):
        raise TypeError("these eyes have no screen")
    whole, planes = replace(eyes, first_look=None), []
    for frame in frames:
        pixels = to_8bit(frame)
        said, truth = screen.log_odds(pixels), highest(whole.segment(pixels).log_odds)
        clean = widened(widened(truth)) < screen.resting
        planes.append([plane.ravel() for plane in (said, widened(said), truth, clean)])
    said, around, truth, clean = (np.concatenate(kind) for kind in zip(*planes, strict=True))
    return Errors(said, around, truth, clean, screen.resting)


def _typical(errors: Floats) -> float:
    """The root mean square."""
    return float(np.sqrt(np.square(errors).mean()))


def highest(log_odds: NDArray[Any]) -> Floats:
    """`H x W` -> the highest in each cell, `rows x columns`."""
    height, width = log_odds.shape
    rows, columns = cells_of(height, width)
    room = ((0, rows * CELL_PX - height), (0, columns * CELL_PX - width))
    padded = np.pad(log_odds, room, mode="edge") if any(after for _, after in room) else log_odds
    lines = padded.reshape(rows, CELL_PX, columns * CELL_PX).max(axis=1)
    return np.asarray(lines.reshape(rows, columns, CELL_PX).max(axis=2), np.float32)
