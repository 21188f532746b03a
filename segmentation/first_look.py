"""A cheap look at every cell of a frame before the network is asked: where is surely nothing, it need not look.

A small network (`segmentation.first_look_network`) says of every cell of `CELL_PX` pixels how *interesting* it is. From
0 on a cell is looked at, and its eight neighbours with it. How it learns is `segmentation.first_look_training`'s
business; where 0 lies, and what is known of the recall it costs, `segmentation.first_look_proof`'s.

A defect that is looked at somewhere is answered whole: where the network's answer reaches the border of what was looked
at, the next cells are looked at too, until it ends (`beyond`).

Limits: it knows brightness only, not colour, and nothing that nobody drew where it learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput
from qc.geometry import Box
from segmentation import tiled
from segmentation.looking import open_graph

FILE = "first_look.safetensors"

GRAPHS = {"onnx": "first_look.onnx", "openvino": "first_look.xml"}
"""What a runtime reads; beside 16 and 8 bit, too, interest is computed in float32."""

CELL_PX = 32
"""Side of a cell, in pixels; a multiple of every stride our networks have."""

REACH_PX = 120
"""How far the network of a first look sees, in pixels."""

SAMPLE_CELLS = 4
"""Side, in cells, of the place that is looked at on every frame."""

SURELY = -30.0
"""Log-odds of what was not looked at: background, surely."""

Floats = NDArray[np.float32]

Glance = Callable[[NDArray[np.uint8]], Floats]
"""`H x W x 3` RGB, sides multiples of `CELL_PX`, to the interest of its cells: `H / CELL_PX x W / CELL_PX`."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a frame before the network looks."""

    wanted: NDArray[np.bool_]
    """`rows x columns` of cells: which the network must look at."""
    highest: Floats | None = None
    """Calibrated log-odds, `rows x columns`: the highest in each cell, nearly; below `qc.defects.DOUBT` where it is not
    wanted. None: nobody knows more of what is skipped than that it is background."""
    described: Sequence[tuple[Box, Floats]] = ()
    """Cores of the frame, and what the encoder makes of each of their places, `C x h x w`; empty: it was not asked."""


class Sparing(Protocol):
    """Says where the network need not look: what a model has learnt for that (`FirstLook`), or the network itself, but
    rounded (`segmentation.screening`)."""

    @property
    def everywhere(self) -> Sparing | None:
        """What stands in its place for whoever must be answered for every place, with features that mean the same."""

    def see(self, pixels: NDArray[Any]) -> Seen:
        """`pixels` are `H x W` or `H x W x 3`, 8 bit."""

    def borne_out(self, before: Seen, log_odds: NDArray[np.float16], looked: NDArray[np.bool_]) -> bool:
        """Whether what the network then said, `H x W`, of the cells that it `looked` at is what `before` had it expect;
        if not, it looks at all of the frame."""


@dataclass(frozen=True, slots=True)
class FirstLook:
    """Which cells of a frame the network must look at."""

    glance: Glance
    reach: int = REACH_PX
    """How far `glance` sees, in pixels."""

    def interest(self, pixels: NDArray[Any]) -> Floats:
        """`rows x columns` of cells, each by itself; `pixels` are `H x W` or `H x W x 3`, 8 bit."""
        found = np.empty(cells_of(*pixels.shape[:2]), np.float32)
        said = tiled.answers(pixels, lambda window: (self.glance(window),), reach=self.reach, stride=CELL_PX)
        for box, (plane,) in said:
            found[cells_in(box)] = plane
        return found

    def cells(self, pixels: NDArray[Any]) -> NDArray[np.bool_]:
        """`rows x columns` of cells: which are looked at."""
        return widened(self.interest(pixels)) >= 0

    @property
    def everywhere(self) -> FirstLook:
        """Every place is looked at, and the sample stands for the frame as before."""
        return EVERYWHERE

    def see(self, pixels: NDArray[Any]) -> Seen:
        """As `Sparing` says."""
        return Seen(self.cells(pixels))

    def borne_out(self, before: Seen, log_odds: NDArray[np.float16], looked: NDArray[np.bool_]) -> bool:
        """Interest is no log-odds: nothing was expected."""
        return True


EVERYWHERE = FirstLook(lambda window: np.zeros([side // CELL_PX for side in window.shape[:2]], np.float32))
"""To which every place is interesting."""


def sample_of(height: int, width: int) -> Box:
    """The middle of a frame, which is looked at whatever it shows: so that a change of light, lens or surface is seen
    by what the encoder makes of the same place on every frame."""
    rows, columns = (-(-side // CELL_PX) for side in (height, width))
    top, left = max(0, (rows - SAMPLE_CELLS) // 2) * CELL_PX, max(0, (columns - SAMPLE_CELLS) // 2) * CELL_PX
    side = SAMPLE_CELLS * CELL_PX
    return Box(left, top, min(side, width - left), min(side, height - top))


def open_first_look(runtime: str, folder: Path, *, threads: int | None = None) -> FirstLook:
    """What `segmentation.runtimes.write_first_look` has written, at work; `threads` as in `looking.open_look`.

    Raises:
        InvalidInput: the file is not there or damaged.
    """
    name = exactly(runtime)
    path = folder / GRAPHS[name]
    if not path.is_file():
        raise InvalidInput(f"{folder} holds no first look for {runtime}; make it ready again")
    try:
        run, _ = open_graph(path, name, threads)
    except RuntimeError as error:
        raise InvalidInput(f"{path} is damaged ({error}); make it ready again") from error
    return FirstLook(lambda window: run({"picture": window[None]})[0][0])


def exactly(runtime: str) -> str:
    """The runtime that computes in float32 what `runtime` may compute in less."""
    return runtime.partition("-")[0]


def beyond(log_odds: NDArray[np.float16], looked: NDArray[np.bool_], level: float) -> NDArray[np.bool_]:
    """Cells not yet looked at into which an answer of at least `level` goes on, by one of eight neighbours.

    Args:
        log_odds: `H x W`, below `level` where nobody looked.
        looked: `rows x columns` of cells.
        level: log-odds of what must be seen whole.
    """
    (height, width), (rows, columns) = log_odds.shape, looked.shape
    last = [*range(CELL_PX - 1, height, CELL_PX), height - 1][:rows], [*range(CELL_PX - 1, width, CELL_PX), width - 1]
    ys = {-1: np.arange(0, height, CELL_PX), 1: np.array(last[0])}
    xs = {-1: np.arange(0, width, CELL_PX), 1: np.array(last[1][:columns])}
    wanted = np.zeros((rows + 2, columns + 2), np.bool_)
    for step, y in ys.items():
        line = np.pad(log_odds[y] >= level, ((0, 0), (0, columns * CELL_PX - width)))
        wanted[1 + step : 1 + step + rows, 1:-1] |= line.reshape(rows, columns, CELL_PX).any(axis=2)
    for step, x in xs.items():
        line = np.pad(log_odds[:, x] >= level, ((0, rows * CELL_PX - height), (0, 0)))
        wanted[1:-1, 1 + step : 1 + step + columns] |= line.reshape(rows, CELL_PX, columns).any(axis=1)
    for down, y in ys.items():
        for along, x in xs.items():
            wanted[1 + down : 1 + down + rows, 1 + along : 1 + along + columns] |= log_odds[np.ix_(y, x)] >= level
    result: NDArray[np.bool_] = wanted[1:-1, 1:-1] & ~looked
    return result


def mark(looked: NDArray[np.bool_], cores: Iterable[Box]) -> None:
    """Note which cells lie in `cores`."""
    for box in cores:
        looked[cells_in(box)] = True


def widened(values: Floats) -> Floats:
    """The highest of each cell and its eight neighbours."""
    highest: Floats = cv2.dilate(values, np.ones((3, 3), np.uint8)).astype(np.float32, copy=False)
    return highest


def cells_of(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the cells of a frame; the last ones may reach beyond it."""
    return -(-height // CELL_PX), -(-width // CELL_PX)


def cells_in(box: Box) -> tuple[slice, slice]:
    """Of the cells of a frame, those that `box` touches."""
    rows = slice(box.y // CELL_PX, -(-box.bottom // CELL_PX))
    return rows, slice(box.x // CELL_PX, -(-box.right // CELL_PX))
