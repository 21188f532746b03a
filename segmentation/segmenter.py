"""A look at windows becomes a `qc.ports.Segmenter`: whole frames in, calibrated answers out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qc.dataset import IGNORE
from qc.defects import DOUBT, logit
from qc.errors import InvalidInput
from qc.features import LARGEST
from qc.frame import camera_bits, to_8bit
from qc.geometry import Box
from qc.ports import Segmentation, Segmenter
from qc.verdict import UNKNOWN
from segmentation import image_score, tiled
from segmentation.config import network_config
from segmentation.cover import cover
from segmentation.first_look import CELL_PX, SURELY, Seen, Sparing, beyond, mark, sample_of
from segmentation.image_score import ImageScore
from segmentation.looking import Look, describing
from segmentation.operating_point import calibrated

if TYPE_CHECKING:
    from segmentation.novelty import Novelty  # needs torch


@dataclass(frozen=True, slots=True)
class FrameSegmenter:
    """A network at work; a `qc.ports.Segmenter`. One object may be used from several threads at once."""

    look: Look
    classes: Mapping[int, str]
    reach: int
    """How far the network looks, in pixels."""
    stride: int
    """Sides of windows are multiples of it, in pixels."""
    calibration: tuple[float, float] = (1.0, 0.0)
    """Scale and offset of the log-odds."""
    threshold: float = 0.5
    edge: float = 0.5
    """Probability of a pixel at which a defect ends; at most `threshold`."""
    model_id: str = ""
    runtime: str = "torch"
    """What computes the network (`segmentation.runtimes`)."""
    novelty: Novelty | None = None
    """What clean parts look like; what is unlike them, and no defect to the network, has the class `UNKNOWN`."""
    first_look: Sparing | None = None
    """Where the network need not look; None: it looks everywhere. The memory is asked everywhere all the same."""
    image_score: ImageScore | None = None
    """How the score of an image comes about; None: from its surest pixel."""
    camera_bits: int | None = None
    """Depth of the 16-bit pictures that it learnt from: a frame's, unless a pixel is brighter. None: guessed."""
    keep_cells: bool = False
    """Hand on what the encoder makes of each place, where the look can say it: 1.2 bytes a pixel more."""

    @property
    def whole_from(self) -> float:
        """The calibrated log-odds of the faintest pixel that a verdict may rest on: of all that is listed, as a
        product's rules may name a score of their own, and several views together be sure of what each doubts."""
        return logit(min(DOUBT, self.edge))

    def segment(self, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Segmentation:
        """Look at one frame, `H x W` or `H x W x 3`; needs 3 bytes a pixel, and the memory of a tile.

        Of 16-bit pixels the highest 8 bits of the camera's are looked at; whoever knows its depth hands in 8 bits.
        """
        bits = None if pixels.dtype == np.uint8 else camera_bits(pixels, usual=self.camera_bits)
        shown = to_8bit(pixels, bits)
        height, width = shown.shape[:2]
        ids = np.array(sorted(self.classes), np.uint8)  # the network's, then perhaps `UNKNOWN`
        log_odds = np.full((height, width), SURELY, np.float16)
        class_id = np.full((height, width), ids[0], np.uint8)
        grid = _Grid(height, width) if self.keep_cells else None
        sample = None
        if self.first_look is None:
            self._answer(shown, None, log_odds, class_id, grid)
        else:
            before = self.first_look.see(shown)
            sample = _described(before, height, width, grid)
            looked = self._follow(shown, before.wanted, log_odds, class_id, grid)
            if looked.all():
                pass
            elif self.first_look.borne_out(before, log_odds, looked):
                _keep(before, looked, log_odds)
            else:
                self._answer(shown, None, log_odds, class_id, grid)
        if self.novelty is not None:
            inside, unknown = logit(self.edge), max(self.classes)
            for place, odds in self.novelty.log_odds(shown, threshold=self.threshold):
                own = log_odds[place]
                novel = (odds > own) & (own < inside)
                own[novel] = odds[novel]
                class_id[place][novel] = unknown
        seen = Segmentation(log_odds, class_id, camera_bits=bits)
        if grid is not None and grid.cells is not None:
            seen = replace(seen, cells=grid.cells, cell_px=grid.px, sample=sample)
        if self.image_score is not None:
            seen = replace(seen, score=self.image_score(seen, threshold=self.threshold, edge=self.edge))
        return seen

    def _answer(
        self,
        pixels: NDArray[np.uint8],
        cores: Sequence[Box] | None,
        log_odds: NDArray[np.float16],
        class_id: NDArray[np.uint8],
        grid: _Grid | None,
    ) -> None:
        """What the network says of `cores`, or of the whole frame, written into `log_odds` and `class_id`."""
        ids = np.array(sorted(self.classes), np.uint8)
        look = describing(self.look)
        said = tiled.answers(
            pixels,
            look.see,
            reach=self.reach,
            stride=self.stride,
            cores=cores,
            inside=look.inside,
            abreast=look.abreast,
        )
        for box, (odds, kind, *cells) in said:
            if grid is not None and cells:
                grid.keep(box, cells[0])
            place = np.s_[box.y : box.bottom, box.x : box.right]
            log_odds[place] = calibrated(odds, *self.calibration)
            class_id[place] = ids[kind]

    def _follow(
        self,
        pixels: NDArray[np.uint8],
        wanted: NDArray[np.bool_],
        log_odds: NDArray[np.float16],
        class_id: NDArray[np.uint8],
        grid: _Grid | None,
    ) -> NDArray[np.bool_]:
        """Look at the wanted cells, and on from there as far as what is found reaches; which were looked at."""
        height, width = log_odds.shape
        looked = np.zeros_like(wanted)
        while wanted.any():
            cores = cover(wanted, height, width, cell=CELL_PX, reach=self.reach, stride=self.stride)
            self._answer(pixels, cores, log_odds, class_id, grid)
            if cores is None:
                return np.ones_like(wanted)
            mark(looked, cores)
            wanted = beyond(log_odds, looked, self.whole_from)
        return looked


@dataclass(slots=True)
class _Grid:
    """The cells of a frame, as they come in core by core."""

    height: int
    width: int
    px: int = 0
    cells: NDArray[np.float16] | None = None

    def keep(self, box: Box, cells: NDArray[np.float32]) -> None:
        if self.cells is None:
            self.px = 16 if cells.shape[1:] == (-(-box.height // 16), -(-box.width // 16)) else 8
            shape = (len(cells), -(-self.height // self.px), -(-self.width // self.px))
            self.cells = np.full(shape, np.nan, np.float16)
        top, left = box.y // self.px, box.x // self.px
        place = np.s_[:, top : top + cells.shape[1], left : left + cells.shape[2]]
        self.cells[place] = np.clip(cells, -LARGEST, LARGEST)


def _described(before: Seen, height: int, width: int, grid: _Grid | None) -> Box | None:
    """Note what the encoder is known to make of each place; where nobody has said so, the sample that is to be looked
    at for it."""
    if grid is None:
        return None
    for box, cells in before.described:
        grid.keep(box, cells)
    if before.described:
        return None
    sample = sample_of(height, width)
    mark(before.wanted, [sample])
    return sample


def _keep(before: Seen, looked: NDArray[np.bool_], log_odds: NDArray[np.float16]) -> None:
    """Write what was known before into the cells that were not looked at."""
    if before.highest is None:
        return
    width = log_odds.shape[1]
    for row, (known, here) in enumerate(zip(before.highest.astype(np.float16), ~looked, strict=True)):
        lines = log_odds[row * CELL_PX : (row + 1) * CELL_PX]
        np.copyto(lines, known.repeat(CELL_PX)[:width], where=here.repeat(CELL_PX)[:width])


def looking_everywhere(segmenter: Segmenter) -> Segmenter:
    """The same, with an answer for every place."""
    if isinstance(segmenter, FrameSegmenter) and segmenter.first_look is not None:
        return replace(segmenter, first_look=segmenter.first_look.everywhere)
    return segmenter


def unknown_id(classes: Iterable[int]) -> int:
    """The class id of what only a memory of clean parts finds: the next after the model's own.

    Raises:
        InvalidInput: that would be IGNORE, which means that nobody knows what a pixel is.
    """
    found = max(classes) + 1
    if found >= IGNORE:
        raise InvalidInput(
            f"a model with the class id {found - 1} cannot remember clean parts: what only its memory finds would get "
            f"the id {found}, which means that nobody knows; give its classes ids of at most {IGNORE - 2}, train again"
        )
    return found


def from_card(
    card: Mapping[str, Any],
    look: Look,
    *,
    runtime: str,
    novelty: Novelty | None = None,
    first_look: Sparing | None = None,
) -> FrameSegmenter:
    """A look at work as the card of its model says.

    Raises:
        InvalidInput: a memory, and no class id left for what only it finds.
    """
    classes = {int(k): str(v) for k, v in sorted(card["classes"].items(), key=lambda item: int(item[0]))}
    if novelty is not None:
        classes[unknown_id(classes)] = UNKNOWN
    return FrameSegmenter(
        look,
        classes,
        reach=int(card["reach_px"]),
        stride=network_config(card["network"]).stride,
        calibration=(float(card["calibration"]["scale"]), float(card["calibration"]["offset"])),
        threshold=float(card["threshold"]),
        edge=float(card.get("edge", card["threshold"])),
        model_id=str(card["id"]),
        runtime=runtime,
        novelty=novelty,
        first_look=first_look,
        image_score=image_score.from_card(card),
        camera_bits=card.get("camera_bits"),
    )
