"""The skeleton of a blemish, and the longest way through it.

Of scikit-image only the compiled thinning is loaded, not the packages around it, and scipy not at all: whoever only
inspects (an IPC at the line) spares 100 MB of disk, and every command that inspects starts sooner.
"""

from __future__ import annotations

import heapq
import importlib.util
import math
from collections.abc import Callable, Sequence
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from qc.errors import Unavailable

Floats = NDArray[np.float64]

THINNING = "_skeletonize_lee_cy"
"""scikit-image's compiled module that thins; part of its `morphology`."""


def thinned(blob: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The skeleton of `H x W`, one pixel wide (Lee et al. 1994, doi:10.1006/cgip.1994.1042)."""
    solid = np.pad(blob[None], 1)  # it thins bodies, and expects an empty rim
    return np.asarray(_thinning()(solid)[1:-1, 1:-1, 1:-1][0] > 0)


@cache
def _thinning() -> Callable[[NDArray[np.bool_]], NDArray[np.uint8]]:
    package = importlib.util.find_spec("skimage")  # finds it without running it
    places = [str(Path(p) / "morphology") for p in (package.submodule_search_locations or ())] if package else []
    spec = PathFinder.find_spec(THINNING, places)
    if spec is None or spec.loader is None:
        raise Unavailable("scikit-image's thinning is not installed; install scikit-image 0.25 or newer")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast(Callable[[NDArray[np.bool_]], NDArray[np.uint8]], module._compute_thin_image)


Graph = list[list[tuple[int, float]]]
"""For each place its neighbours, by ascending number, and the lengths of the steps, in pixels."""


def longest_way(bones: NDArray[np.bool_]) -> tuple[Floats, bool, float]:
    """The longest way through a skeleton, by two sweeps of Dijkstra; around a loop, if it runs into one.

    Args:
        bones: `H x W` with an empty rim; at least one pixel.

    Returns:
        Its places, `N x 2` (row, column); whether it closes; the length of what lies aside, in pixels.
    """
    rows, columns = np.nonzero(bones)
    graph, total = _graph(bones, rows, columns)
    way = _far(graph, _far(graph, 0)[-1])
    # In a loop the way ends opposite of where it entered; it goes on around the loop while it meets nothing walked.
    way = _further(graph, _further(graph, way)[::-1])
    points = np.stack([rows[way], columns[way]], axis=1).astype(np.float64)
    closed = len(way) >= 8 and bool(np.abs(points[0] - points[-1]).max() <= 2)
    return points, closed, max(total - float(np.hypot(*np.diff(points, axis=0).T).sum()), 0.0)


def _graph(bones: NDArray[np.bool_], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> tuple[Graph, float]:
    """Neighbours of a skeleton's pixels, steps weighing 1 or sqrt(2); and the length of all steps."""
    index = np.full(bones.shape, -1, np.int64)
    index[rows, columns] = np.arange(len(rows))
    graph: Graph = [[] for _ in rows]
    total = 0.0
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        neighbour = index[rows + dy, columns + dx]
        there = neighbour >= 0
        if dy and dx:  # around a corner it is two steps, already counted
            there &= (index[rows + dy, columns] < 0) & (index[rows, columns + dx] < 0)
        step = math.hypot(dy, dx)
        for one, other in zip(np.flatnonzero(there).tolist(), neighbour[there].tolist(), strict=True):
            graph[one].append((other, step))
            graph[other].append((one, step))
            total += step
    for around in graph:
        around.sort()
    return graph, total


def _far(graph: Graph, start: int, walked: Sequence[int] = ()) -> list[int]:
    """The shortest way from `start` to the farthest place that it reaches without touching what was `walked`."""
    distances, before = [math.inf] * len(graph), [-1] * len(graph)
    done = bytearray(len(graph))
    for place in walked:
        done[place] = 1
    distances[start] = 0.0
    waiting = [(0.0, start)]
    while waiting:
        distance, place = heapq.heappop(waiting)
        if done[place]:
            continue
        done[place] = 1
        for neighbour, step in graph[place]:
            if not done[neighbour] and distance + step < distances[neighbour]:
                distances[neighbour], before[neighbour] = distance + step, place
                heapq.heappush(waiting, (distance + step, neighbour))
    reached = [d if d < math.inf else -1.0 for d in distances]
    way = [reached.index(max(reached))]
    while way[-1] != start:
        way.append(before[way[-1]])
    return way[::-1]


def _further(graph: Graph, way: list[int]) -> list[int]:
    """The way, continued from its last place through places that it has not touched, as far as that goes."""
    near = set(way[-3:-1])
    if len(way) < 4 or all(place in near for place, _ in graph[way[-1]]):
        return way
    return way + _far(graph, way[-1], way[:-1])[1:]
