"""What the model saw on a crop, as regions that a person can edit: what a label task begins with.

Label Studio's page gives every brush stroke two layers as large as the picture is shown, encodes each as a picture, and
does so again at every zoom: about a fifth of a second of one core for a stroke, next to nothing for a polygon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labeling.convert import Blemish, blemishes, joined, regions, surest
from labeling.instances import Map, apart, boxes
from labeling.outlines import Ring, outline, simplified
from labeling.tasks import DOUBT
from labeling.taut import exact
from qc.records import Exposure

MOST_PROPOSED = 40
"""Regions drawn beforehand on one crop, surest first; beyond, a class shares one."""

MOST_STROKES = 2
"""Blemishes on one crop that are brush strokes where the page begins; where there are more, it is there half a
second of a core sooner with polygons alone."""

Results = list[dict[str, Any]]


def proposals(
    exposure: Exposure, instances: Map | None, classes: Mapping[int, str]
) -> Sequence[Sequence[Mapping[str, Any]]]:
    """The model's masks on a crop in three ways; one empty proposal where it saw nothing.

    First as polygons of few corners, then as brush strokes, last as the page opens soonest (`opening`): with that it
    begins. The last two are exact. A way that would repeat another is left out.

    Args:
        instances: `H x W` of the crop: 0 background, else 1 + the place of the pixel's defect in `exposure.defects`.
        classes: class id to label.
    """
    if instances is None:
        return [[]]
    shown = surest(_found(exposure, instances, classes), MOST_PROPOSED)
    if not shown:
        return [[]]
    size, ways = instances.shape, list[Results]()
    edges = [outline(blemish.pixels, diagonal=True) for blemish in shown]
    few_corners = [simplified(blemish.pixels, edge) for blemish, edge in zip(shown, edges, strict=True)]
    for way in (opening(shown, edges, size), regions(shown, size), regions(shown, size, rings=few_corners)):
        if way not in ways:
            ways.append(way)
    return ways[::-1]


def _found(exposure: Exposure, instances: Map, classes: Mapping[int, str]) -> list[Blemish]:
    """The blemishes of known classes on a crop that count or are doubtful, or else the first three."""
    ids, there = {name: class_id for class_id, name in classes.items()}, boxes(instances)
    known = [(k, d) for k, d in enumerate(exposure.defects, start=1) if d["class"] in ids and k in there]
    sure = [(k, d) for k, d in known if d.get("counts") or d["score"] >= DOUBT] or known[:3]
    class_of = np.zeros(max(there, default=0) + 1, np.uint8)
    score_of = np.zeros(class_of.shape, np.float32)
    for k, defect in sure:
        class_of[k], score_of[k] = ids[defect["class"]], defect["score"]
    found = list[Blemish]()
    for class_id in np.flatnonzero(np.bincount(class_of)[1:]) + 1:
        for box in apart([there[k] for k, _ in sure if class_of[k] == class_id]):
            own = instances[box.y : box.bottom, box.x : box.right]
            mask = class_of.take(own)
            mask[mask != class_id] = 0
            inside = blemishes(mask, classes, scores=score_of.take(own))
            found += [blemish.shifted(dx=box.x, dy=box.y) for blemish in inside]
    return found


def opening(shown: Sequence[Blemish], edges: Sequence[Ring], size: tuple[int, ...]) -> Results:
    """Blemishes as regions that the page draws at once, exact to the pixel.

    Up to `MOST_STROKES` are brush strokes; more are polygons (`labeling.taut`). Of those what no polygon can hold (with
    a hole, or ragged) is a stroke too, one for each class.

    Args:
        edges: outlines of the blemishes, with corners passed.
        size: height and width of the crop.
    """
    if len(shown) <= MOST_STROKES:
        return regions(shown, size)
    rings = [exact(blemish.pixels, edge) for blemish, edge in zip(shown, edges, strict=True)]
    ragged = joined([blemish for blemish, ring in zip(shown, rings, strict=True) if ring is None])
    held = [(blemish, ring) for blemish, ring in zip(shown, rings, strict=True) if ring is not None]
    kept = [*ragged, *(blemish for blemish, _ in held)]
    return regions(kept, size, rings=[*[None] * len(ragged), *(ring for _, ring in held)])
