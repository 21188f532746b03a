"""The champion with two ways to compute it: another server while it is in time, and this machine whenever it is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qc.ports import Segmentation, Segmenter
from segmentation.looking import DescribingLook
from segmentation.segmenter import FrameSegmenter
from server.remote_engine.pace import Pace
from server.remote_engine.wire import NoAnswer, Wire

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Far:
    """A model on another server, as far as its answers were compared."""

    wire: Wire
    outputs: tuple[str, ...]
    """What is asked of it."""
    version: str
    """The only one whose answers count."""
    name: str
    """What is kept on record as the runtime of a verdict."""

    def see(
        self, local: FrameSegmenter, window: NDArray[np.uint8], *, within_s: float
    ) -> tuple[NDArray[np.float32], ...]:
        """What it says of a window, plane by plane; raises NoAnswer, also where another version answers."""
        classes = len(local.classes) - (local.novelty is not None)
        said = self.wire.ask(window, self.outputs, classes=classes, within_s=within_s)
        if said.version != self.version:
            raise NoAnswer("wrong", f"version {said.version[:40]!r} answered, where {self.version!r} was compared")
        return tuple(said.planes[name] for name in self.outputs)

    def segment(self, local: FrameSegmenter, pixels: Pixels, *, within_s: float) -> Segmentation:
        """What it says of a frame: windows by the other server, all else as the champion has it. Raises NoAnswer."""
        until = time.monotonic() + within_s

        def see(window: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
            return self.see(local, window, within_s=until - time.monotonic())

        return replace(local, look=DescribingLook(see), runtime=self.name).segment(pixels)


class AsChampion:
    """Looks in its own way, and is the champion in all else; a `qc.ports.Segmenter`."""

    def __init__(self, champion: Segmenter, look: Callable[[Pixels], Segmentation]) -> None:
        self.model_id: str = champion.model_id
        self.classes: Mapping[int, str] = champion.classes
        self.threshold: float = champion.threshold
        self.edge: float = champion.edge
        self._look = look

    def segment(self, pixels: Pixels) -> Segmentation:
        """As the champion's."""
        return self._look(pixels)


class Ways(Protocol):
    """What the eyes of a part need to know of the engine (`server.remote_engine.engine`)."""

    near: Pace
    """Of this machine."""
    far: Pace
    """Of the other server."""
    patience_s: float

    def trusts(self, far: Far) -> bool:
        """May it be asked now?"""
        ...

    def failed(self, far: Far, error: NoAnswer) -> None:
        """It gave no answer that can be used."""
        ...

    def answered(self, way: str) -> None:
        """A frame was answered: `remote` or `local`."""
        ...


class Eyes(AsChampion):
    """The champion for one part: each of its frames is answered whole, by one of the two ways."""

    def __init__(self, ways: Ways, far: Far, local: FrameSegmenter, *, pixels: int, left_s: float | None) -> None:
        """
        Args:
            ways: the engine.
            far: the other server's model.
            local: the champion as this machine computes it.
            pixels: of all of the part's frames.
            left_s: seconds until the part must be judged; None: it need not be by any time.
        """
        super().__init__(local, self._answer)
        self._ways, self._far, self._local, self._pixels = ways, far, local, pixels
        self._until = None if left_s is None else time.monotonic() + left_s
        self._used: set[str] = set()

    @property
    def runtime(self) -> str:
        """What computed the part's frames, both names where it took both ways."""
        return " + ".join(sorted(self._used)) or self._local.runtime

    def _answer(self, pixels: Pixels) -> Segmentation:
        size, began = pixels.shape[0] * pixels.shape[1], time.monotonic()
        within_s = self._within_s()
        self._pixels -= size
        if within_s > 0 and self._ways.trusts(self._far):
            try:
                seen = self._far.segment(self._local, pixels, within_s=within_s)
            except NoAnswer as error:
                self._ways.failed(self._far, error)
            except Exception as error:  # whatever a stranger's numbers do, this machine can answer
                self._ways.failed(self._far, NoAnswer("wrong", f"the answer could not be used ({error!r})"))
            else:
                self._ways.far.took(size, time.monotonic() - began)
                self._used.add(self._far.name)
                self._ways.answered("remote")
                return seen
        began = time.monotonic()
        seen = self._local.segment(pixels)
        self._ways.near.took(size, time.monotonic() - began)
        self._used.add(self._local.runtime)
        self._ways.answered("local")
        return seen

    def _within_s(self) -> float:
        """How long the other server may take for the next frame; 0: this machine answers.

        So long that this machine could still do the rest of the part in time. Where it could not anyway, and the other
        server is the faster one, all the time that is left.
        """
        longest = self._ways.patience_s
        if self._until is None:
            return longest
        left = self._until - time.monotonic()
        near, far = self._ways.near.need(self._pixels), self._ways.far.need(self._pixels)
        if far <= left - near:
            return min(longest, left - near)
        if near > left and far < near:
            return min(longest, max(left, 0.0))
        self._ways.far.forget_one()
        return 0.0
