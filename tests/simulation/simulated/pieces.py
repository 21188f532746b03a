"""Pieces on the line, whose truth the auditor knows, and the model that looks at them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.ports import Segmentation

from .world import World

HEIGHT, WIDTH = 24, 32


@dataclass(frozen=True)
class Piece:
    """A physical piece."""

    number: int
    bad: bool
    """It has a defect."""

    @property
    def name(self) -> str:
        return f"P-{self.number}"

    def picture(self, view: int = 0) -> bytes:
        """What a camera sees of it, as PNG; no two pieces and no two views look the same."""
        grey = np.full((HEIGHT, WIDTH), 180, np.uint8)
        for place in range(4):
            grey[0, place] = 150 + self.number // 50**place % 50
        grey[0, 5] = 150 + view
        if self.bad:
            grey[8:17, 10:19] = 20
        return bytes(cv2.imencode(".png", grey)[1])

    @cached_property
    def hashes(self) -> frozenset[str]:
        """SHA-256 of its pictures."""
        return frozenset(hashlib.sha256(self.picture(view)).hexdigest() for view in range(2))


class Model:
    """Calls what is darker than 60 of 255 a pit. Takes its time, sometimes too long, and sometimes fails."""

    model_id = "sha256:simulated"
    classes: Mapping[int, str] = {1: "pit"}
    threshold = edge = 0.5

    def __init__(self, world: World) -> None:
        self._world = world

    def segment(self, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Segmentation:
        world = self._world
        world.sleep(world.rng.expovariate(1 / (0.08 if world.calm or not world.chance(0.03) else 4.0)))
        if not world.calm and world.chance(0.01):
            raise RuntimeError("out of memory")
        log_odds = np.where(pixels < 60, 5.0, -9.0).astype(np.float16)
        return Segmentation(log_odds, np.ones(pixels.shape, np.uint8))
