"""Frames of industrial cameras as pictures: pixel formats by their names in the PFNC."""

from __future__ import annotations

import io
from typing import Any, cast

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from server.plant.sources import NoPicture

BAYER = {
    "BayerRG": cv2.COLOR_BayerBG2RGB,
    "BayerBG": cv2.COLOR_BayerRG2RGB,
    "BayerGB": cv2.COLOR_BayerGR2RGB,
    "BayerGR": cv2.COLOR_BayerGB2RGB,
}
"""The PFNC names the first row's first two pixels, OpenCV the second row's second and third."""

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


def pixels_of(data: NDArray[Any], width: int, height: int, pixel_format: str) -> Pixels:
    """A frame from a buffer's component: `H x W` (grey) or `H x W x 3` (RGB), 8 or 16 bit.

    Names of pixel formats are those of the PFNC. More than 8 bits come in 16, with the sensor's bits at the low end;
    they are moved to the high end, as pictures have them.

    Raises:
        NoPicture: a format that is not understood.
    """
    base = pixel_format.rstrip("0123456789")
    bits = int(pixel_format[len(base) :] or 8)
    grey = data
    channels = {"Mono": 1, "RGB": 3, "BGR": 3, "RGBa": 4, "BGRa": 4, **dict.fromkeys(BAYER, 1)}.get(base)
    if channels is None or grey.dtype not in (np.uint8, np.uint16) or grey.size != height * width * channels:
        raise NoPicture(f"pixel format {pixel_format} is not understood; choose Mono8, Mono12, RGB8 or a Bayer format")
    shaped: NDArray[Any] = grey.reshape(height, width, channels) if channels > 1 else grey.reshape(height, width)
    if base in BAYER:
        shaped = cv2.cvtColor(shaped, BAYER[base])
    if shaped.dtype == np.uint16 and bits < 16:
        shaped = shaped << (16 - bits)  # last, so that the low bits are empty (`qc.frame.camera_bits`)
    if base.startswith("BGR"):
        return np.ascontiguousarray(shaped[..., 2::-1])
    if base.startswith("RGB"):
        return np.ascontiguousarray(shaped[..., :3])
    return cast(Pixels, shaped)


def as_tiff(pixels: Pixels) -> bytes:
    """A picture as an uncompressed TIFF file: exact, and written at the speed of memory."""
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    return out.getvalue()
