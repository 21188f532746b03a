"""Scratches and cracks: lines of varying width and strength."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.geometry import Box
from segmentation.render.blemishes import frame_around, wander
from segmentation.render.marks import Curve, Mark, Site

Whole = NDArray[np.intp]

SHOULDER_REACH = 2.2
"""Half widths from the middle of a groove to where its thrown-up shoulder has run out (all but 5 %)."""

STEEPEST = 1.38
"""Greatest slope of the groove's cross-section, half widths of height for one half width."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of varying width."""

    path: Curve
    """`N x 2`: x and y around the middle of the mark, at most half a pixel apart."""
    half: Curve
    """`N`: half of the width, px."""
    strength: Curve
    """`N`: from 0 to 1."""


def _course(rng: np.random.Generator, length: float, heading: float) -> Curve:
    """A wandering curve around 0 whose ends lie in the direction `heading` (counter-clockwise as seen)."""
    path = wander(rng, length)[1]
    straight = path[-1] - path[0]
    turn = math.atan2(straight[1], straight[0])
    flatter = rng.uniform(0.1, 0.9)  # most are straighter than a hand draws them
    lying = (path - path[0]) @ np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    lying[:, 1] *= flatter
    c, s = math.cos(-heading), math.sin(-heading)
    path = lying @ np.array([[c, s], [-s, c]])
    return np.asarray(path - path.mean(axis=0))


def _ripple(rng: np.random.Generator, points: int, spacing: float) -> Curve:
    """`points` values from -1 to 1 that change smoothly over about `spacing` points."""
    knots = rng.uniform(-1.0, 1.0, max(2, math.ceil(points / max(spacing, 1.0)) + 1))
    return np.asarray(np.interp(np.linspace(0, len(knots) - 1, points), np.arange(len(knots)), knots))


def _taper(points: int, share: float) -> Curve:
    """Rises from 0 at both ends to 1, within this share of the length."""
    along = np.linspace(0.0, 1.0, points)
    return np.asarray(np.minimum(1.0, np.minimum(along, 1.0 - along) / max(share, 1e-6)))


def _sideways(path: Curve, by: Curve | float) -> Curve:
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.hypot(along[:, :1], along[:, 1:]), 1e-9)
    return np.asarray(path + np.stack([-along[:, 1], along[:, 0]], axis=1) * np.reshape(by, (-1, 1)))


def scratch(rng: np.random.Generator, site: Site) -> Mark:
    """A groove that something drew: smooth course, varying pressure, sometimes a weaker trace beside it."""
    path, width = _course(rng, site.length, site.heading), site.width
    count = len(path)
    press = 0.7 + 0.22 * _ripple(rng, count, 60.0) + 0.08 * _ripple(rng, count, 12.0)
    press *= np.sqrt(np.maximum(_taper(count, rng.uniform(0.05, 0.35)), 0.05))
    press *= np.linspace(1.0, rng.uniform(0.5, 1.0), count)[:: rng.choice([-1, 1])]
    lines = [_Line(path, np.maximum(0.5 * width * (0.5 + 0.5 * press), 0.15), press)]
    if rng.random() < 0.35:
        first, last = sorted(rng.integers(0, count, 2).tolist())
        if last - first > 16:
            piece = slice(first, last)
            away = rng.choice([-1.0, 1.0]) * (width * rng.uniform(1.2, 3.0) + 1.0)
            weaker = rng.uniform(0.3, 0.7) * _taper(last - first, 0.3)
            lines.append(_Line(_sideways(path, away)[piece], lines[0].half[piece] * 0.7, press[piece] * weaker))
    return _groove(lines, site, flanks=True)


def crack(rng: np.random.Generator, site: Site) -> Mark:
    """Torn, not drawn: a course with corners, opening and closing, sometimes branching; nothing thrown up beside it."""
    length, width = site.length, site.width

    def torn(path: Curve, wide: float) -> _Line:
        count = len(path)
        for spacing in (80.0, 36.0, 16.0, 8.0):  # half pixels
            path = _sideways(path, min(0.07 * spacing, 0.1 * length) * _ripple(rng, count, spacing))
        open_ = 0.7 + 0.25 * _ripple(rng, count, 60.0) + 0.2 * _ripple(rng, count, 16.0)
        open_ *= np.maximum(_taper(count, 0.3), 0.1) ** 0.7
        deep = np.clip(0.75 + 0.35 * _ripple(rng, count, 50.0) + 0.15 * _ripple(rng, count, 14.0), 0.1, 1.0)
        deep *= np.maximum(_taper(count, 0.15), 0.1)
        return _Line(path, np.maximum(0.5 * wide * np.clip(open_, 0.1, 1.0), 0.15), deep)

    lines = [torn(_course(rng, length, site.heading), width)]
    stem = lines[0].path
    for _ in range(int(rng.poisson(length / 60.0))):  # where its edge has crumbled
        first = int(rng.integers(len(stem)))
        piece = stem[first : first + max(4, int(rng.uniform(1.0, 3.0) * width))]
        crumbled = _sideways(piece, rng.uniform(-0.6, 0.6) * width) if len(piece) > 3 else piece[:0]
        if len(crumbled):
            half = 0.5 * width * rng.uniform(0.6, 1.1) * np.sqrt(np.maximum(_taper(len(crumbled), 0.5), 0.05))
            lines.append(_Line(crumbled, half, np.full(len(crumbled), rng.uniform(0.25, 0.7))))
    for _ in range(int(rng.poisson(0.5)) if length > 30 else 0):
        branch = _course(
            rng, length * rng.uniform(0.1, 0.3), site.heading + rng.choice([-1, 1]) * rng.uniform(0.3, 1.0)
        )
        lines.append(torn(branch - branch[0] + stem[int(rng.integers(len(stem)))], 0.6 * width))
    return _groove(lines, site, flanks=False)


def _groove(lines: list[_Line], site: Site, *, flanks: bool) -> Mark:
    reach = max(float(line.half.max()) for line in lines) * (SHOULDER_REACH if flanks else 1.0) + 1.0
    box = frame_around(site.shape, np.concatenate([line.path for line in lines]) + site.at, reach + site.margin)
    loss, lean_x, lean_y = (np.zeros((box.height, box.width), np.float32) for _ in range(3))
    for line in lines:
        rows, columns, point, side, end = _beside(line.path + site.at, box, reach)
        half, strength = line.half[point], line.strength[point] * end
        low, high = side - 0.5, side + 0.5
        swallowed = strength * np.clip(np.minimum(high, half) - np.maximum(low, -half), 0.0, 1.0)
        loss[rows, columns] = np.maximum(loss[rows, columns], swallowed)
        if flanks:
            slope = strength * (_section(high / half) - _section(low / half)) * half / STEEPEST
            along = np.gradient(line.path, axis=0)[point]
            along /= np.maximum(np.hypot(along[:, :1], along[:, 1:]), 1e-9)
            lean_x[rows, columns] += slope * -along[:, 1]
            lean_y[rows, columns] += slope * along[:, 0]
    return Mark(box, loss, lean_x, lean_y, np.minimum(loss * 1.5, 1.0))


def _section(v: Curve) -> Curve:
    """Height of a groove with thrown-up shoulders, `v` half widths from its middle: 0 at the edge, highest at 1.7."""
    return np.asarray((v * v - 1.0) * np.exp(-0.5 * v * v))


def _beside(path: Curve, box: Box, reach: float) -> tuple[Whole, Whole, Whole, Curve, Curve]:
    """The pixels within `reach` of a line: rows, columns, nearest point of the line, px to its side, share at ends."""
    seeds = np.rint(path - (box.x, box.y)).astype(np.intp)
    inside = ((seeds >= 0) & (seeds < (box.width, box.height))).all(axis=1)
    numbers = np.flatnonzero(inside)
    raster = np.ones((box.height, box.width), np.uint8)
    raster[seeds[inside, 1], seeds[inside, 0]] = 0
    distance, labels = cv2.distanceTransformWithLabels(raster, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    point_of = np.zeros(int(labels.max()) + 1, np.intp)
    point_of[labels[seeds[inside, 1], seeds[inside, 0]]] = numbers
    rows, columns = np.nonzero((distance <= reach + 1.0) & (len(numbers) > 0))
    point = point_of[labels[rows, columns]]
    step = np.hypot(*np.gradient(path, axis=0).T)
    along = np.gradient(path, axis=0) / np.maximum(step, 1e-9)[:, None]
    x, y = columns + box.x, rows + box.y
    for _ in range(2):  # the nearest pixel of the line is not quite its nearest point
        forward = (x - path[point, 0]) * along[point, 0] + (y - path[point, 1]) * along[point, 1]
        point = np.clip(point + np.rint(forward / np.maximum(step[point], 1e-9)).astype(np.intp), 0, len(path) - 1)
    dx, dy = x - path[point, 0], y - path[point, 1]
    forward = dx * along[point, 0] + dy * along[point, 1]
    side = dy * along[point, 0] - dx * along[point, 1]
    return rows, columns, point, side, np.clip(1.25 - np.abs(forward), 0.0, 1.0)
