"""What looks suspicious and is harmless: dust, lint, water stains, fingerprints, pen marks, chatter, reflections.

None of it is in a mask. A model that calls it a defect is wrong.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from qc.geometry import Box
from segmentation.render.layout import Shape
from segmentation.render.surface import Field, Surface, soft_noise


def dirty(surface: Surface, shape: Shape, rng: np.random.Generator) -> None:
    """Put a part's share of harmless marks on it, in place; each kind comes on some parts only."""
    for share, mark in (
        (0.6, _dust),
        (0.15, _lint),
        (0.25, _water_stain),
        (0.2, _fingerprint),
        (0.12, _pen_mark),
        (0.15, _chatter),
    ):
        if rng.random() < share:
            mark(surface, shape, rng)


def _reflection(light: Field, rng: np.random.Generator) -> None:
    """A window or a second lamp mirrored in the metal: belongs to the room, so it is elsewhere in every view."""
    if rng.random() > 0.25:
        return
    height, width = light.shape
    cx, cy = rng.uniform(0, width), rng.uniform(0, height)
    wide, tall = rng.uniform(0.05, 0.22) * width, rng.uniform(0.05, 0.3) * height
    x = (np.arange(width, dtype=np.float32) - np.float32(cx)) / np.float32(wide)
    y = (np.arange(height, dtype=np.float32) - np.float32(cy)) / np.float32(tall)
    strength = float(rng.uniform(0.08, 0.3)) * float(np.median(light[::16, ::16]))
    glow = np.outer(np.exp(-0.5 * y**4), np.exp(-0.5 * x**4))
    light += np.float32(strength) * np.asarray(glow, np.float32)


def _spot(rng: np.random.Generator, surface: Surface, size: float) -> Box:
    """A box of about `size` px somewhere on the surface."""
    height, width = surface.gx.shape
    side_x, side_y = min(int(size), width - 2), min(int(size), height - 2)
    return Box(int(rng.integers(0, width - side_x)), int(rng.integers(0, height - side_y)), side_x, side_y)


def _polar(box: Box) -> tuple[Field, Field]:
    """Radius (1 at the box's nearest edge) and angle around the middle of a box."""
    x = np.linspace(-1.0, 1.0, box.width, dtype=np.float32)[None, :] * np.ones((box.height, 1), np.float32)
    y = np.linspace(-1.0, 1.0, box.height, dtype=np.float32)[:, None] * np.ones((1, box.width), np.float32)
    radius, angle = cv2.cartToPolar(x, y)
    return np.asarray(radius, np.float32), np.asarray(angle, np.float32)


def _dust(surface: Surface, shape: Shape, rng: np.random.Generator) -> None:
    """Grains lying on top: bright and soft, with a faint shadow, one to three pixels."""
    height, width = surface.gx.shape
    for _ in range(int(rng.integers(2, 26))):
        x, y = int(rng.integers(6, width - 6)), int(rng.integers(6, height - 6))
        if not shape.inside[y, x]:
            continue
        spread = float(rng.uniform(0.5, 1.1))
        window = np.arange(-5, 6, dtype=np.float32)
        bump = np.exp(-0.5 * (window / spread) ** 2)
        grain = np.outer(bump, bump) * np.float32(rng.uniform(0.15, 0.6))
        surface.albedo[y - 5 : y + 6, x - 5 : x + 6] *= 1.0 + grain - 0.35 * np.roll(grain, (1, 1), (0, 1))


def _lint(surface: Surface, shape: Shape, rng: np.random.Generator) -> None:
    """A curled fibre of a wiping cloth: as long as a scratch, but it curls, and looks the same in all light."""
    steps = int(rng.integers(60, 200))
    turn = np.cumsum(rng.normal(0.0, 0.004, steps)) + rng.choice([-1, 1]) * rng.uniform(0.02, 0.05)
    heading = rng.uniform(0, 2 * math.pi) + np.cumsum(turn)
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1), axis=0)
    height, width = surface.gx.shape
    path += rng.uniform((0.1 * width, 0.1 * height), (0.9 * width, 0.9 * height)) - path[0]
    drawn = np.zeros((height, width), np.uint8)
    cv2.polylines(drawn, [np.rint(path * 16).astype(np.int32)], False, 255, 2, cv2.LINE_AA, 4)
    box = Box(*cv2.boundingRect(drawn)) if drawn.any() else None
    if box is None:
        return
    box = box.grown(8, width=width, height=height)
    place = np.s_[box.y : box.bottom, box.x : box.right]
    fibre = cv2.GaussianBlur(drawn[place].astype(np.float32) / 255, (0, 0), 1.0)
    shadow = cv2.GaussianBlur(np.roll(fibre, (3, 3), (0, 1)), (0, 0), 2.0)
    surface.albedo[place] *= 1.0 + np.float32(rng.uniform(0.25, 0.55)) * fibre - 0.3 * shadow


def _water_stain(surface: Surface, shape: Shape, rng: np.random.Generator) -> None:
    """The rim that a dried drop leaves, and a slightly duller middle."""
    for _ in range(int(rng.integers(1, 4))):
        box = _spot(rng, surface, rng.uniform(40, 200))
        radius, angle = _polar(box)
        edge = 0.72 + 0.10 * np.sin(angle * 2 + rng.uniform(0, 6)) + 0.06 * np.sin(angle * 5 + rng.uniform(0, 6))
        rim = np.exp(-0.5 * ((radius - edge) / 0.045) ** 2)
        place = np.s_[box.y : box.bottom, box.x : box.right]
        surface.albedo[place] *= 1.0 - np.float32(rng.uniform(0.03, 0.11)) * rim
        surface.gloss[place] *= 1.0 - np.float32(rng.uniform(0.03, 0.12)) * (radius < edge)


def _fingerprint(surface: Surface, shape: Shape, rng: np.random.Generator) -> None:
    """Ridges of grease, fading towards the rim of the finger."""
    box = _spot(rng, surface, rng.uniform(110, 190))
    radius, angle = _polar(box)
    wave = soft_noise(rng, box.height, box.width, size=60)
    ridges = 0.5 + 0.5 * np.sin(radius * rng.uniform(45, 60) + 1.6 * wave + 1.5 * np.sin(angle + rng.uniform(0, 6)))
    pad = np.clip(1.2 - radius / 0.75, 0.0, 1.0) * np.clip(0.7 + 0.4 * wave, 0.0, 1.0)
    place = np.s_[box.y : box.bottom, box.x : box.right]
    surface.gloss[place] *= 1.0 - np.float32(rng.uniform(0.10, 0.3)) * ridges * pad
    surface.albedo[place] *= 1.0 - np.float32(0.03) * pad


def _pen_mark(surface: Surface, shape: Shape, rng: np.random.Generator) -> None:
    """A felt-tip tick or stroke by the worker: wide, even, with soft ends."""
    height, width = surface.gx.shape
    start = rng.uniform((0.15 * width, 0.15 * height), (0.85 * width, 0.85 * height))
    stroke = np.cumsum(np.vstack([start, rng.normal(0, 45, (int(rng.integers(1, 3)), 2))]), axis=0)
    drawn = np.zeros((height, width), np.uint8)
    cv2.polylines(drawn, [np.rint(stroke).astype(np.int32)], False, 255, int(rng.integers(8, 15)), cv2.LINE_AA)
    if not drawn.any():
        return
    box = Box(*cv2.boundingRect(drawn)).grown(6, width=width, height=height)
    place = np.s_[box.y : box.bottom, box.x : box.right]
    ink = cv2.GaussianBlur(drawn[place].astype(np.float32) / 255, (0, 0), 1.4)
    surface.albedo[place] *= 1.0 - np.float32(rng.uniform(0.35, 0.65)) * ink
    surface.gloss[place] *= 1.0 - 0.4 * ink


def _chatter(surface: Surface, shape: Shape, rng: np.random.Generator) -> None:
    """A band where the tool sang: regular ripples, shallow, across a whole strip."""
    height, width = surface.gx.shape
    angle = rng.uniform(0, math.pi)
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(rng.uniform(0, width))
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(rng.uniform(0, height))
    c, s = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    along, across = c * x + s * y, c * y - s * x
    band = np.exp(-0.5 * (across / np.float32(rng.uniform(30, 90))) ** 2)
    ripple = np.sin(along * np.float32(2 * math.pi / rng.uniform(10, 28)))
    ripple *= band
    ripple *= np.float32(rng.uniform(0.008, 0.025))
    surface.gx[:] += c * ripple
    surface.gy[:] += s * ripple


def room_light(light: Field, rng: np.random.Generator) -> None:
    """What the room adds to a view, in place: now and then a reflection, always a slow unevenness of the lamp."""
    _reflection(light, rng)
    height, width = light.shape
    light *= 1.0 + np.float32(0.03) * soft_noise(rng, height, width, size=400)
