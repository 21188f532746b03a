"""Large frames of a real surface: a data set's clean val picture mirrored on and on, with a defective one among it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qc.dataset import IGNORE, DataSet


def surface(data: DataSet, height: int, width: int) -> NDArray[np.uint8]:
    """`height x width`, grey. Mirrored, a picture goes on without a seam; round the defective one there is a seam."""
    val = data.split("val")
    marked = [bool(((mask > 0) & (mask != IGNORE)).any()) for mask in (sample.labels(data.classes) for sample in val)]
    clean, defective = (val[marked.index(which)].pixels() for which in (False, True))
    clean, defective = (p if p.ndim == 2 else p[..., 0] for p in (clean, defective))
    beyond = [(0, max(0, side - own)) for side, own in zip((height, width), clean.shape, strict=True)]
    frame = np.pad(clean, beyond, mode="symmetric")[:height, :width]
    y, x = ((side - min(side, own)) // 2 for side, own in zip(frame.shape, defective.shape, strict=True))
    piece = defective[:height, :width]
    frame[y : y + piece.shape[0], x : x + piece.shape[1]] = piece
    return np.ascontiguousarray(frame, np.uint8)
