"""A camera above the part and a lamp to one side: how bright every pixel of a surface looks.

The mirror-like share follows Ward's anisotropic lobe (Ward, "Measuring and modeling anisotropic reflection", 1992),
written in slopes: a pixel is brightest where the surface leans exactly half way between lamp and camera, and falls off
as a Gaussian of the missing slope, narrow along the grain and wide across it. A scratch therefore shows only where its
flanks lean towards or away from the lamp: bright in one view, dark in another, gone in the third.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.geometry import Box
from segmentation.render.surface import Field, Surface

LAMPS = {"left": 180.0, "top": 270.0, "right": 0.0, "bottom": 90.0}
"""Where the lamp of a view stands, in degrees; 0 is right, 90 is down. Other names get a direction of their own."""


@dataclass(frozen=True, slots=True)
class View:
    """One lamp and one camera position."""

    name: str
    to_lamp: tuple[float, float, float]
    """Unit vector from the middle of the part to the lamp: right, down, up."""
    best_slope: tuple[float, float]
    """The slope that mirrors the lamp into the camera, in the middle of the frame."""
    drift: float
    """How far `best_slope` moves across the width of the frame; a near lamp makes a strong gradient."""
    to_camera: NDArray[np.float64]
    """3 x 3: from part pixels to frame pixels (a slight homography)."""
    target: float
    """The grey level that the automatic exposure gives the middle of the part, 0..255."""
    blur_px: float
    """Sharpness of the lens: the spread of a point, in pixels."""
    noise_grey: float
    """Noise of the sensor at mid grey, in grey levels."""


def make_view(name: str, rng: np.random.Generator, *, width: int, height: int, margin: int) -> View:
    """A view as a fixture holds it: the lamp where its name says, every part a little displaced.

    Args:
        width, height: of the frame, px.
        margin: how far the rendered surface reaches beyond the frame, px; the camera moves by less than that.
    """
    direction = LAMPS.get(name, float(zlib.crc32(name.encode()) % 360))
    azimuth = math.radians(direction + rng.normal(0.0, 5.0))
    elevation = math.radians(rng.uniform(38.0, 56.0))
    lamp = (
        math.cos(azimuth) * math.cos(elevation),
        math.sin(azimuth) * math.cos(elevation),
        math.sin(elevation),
    )
    return View(
        name=name,
        to_lamp=lamp,
        best_slope=(-lamp[0] / (1.0 + lamp[2]), -lamp[1] / (1.0 + lamp[2])),
        drift=float(rng.uniform(0.10, 0.30)),
        to_camera=_displacement(rng, width, height, margin),
        target=float(rng.uniform(95.0, 145.0)),
        blur_px=float(rng.uniform(0.45, 0.80)),
        noise_grey=float(rng.uniform(1.2, 2.6)),
    )


def _displacement(rng: np.random.Generator, width: int, height: int, margin: int) -> NDArray[np.float64]:
    reach = 0.4 * margin
    angle = math.radians(float(np.clip(rng.normal(0.0, 0.35), -0.9, 0.9)))
    scale = float(np.clip(rng.normal(1.0, 0.005), 0.985, 1.015))
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    cx, cy = width / 2.0, height / 2.0
    shift = rng.uniform(-reach, reach, 2)
    lean = rng.normal(0.0, 0.004, 2).clip(-0.01, 0.01) / max(width, height)
    to_middle = np.array([[1.0, 0.0, -cx - margin], [0.0, 1.0, -cy - margin], [0.0, 0.0, 1.0]])
    turn = np.array([[c, -s, shift[0]], [s, c, shift[1]], [lean[0], lean[1], 1.0]])
    back = np.array([[1.0, 0.0, cx], [0.0, 1.0, cy], [0.0, 0.0, 1.0]])
    return np.asarray(back @ turn @ to_middle)


def shade(surface: Surface, view: View, *, whole: tuple[int, int], box: Box | None = None) -> Field:
    """Light that reaches the camera from every pixel, in arbitrary units (see `exposure`).

    Args:
        surface: the piece to look at.
        whole: height and width of the whole surface, px.
        box: where `surface` lies on the whole; everything unless given.
    """
    height, width = surface.gx.shape
    left, top = (box.x, box.y) if box else (0, 0)
    x = (np.arange(left, left + width, dtype=np.float32) - whole[1] / 2.0)[None, :] / np.float32(whole[1])
    y = (np.arange(top, top + height, dtype=np.float32) - whole[0] / 2.0)[:, None] / np.float32(whole[1])
    dx = surface.gx - (np.float32(view.best_slope[0]) + np.float32(view.drift) * x)
    dy = surface.gy - (np.float32(view.best_slope[1]) + np.float32(view.drift) * y)
    ux, uy = surface.grain_x, surface.grain_y
    across = dx * ux
    across += dy * uy
    dy *= ux
    dx *= uy
    dy -= dx  # along the grain
    across *= across
    across *= np.float32(-0.5 / surface.rough_across**2)
    dy *= dy
    dy *= np.float32(-0.5 / surface.rough_along**2)
    across += dy
    light: Field = np.asarray(cv2.exp(across))
    light *= surface.gloss
    light *= np.float32(1.0 - surface.matt)
    lx, ly, lz = (np.float32(part * surface.matt) for part in view.to_lamp)
    scattered = surface.gx * -lx
    scattered -= surface.gy * ly
    scattered += lz
    light += np.maximum(scattered, 0.0, out=scattered)
    light *= surface.albedo
    return np.asarray(light, np.float32)


def exposure(light: Field, inside: NDArray[np.bool_], view: View) -> float:
    """Grey levels for one unit of light, such that the metal is on average at the view's target and not overexposed."""
    seen = light[::8, ::8][inside[::8, ::8]]
    if seen.size == 0:
        seen = light[::8, ::8].ravel()
    middle, bright = np.percentile(seen, [50.0, 97.0])
    return float(min(view.target / max(middle, 1e-6), 235.0 / max(bright, 1e-6)))


def photograph(grey: Field, view: View, rng: np.random.Generator, *, width: int, height: int) -> NDArray[np.uint8]:
    """What the camera delivers: displaced, slightly out of focus, darker towards the corners, noisy, 8 bit.

    Args:
        grey: grey levels on the whole surface, float.

    Returns:
        `height x width` uint8.
    """
    warped = cv2.warpPerspective(
        grey, view.to_camera, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    frame: Field = np.asarray(cv2.GaussianBlur(warped, (0, 0), view.blur_px))
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    frame *= 1.0 - np.float32(0.05) * x * x - np.float32(0.04) * y * y
    grain = rng.standard_normal((height, width), dtype=np.float32)
    grain *= np.float32(view.noise_grey)
    frame += grain
    return np.asarray(cv2.convertScaleAbs(np.maximum(frame, 0.0, out=frame)), np.uint8)
