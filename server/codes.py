"""Codes on a part: a DataMatrix or QR code in its picture gives the serial number. Unreadable is an error: no guess.

zxing-cpp corrects what the code itself can correct (Reed and Solomon). What it reads must then fit the station's rules,
and all codes that do, in all views, must say the same serial number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

from qc.errors import InvalidInput
from qc.frame import Frame, to_8bit

KINDS = {
    "datamatrix": zxingcpp.BarcodeFormat.DataMatrix,
    "qr": zxingcpp.BarcodeFormat.QRCode,
    "micro-qr": zxingcpp.BarcodeFormat.MicroQRCode,
}
"""Name in the file -> what the library calls it."""

SECOND_LOOK_PX = 2_000_000
"""Up to so many pixels a second look at twice the size is taken where the first one found nothing: it reads modules of
2 px and faint ones, and costs four times the pixels."""

LONGEST = 128
"""Characters of a part's name, at most."""


class Unreadable(InvalidInput):
    """No code says which part it is, or two codes say different things."""


@dataclass(frozen=True, slots=True)
class CodeRules:
    """How a station's parts are marked."""

    kinds: tuple[str, ...] = ("datamatrix", "qr")
    """Of `KINDS`."""
    view: str | None = None
    """The view that shows the code; None: any may."""
    box: tuple[int, int, int, int] | None = None
    """Where in the picture to look: x, y, width, height in pixels; None: everywhere, which takes longer."""
    serial: re.Pattern[str] | None = None
    """What the whole text must fit; its first group, if it has one, is the serial number. Codes that do not fit are
    somebody else's and passed over. None: the whole text is the serial number. In the text of GS1 codes the
    application identifiers stand in brackets: `(01)09506000134352(21)A-17`."""


def serial_of(frames: Sequence[Frame], rules: CodeRules, *, station: str) -> str:
    """The serial number that the codes in a part's pictures say: 1 to 128 printable characters.

    Raises:
        Unreadable: no code that fits the rules could be read, or two that say different things.
    """
    looked_at = [frame for frame in frames if rules.view is None or frame.view == rules.view]
    if not looked_at:
        raise Unreadable(f"the part's code is in the view {rules.view} of {station}, and no such picture came")
    texts, damaged = set[str](), set[str]()
    for frame in looked_at:
        read, broken = _look(_searched(frame, rules, station), rules)
        texts |= read
        damaged |= broken
    serials = {serial for text in texts if (serial := _serial(text, rules.serial)) is not None}
    if len(serials) > 1:
        told = " and ".join(repr(serial[:LONGEST]) for serial in sorted(serials)[:3])
        raise Unreadable(f"the codes in the picture of {station} say {told}; only one part may be in it")
    if not serials:
        raise Unreadable(_why_none(texts, damaged, rules, station))
    return serials.pop()


def _searched(frame: Frame, rules: CodeRules, station: str) -> NDArray[np.uint8]:
    """The part of a picture that is searched, as 8 bit grey."""
    pixels = to_8bit(frame.pixels)
    if rules.box is not None:
        x, y, width, height = rules.box
        pixels = pixels[y : y + height, x : x + width]
        if not pixels.size:
            raise Unreadable(
                f"the picture of {station} has {frame.width} x {frame.height} px, and the box in which the code is "
                f"looked for begins at {x}, {y}; correct it in codes.yaml"
            )
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels
    return np.ascontiguousarray(grey, np.uint8)


def _look(grey: NDArray[np.uint8], rules: CodeRules) -> tuple[set[str], set[str]]:
    """The texts that were read, and the kinds of the codes that are there and too damaged."""
    read, damaged = _read(grey, rules)
    if not read and grey.size <= SECOND_LOOK_PX:
        larger = cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        read, broken = _read(np.asarray(larger, np.uint8), rules)
        damaged |= broken
    return read, damaged


def _read(grey: NDArray[np.uint8], rules: CodeRules) -> tuple[set[str], set[str]]:
    found = zxingcpp.read_barcodes(
        grey, formats=zxingcpp.BarcodeFormats([KINDS[kind] for kind in rules.kinds]), return_errors=True
    )
    read = {code.text for code in found if code.valid}
    return read, {code.format.name for code in found if not code.valid}


def _serial(text: str, pattern: re.Pattern[str] | None) -> str | None:
    """The serial number in a code's text; None where it is none."""
    if pattern is not None:
        fit = pattern.fullmatch(text)
        if fit is None:
            return None
        text = (fit.group(1) or "") if pattern.groups else text
    text = text.strip()
    return text if 0 < len(text) <= LONGEST and text.isprintable() else None


def _why_none(texts: set[str], damaged: set[str], rules: CodeRules, station: str) -> str:
    if texts:
        told = ", ".join(repr(text[:LONGEST]) for text in sorted(texts)[:3])
        return f"the codes in the picture of {station} say {told}, and none of it is a serial number by codes.yaml"
    if damaged:
        return (
            f"a {' and a '.join(sorted(damaged))} in the picture of {station} is too damaged to be read; mark it anew"
        )
    return f"no {' or '.join(rules.kinds)} code was read in the picture of {station}; is it marked, lit and in focus?"
