"""Is the camera itself well? What a picture tells about lamp, lens and mount, whatever part is on it. Pure functions.

`look` measures a picture in a few milliseconds; `absolute` knows what is wrong with any picture (black, white, frozen);
`Reference` knows what this camera's pictures are usually like, and so what is wrong with one of them (`gross`), or with
all of them since some moment (`Watch`: a small lasting change, which no single picture shows).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.charts import Cusum
from qc.frame import Pixels, to_8bit

Floats = NDArray[np.float32]


class Fault(StrEnum):
    """What can be wrong with a camera."""

    BLACK = "black"
    WHITE = "white"
    FROZEN = "frozen"
    """The very picture of the part before."""
    BLURRED = "blurred"
    EXPOSURE = "exposure"
    """Much darker or brighter than usual."""
    SHIFTED = "shifted"
    DIRTY = "dirty"
    """Something lies on the lens (`qc.camera_dirt`)."""


MEASURES = ("level", "sharpness", "column", "row")
"""What is watched of every picture; the names of fields of `Look`."""

BLACK_GREY = 12
"""Of 255: where 99.9 % of the pixels are no brighter, there is only the sensor's noise."""
WHITE_GREY = 250
"""Of 255: where 99.9 % of the pixels are no darker, the sensor is saturated."""
EDGES_SIDE = 256
"""Longer side in pixels of the edge picture by which a shift is measured: a shift of 0.1 % of the frame shows."""
WINDOW = 192
"""Side in pixels of the windows in which sharpness is measured, at native size."""

FLOOR = {"level": 0.05, "sharpness": 0.08, "column": 2e-3, "row": 2e-3}
"""Smallest standard deviation believed: changes below 0.6 of it (3 % of light, 5 % of sharpness, 0.12 % of the frame)
are not worth a person's time, however steady the camera is."""
GROSS = {"level": 0.47, "sharpness": 1.0, "column": 0.05, "row": 0.05}
"""A single picture is at fault where it leaves the usual by this much (light by a factor of 1.6, fine detail by 2.7, a
twentieth of the frame) and by six standard deviations besides."""
GROSS_SD = 6.0

NO_DETAIL = 0.5
"""Energy (grey levels squared) of which nobody could say that it is detail: a texture of a sixth of a grey level."""

LEARN_FIRST = 30
"""Pictures before a single one is called at fault by comparison."""
LEARN = 100
"""Pictures from which the usual is learnt; its mean is then known to a tenth of a standard deviation."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was measured of one picture."""

    fingerprint: str
    """Equal for equal pixels, and practically only for these."""
    darkest: float
    """Grey level (0..255) that 0.1 % of the pixels do not reach."""
    brightest: float
    """Grey level (0..255) that 0.1 % of the pixels exceed."""
    level: float
    """Natural logarithm of the mean grey level: a lamp dimmed by 15 % is -0.16 on any part."""
    sharpness: float
    """Logarithm of fine against coarse detail (2 to 4 px), the median over windows; falls with defocus."""
    column: float = math.nan
    """Place of the picture against the camera's reference, to the right, in shares of the longer side; NaN: unknown."""
    row: float = math.nan
    """The same, downwards."""


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual of one measure."""

    centre: float
    spread: float
    """Standard deviation, at least `FLOOR`."""


def look(pixels: Pixels) -> Look:
    """Measure a picture, `H x W` or `H x W x 3`, 8 or 16 bit."""
    grey = grey_of(pixels)
    step = max(1, math.isqrt(grey.size // 250_000))
    few = grey[::step, ::step]
    darkest, brightest = np.percentile(few, [0.1, 99.9])
    rows = np.ascontiguousarray(pixels[:: max(1, pixels.shape[0] // 512)])
    return Look(
        fingerprint=hashlib.blake2b(rows.tobytes(), digest_size=16).hexdigest(),
        darkest=float(darkest),
        brightest=float(brightest),
        level=math.log(max(float(few.mean()), 0.5)),
        sharpness=_sharpness(grey),
    )


def edges(pixels: Pixels) -> Floats:
    """The picture's edges, small: where the part, its holes and its fixture are, whatever the light.

    Returns:
        `h x w`, the longer side `EDGES_SIDE` pixels; mean 0.
    """
    step = max(1, max(pixels.shape[:2]) // 1024)  # the small picture is averaged anyway; this only spares time
    grey = grey_of(pixels[::step, ::step])
    scale = EDGES_SIDE / max(grey.shape)
    size = (max(8, round(grey.shape[1] * scale)), max(8, round(grey.shape[0] * scale)))
    small = np.log1p(cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32))
    small = cv2.GaussianBlur(small, (0, 0), 1.0)
    found = cv2.magnitude(cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1))
    return np.asarray(found - found.mean(), np.float32)


def place(reference: Floats, seen: Floats) -> tuple[float, float]:
    """How far `seen` lies to the right of and below `reference`, in shares of the longer side; NaN without edges.

    By cross-correlation whose spectrum is half whitened: sharper than plain correlation, steadier than phase
    correlation on the texture of metal, which is new on every part.
    """
    height, width = reference.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    first, second = np.fft.rfft2(reference * window), np.fft.rfft2(seen * window)
    product = second * first.conj()
    strength = np.abs(product)
    if not strength.max() > 1e-6:
        return math.nan, math.nan
    alike = np.fft.fftshift(np.fft.irfft2(product / np.sqrt(strength + 1e-9), s=reference.shape))
    y, x = (int(n) for n in np.unravel_index(int(alike.argmax()), alike.shape))
    dy = _between(alike[(y - 1) % height, x], alike[y, x], alike[(y + 1) % height, x])
    dx = _between(alike[y, (x - 1) % width], alike[y, x], alike[y, (x + 1) % width])
    longer = max(height, width)
    return (x + dx - width // 2) / longer, (y + dy - height // 2) / longer


def moved_back(seen: Floats, column: float, row: float) -> Floats:
    """An edge picture, moved so that it lies on its reference."""
    longer = max(seen.shape)
    shift = np.array([[1.0, 0.0, -column * longer], [0.0, 1.0, -row * longer]], np.float32)
    return np.asarray(cv2.warpAffine(seen, shift, (seen.shape[1], seen.shape[0])), np.float32)


def absolute(seen: Look) -> tuple[Fault, str] | None:
    """What is wrong with a picture whatever the camera is: black or white. Fault and sentence, or None."""
    if seen.brightest <= BLACK_GREY:
        told = f"the picture is black (99.9 % of its pixels are at most {seen.brightest:.0f} of 255)"
        return Fault.BLACK, f"{told}; check lamp, lens cap and cable"
    if seen.darkest >= WHITE_GREY:
        told = f"the picture is white (99.9 % of its pixels are at least {seen.darkest:.0f} of 255)"
        return Fault.WHITE, f"{told}; check exposure and stray light"
    return None


def usual(values: Sequence[float], measure: str) -> Usual | None:
    """Centre and spread of a measure over good pictures, unmoved by a tenth of odd ones; None below `LEARN_FIRST`."""
    known = np.array([value for value in values if not math.isnan(value)])
    if len(known) < LEARN_FIRST:
        return None
    middle = float(np.median(known))
    spread = 1.4826 * float(np.median(np.abs(known - middle)))
    kept = known[np.abs(known - middle) <= max(3.0 * spread, FLOOR[measure])]
    return Usual(float(kept.mean()), max(float(kept.std(ddof=1)) if len(kept) > 1 else 0.0, FLOOR[measure]))


def gross(seen: Look, reference: dict[str, Usual]) -> tuple[Fault, str] | None:
    """What is wrong with a single picture against the usual ones of its camera. Fault and sentence, or None."""
    away = {name: getattr(seen, name) - known.centre for name, known in reference.items()}

    def beyond(name: str, amount: float) -> bool:
        return name in away and amount >= max(GROSS[name], GROSS_SD * reference[name].spread)

    if beyond("level", abs(away.get("level", 0.0))):
        how = f"{math.exp(abs(away['level'])):.1f} times {'brighter' if away['level'] > 0 else 'darker'} than usual"
        return Fault.EXPOSURE, f"the picture is {how}; check lamp and exposure"
    if beyond("sharpness", -away.get("sharpness", 0.0)):
        how = f"{math.exp(-away['sharpness']):.1f} times less fine detail than usual"
        return Fault.BLURRED, f"the picture is blurred ({how}); check focus and vibration"
    if beyond("column", abs(away.get("column", 0.0))) or beyond("row", abs(away.get("row", 0.0))):
        how = f"{away['column']:+.1%} across and {away['row']:+.1%} down of the longer side"
        return Fault.SHIFTED, f"the picture lies elsewhere ({how}); check the camera's mount and the fixture"
    return None


SAYS = {
    ("level", "up"): "brighter by {0:.0%}",
    ("level", "down"): "darker by {0:.0%}",
    ("sharpness", "up"): "sharper",
    ("sharpness", "down"): "less sharp, with {0:.0%} less fine detail",
    ("column", "up"): "moved to the right by {0:.1%} of the longer side",
    ("column", "down"): "moved to the left by {0:.1%} of the longer side",
    ("row", "up"): "moved down by {0:.1%} of the longer side",
    ("row", "down"): "moved up by {0:.1%} of the longer side",
}


@dataclass(frozen=True, slots=True)
class Watch:
    """A camera's usual, and the charts that notice a small lasting change."""

    learnt: tuple[Look, ...] = ()
    """The first good pictures, `LEARN` at most."""
    reference: dict[str, Usual] = field(default_factory=dict)
    charts: dict[str, Cusum] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    """A slow running mean of each measure's deviation from its centre, for the words of an alarm."""

    def moved(self, seen: Look) -> Watch:
        """After one more good picture: learns from it at first, is watched by charts later."""
        if len(self.learnt) < LEARN:
            learnt = (*self.learnt, seen)
            if len(learnt) < LEARN_FIRST or len(learnt) % 10:
                return replace(self, learnt=learnt)
            found = {name: usual([getattr(one, name) for one in learnt], name) for name in MEASURES}
            return replace(self, learnt=learnt, reference={k: v for k, v in found.items() if v is not None})
        charts, means = dict(self.charts), dict(self.means)
        for name, known in self.reference.items():
            away = getattr(seen, name) - known.centre
            charts[name] = charts.get(name, Cusum()).moved(away / known.spread)
            if not math.isnan(away):
                means[name] = means.get(name, away) + 0.1 * (away - means.get(name, away))
        return replace(self, charts=charts, means=means)

    def alarms(self) -> dict[str, tuple[str, int]]:
        """Measure -> what changed in words, and how many pictures ago. A sharper picture is no alarm."""
        found = {}
        for name, chart in self.charts.items():
            if chart.alarm and (name, chart.alarm) != ("sharpness", "up"):
                size = abs(self.means[name])
                if name in ("level", "sharpness"):
                    size = math.expm1(size) if chart.alarm == "up" else -math.expm1(-size)
                found[name] = (SAYS[name, chart.alarm].format(size), chart.since)
        return found


def grey_of(pixels: Pixels) -> NDArray[np.uint8]:
    """One channel of 8 bit: the green of RGB, which needs no computing and has the most light."""
    one: Pixels = pixels if pixels.ndim == 2 else pixels[..., 1]
    return np.ascontiguousarray(to_8bit(one))


def _sharpness(grey: NDArray[np.uint8]) -> float:
    """Detail of 2 px against detail of 4 px, as the logarithm of a ratio of energies (squares of Laplacians).

    Each picture is split into two, of the one and of the other diagonal of every 2 x 2 pixels; the product of their
    Laplacians has the energy of what both show and, on average, nothing of the sensor's noise, which would otherwise
    pass for detail on a picture out of focus. Where no detail is left, the least is given and not the unknown.
    """
    side = min(WINDOW, *(length // 8 * 8 for length in grey.shape))
    if side < 32:
        return math.nan
    height, width = grey.shape
    found = []
    for top in np.linspace(0, height - side, 3).astype(int):
        for left in np.linspace(0, width - side, 4).astype(int):
            window = grey[top : top + side, left : left + side].astype(np.float32)
            one = (window[::2, ::2] + window[1::2, 1::2]) / 2
            other = (window[::2, 1::2] + window[1::2, ::2]) / 2
            fine = _energy(one, other)
            size = (side // 4, side // 4)
            coarse = _energy(*(cv2.resize(half, size, interpolation=cv2.INTER_AREA) for half in (one, other)))
            found.append(math.log((fine + NO_DETAIL) / (coarse + 10.0 * NO_DETAIL)))
    return float(np.median(found))


def _energy(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The mean product of two Laplacians, at least 0."""
    return max(float((cv2.Laplacian(one, cv2.CV_32F) * cv2.Laplacian(other, cv2.CV_32F)).mean()), 0.0)


def _between(before: float, peak: float, after: float) -> float:
    """Where between three samples the top of a parabola through them lies, -0.5..0.5."""
    bend = before - 2.0 * peak + after
    return 0.0 if bend == 0 else float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))
