"""The metal itself: how its surface leans, pixel by pixel, and how it throws light back.

A surface is held as slopes rather than heights, because light only ever sees slopes. Everything that is worked into the
metal (a tool's marks, an engraving, a scratch, a dent) adds to the slopes; everything that lies on it (dust, a stain, a
coat of paint) changes how much light comes back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput
from qc.geometry import Box

Field = NDArray[np.float32]

SURFACES = ("brushed", "machined", "coated")


@dataclass(frozen=True, slots=True)
class Surface:
    """A piece of metal. The arrays are `H x W` float32 and are worked on in place, as the metal is."""

    gx: Field
    """Slope to the right: how far the surface rises for one pixel; 0 is flat."""
    gy: Field
    """Slope downwards, in the same unit."""
    albedo: Field
    """How much of the light comes back, 1 for clean metal."""
    gloss: Field
    """How much of the mirror-like light comes back, 1 for clean metal."""
    grain_x: float | Field
    """Across the grain (the direction in which the tool's marks follow each other): unit vector, x."""
    grain_y: float | Field
    rough_across: float
    """Spread of the micro slopes across the grain; with the size of the lamp in it."""
    rough_along: float
    """The same along the grain; much smaller on brushed and turned metal: that is why it shines from one side only."""
    matt: float
    """Share of the light that is scattered evenly, in [0, 1]."""

    def cut(self, box: Box) -> Surface:
        """A copy of the part of the surface within `box`."""
        place = np.s_[box.y : box.bottom, box.x : box.right]
        return replace(
            self,
            gx=self.gx[place].copy(),
            gy=self.gy[place].copy(),
            albedo=self.albedo[place].copy(),
            gloss=self.gloss[place].copy(),
            grain_x=self.grain_x if isinstance(self.grain_x, float) else self.grain_x[place],
            grain_y=self.grain_y if isinstance(self.grain_y, float) else self.grain_y[place],
        )


def make_surface(
    kind: str, style: np.random.Generator, rng: np.random.Generator, *, height: int, width: int
) -> Surface:
    """A clean piece of metal `height x width` pixels.

    Args:
        kind: one of `SURFACES`, else InvalidInput.
        style: how the surface is made (direction, feed, roughness); parts of one design share it.
        rng: what is by chance on this piece.
    """
    makers = {"brushed": _brushed, "machined": _machined, "coated": _coated}
    if kind not in makers:
        raise InvalidInput(f"there is no surface {kind!r}; choose one of {', '.join(SURFACES)}")
    return makers[kind](style, rng, height, width)


def noise(rng: np.random.Generator, height: int, width: int) -> Field:
    """White noise, standard deviation 1."""
    return rng.standard_normal((height, width), dtype=np.float32)


def soft_noise(rng: np.random.Generator, height: int, width: int, *, size: float) -> Field:
    """Smooth noise of standard deviation 1 whose hills are about `size` pixels wide."""
    step = max(1.0, size / 2.0)
    small = noise(rng, max(4, math.ceil(height / step)), max(4, math.ceil(width / step)))
    small = np.asarray(cv2.GaussianBlur(small, (0, 0), 1.2), np.float32)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large / max(float(small.std()), 1e-6), np.float32)


def _brushed(style: np.random.Generator, rng: np.random.Generator, height: int, width: int) -> Surface:
    """Ground with a belt: streaks of many lengths in one direction, nearly along one side of the part."""
    upright = style.random() < 0.3
    tilt = float(style.normal(0.0, 1.5))
    long_side, short_side = (height, width) if upright else (width, height)
    spare = int(0.12 * long_side) + 8  # so that turning by a few degrees never shows the end of the belt
    rows, columns = short_side + spare, long_side + spare
    belt = noise(rng, rows, columns)
    lengths = (int(style.integers(15, 40)), int(style.integers(90, 260)))
    streaks = np.zeros_like(belt)
    for length, share in zip(lengths, (0.75, 0.65), strict=True):
        run = cv2.blur(belt, (length, 1))
        streaks += run * np.float32(share / max(float(run[::4, ::4].std()), 1e-6))
        belt = belt[::-1]  # another place of the same belt; cheaper than new noise
    lines = noise(rng, rows, 1)
    streaks += 0.5 * lines * np.abs(lines)  # single grains of the belt that cut deeper, from end to end
    centre = (columns / 2.0, rows / 2.0)
    turn = np.asarray(cv2.getRotationMatrix2D(centre, tilt, 1.0), np.float64)
    turn[:, 2] -= ((columns - long_side) / 2.0, (rows - short_side) / 2.0)
    flat: Field = np.asarray(cv2.warpAffine(streaks, turn, (long_side, short_side), borderMode=cv2.BORDER_REFLECT_101))
    depth = np.float32(style.uniform(0.012, 0.034))
    angle = math.radians(90.0 - tilt)  # across the grain
    gx_unit, gy_unit = math.cos(angle), math.sin(angle)
    if upright:
        flat = np.ascontiguousarray(flat.T)
        gx_unit, gy_unit = gy_unit, gx_unit
    flat *= depth
    return Surface(
        gx=flat * np.float32(gx_unit),
        gy=flat * np.float32(gy_unit),
        albedo=1.0 + 0.02 * soft_noise(rng, height, width, size=180),
        gloss=1.0 + 0.06 * soft_noise(rng, height, width, size=260),
        grain_x=gx_unit,
        grain_y=gy_unit,
        rough_across=float(style.uniform(0.30, 0.42)),
        rough_along=float(style.uniform(0.17, 0.24)),
        matt=float(style.uniform(0.12, 0.25)),
    )


def _machined(style: np.random.Generator, rng: np.random.Generator, height: int, width: int) -> Surface:
    """Turned on a lathe (rings around a centre) or milled (arcs that follow each other)."""
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    if style.random() < 0.5:
        cx = np.float32(style.uniform(-0.6, 1.6) * width)
        cy = np.float32(style.choice([style.uniform(-1.2, -0.3), style.uniform(1.3, 2.2)]) * height)
        dx, dy = x - cx, y - cy
        phase = np.sqrt(dx * dx + dy * dy)
        ux, uy = dx / phase, dy / phase
    else:
        radius = np.float32(style.uniform(0.75, 1.6) * height)
        dy = np.broadcast_to(y - np.float32(height / 2.0), (height, width))
        run = np.sqrt(radius * radius - dy * dy)
        side = np.float32(style.choice([-1.0, 1.0]))
        phase = x - side * run + 2.0 * radius
        ux, uy = side * run / radius, dy / radius
    feed = float(style.uniform(4.0, 16.0))  # px between two passes of the tool
    groove = _tool_marks(rng, reach=float(phase.max()) + 4.0, feed=feed)
    marks = groove[(phase * 4.0).astype(np.int32)]
    marks += 0.35 * noise(rng, height, width)
    marks *= np.float32(style.uniform(0.012, 0.035))
    return Surface(
        gx=marks * ux,
        gy=marks * uy,
        albedo=1.0 + 0.02 * soft_noise(rng, height, width, size=220),
        gloss=1.0 + 0.05 * soft_noise(rng, height, width, size=300),
        grain_x=ux,
        grain_y=uy,
        rough_across=float(style.uniform(0.30, 0.42)),
        rough_along=float(style.uniform(0.20, 0.28)),
        matt=float(style.uniform(0.15, 0.30)),
    )


def _tool_marks(rng: np.random.Generator, *, reach: float, feed: float) -> Field:
    """The slope a tool leaves, sampled 4 times a pixel: one round for each pass, and no two passes quite alike."""
    where = np.arange(int(reach * 4.0) + 8, dtype=np.float32) / 4.0
    passes = int(reach / feed) + 4
    depth = rng.uniform(0.55, 1.25, passes).astype(np.float32)
    start = np.cumsum(feed * rng.normal(1.0, 0.05, passes).clip(0.6, 1.4)).astype(np.float32)
    number = np.minimum(np.searchsorted(start, where), passes - 1)
    begin = np.concatenate([[0.0], start]).astype(np.float32)[number]
    round_ = (where - begin) / np.maximum(start[number] - begin, 1e-3)
    wave = np.sin(2.0 * np.pi * round_, dtype=np.float32) * depth[number]
    fine = cv2.GaussianBlur(noise(rng, 1, where.size), (0, 0), 3.0)[0]
    return np.asarray(wave + 0.6 * fine / max(float(fine.std()), 1e-6), np.float32)


def _coated(style: np.random.Generator, rng: np.random.Generator, height: int, width: int) -> Surface:
    """Painted or powder coated: the skin of an orange, and a fine grain."""
    size = float(style.uniform(9.0, 22.0))
    skin = soft_noise(rng, height, width, size=size)
    steepness = np.float32(style.uniform(0.010, 0.030) * size / 3.0)
    grain: Field = np.asarray(cv2.GaussianBlur(noise(rng, height, width), (0, 0), 0.9))
    grain /= max(float(grain[::4, ::4].std()), 1e-6)
    coat = float(style.uniform(0.6, 1.0))
    return Surface(
        gx=cv2.Scharr(skin, cv2.CV_32F, 1, 0, scale=1 / 32) * steepness,
        gy=cv2.Scharr(skin, cv2.CV_32F, 0, 1, scale=1 / 32) * steepness,
        albedo=np.float32(coat) * (1.0 + np.float32(style.uniform(0.01, 0.045)) * grain),
        gloss=1.0 + 0.04 * soft_noise(rng, height, width, size=260),
        grain_x=1.0,
        grain_y=0.0,
        rough_across=float(style.uniform(0.22, 0.34)),
        rough_along=float(style.uniform(0.22, 0.34)),
        matt=float(style.uniform(0.45, 0.75)),
    )
