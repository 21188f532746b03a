"""How small a defect a model finds and what it missed, on its held-back parts: what its card shows to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segmentation.matching import ImageFacts
from segmentation.metrics import collect
from segmentation.sections import detection

LONGEST = 12
"""Misses that a card names: as many as a person looks at."""


def finding(
    facts: Sequence[ImageFacts], classes: Mapping[int, str], *, threshold: float, mm_per_px: float | None = None
) -> dict[str, Any]:
    """For a card's figures.

    Args:
        facts: of at least one held-back image.
        threshold: score from which a defect counts as found.
        mm_per_px: of the images, where they are calibrated.

    Returns:
        `detection`: the probability of detection over length, of all defects and of every class, as in the report of
        `qc evaluate`, with `sizes`, the shortest and the longest defect, all in mm or else px (`unit`); without `sizes`
        where none was drawn.
        `misses`: the longest defects that no prediction of that score finds: image, class, `length_px`, `length_mm`
        (null: not calibrated), `area_px`, `box` (x, y, w, h in px of the image) and `found_at`, the lower score that
        would find it, or null.
    """
    figures = collect(facts)
    told = detection(figures, classes, threshold, mm_per_px)
    lengths = figures.defect_length_px * (1.0 if mm_per_px is None else mm_per_px)
    if lengths.size:
        told["sizes"] = [round(float(lengths.min()), 3), round(float(lengths.max()), 3)]
    missed = [(d, f.image) for f in facts for d in f.defects if d.found_at is None or d.found_at < threshold]
    missed.sort(key=lambda m: (-m[0].length_px, m[1]))
    return {
        "detection": told,
        "misses": [
            {
                "image": image,
                "class": classes[d.class_id],
                "length_px": round(d.length_px, 1),
                "length_mm": None if mm_per_px is None else round(d.length_px * mm_per_px, 3),
                "area_px": d.area_px,
                "box": [d.box.x, d.box.y, d.box.width, d.box.height],
                "found_at": None if d.found_at is None else round(d.found_at, 4),
            }
            for d, image in missed[:LONGEST]
        ],
    }
