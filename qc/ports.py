"""What we need from the outside, not who provides it. Implementations live in the packages that know how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qc.geometry import Box


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What a model sees on one frame, pixel by pixel, at native size."""

    log_odds: NDArray[np.float16]
    """`H x W`: log(p / (1 - p)) that the pixel belongs to any defect. Half precision keeps 0.9999 and 0.99999
    apart, as log-odds, and needs 2 bytes a pixel on a frame of 200 Mpx."""
    class_id: NDArray[np.uint8]
    """`H x W`: the most likely defect class, 1 and up, also where no defect is likely."""
    cells: NDArray[np.float16] | None = None
    """`C x h x w`: what the encoder makes of each square of `cell_px` pixels; NaN where it did not look; None where
    nobody asked for it."""
    cell_px: int = 16
    """Side of a square of `cells`, in pixels."""
    sample: Box | None = None
    """Where the encoder looked as it does on every frame, which stands for how the frame looks; None: everywhere."""
    camera_bits: int | None = None
    """The depth that was taken for the camera's; None: the frame has 8 bit, or it was not said."""
    score: float | None = None
    """How likely the frame shows a defect, in [0, 1], where the model says it; None: as its surest pixel."""


class Segmenter(Protocol):
    """A trained model, ready to look at frames of any size."""

    @property
    def model_id(self) -> str:
        """`sha256:` and the hash of the model's weights and configuration."""
        ...

    @property
    def classes(self) -> Mapping[int, str]:
        """Class id (1 and up) to class name."""
        ...

    @property
    def threshold(self) -> float:
        """Score in (0, 1) at or above which a defect counts; chosen on validation parts when the model was trained."""
        ...

    @property
    def edge(self) -> float:
        """Probability of a pixel at which a defect ends, at most `threshold`: where its outline is drawn."""
        ...

    def segment(self, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Segmentation:
        """Look at one frame, `H x W` (grey) or `H x W x 3` (RGB). The result does not depend on where tiles fall."""
        ...


class BlobStore(Protocol):
    """Bytes by key. A key is a relative path of letters, digits, `.`, `_`, `-` and `/`."""

    def put(self, key: str, data: bytes) -> None:
        """Store; once this returns the bytes survive a power cut. Putting the same key again replaces it whole."""
        ...

    def keep(self, key: str, data: bytes) -> None:
        """As `put`, for a key that is named by its content: what is there need not be written again."""

    def get(self, key: str) -> bytes:
        """The bytes; raises `qc.errors.NotFound`."""
        ...

    def exists(self, key: str) -> bool: ...

    def delete(self, key: str) -> None:
        """Remove; a key that is not there is no error."""
        ...


class Clock(Protocol):
    """The time now, in UTC with its zone. Tests move it by hand."""

    def __call__(self) -> datetime: ...
