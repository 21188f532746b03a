"""What defects look like, in words of the person who wants to find them: a YAML file, checked strictly.

`defects_example.yaml` beside this file explains every field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from qc.errors import InvalidInput
from qc.plain_yaml import parsed

KINDS = ("scratch", "crack", "dent", "pit", "stain")

TOP = ("unit", "mm_per_px", "light", "blur_px", "classes")
NEEDED = ("kind", "length", "width", "contrast")
OPTIONAL = ("direction", "where", "per_image", "relief", "cluster", "tint")
ONLY_FOR = {"relief": ("scratch", "pit"), "cluster": ("pit",)}

THINNEST_PX, LONGEST_PX = 0.3, 20_000.0
"""A line below a third of a pixel is drawn by no lens; nothing is longer than the largest frame."""

MOST_PER_IMAGE = 50
DARKEST, BRIGHTEST = -0.95, 3.0
"""Contrast: all but a twentieth of the light gone; four times the light."""

Numbers = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Defect:
    """One class of the description; ranges are (low, high), both included."""

    name: str
    kind: str
    """One of `KINDS`."""
    length_px: Numbers
    width_px: Numbers
    contrast: Numbers
    """Change of brightness at the strongest place, as a share of the brightness there; negative is darker."""
    direction_deg: Numbers
    """From the rows' direction, counter-clockwise as seen: 0 lies, 90 stands."""
    per_image: tuple[int, int]
    relief: Numbers
    """How strongly flanks catch the light, beside the darkness of the hollow: 0 flat, 1 as much."""
    cluster: tuple[int, int]
    """Holes close together (pits)."""
    tint: tuple[float, float, float]
    """Factor on the contrast in red, green and blue."""
    polygon: tuple[Numbers, ...] = ()
    """Where it may lie, x and y as shares of the picture; empty: anywhere."""
    area: NDArray[np.bool_] | None = None
    """Where it may lie, as a mask of any size that is stretched over the picture."""

    def region(self, height: int, width: int) -> NDArray[np.bool_]:
        """`height x width`: where it may lie."""
        if self.area is not None:
            stretched = cv2.resize(self.area.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
            return np.asarray(stretched > 0)
        if not self.polygon:
            return np.ones((height, width), np.bool_)
        filled = np.zeros((height, width), np.uint8)
        corners = np.asarray(self.polygon, np.float64) * (width - 1, height - 1)
        cv2.fillPoly(filled, [np.rint(corners).astype(np.int32)], 1)
        return np.asarray(filled > 0)


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """All classes, and the light they are seen in."""

    defects: tuple[Defect, ...]
    light_deg: float | None
    """Where the lamp stands, counter-clockwise from the right as seen; None: another direction for every picture."""
    mm_per_px: float | None
    blur_px: float | None
    """How far the lens spreads a point (standard deviation); None: measured in every picture."""


def read_description(path: Path, *, mm_per_px: float | None = None) -> Description:
    """Read and check a description.

    Args:
        path: a YAML file; mask files are found beside it.
        mm_per_px: calibration of the pictures, where the description has none.

    Raises:
        InvalidInput: the file cannot be read, or a field is missing, unknown, or outside of what is allowed; the
            message names the field and what is allowed.
    """
    try:
        found = parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"the description {path} cannot be read: {' '.join(str(error).split())}") from error
    about = _mapping(found, path.name)
    _only(about, path.name, TOP, needed=("classes",))
    unit = about.get("unit", "px")
    if unit not in ("px", "mm"):
        raise InvalidInput(f"unit must be px or mm, not {unit!r}")
    scale = mm_per_px
    if about.get("mm_per_px") is not None:
        scale = _number(about["mm_per_px"], "mm_per_px", 1e-6, 1e3)
    if unit == "mm" and scale is None:
        raise InvalidInput("unit is mm, so mm_per_px must say how large a pixel is, such as mm_per_px: 0.05")
    light = about.get("light", "any")
    classes = _mapping(about["classes"], "classes")
    if not classes:
        raise InvalidInput("classes must hold at least one class")
    per_px = 1.0 if unit == "px" else 1.0 / float(scale or 1.0)
    return Description(
        defects=tuple(
            _defect(_name(name), _mapping(entry, f"classes.{name}"), per_px=per_px, unit=unit, folder=path.parent)
            for name, entry in classes.items()
        ),
        light_deg=None if light == "any" else _number(light, "light (degrees, or any)", -360.0, 360.0),
        mm_per_px=scale,
        blur_px=None if about.get("blur_px") is None else _number(about["blur_px"], "blur_px", 0.3, 10.0, "px"),
    )


def _defect(name: str, entry: Mapping[str, Any], *, per_px: float, unit: str, folder: Path) -> Defect:
    field = f"classes.{name}"
    _only(entry, field, NEEDED + OPTIONAL, needed=NEEDED)
    kind = entry["kind"]
    if kind not in KINDS:
        raise InvalidInput(f"{field}.kind must be one of {', '.join(KINDS)}, not {kind!r}")
    for key, kinds in ONLY_FOR.items():
        if key in entry and kind not in kinds:
            raise InvalidInput(f"{field}.{key} is for {' and '.join(kinds)} only, not for a {kind}; remove it")
    sizes = {}
    for key, least in (("length", 1.0), ("width", THINNEST_PX)):
        low, high = _range(entry[key], f"{field}.{key}", least / per_px, LONGEST_PX / per_px, unit)
        sizes[key] = low * per_px, high * per_px
    if sizes["width"][0] > sizes["length"][1]:
        raise InvalidInput(f"{field}.width begins above the end of {field}.length; the length is the longer side")
    allowed = (0.01, 1.0) if kind == "dent" else (DARKEST, BRIGHTEST)
    contrast = _range(entry["contrast"], f"{field}.contrast", *allowed)
    if contrast == (0.0, 0.0):
        raise InvalidInput(f"{field}.contrast is 0, which nobody can see; give a share of the brightness such as -0.3")
    polygon, area = _where(entry.get("where", "whole"), f"{field}.where", folder)
    return Defect(
        name=name,
        kind=kind,
        length_px=sizes["length"],
        width_px=sizes["width"],
        contrast=contrast,
        direction_deg=_direction(entry.get("direction", "any"), f"{field}.direction"),
        per_image=_whole(entry.get("per_image", [0, 2]), f"{field}.per_image", 0, MOST_PER_IMAGE),
        relief=_range(entry.get("relief", [0.3, 0.9]), f"{field}.relief", 0.0, 2.0),
        cluster=_whole(entry.get("cluster", [1, 1]), f"{field}.cluster", 1, MOST_PER_IMAGE),
        tint=_tint(entry.get("tint", [1.0, 1.0, 1.0]), f"{field}.tint"),
        polygon=polygon,
        area=area,
    )


def _mapping(value: object, field: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{field} must be a table of fields and values, not {_brief(value)}")
    return value


def _only(entry: Mapping[Any, Any], field: str, allowed: tuple[str, ...], *, needed: tuple[str, ...]) -> None:
    if unknown := [str(key) for key in entry if key not in allowed]:
        raise InvalidInput(f"{field} has no field {', '.join(unknown)}; allowed are {', '.join(allowed)}")
    if missing := [key for key in needed if entry.get(key) is None]:
        raise InvalidInput(f"{field} needs {', '.join(missing)}")


def _name(value: object) -> str:
    name = str(value).strip()
    if not isinstance(value, str) or not name:
        raise InvalidInput(f"the name of a class must be a word, not {value!r}")
    return name


def _number(value: object, field: str, low: float, high: float, unit: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidInput(f"{field} must be a number from {low:g} to {high:g}{_in(unit)}, not {_brief(value)}")
    return float(value)


def _range(value: object, field: str, low: float, high: float, unit: str = "") -> Numbers:
    """One number, or two in order."""
    ends = value if isinstance(value, list) and len(value) == 2 else [value, value]
    numbers = [
        v if not isinstance(v, bool) and isinstance(v, int | float) and math.isfinite(v) else math.nan for v in ends
    ]
    if not low <= numbers[0] <= numbers[1] <= high:
        raise InvalidInput(
            f"{field} must be [low, high] or one number, from {low:g} to {high:g}{_in(unit)}, not {_brief(value)}"
        )
    return float(numbers[0]), float(numbers[1])


def _whole(value: object, field: str, low: int, high: int) -> tuple[int, int]:
    first, last = _range(value, field, low, high)
    if first != int(first) or last != int(last):
        raise InvalidInput(f"{field} must be whole numbers, not {_brief(value)}")
    if last == 0:
        raise InvalidInput(f"{field} ends at 0, so none would ever be drawn; remove the class or allow at least 1")
    return int(first), int(last)


def _direction(value: object, field: str) -> Numbers:
    if value == "any":
        return 0.0, 180.0
    low, high = _range(value, f"{field} (degrees, or any)", -180.0, 360.0)
    if high - low > 180.0:
        raise InvalidInput(f"{field} spans {high - low:g} degrees; a line has all its directions in 180, say any")
    return low, high


def _tint(value: object, field: str) -> tuple[float, float, float]:
    if not isinstance(value, list) or len(value) != 3:
        raise InvalidInput(f"{field} must be three factors [red, green, blue] from 0 to 1, not {_brief(value)}")
    red, green, blue = (_number(v, field, 0.0, 1.0) for v in value)
    if not max(red, green, blue):
        raise InvalidInput(f"{field} is 0 in all three colours, which nobody can see")
    return red, green, blue


def _where(value: object, field: str, folder: Path) -> tuple[tuple[Numbers, ...], NDArray[np.bool_] | None]:
    if value == "whole":
        return (), None
    if isinstance(value, list):
        if len(value) < 3 or not all(isinstance(p, list) and len(p) == 2 for p in value):
            raise InvalidInput(f"{field} must have at least three corners [x, y], not {_brief(value)}")
        return tuple((_number(x, field, 0.0, 1.0), _number(y, field, 0.0, 1.0)) for x, y in value), None
    if not isinstance(value, str):
        raise InvalidInput(f"{field} must be whole, corners [[x, y], ...] or a mask file, not {_brief(value)}")
    file = folder / value
    try:
        mask = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    except (OSError, cv2.error) as error:
        raise InvalidInput(f"{field} must be whole, corners [[x, y], ...] or a mask file; {file} has none") from error
    if mask is None or not mask.any():
        raise InvalidInput(f"{field}: {file} is not a picture, or black all over; white is where defects may lie")
    return (), np.asarray(mask > 0)


def _in(unit: str) -> str:
    return f" {unit}" if unit else ""


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
