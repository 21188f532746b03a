"""How far each pixel's label is trusted: the folder `weights` of a data set, where people did not quite agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qc.dataset import Sample
from qc.geometry import Box


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Where an image's labels are not fully trusted."""

    box: Box
    values: NDArray[np.uint8]
    """Trust there, 255 is full."""


class Trust:
    """Trust in the labels of samples, by pixel. Only the part of an image that is in doubt is kept in memory."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        """Reads what there is; raises InvalidInput naming a file that is damaged."""
        self._doubts: dict[int, _Doubt] = {}
        for number, sample in enumerate(samples):
            values = sample.trust()
            if values is None or (values == 255).all():
                continue
            rows = np.flatnonzero((values < 255).any(axis=1))
            columns = np.flatnonzero((values < 255).any(axis=0))
            x, y = int(columns[0]), int(rows[0])
            box = Box(x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y)
            self._doubts[number] = _Doubt(box, values[y : box.bottom, x : box.right].copy())

    @property
    def is_full(self) -> bool:
        """Is every label of every sample trusted in full?"""
        return not self._doubts

    def cut(self, sample: int, x: int, y: int, size: int) -> NDArray[np.uint8]:
        """A square of `size` px at (x, y), which may reach beyond the image; 255 is full trust."""
        found = np.full((size, size), 255, np.uint8)
        doubt = self._doubts.get(sample)
        if doubt is not None:
            left, top = max(doubt.box.x, x), max(doubt.box.y, y)
            right, bottom = min(doubt.box.right, x + size), min(doubt.box.bottom, y + size)
            if left < right and top < bottom:
                found[top - y : bottom - y, left - x : right - x] = doubt.values[
                    top - doubt.box.y : bottom - doubt.box.y, left - doubt.box.x : right - doubt.box.x
                ]
        return found
