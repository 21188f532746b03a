"""What is really on every picture the line has taken: kept beside the line, never told to the server."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.errors import NotFound

KEPT = 20_000
"""Pictures whose truth is kept: half a day of the default line; older tasks are left to people."""

SWEEP_EVERY = 500
"""New pictures between two looks for what is too old."""


class Truth:
    """True masks by the SHA-256 of the picture's bytes, one small PNG each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._since_sweep = 0

    def keep(self, picture: bytes, mask: NDArray[np.uint8]) -> str:
        """Remember the mask (`H x W` class ids) of a picture; its SHA-256."""
        name = hashlib.sha256(picture).hexdigest()
        done, data = cv2.imencode(".png", mask)
        if not done:
            raise ValueError(f"a mask of {mask.shape} cannot be written as PNG")
        beside = self._folder / f".{name}.new"
        beside.write_bytes(data.tobytes())
        os.replace(beside, self._folder / f"{name}.png")
        self._since_sweep += 1
        if self._since_sweep >= SWEEP_EVERY:
            self._sweep()
        return name

    def mask(self, sha256: str) -> NDArray[np.uint8]:
        """The true mask of a picture; raises NotFound for one that the line did not take, or long ago."""
        path = self._folder / f"{Path(sha256).name}.png"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise NotFound(f"the line has no truth for picture {sha256[:12]}") from error
        mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise NotFound(f"the truth for picture {sha256[:12]} is damaged")
        return np.asarray(mask, np.uint8)

    def _sweep(self) -> None:
        self._since_sweep = 0
        files = sorted(self._folder.glob("*.png"), key=lambda p: p.stat().st_mtime, reverse=True)
        for old in files[KEPT:]:
            old.unlink(missing_ok=True)
