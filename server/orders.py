"""What an inspection is asked for: an order with its pictures, checked and decoded before anything is stored."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from qc.errors import InvalidInput
from qc.frame import Frame, picture_format
from qc.records import Exposure, Inspection
from server.context import Decode
from server.tracing import traced
from server.watch_records import CameraLook

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


def done() -> None:
    """Nobody waits for the pictures to be stored."""


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
    stored: Callable[[], None] = done
    """Told once the part is safe, by the thread that takes it in: quick. Not where its trigger was known already."""
    fresh: bool = False
    """Whoever sends it counts its triggers and uses none twice: it is not asked first whether the trigger is known. If
    it is all the same, the database says so when the part is stored."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to an order: its inspection, and whether it was new."""

    inspection_id: str
    new: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """An inspection as it was stored, of no session."""

    inspection: Inspection
    exposures: list[Exposure]


@dataclass(slots=True)
class Coming:
    """A part that is looked at while it is still being stored."""

    inspection: Inspection
    """As its row will be; of no session."""
    order: Order
    """Without its pictures."""
    frames: list[Frame]
    started: float
    """`time.perf_counter()` when its last byte had come."""
    settled: threading.Event
    """It is stored, or could not be."""
    looks: list[CameraLook] | None = None
    """How its cameras are, looked at beside the model; None: nobody has."""
    stored: Rows | None = None
    """As it is in the database; None: not yet, or nobody can say."""
    safe: bool = False
    """Its pictures are stored and its row is committed. Not, though settled: it was not, or nobody can say."""


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


def rows_of_order(
    order: Order, product: str, frames: Sequence[Frame], *, received_at: datetime, keeper: str
) -> tuple[Inspection, list[Exposure]]:
    """An order's rows, not stored yet: its inspection, and one exposure for each picture."""
    inspection = Inspection(
        part=order.part,
        station=order.station,
        trigger_id=order.trigger_id,
        product=product,
        received_at=received_at,
        process_values=dict(order.process_values),
        keeper=keeper,
    )
    exposures = []
    for n, (picture, frame) in enumerate(zip(order.pictures, frames, strict=True)):
        kind = picture_format(picture.data)
        exposures.append(
            Exposure(
                inspection_id=inspection.id,
                n=n,
                view=picture.view,
                name=picture.name,
                format=kind,
                width=frame.width,
                height=frame.height,
                sha256=frame.sha256,
                original_key=f"originals/{frame.sha256[:2]}/{frame.sha256}.{ENDINGS[kind]}",
            )
        )
    return inspection, exposures
