"""Dents, pits and stains: patches with an outline."""

from __future__ import annotations

import math

import cv2
import numpy as np

from qc.geometry import Box
from segmentation.render.blemishes import frame_around
from segmentation.render.likeness import soften
from segmentation.render.marks import Curve, Mark, Site
from segmentation.render.surface import Field


def _polar(
    rng: np.random.Generator, box: Box, middle: Curve, length: float, width: float, heading: float, *, rough: float
) -> tuple[Field, Field]:
    """Of every pixel: its distance from the middle in radii (1 on the outline), and its distance in px."""
    x = np.arange(box.x, box.right, dtype=np.float32)[None, :] - np.float32(middle[0])
    y = np.arange(box.y, box.bottom, dtype=np.float32)[:, None] - np.float32(middle[1])
    c, s = math.cos(-heading), math.sin(-heading)
    u, v = (c * x + s * y) / np.float32(length / 2), (c * y - s * x) / np.float32(width / 2)
    angle = np.arctan2(v, u)
    outline = np.ones_like(u)
    for k in range(2, 7):
        swing = np.float32(rng.normal(0.0, rough / k**0.8))
        outline += swing * np.cos(np.float32(k) * angle + np.float32(rng.uniform(0, 2 * math.pi)))
    return np.asarray(np.hypot(u, v) / np.clip(outline, 0.4, 1.6), np.float32), np.hypot(x, y)


def _slopes(height: Field) -> tuple[Field, Field]:
    """To the right and downwards, 1 where steepest; for a piece of any size."""
    down, right = np.gradient(cv2.copyMakeBorder(height, 1, 1, 1, 1, cv2.BORDER_REPLICATE))
    steepest = max(float(np.hypot(right, down)[1:-1, 1:-1].max()), 1e-9)
    return (
        np.asarray(right[1:-1, 1:-1] / steepest, np.float32),
        np.asarray(down[1:-1, 1:-1] / steepest, np.float32),
    )


def dent(rng: np.random.Generator, site: Site) -> Mark:
    """A smooth hollow: one side lit, the other shaded, the finish still there."""
    box = frame_around(site.shape, site.at[None], site.length + site.margin)
    radius, _ = _polar(rng, box, site.at, site.length, site.width, site.heading, rough=0.06)
    # the flank is steepest at half the radius and has run out at 1.7 of these
    height = -np.exp(-0.5 * (radius / 0.55) ** 2)
    lean_x, lean_y = _slopes(height)
    return Mark(box, np.zeros_like(lean_x), lean_x, lean_y, np.zeros_like(lean_x))


def pit(rng: np.random.Generator, site: Site) -> Mark:
    """One hole, or several close together: dark, deepest in the middle, its walls lit or shaded."""
    length, width = site.length, site.width
    count = int(rng.integers(site.cluster[0], site.cluster[1] + 1))
    offsets = rng.normal(0.0, length * (0.6 + 0.35 * math.sqrt(count)), (count, 2))
    offsets[0] = 0.0
    sizes = np.concatenate([[1.0], rng.uniform(0.4, 1.0, count - 1)])
    box = frame_around(site.shape, site.at + offsets, 0.8 * length + 2.0 + site.margin)
    loss: Field = np.zeros((box.height, box.width), np.float32)
    height: Field = np.zeros_like(loss)
    for offset, size in zip(offsets, sizes, strict=True):
        turned = site.heading + rng.normal(0.0, 0.3)
        radius, away = _polar(rng, box, site.at + offset, length * size, width * size, turned, rough=0.13)
        own = away / np.maximum(radius, 1e-6)  # px from the middle to the outline, in this direction
        covered = np.clip(0.5 + (1.0 - radius) * own, 0.0, 1.0)
        loss = np.maximum(loss, covered * (1.0 - 0.4 * np.minimum(radius, 1.0) ** 2))
        wall = max(1.2, 0.18 * width * size)
        height = np.minimum(height, -np.clip((1.0 - radius) * own / wall + 0.5, 0.0, 1.0))
    lean_x, lean_y = _slopes(soften(height, 0.5))
    uneven = 0.12 * _clouds(rng, loss.shape, max(2.0, 0.3 * width)) + 0.08 * _clouds(rng, loss.shape, 2.5)
    loss = np.asarray(loss * (0.8 + uneven), np.float32)
    return Mark(box, loss, lean_x, lean_y, np.minimum(loss * 2.0, 1.0))


def stain(rng: np.random.Generator, site: Site) -> Mark:
    """A patch on the surface: ragged, uneven, often darker where it dried; the finish shows through."""
    width = site.width
    box = frame_around(site.shape, site.at[None], 0.95 * site.length + site.margin)
    radius, _ = _polar(rng, box, site.at, site.length, site.width, site.heading, rough=0.12)
    ragged = 0.22 * _clouds(rng, radius.shape, max(3.0, width / 3))
    ragged += 0.12 * _clouds(rng, radius.shape, max(2.5, width / 8))
    ragged += 0.07 * _clouds(rng, radius.shape, max(2.0, width / 18))
    inwards = 1.0 - radius + ragged
    soft = np.float32(rng.uniform(0.12, 0.5))
    level = np.clip(inwards / soft, 0.0, 1.0)
    level = level * level * (3.0 - 2.0 * level)
    uneven = 0.75 + 0.25 * _clouds(rng, radius.shape, max(3.0, width / 5))
    dried = np.float32(rng.uniform(0.0, 0.8)) * np.exp(-0.5 * ((inwards - soft) / 0.1) ** 2)
    loss = np.asarray(level * (uneven + dried), np.float32)
    flat = np.zeros_like(loss)
    return Mark(box, loss / max(float(loss.max()), 1e-6), flat, flat, flat)


def _clouds(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> Field:
    """Smooth noise from -1 to 1 whose clouds are about `size` px wide."""
    coarse = rng.uniform(-1.0, 1.0, [max(2, math.ceil(n / size) + 1) for n in shape]).astype(np.float32)
    grown = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(grown, -1.0, 1.0), np.float32)
