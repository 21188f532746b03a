"""Where the blemishes of a frame lie on it, from the map that numbers them: few pixels, so only those are looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from qc.geometry import Box

Map = NDArray[np.uint16]
"""`H x W`: 0 background, else the number of the pixel's blemish."""


def boxes(instances: Map) -> Mapping[int, Box]:
    """The smallest box around each number's pixels, by the number."""
    points = cv2.findNonZero((instances > 0).view(np.uint8))
    if points is None:
        return {}
    columns, rows = points[:, 0].T
    numbers = instances[rows, columns]
    order = numbers.argsort(kind="stable")
    there, first = np.unique(numbers[order], return_index=True)
    left, top = (np.minimum.reduceat(each[order], first) for each in (columns, rows))
    right, bottom = (np.maximum.reduceat(each[order], first) + 1 for each in (columns, rows))
    edges = np.stack([left, top, right - left, bottom - top], axis=1)
    return {k: Box(*edge) for k, edge in zip(there.tolist(), edges.tolist(), strict=True)}


def apart(places: Sequence[Box]) -> list[Box]:
    """Boxes that hold these and do not meet, not even at a corner: what is connected lies in one of them."""
    edges = np.array([(box.x, box.y, box.right, box.bottom) for box in places]).reshape(-1, 4)
    while True:
        near = (edges[:, None, :2] <= edges[None, :, 2:]).all(axis=2)
        number, group = connected_components(near & near.T, directed=False)
        if number == len(edges):
            return [Box(x, y, right - x, bottom - y) for x, y, right, bottom in edges.tolist()]
        wider = np.empty((number, 4), edges.dtype)
        for k in range(number):
            own = edges[group == k]
            wider[k] = *own[:, :2].min(axis=0), *own[:, 2:].max(axis=0)
        edges = wider
