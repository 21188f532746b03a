"""What belongs to the part: its edges, holes, slots, bends and engraving. None of it is a defect."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segmentation.render.surface import Field, Surface, soft_noise


@dataclass(frozen=True, slots=True)
class Shape:
    """Where there is metal."""

    inside: NDArray[np.bool_]
    """`H x W`: on the part's face, clear of edges and holes."""


def shape_part(surface: Surface, rng: np.random.Generator, *, margin: int) -> Shape:
    """Give a flat piece its edges, holes and marks, in place.

    Args:
        surface: the piece, `margin` pixels larger than the frame on every side.
        rng: of the design; the same numbers give the same design.
    """
    height, width = surface.gx.shape
    distance = _outline(rng, height, width, margin)
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.35, 0.3, 0.2, 0.15]))):
        radius = float(rng.uniform(14.0, 60.0)) * min(1.0, height / 800)
        cx, cy = float(rng.uniform(0.12, 0.88) * width), float(rng.uniform(0.15, 0.85) * height)
        if distance[int(cy), int(cx)] > radius + 16.0:  # clear of edges and of the other holes
            distance = np.minimum(distance, _from_circle(height, width, cx, cy) - radius)
    if rng.random() < 0.25:
        slot = _slot(rng, height, width)
        if distance[slot < 0.0].min(initial=100.0) > 16.0:
            distance = np.minimum(distance, slot)
    _bend(surface, rng)
    if rng.random() < 0.45:
        _engrave(surface, rng, distance, margin=margin)
    bevel = float(rng.uniform(5.0, 12.0))
    _break_edges(surface, distance, bevel=bevel, steepness=float(rng.uniform(0.25, 0.7)))
    _background(surface, distance, rng)
    return Shape(inside=distance > bevel + 6.0)


def _from_circle(height: int, width: int, cx: float, cy: float) -> Field:
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(cx)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(cy)
    return np.asarray(np.sqrt(x * x + y * y), np.float32)


def _outline(rng: np.random.Generator, height: int, width: int, margin: int) -> Field:
    """Distance to the part's outline in px, positive inside; a rectangle that may reach beyond the frame."""
    beyond = 4.0 * margin
    sides = [
        margin + rng.uniform(20.0, 0.13 * width) if rng.random() < share else -beyond
        for share in (0.3, 0.3, 0.25, 0.25)
    ]
    tilt = float(rng.normal(0.0, 0.006))
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    turned_x, turned_y = x - np.float32(tilt) * y, y + np.float32(tilt) * x
    across = np.minimum(turned_x - np.float32(sides[0]), np.float32(width - sides[1]) - turned_x)
    down = np.minimum(turned_y - np.float32(sides[2]), np.float32(height - sides[3]) - turned_y)
    corner = np.float32(rng.uniform(10.0, 50.0))
    cut_x, cut_y = np.maximum(corner - across, 0.0), np.maximum(corner - down, 0.0)
    rounded = corner - np.sqrt(cut_x * cut_x + cut_y * cut_y)
    return np.asarray(np.where((cut_x > 0) | (cut_y > 0), rounded, np.minimum(across, down)), np.float32)


def _slot(rng: np.random.Generator, height: int, width: int) -> Field:
    half, radius = rng.uniform(0.06, 0.2) * width, rng.uniform(8.0, 22.0)
    cx, cy = rng.uniform(0.25, 0.75) * width, rng.uniform(0.2, 0.8) * height
    x = np.abs(np.arange(width, dtype=np.float32)[None, :] - np.float32(cx)) - np.float32(half)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(cy)
    x = np.maximum(x, 0.0)
    return np.asarray(np.sqrt(x * x + y * y) - np.float32(radius), np.float32)


def _bend(surface: Surface, rng: np.random.Generator) -> None:
    """No part is quite flat: a wide bow along one axis and a slow waviness."""
    height, width = surface.gx.shape
    bow = np.float32(rng.normal(0.0, 0.05))
    if rng.random() < 0.5:
        surface.gx[:] += bow * np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]
    else:
        surface.gy[:] += bow * np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    surface.gx[:] += 0.008 * soft_noise(rng, height, width, size=300)
    surface.gy[:] += 0.008 * soft_noise(rng, height, width, size=300)


def _engrave(surface: Surface, rng: np.random.Generator, distance: Field, *, margin: int) -> None:
    """A part number: stamped (leaning flanks) or lasered (darker)."""
    height, width = surface.gx.shape
    letters = "".join(rng.choice(list("ABCDEFHKLMNPRSTX"), 2)) + "-" + "".join(rng.choice(list("0123456789"), 4))
    size, thickness = float(rng.uniform(0.7, 2.0)), int(rng.integers(2, 5))
    (wide, tall), _ = cv2.getTextSize(letters, cv2.FONT_HERSHEY_SIMPLEX, size, thickness)
    plate: Field = np.zeros((tall + 24, wide + 24), np.float32)
    cv2.putText(plate, letters, (12, tall + 10), cv2.FONT_HERSHEY_SIMPLEX, size, 1.0, thickness, cv2.LINE_AA)
    if rng.random() < 0.25:
        plate = np.ascontiguousarray(plate.T[::-1])
    rows, columns = plate.shape
    room_y, room_x = height - rows - 3 * margin, width - columns - 3 * margin
    if room_y <= 0 or room_x <= 0:
        return
    top, left = (int(1.5 * margin + rng.uniform() * room) for room in (room_y, room_x))
    place = np.s_[top : top + rows, left : left + columns]
    if float(distance[place].min()) < 10.0:
        return  # it would run over an edge or a hole
    depth = cv2.GaussianBlur(plate, (0, 0), 1.1)
    if rng.random() < 0.6:
        steep = np.float32(rng.uniform(0.5, 1.1))
        surface.gx[place] -= steep * cv2.Scharr(depth, cv2.CV_32F, 1, 0, scale=1 / 16)
        surface.gy[place] -= steep * cv2.Scharr(depth, cv2.CV_32F, 0, 1, scale=1 / 16)
    surface.albedo[place] *= 1.0 - np.float32(rng.uniform(0.15, 0.5)) * depth


def _break_edges(surface: Surface, distance: Field, *, bevel: float, steepness: float) -> None:
    """A bevel along every edge: it leans outwards, so it is bright towards the lamp and dark away from it."""
    near = (distance > -2.0) & (distance < bevel + 3.0)
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if rows.size == 0:
        return
    place = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    part = distance[place]
    lean = np.clip((np.float32(bevel) - part) / np.float32(3.0), 0.0, 1.0)
    lean *= (part > -2.0).astype(np.float32) * np.float32(steepness)
    surface.gx[place] += lean * np.asarray(cv2.Scharr(part, cv2.CV_32F, 1, 0, scale=1 / 32), np.float32)
    surface.gy[place] += lean * np.asarray(cv2.Scharr(part, cv2.CV_32F, 0, 1, scale=1 / 32), np.float32)


def _background(surface: Surface, distance: Field, rng: np.random.Generator) -> None:
    """Behind edges and in holes: the fixture, dark and out of focus, with a soft shadow at the edge."""
    outside = distance < 0.5
    if not outside.any():
        return
    dark = np.float32(rng.uniform(0.06, 0.30))
    metal = np.clip(distance + 0.5, 0.0, 1.0)
    shadow = dark * np.clip(0.45 - distance / 60.0, 0.45, 1.0)
    surface.albedo[:] = np.where(outside, shadow + (surface.albedo - shadow) * metal, surface.albedo)
    fade = np.where(distance < -1.0, np.float32(0.0), np.float32(1.0))
    surface.gx[:] *= fade
    surface.gy[:] *= fade
    surface.gloss[:] *= np.maximum(fade, 0.3)
