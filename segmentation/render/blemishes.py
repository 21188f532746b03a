"""Defects: scratches, dents and pits, as marks worked into the metal in part coordinates.

One part has one set of them; every view sees the same marks in another light.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput
from qc.geometry import Box
from segmentation.render.layout import Shape
from segmentation.render.surface import Field, Surface

CLASSES = {1: "scratch", 2: "dent", 3: "pit"}

MIX = {"scratch": 0.5, "dent": 0.2, "pit": 0.3}
"""How often each class comes; scratches lead, as on most metal lines."""


@dataclass(frozen=True, slots=True)
class Blemish:
    """One defect on the part, as changes to the piece of surface within `box`."""

    class_id: int
    box: Box
    """On the whole surface, in px; large enough for everything the defect changes."""
    gx: Field
    """Change of slope, `box.height x box.width`."""
    gy: Field
    albedo: Field
    """Factor on the light that comes back; 1 for no change."""
    extent: NDArray[np.bool_]
    """Where a careful person would draw it, if the light shows it."""
    reach_px: float
    """How far along the defect the eye joins what it sees; larger than the defect: seen whole or not at all."""

    def press_into(self, surface: Surface) -> None:
        """Work the defect into the metal."""
        place = np.s_[self.box.y : self.box.bottom, self.box.x : self.box.right]
        surface.gx[place] += self.gx
        surface.gy[place] += self.gy
        surface.albedo[place] *= self.albedo


def plant(surface: Surface, shape: Shape, rng: np.random.Generator, names: Sequence[str]) -> list[Blemish]:
    """Blemishes of the classes named, each somewhere on the face of the part; nothing is pressed in yet.

    Raises:
        InvalidInput: a name is not in `CLASSES`.
    """
    makers = {"scratch": _scratch, "dent": _dent, "pit": _pits}
    found = []
    for name in names:
        if name not in makers:
            raise InvalidInput(f"there is no defect {name!r}; choose from {', '.join(makers)}")
        found.append(makers[name](rng, _somewhere(rng, shape), surface.gx.shape))
    return found


def draw_lots(rng: np.random.Generator, *, clean: float) -> list[str]:
    """Which defects a part gets; none with probability `clean`."""
    if rng.random() < clean:
        return []
    count = 1 + int(rng.poisson(0.7))
    return [str(name) for name in rng.choice(list(MIX), count, p=list(MIX.values()))]


def _somewhere(rng: np.random.Generator, shape: Shape) -> tuple[float, float]:
    height, width = shape.inside.shape
    x, y = width // 2, height // 2
    for _ in range(60):
        x, y = int(rng.uniform(0.06, 0.94) * width), int(rng.uniform(0.06, 0.94) * height)
        if shape.inside[y, x]:
            break
    return float(x), float(y)


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Log-uniform: as many between 2 and 4 as between 4 and 8."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def wander(rng: np.random.Generator, length: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A curve as a hand or a chip draws it: its heading (radians) at every point, and its points (x, y) in px.

    It goes through (0, 0) in its middle. Two points a pixel; it bends by about 40 degrees from end to end, however
    long, and wanders about as much.
    """
    steps = max(8, int(length * 2))
    bend = rng.normal(0.0, 0.7) / length + np.cumsum(rng.normal(0.0, 1.0 / (length * math.sqrt(steps)), steps))
    heading = rng.uniform(0.0, 2.0 * math.pi) + np.cumsum(bend * length / steps)
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0) * (length / steps)
    return heading, path - path[steps // 2]


def frame_around(shape: tuple[int, ...], points: NDArray[np.float64], margin: float) -> Box:
    """The box around points (x, y), cut at the surface's edges."""
    left, top = (max(0, math.floor(v - margin)) for v in points.min(axis=0))
    right, bottom = (math.ceil(v + margin) + 1 for v in points.max(axis=0))
    right, bottom = min(right, shape[1]), min(bottom, shape[0])
    return Box(min(left, right - 1), min(top, bottom - 1), max(1, right - left), max(1, bottom - top))


def _scratch(rng: np.random.Generator, at: tuple[float, float], shape: tuple[int, ...]) -> Blemish:
    """A thin groove along a curve: 20-400 px long, 2-6 px wide, its depth varying with the pressure that cut it."""
    length, width = between(rng, 20.0, 400.0), between(rng, 2.0, 6.0)
    heading, path = wander(rng, length)
    steps = len(path)
    path += np.asarray(at)
    along = np.linspace(0.0, 1.0, steps)
    taper = np.minimum(1.0, np.minimum(along, 1.0 - along) * length / 14.0 + 0.25)
    knots = max(3, int(length / 30))
    pressure = np.interp(along, np.linspace(0, 1, knots), rng.uniform(0.45, 1.0, knots)) * taper
    wide = np.maximum(2.0, width * (0.6 + 0.4 * pressure))
    steep = between(rng, 0.09, 0.55) * pressure
    fresh = rng.uniform(-0.12, 0.10) * pressure

    box = frame_around(shape, path, width + 3.0)
    reach = math.ceil(width / 2.0) + 1
    offset = np.arange(-reach, reach + 1)
    oy, ox = (o.ravel() for o in np.meshgrid(offset, offset, indexing="ij"))
    px = np.rint(path[:, :1]).astype(int) + ox
    py = np.rint(path[:, 1:]).astype(int) + oy
    dx, dy = px - path[:, :1], py - path[:, 1:]
    tx, ty = np.cos(heading)[:, None], np.sin(heading)[:, None]
    forward, side = dx * tx + dy * ty, dy * tx - dx * ty
    near = (np.abs(forward) <= 0.75) & (px >= box.x) & (px < box.right) & (py >= box.y) & (py < box.bottom)
    near &= np.abs(side) <= wide[:, None] / 2.0 + 0.3
    point, _ = np.nonzero(near)
    rows, columns = py[near] - box.y, px[near] - box.x
    profile = steep[point] * np.sin(2.0 * np.pi * np.clip(side[near] / wide[point], -0.5, 0.5))
    gx, gy, albedo, extent = _blank(box)
    gx[rows, columns] = profile * -np.sin(heading)[point]
    gy[rows, columns] = profile * np.cos(heading)[point]
    albedo[rows, columns] = 1.0 + fresh[point]
    extent[rows, columns] = True
    return Blemish(1, box, gx, gy, albedo, extent, reach_px=10.0)


def _dent(rng: np.random.Generator, at: tuple[float, float], shape: tuple[int, ...]) -> Blemish:
    """A shallow hollow: one flank brighter, the other darker, no sharp edge anywhere."""
    size = between(rng, 7.0, 34.0)
    other, angle = size * rng.uniform(0.6, 1.0), rng.uniform(0.0, math.pi)
    steep = between(rng, 0.035, 0.14)
    box = frame_around(shape, np.asarray([at]), 3.2 * size)
    x = np.arange(box.x, box.right, dtype=np.float32)[None, :] - np.float32(at[0])
    y = np.arange(box.y, box.bottom, dtype=np.float32)[:, None] - np.float32(at[1])
    c, s = math.cos(angle), math.sin(angle)
    u, v = (c * x + s * y) / size, (c * y - s * x) / other
    radius2 = u * u + v * v
    bowl = np.float32(steep * math.exp(0.5)) * np.exp(-0.5 * radius2)
    return Blemish(
        class_id=2,
        box=box,
        gx=np.asarray(bowl * (u * c - v * s * size / other), np.float32),
        gy=np.asarray(bowl * (u * s + v * c * size / other), np.float32),
        albedo=np.ones_like(radius2, dtype=np.float32),
        extent=np.asarray(radius2 <= 1.7**2),
        reach_px=1e6,
    )


def _pits(rng: np.random.Generator, at: tuple[float, float], shape: tuple[int, ...]) -> Blemish:
    """One to eight small dark holes close together, as corrosion or a bubble in the casting leaves them."""
    count = int(rng.choice([1, 1, 2, 3, 4, 6, 8]))
    centres = np.asarray(at) + rng.normal(0.0, 4.0 + 3.0 * count, (count, 2))
    radii = np.exp(rng.uniform(math.log(1.6), math.log(5.5), count))
    box = frame_around(shape, centres, 12.0)
    x = np.arange(box.x, box.right, dtype=np.float32)[None, :]
    y = np.arange(box.y, box.bottom, dtype=np.float32)[:, None]
    gx, gy, albedo, extent = _blank(box)
    for (cx, cy), radius in zip(centres, radii, strict=True):
        stretch = np.float32(rng.uniform(0.75, 1.3))
        dx, dy = (x - np.float32(cx)) * stretch, (y - np.float32(cy)) / stretch
        distance = np.sqrt(dx * dx + dy * dy)
        hole = np.clip((radius + 0.6 - distance) / 1.2, 0.0, 1.0)
        rim = np.exp(-0.5 * ((distance - radius) / 0.9) ** 2) * np.float32(rng.uniform(0.1, 0.5))
        unit = np.maximum(distance, 0.5)
        albedo *= 1.0 - np.float32(rng.uniform(0.22, 0.7)) * hole
        gx += rim * dx / unit
        gy += rim * dy / unit
        extent |= distance <= radius + 0.3
    return Blemish(3, box, gx, gy, albedo, extent, reach_px=1e6)


def _blank(box: Box) -> tuple[Field, Field, Field, NDArray[np.bool_]]:
    size = (box.height, box.width)
    return np.zeros(size, np.float32), np.zeros(size, np.float32), np.ones(size, np.float32), np.zeros(size, np.bool_)
