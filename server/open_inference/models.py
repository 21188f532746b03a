"""What is served, by name: the champion, the model and rules of each product, and the champion's bare network.

    champion            the champion, judged by the default product's rules
    <product>           what serves that product, judged by its rules
    champion-network    the champion's network alone, window by window, as `qc export` writes it

A model's version is the beginning of its id. Nothing that is asked here is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput, NotFound
from qc.frame import MAX_PIXELS, Frame
from qc.inspection import inspect
from qc.ports import Segmenter
from segmentation.looking import DescribingLook
from segmentation.predict import Remembering
from segmentation.tiled import SMALLEST_PX
from server.context import Context
from server.open_inference.spare import Pause
from server.open_inference.tensors import Spec

CHAMPION, NETWORK = "champion", "champion-network"

VERSION_LETTERS = 12
"""Of a model's id: 48 bits tell the models of a plant apart."""

LARGEST_WINDOW_PX = 3072**2
"""Area of a window of the bare network, at most: more than `segmentation.tiled` asks about, and features of 3.3 GB."""

PICTURE = Spec("picture", "UINT8", (1, -1, -1, 3))

JUDGED = (
    Spec("log_odds", "FP32", (1, -1, -1)),
    Spec("class_id", "UINT8", (1, -1, -1)),
    Spec("verdict", "BYTES", (1,)),
    Spec("score", "FP32", (1,)),
)
"""Calibrated log-odds of any defect; the likeliest class's id; ok, ng or review; how likely the frame shows a defect.
The leading 1 of the planes is left out where the picture came without it."""

Found = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Served:
    """A model that can be asked."""

    name: str
    version: str
    runtime: str
    """What computes it."""
    outputs: tuple[Spec, ...]
    answer: Callable[[NDArray[np.uint8], Pause], Found]
    """A picture, `H x W x 3` or `1 x H x W x 3`, to the outputs; raises InvalidInput for a size that is not taken."""

    def as_json(self) -> dict[str, Any]:
        """Its metadata in the protocol's words."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": f"qc_{self.runtime}",
            "inputs": [PICTURE.as_json()],
            "outputs": [spec.as_json() for spec in self.outputs],
        }


def names(context: Context) -> list[str]:
    """Every name that can be asked, the champion's first; of a product that is called like one of ours only ours."""
    ours = [CHAMPION]
    if _bare(context.need_champion().serving()) is not None:
        ours.append(NETWORK)
    return ours + [name for name in context.policies.products() if name not in (CHAMPION, NETWORK)]


def served(context: Context, name: str, version: str | None = None) -> Served:
    """The model of a name, in the version that serves now.

    Raises:
        NotFound: no such name, or another version serves.
        Unavailable: it is not loaded (yet).
    """
    known = name in (CHAMPION, NETWORK) or name in context.policies.products()
    product = context.settings.default_product if name in (CHAMPION, NETWORK) else name
    if not known:
        raise NotFound(f"there is no model {name[:64]!r}; POST /v2/repository/index lists them")
    segmenter = context.need_champion().serving("" if name in (CHAMPION, NETWORK) else product)
    runtime = str(getattr(segmenter, "runtime", "torch"))
    now = version_of(segmenter)
    if version is not None and version != now:
        raise NotFound(f"{name} is version {now} now; there is no version {version[:64]!r}")
    if name != NETWORK:
        return Served(
            name, now, runtime, JUDGED, lambda picture, pause: _judge(context, segmenter, product, picture, pause)
        )
    return network(name, segmenter)


def network(name: str, segmenter: Segmenter) -> Served:
    """A model's network alone, under `name`; raises NotFound where it cannot be asked by itself."""
    bare = _bare(segmenter)
    if bare is None:
        raise NotFound(f"the champion's network cannot be asked by itself; ask {CHAMPION}")
    outputs: tuple[Spec, ...] = (Spec("log_odds", "FP32", (-1, -1)), Spec("class_place", "UINT8", (-1, -1)))
    if _tells_cells(bare):
        outputs = (*outputs, Spec("cells", "FP32", (-1, -1, -1)))
    return Served(name, version_of(segmenter), bare.runtime, outputs, lambda picture, pause: _window(bare, picture))


def version_of(segmenter: Segmenter) -> str:
    """The beginning of the model's id, without what kind of hash it is."""
    return segmenter.model_id.removeprefix("sha256:")[:VERSION_LETTERS]


def _bare(segmenter: Segmenter) -> Any | None:
    """The segmenter, if it is a network at windows (`segmentation.segmenter.FrameSegmenter`)."""
    return segmenter if hasattr(segmenter, "look") and hasattr(segmenter, "stride") else None


def _judge(context: Context, segmenter: Segmenter, product: str, picture: NDArray[np.uint8], pause: Pause) -> Found:
    height, width = picture.shape[-3:-1]
    if height * width > MAX_PIXELS:
        raise InvalidInput(f"the picture has {width} x {height} px; at most {MAX_PIXELS} pixels are taken")
    eyes = Remembering(_giving_way(segmenter, pause))
    frame = Frame(picture.reshape(height, width, 3), view="", sha256="")
    found = inspect(frame, eyes, context.policies.get(product))
    seen, planes = eyes.last, picture.shape[:-1]
    if seen is None:
        raise AssertionError("an inspection looks at its frame")
    return {
        "log_odds": seen.log_odds.astype(np.float32).reshape(planes),
        "class_id": seen.class_id.reshape(planes),
        "verdict": np.array([str(found.verdict).encode()], object),
        "score": np.array([found.score], np.float32),
    }


def _window(bare: Any, picture: NDArray[np.uint8]) -> Found:
    height, width = picture.shape[-3:-1]
    stride = bare.stride
    if any(n % stride or n < SMALLEST_PX for n in (height, width)) or height * width > LARGEST_WINDOW_PX:
        raise InvalidInput(
            f"a window's sides are multiples of {stride} px from {SMALLEST_PX} px on, its area is at most "
            f"{LARGEST_WINDOW_PX:,} px, not {width} x {height}; {CHAMPION} takes frames of any size"
        )
    window = picture.reshape(height, width, 3)
    planes = bare.look.see(window) if isinstance(bare.look, DescribingLook) else bare.look(window)
    return dict(zip(("log_odds", "class_place", "cells"), planes, strict=False))


_TELLS_CELLS: dict[tuple[str, str], bool] = {}
"""(model, runtime) -> whether its encoder's cells come out; known once it was asked."""


def _tells_cells(bare: Any) -> bool:
    """Does the network say what its encoder makes of each place?"""
    if not isinstance(bare.look, DescribingLook):
        return False
    key = bare.model_id, bare.runtime
    if key not in _TELLS_CELLS:
        _TELLS_CELLS[key] = len(bare.look.see(np.zeros((SMALLEST_PX, SMALLEST_PX, 3), np.uint8))) > 2
    return _TELLS_CELLS[key]


def _giving_way(segmenter: Segmenter, pause: Pause) -> Segmenter:
    """The same answers, with a pause before each window in which the line may go first."""
    bare = _bare(segmenter)
    if bare is None:
        return segmenter

    def look(window: NDArray[np.uint8]) -> Any:
        pause()
        return bare.look(window)

    return cast(Segmenter, replace(bare, look=look, keep_cells=False))
