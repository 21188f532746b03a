"""What an inspection is asked for: an order with its pictures, checked and decoded before anything is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from qc.errors import InvalidInput
from qc.frame import Frame
from qc.records import Exposure, Inspection
from server.context import Decode
from server.tracing import traced

ENDINGS = {"JPEG": "jpg", "PNG": "png", "BMP": "bmp", "TIFF": "tif"}
"""Of the file that keeps a picture's bytes, by its format."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What a camera sent."""

    data: bytes
    name: str = ""
    """File name, if it had one."""
    view: str = ""


def stands() -> str:
    """Nothing speaks against the verdict."""
    return ""


def nobody(inspection: Inspection, exposures: Sequence[Exposure]) -> None:
    """Nobody waits to be told first."""


@dataclass(frozen=True, slots=True)
class Order:
    """A wish to have a part inspected."""

    part: str
    """Empty: the code on the part says it, at a station that reads codes."""
    station: str
    pictures: Sequence[Picture]
    trigger_id: str | None = None
    product: str = ""
    """Empty: the installation's default."""
    process_values: Mapping[str, float] = field(default_factory=dict)
    objection: Callable[[], str] = stands
    """Asked in the transaction that records the verdict: why there must be none, so that it has failed; empty: none."""
    judged: Callable[[Inspection, Sequence[Exposure]], None] = nobody
    """Told once its verdict, or that it failed, is committed, before anybody else and on the thread that judged: quick.
    Not where that was done by somebody else (a deadline, another server); who waits finds it in the database then."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to an order: its inspection, and whether it was new."""

    inspection_id: str
    new: bool


def check_order(order: Order, max_images: int) -> None:
    """Raises InvalidInput for names, a trigger or a number of pictures that an inspection may not have."""
    for what, text, limit in (("part", order.part, 128), ("station", order.station, 64)):
        if not text.strip() or len(text) > limit or not text.isprintable():
            raise InvalidInput(f"{what} must be 1 to {limit} printable characters, not {text[:80]!r}")
    if order.trigger_id is not None and not (0 < len(order.trigger_id) <= 200 and order.trigger_id.isprintable()):
        raise InvalidInput("trigger_id must be 1 to 200 printable characters, or left out")
    if not 1 <= len(order.pictures) <= max_images:
        raise InvalidInput(f"an inspection has 1 to {max_images} images, not {len(order.pictures)}")
    for picture in order.pictures:
        if len(picture.view) > 64 or (picture.view and not picture.view.isprintable()):
            raise InvalidInput(f"a view's name has at most 64 printable characters, not {picture.view[:80]!r}")
        if len(picture.name) > 255:
            raise InvalidInput("a file name has at most 255 characters")


@traced("pictures.decode")
def frames_of_order(pictures: Sequence[Picture], decode: Decode) -> list[Frame]:
    """Its pictures, decoded, each with the hash of its bytes; raises InvalidInput with the place of a bad one."""
    frames = []
    for n, picture in enumerate(pictures):
        try:
            pixels = decode(picture.data, name=picture.name)
        except InvalidInput as error:
            raise InvalidInput(f"image {n} ({picture.name or 'without a name'}): {error.message}", image=n) from error
        frames.append(Frame(pixels, picture.view, hashlib.sha256(picture.data).hexdigest()))
    return frames
