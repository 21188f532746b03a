"""What a camera counts is a measurement of the step that it looks at: from an inspection's defects to readings.

    measurements:
      scratches: {from: {station: s1, class: scratch, what: count}, upper: 2}
      scratch_length: {from: {station: s1, class: scratch, what: length}, unit: mm}

Only defects that count (at or above the model's threshold) are taken. A part that was not inspected has no reading; one
that was and shows nothing has 0, and no place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from process_opt.counted import AMOUNT, COUNT, NUMBER
from qc.errors import InvalidInput

WHATS = {
    "count": COUNT,
    "length": AMOUNT,
    "max_length": AMOUNT,
    "area": AMOUNT,
    "max_area": AMOUNT,
    "x": NUMBER,
    "y": NUMBER,
}
"""What can be read off the defects of a class, and what kind of reading it is. Lengths and areas are sums over all of
an inspection's pictures, `max_` those of the largest; `x` and `y` say where the middle of the longest
defect's box lies,
from 0 (left, top) to 1."""
_KNOWN = {"station", "class", "what", "view"}
_MEASURED = {"length": "length", "max_length": "length", "area": "area", "max_area": "area"}


@dataclass(frozen=True, slots=True)
class Source:
    """Where the readings of a measurement come from."""

    station: str
    defect_class: str
    """Empty: defects of every class."""
    what: str
    """One of `WHATS`."""
    view: str = ""
    """Only pictures of this view; empty: all."""

    @property
    def kind(self) -> str:
        """Of its readings: number, count or amount."""
        return WHATS[self.what]


def parse_source(raw: Any, where: str) -> Source:
    """A source from YAML or JSON; raises InvalidInput with the place of the mistake."""
    if not isinstance(raw, Mapping):
        raise InvalidInput(f"{where} must be like {{station: s1, class: scratch, what: count}}, not {raw!r:.80}")
    if unknown := sorted(set(map(str, raw)) - _KNOWN):
        raise InvalidInput(f"{where} does not know {unknown[0]!r}; it knows {sorted(_KNOWN)}")
    words = {name: raw.get(name, "") for name in _KNOWN}
    if wrong := [name for name, value in words.items() if not isinstance(value, str)]:
        raise InvalidInput(f"{where}: {wrong[0]} must be a name, not {words[wrong[0]]!r:.80}")
    if not words["station"]:
        raise InvalidInput(f"{where} must name the station whose inspections it takes")
    if words["what"] not in WHATS:
        raise InvalidInput(f"{where}: what must be one of {', '.join(WHATS)}, not {words['what']!r:.40}")
    return Source(words["station"], words["class"], words["what"], words["view"])


def reading_of(
    source: Source, pictures: Iterable[tuple[str, int, int, list[dict[str, Any]]]], *, unit: str = ""
) -> float | None:
    """One inspection's reading.

    Args:
        pictures: view, width and height in pixels, and the defects as the inspection keeps them (contract 3, with
            `counts`).
        unit: `mm` or `mm2` for lengths and areas in millimetres; else pixels.

    Returns:
        None where there is nothing to read: no picture of the view, no defect whose place could be told, or a length in
        millimetres of a station without calibration.
    """
    chosen = [p for p in pictures if not source.view or p[0] == source.view]
    if not chosen:
        return None
    found = [
        (width, height, defect)
        for _, width, height, defects in chosen
        for defect in defects
        if defect.get("counts", True) and (not source.defect_class or defect["class"] == source.defect_class)
    ]
    if source.what == "count":
        return float(len(found))
    if source.what in ("x", "y"):
        if not found:
            return None
        width, height, longest = max(found, key=lambda f: float(f[2]["length_px"]))
        left, top, w, h = longest["bbox"]
        return float((left + w / 2) / width if source.what == "x" else (top + h / 2) / height)
    name = _MEASURED[source.what]
    ending = ("_mm" if name == "length" else "_mm2") if unit.startswith("mm") else "_px"
    sizes = [defect.get(name + ending) for _, _, defect in found]
    if any(size is None for size in sizes):
        return None
    known = [float(size) for size in sizes if size is not None]
    return max(known, default=0.0) if source.what.startswith("max_") else math.fsum(known)
