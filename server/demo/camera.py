"""The line's cameras: three pictures of every part, and the truth about them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from segmentation.render import RenderedPart, render_part
from server.demo.config import DemoConfig
from server.demo.truth import Truth

JPEG_QUALITY = 92
"""As industrial cameras deliver it: no blocks to be seen, about 0.1 MB a picture."""


@dataclass(frozen=True, slots=True)
class Station:
    """A camera station, looking at one kind of surface."""

    name: str
    surface: str
    design: int
    """Parts at one station share edges, holes and marks."""


STATIONS = (
    Station("brush-1", "brushed", 44),
    Station("mill-1", "machined", 49),
    Station("paint-1", "coated", 45),
)


@dataclass(frozen=True, slots=True)
class Shot:
    """What the cameras of one station took of one part."""

    station: str
    pictures: dict[str, bytes]
    """View name to JPEG."""
    defective: bool
    """Is a defect visible in any of the pictures?"""
    defects: tuple[str, ...]
    """The class names of the visible ones."""


def shoot(config: DemoConfig, number: int, truth: Truth) -> Shot:
    """Photograph part `number`; the same number gives the same bytes: a repeated trigger brings the same part."""
    station = STATIONS[number % len(STATIONS)]
    seed = int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0])
    part = render_part(
        seed, width=config.width, height=config.height, surface=station.surface, design=station.design + config.seed
    )
    return develop(part, station.name, truth)


def develop(part: RenderedPart, station: str, truth: Truth) -> Shot:
    """Compress the pictures and remember the truth about them."""
    pictures = {}
    for view in part.views:
        done, data = cv2.imencode(".jpg", view.pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not done:
            raise ValueError(f"a picture of {view.pixels.shape} cannot be written as JPEG")
        pictures[view.name] = data.tobytes()
        truth.keep(pictures[view.name], view.mask)
    shown = sorted({d.class_name for view in part.views for d in view.defects if d.visible})
    return Shot(station=station, pictures=pictures, defective=part.defective, defects=tuple(shown))
