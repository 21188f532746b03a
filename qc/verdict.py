"""Policy: which defect, from which size, in which zone, makes a part ok, doubtful or not good.

A policy is a file for each product that a user edits::

    product: seat-bar
    mm_per_px: 0.05                  # optional; or by station and view: {station-1: {top: 0.05}}
    camera_bits: 12                  # optional, for 16-bit pictures; or by station and view, as mm_per_px
    default: {ng: {}, review: {}}               # classes that are not named below
    classes:
      scratch: {ng: {length_mm: 1.0}, review: {}}
      stain: {ng: never, review: never}         # harmless
    zones:                           # optional; the first zone that a pixel of a defect touches decides
      - {name: edge, view: top, box: [0, 0, 4000, 120], classes: {scratch: {ng: never, review: {}}}}
      - {name: seat, view: top, polygon: [[900, 300], [1500, 420], [880, 700]], classes: {scratch: {ng: {}}}}

A rule such as `{length_mm: 1.0}` holds when every size named is reached (`score`, `area_px`, `length_px`, `width_px`,
`area_mm2`, `length_mm`, `width_mm`); `{}` asks for no size, `never` never holds. Unless the rule names its own
`score`, `ng` needs a defect that counts (at or above the model's threshold), and `review` one that comes close to it
(with odds of at least a quarter of the threshold's).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import yaml

from qc.defects import Defect
from qc.errors import InvalidInput
from qc.frame import check_depth
from qc.geometry import Box
from qc.plain_yaml import parsed

T = TypeVar("T")

UNKNOWN = "unknown"
"""Class of what no class was ever learnt for, and no clean part ever showed: a person looks, unless a rule names it."""


class Verdict(StrEnum):
    """What we say about a part; from best to worst."""

    OK = "ok"
    REVIEW = "review"
    """A person should look: something is there that is too doubtful or too close to the limit."""
    NG = "ng"
    """Not good."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a part from those of its views: the worst; `ok` for none."""
    order = list(Verdict)
    return max(verdicts, key=order.index, default=Verdict.OK)


_SIZES = ("score", "area_px", "length_px", "width_px", "area_mm2", "length_mm", "width_mm")


@dataclass(frozen=True, slots=True)
class Rule:
    """Smallest sizes, all of which must be reached; `None` in place of a rule means never."""

    at_least: Mapping[str, float] = field(default_factory=dict)

    def holds(self, defect: Defect, *, sure_enough: bool) -> bool:
        """Is the defect as large and as sure as the rule says?

        Args:
            defect: as found on a frame.
            sure_enough: whether it is, for a rule that names no score.

        Raises:
            InvalidInput: the rule asks for millimetres and the frame is not calibrated.
        """
        if "score" not in self.at_least and not sure_enough:
            return False
        measured = defect.as_json()
        for name, limit in self.at_least.items():
            value = measured[name]
            if value is None:
                raise InvalidInput(f"the rule for {defect.class_name} asks for {name}, but this view has no mm_per_px")
            if float(value) < limit:  # type: ignore[arg-type]
                return False
        return True


@dataclass(frozen=True, slots=True)
class ClassRule:
    """When a defect of one class is not good, and when it is doubtful."""

    ng: Rule | None = field(default_factory=Rule)
    review: Rule | None = field(default_factory=Rule)

    def judge(self, defect: Defect) -> Verdict:
        """The verdict on one defect alone."""
        if self.ng is not None and self.ng.holds(defect, sure_enough=defect.counts):
            return Verdict.NG
        if self.review is not None and self.review.holds(defect, sure_enough=defect.close):
            return Verdict.REVIEW
        return Verdict.OK


NOBODY_KNOWS = ClassRule(ng=None, review=Rule())
"""The rule for `UNKNOWN` where the policy has none."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A region of a view with rules of its own. In frame pixels."""

    name: str
    box: Box
    classes: Mapping[str, ClassRule]
    view: str | None = None
    """The view it lies on; None: on every view."""
    polygon: tuple[tuple[int, int], ...] = ()
    """Corners `(x, y)` of a zone that is no upright rectangle; `box` then holds it."""

    def touches(self, defect: Defect) -> bool:
        """Does a pixel of the defect lie in the zone? Its box decides where its outline is not known."""
        if not self.box.touches(defect.box):
            return False
        if not defect.outline:
            return True
        window = np.zeros((defect.box.height, defect.box.width), np.uint8)
        own, zone = window.copy(), window
        corner = -defect.box.x, -defect.box.y
        rings = [np.array(ring, np.int32)[:, None] for ring in defect.outline]
        cv2.drawContours(own, rings, -1, 1, cv2.FILLED, offset=corner)
        if self.polygon:
            cv2.fillPoly(zone, [np.array(self.polygon, np.int32)], 1, offset=corner)
        else:
            left, top = max(self.box.x - defect.box.x, 0), max(self.box.y - defect.box.y, 0)
            zone[top : self.box.bottom - defect.box.y, left : self.box.right - defect.box.x] = 1
        return bool((own & zone).any())


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one product."""

    product: str
    classes: Mapping[str, ClassRule] = field(default_factory=dict)
    default: ClassRule = field(default_factory=ClassRule)
    zones: tuple[Zone, ...] = ()
    mm_per_px: float | Mapping[str, Mapping[str, float]] | None = None
    camera_bits: int | Mapping[str, Mapping[str, int]] | None = None
    """How many bits the cameras put at the low end of 16-bit pictures (10, 12, 14); 16 where they stand at the high
    end. None: as the model's own pictures had it."""

    def judge(self, defects: Iterable[Defect], *, view: str = "") -> Verdict:
        """The verdict on one view, from all of its defects."""
        return worst(self._rule(defect, view).judge(defect) for defect in defects)

    def scale(self, *, station: str, view: str) -> float | None:
        """Millimetres per pixel of a station's view, or None where nobody calibrated it."""
        if self.mm_per_px is None or isinstance(self.mm_per_px, float):
            return self.mm_per_px
        return self.mm_per_px.get(station, {}).get(view)

    def depth(self, *, station: str, view: str) -> int | None:
        """The bits of a station's camera, or None where nobody told them."""
        if self.camera_bits is None or isinstance(self.camera_bits, int):
            return self.camera_bits
        return self.camera_bits.get(station, {}).get(view)

    def _rule(self, defect: Defect, view: str) -> ClassRule:
        for zone in self.zones:
            if zone.view in (None, view) and zone.touches(defect) and defect.class_name in zone.classes:
                return zone.classes[defect.class_name]
        return self.classes.get(defect.class_name, NOBODY_KNOWS if defect.class_name == UNKNOWN else self.default)


def read_policy(path: Path) -> Policy:
    """The policy in a file; raises InvalidInput with the place of the mistake."""
    try:
        content = parsed(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path.name} cannot be read: {error}") from error
    return parse_policy(content, where=path.name)


def parse_policy(content: Any, *, where: str = "policy") -> Policy:
    """A policy from what YAML or JSON gave; raises InvalidInput with the place of the mistake."""
    servers = {"customer", "gate", "money", "doubt"}  # for the server alone (`server.policies`)
    top = _mapping(content, where, {"product", "mm_per_px", "camera_bits", "default", "classes", "zones"} | servers)
    return Policy(
        product=str(top.get("product", "")),
        mm_per_px=_by_view(top.get("mm_per_px"), f"{where}: mm_per_px", _positive),
        camera_bits=_by_view(top.get("camera_bits"), f"{where}: camera_bits", check_depth),
        default=_class_rule(top.get("default", {}), f"{where}: default"),
        classes=_class_rules(top.get("classes", {}), f"{where}: classes"),
        zones=tuple(_zone(z, f"{where}: zones[{i}]") for i, z in enumerate(top.get("zones") or [])),
    )


def _mapping(value: Any, where: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} must be a mapping of {sorted(known)}, not {value!r}")
    if unknown := sorted(set(map(str, value)) - known):
        raise InvalidInput(f"{where} does not know {unknown}; it knows {sorted(known)}")
    return value


def _positive(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InvalidInput(f"{where} must be a positive number, not {value!r}")
    return float(value)


def _by_view(value: Any, where: str, read: Callable[[Any, str], T]) -> T | dict[str, dict[str, T]] | None:
    """One value for all cameras, or by station and view; each as `read` checks it."""
    if value is None:
        return None
    if not isinstance(value, dict):
        return read(value, where)
    for station, views in value.items():
        if not isinstance(views, dict):
            raise InvalidInput(f"{where}.{station} must map views to values, not {views!r}")
    return {str(s): {str(v): read(n, f"{where}.{s}.{v}") for v, n in views.items()} for s, views in value.items()}


def _rule(value: Any, where: str) -> Rule | None:
    if value == "never":
        return None
    sizes = _mapping(value, where, set(_SIZES))
    for name, limit in sizes.items():
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit < float("inf"):
            raise InvalidInput(f"{where}.{name} must be a number of at least 0, not {limit!r}")
    return Rule({name: float(limit) for name, limit in sizes.items()})


def _class_rule(value: Any, where: str) -> ClassRule:
    parts = _mapping(value, where, {"ng", "review"})
    return ClassRule(**{name: _rule(rule, f"{where}.{name}") for name, rule in parts.items()})


def _class_rules(value: Any, where: str) -> dict[str, ClassRule]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} must map class names to rules, not {value!r}")
    return {str(name): _class_rule(rule, f"{where}.{name}") for name, rule in value.items()}


def _zone(value: Any, where: str) -> Zone:
    parts = _mapping(value, where, {"name", "view", "box", "polygon", "classes"})
    if ("box" in parts) == ("polygon" in parts):
        raise InvalidInput(f"{where} must have either a box or a polygon")
    polygon: tuple[tuple[int, int], ...] = ()
    if "polygon" in parts:
        polygon = _polygon(parts["polygon"], f"{where}.polygon")
        (left, right), (top, bottom) = ((min(c), max(c)) for c in zip(*polygon, strict=True))
        box = [left, top, right - left + 1, bottom - top + 1]
    else:
        box = parts["box"]
    if not (isinstance(box, list) and len(box) == 4 and all(isinstance(n, int) for n in box)):
        raise InvalidInput(f"{where}.box must be [x, y, width, height] in whole pixels, not {box!r}")
    view = parts.get("view")
    return Zone(
        name=str(parts.get("name", where)),
        box=Box(*box),
        classes=_class_rules(parts.get("classes", {}), f"{where}.classes"),
        view=None if view is None else str(view),
        polygon=polygon,
    )


def _polygon(value: Any, where: str) -> tuple[tuple[int, int], ...]:
    def is_corner(corner: Any) -> bool:
        return isinstance(corner, list) and len(corner) == 2 and all(type(n) is int for n in corner)

    if not (isinstance(value, list) and len(value) >= 3 and all(is_corner(c) for c in value)):
        raise InvalidInput(f"{where} must be at least three corners [x, y] in whole pixels, not {value!r}")
    return tuple((c[0], c[1]) for c in value)
