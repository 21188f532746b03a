"""From a mask to what a person would have drawn in Label Studio: brush strokes in its own format."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput

MISSED = 0.03
"""Share of defects that even a careful person overlooks."""

UNEVEN = 0.3
"""Share of defects whose outline is drawn a pixel too wide."""

SMALL_PX = 6
"""Nobody draws fewer pixels than this."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a labelling project offers, read from its configuration."""

    brush: str
    """Name of the brush control."""
    image: str
    """Name of the image that it draws on."""
    labels: tuple[str, ...]
    """The brush's labels."""
    choices: str | None = None
    """Name of the control for `nothing`, if there is one."""
    nothing: str | None = None
    """The choice that says that there is no defect."""


def read_tools(config: str) -> Tools:
    """The brush and the `nothing here` choice of a project's configuration; raises InvalidInput without a brush."""
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as error:
        raise InvalidInput(f"the project's configuration is not XML: {error}") from error
    brush = next(iter(root.iter("BrushLabels")), None)
    if brush is None:
        raise InvalidInput("the project has no brush to draw with")
    choices = next(iter(root.iter("Choices")), None)
    nothing = None if choices is None else next((c.get("value") for c in choices.iter("Choice")), None)
    return Tools(
        brush=brush.get("name", ""),
        image=brush.get("toName", ""),
        labels=tuple(label.get("value", "") for label in brush.iter("Label")),
        choices=None if choices is None else choices.get("name"),
        nothing=nothing,
    )


def sloppy(mask: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The mask as a person draws it: now and then a defect is missed, or drawn a pixel too wide."""
    drawn = np.zeros_like(mask)
    for class_id in (int(c) for c in np.unique(mask) if 0 < c < 255):
        number, blobs = cv2.connectedComponents((mask == class_id).astype(np.uint8), connectivity=8)
        for k in range(1, number):
            blob = (blobs == k).astype(np.uint8)
            if blob.sum() < SMALL_PX or rng.random() < MISSED:
                continue
            if rng.random() < UNEVEN:
                blob = np.asarray(cv2.dilate(blob, np.ones((2, 2), np.uint8)), np.uint8)
            drawn[blob > 0] = class_id
    return drawn


def draw(mask: NDArray[np.uint8], classes: Mapping[int, str], tools: Tools) -> list[dict[str, Any]]:
    """The result of an annotation: one brush region for each class, or the choice that nothing is there.

    Args:
        mask: `H x W` class ids, of the size of the task's picture.
        classes: class id to name.

    Raises:
        InvalidInput: the project has no label for a class that is in the mask.
    """
    from label_studio_sdk.converter import brush

    height, width = mask.shape
    result: list[dict[str, Any]] = []
    for class_id in (int(c) for c in np.unique(mask) if 0 < c < 255):
        name = classes.get(class_id, str(class_id))
        if name not in tools.labels:
            raise InvalidInput(f"the project has no label {name}; it has {', '.join(tools.labels)}")
        strokes = brush.mask2rle(np.where(mask == class_id, 255, 0).astype(np.uint8))  # type: ignore[no-untyped-call]
        result.append(
            {
                "id": uuid.uuid4().hex[:10],
                "type": "brushlabels",
                "from_name": tools.brush,
                "to_name": tools.image,
                "origin": "manual",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {"format": "rle", "rle": strokes, "brushlabels": [name]},
            }
        )
    if not result and tools.choices and tools.nothing:
        result.append(
            {
                "id": uuid.uuid4().hex[:10],
                "type": "choices",
                "from_name": tools.choices,
                "to_name": tools.image,
                "origin": "manual",
                "value": {"choices": [tools.nothing]},
            }
        )
    return result
