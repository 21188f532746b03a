"""One exposure of one part, and reading it safely from the bytes a camera sent."""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qc.errors import InvalidInput

if TYPE_CHECKING:
    import tifffile

MAX_PIXELS = 200_000_000
"""200 Mpx: the largest frame the product promises to read; above it a file is a mistake or an attack."""

MAX_BYTES = 1_300_000_000
"""An uncompressed 200 Mpx RGB frame of 16 bit is 1.2 GB; nothing honest is larger."""

FORMATS = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "BMP": (".bmp",), "TIFF": (".tif", ".tiff")}
"""What we decode, and the file name endings that may carry it."""

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)

_LONGEST_MAGIC = max(len(magic) for magic, _ in _MAGIC)

DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras give, in files of 8 or 16."""

_PNG_HEAD = 25
"""Bytes of a PNG up to its bit depth."""

_PACKBITS = 32773
_TIFF_COMPRESSIONS = (1, 8, 32946, _PACKBITS)
"""None, deflate (two numbers for one thing), PackBits."""
_ROUNDING = 4096
"""Bytes that a packed part may have beyond its pixels: writers fill up rows and ends."""

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""`H x W` (grey) or `H x W x 3` (RGB), 8 or 16 bit."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One exposure of one part."""

    pixels: Pixels
    view: str
    """The camera angle or lighting under which it was taken; empty if there is only one."""
    sha256: str
    """Of the bytes the camera sent, in hexadecimal."""

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


def picture_format(data: bytes) -> str:
    """`JPEG`, `PNG`, `BMP` or `TIFF`, by the first bytes; raises InvalidInput for anything else."""
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    raise InvalidInput("this is not a JPEG, PNG, BMP or TIFF picture; send one of these")


def picture_size(data: bytes, *, name: str = "") -> tuple[int, int]:
    """Width and height from the header alone, after every check that needs no decoding.

    Raises:
        InvalidInput: not a picture, not what its ending says, too many bytes or pixels, several frames.
    """
    return _size(io.BytesIO(data), len(data), name)


def stored_size(path: Path) -> tuple[int, int]:
    """As `picture_size` of a file, of which only the header is read; raises that, and OSError."""
    with path.open("rb") as file:
        return _size(file, path.stat().st_size, path.name)


def _size(file: BinaryIO, count: int, name: str) -> tuple[int, int]:
    """Of a file of `count` bytes."""
    if not count:
        raise InvalidInput("the picture is empty (0 bytes)")
    if count > MAX_BYTES:
        raise InvalidInput(f"the picture has {count} bytes; at most {MAX_BYTES} are read")
    kind = picture_format(file.read(_LONGEST_MAGIC))
    ending = "." + name.rsplit(".", 1)[-1].lower() if "." in name else ""
    known = {e for endings in FORMATS.values() for e in endings}
    if ending in known and ending not in FORMATS[kind]:
        raise InvalidInput(f"the file is called {ending} but holds a {kind}; correct the ending or the camera's format")
    try:
        with _opened(file, kind) as picture:
            width, height = picture.size
            frames = getattr(picture, "n_frames", 1)
    except Image.DecompressionBombError as error:
        raise InvalidInput(f"the picture has more than {MAX_PIXELS} pixels; at most that many are read") from error
    except Exception as error:  # a damaged header makes Pillow raise whatever it met; all of it means one thing
        raise InvalidInput(f"the {kind} header is damaged: {error}") from error
    if width < 1 or height < 1:
        raise InvalidInput(f"the picture is {width} x {height} px; there is nothing to see")
    if width * height > MAX_PIXELS:
        raise InvalidInput(f"the picture has {width} x {height} px; at most {MAX_PIXELS} pixels are read")
    if frames != 1:
        raise InvalidInput(f"the file holds {frames} pictures; send one file for each view")
    return int(width), int(height)


def decode(data: bytes, *, name: str = "") -> Pixels:
    """The pixels of a picture, exactly as stored: no rotation, no colour management, no scaling.

    A palette or an alpha channel is resolved to RGB (alpha dropped); a bilevel picture becomes 0 and 255.

    Args:
        data: the file's bytes.
        name: its name, if known; the ending must then fit the content.

    Returns:
        `H x W` or `H x W x 3`, uint8 or uint16, without gaps in memory.

    Raises:
        InvalidInput: as `picture_size`, and for truncated or damaged data, or floating point pixels that are NaN.
    """
    width, height = picture_size(data, name=name)
    kind = picture_format(data)
    # OpenCV fills what is missing in a truncated file with grey; Pillow refuses, and costs a decode.
    if kind == "JPEG" and b"\xff\xd9" not in data[-4096:]:
        raise InvalidInput("the JPEG is truncated: its end marker is missing; check the camera's link")
    pixels = _decode_tiff(data) if kind == "TIFF" else _decode_other(data, kind)
    if pixels.shape[:2] != (height, width):
        raise InvalidInput(f"the {kind} says {width} x {height} px but holds {pixels.shape[1]} x {pixels.shape[0]}")
    if kind == "TIFF" or pixels.ndim == 2:
        return pixels
    colours = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return cast(Pixels, colours)


def _decode_other(data: bytes, kind: str) -> Pixels:
    """As OpenCV has them: colours in the order blue, green, red, perhaps with alpha."""
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    if kind == "PNG":
        _refuse_truncated(data, kind)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise InvalidInput(f"the {kind} cannot be decoded: {error.err}") from error
    if pixels is None:
        raise InvalidInput(f"the {kind} cannot be decoded; its data are damaged or truncated")
    if kind == "BMP":
        _refuse_truncated(data, kind)
    return cast(Pixels, pixels)


def _refuse_truncated(data: bytes, kind: str) -> None:
    try:
        with _opened(io.BytesIO(data), kind) as picture:
            if kind == "PNG":
                picture.verify()  # walks all chunks and their checksums without decoding
            else:
                picture.load()
    except Exception as error:  # as above
        raise InvalidInput(f"the {kind} is damaged or truncated: {error}") from error


@contextmanager
def _opened(file: BinaryIO, kind: str) -> Iterator[Image.Image]:
    """The picture in Pillow, which only this decoder may touch; what it warns about, we check ourselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # it refuses what has more than twice of this
        with Image.open(file, formats=[kind]) as picture:
            yield picture


def _decode_tiff(data: bytes) -> Pixels:
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            if page.size > 4 * MAX_PIXELS or page.samplesperpixel > 4 or page.imagedepth != 1:
                raise InvalidInput(
                    f"the TIFF says {page.shape} values; at most {MAX_PIXELS} pixels of 4 channels are read"
                )
            if page.compression not in _TIFF_COMPRESSIONS:
                raise InvalidInput(f"the TIFF is compressed by {page.compression}; save it without, or by deflate")
            _refuse_swollen(data, page)
            pixels = page.asarray()
    except InvalidInput:
        raise
    except Exception as error:  # tifffile and its codecs raise whatever they meet; all of it means one thing
        raise InvalidInput(f"the TIFF is damaged, truncated or of a kind we do not read: {error}") from error
    if pixels.ndim == 3 and pixels.shape[0] in (3, 4) and pixels.shape[2] not in (3, 4):
        pixels = np.moveaxis(pixels, 0, 2)  # planar to interleaved
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = pixels[..., :3]
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all():
            raise InvalidInput(f"the TIFF holds {int((~np.isfinite(pixels)).sum())} pixels that are not numbers (NaN)")
        raise InvalidInput("the TIFF holds floating point pixels; save it with 8 or 16 bit")
    if (
        pixels.dtype not in (np.uint8, np.uint16)
        or pixels.ndim not in (2, 3)
        or (pixels.ndim == 3 and pixels.shape[2] != 3)
    ):
        raise InvalidInput(
            f"a TIFF of shape {pixels.shape} and type {pixels.dtype} is not a grey or RGB picture of 8 or 16 bit"
        )
    return np.ascontiguousarray(pixels)


def _refuse_swollen(data: bytes, page: tifffile.TiffPage) -> None:
    """Refuse a part of a TIFF that unpacks to more than the pixels it stands for: tifffile unpacks all of it first."""
    if page.compression == 1:
        return
    rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    columns = page.tilewidth if page.is_tiled else page.imagewidth
    samples = 1 if page.planarconfig == 2 else page.samplesperpixel
    most = rows * columns * samples * max(page.bitspersample, 8) // 8
    for start, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        part = data[start : start + count]
        size = _packbits_size(part) if page.compression == _PACKBITS else _deflated_size(part, most)
        if size > most + _ROUNDING:
            raise InvalidInput(f"a part of the TIFF unpacks to more than the {most} bytes that belong there")


def _deflated_size(part: bytes, most: int) -> int:
    """How much it unpacks to; no more is unpacked than shows that it is more than `most`."""
    return len(zlib.decompressobj().decompress(part, most + _ROUNDING + 1))


def _packbits_size(part: bytes) -> int:
    size = place = 0
    while place < len(part):
        head = part[place]
        size += head + 1 if head < 128 else (257 - head if head > 128 else 0)
        place += head + 2 if head < 128 else (2 if head > 128 else 1)
    return size


def is_deep(path: Path) -> bool:
    """Does the file hold 16 bit a channel? By its header; no for one that is damaged, which `decode` will say."""
    with path.open("rb") as file:
        head = file.read(_PNG_HEAD)
    if head.startswith(b"\x89PNG"):
        return len(head) == _PNG_HEAD and head[-1] == 16
    if head[:2] not in (b"II", b"MM"):
        return False
    import tifffile

    try:
        with tifffile.TiffFile(path) as opened:
            return bool(opened.pages[0].dtype == np.uint16)
    except Exception:  # tifffile raises whatever it meets; `decode` has the words for it
        return False


def check_depth(told: object, where: str) -> int:
    """A camera's depth that somebody told, one of `DEPTHS`; raises InvalidInput naming `where`."""
    text = str(told).strip()
    if isinstance(told, bool) or text not in {str(bits) for bits in DEPTHS}:
        raise InvalidInput(f"{where} must be the camera's depth, one of {DEPTHS}, not {told!r}")
    return int(text)


def camera_bits(pixels: Pixels, told: int | None = None, *, usual: int | None = None) -> int:
    """The camera's depth: 8, 10, 12, 14 or 16; 8 for pictures of 8 bit.

    Args:
        pixels: the whole frame.
        told: the camera's, as somebody told it; None: nobody did.
        usual: that of pictures like this one, taken unless a pixel is brighter; None: there are none.

    Raises:
        InvalidInput: a pixel is brighter than `told` bits can say.
    """
    return 8 if pixels.dtype == np.uint8 else depth_of(used_bits(pixels), told, usual=usual)


def used_bits(pixels: Pixels) -> int:
    """Every bit that is set in one of the pixels, as a number; 0 for a black picture."""
    return int(np.bitwise_or.reduce(pixels, axis=None))


def depth_of(used: int, told: int | None = None, *, usual: int | None = None) -> int:
    """The depth of a camera that puts 10, 12, 14 or 16 bits into 16; told, usual and raises as for `camera_bits`.

    At the low end the smallest depth that holds the brightest pixel is guessed, so that a dim 12-bit frame is not shown
    black: which a brighter pixel may change. At the high end, where our own cameras' pictures have them (depth 16), the
    two lowest bits are empty, so that a frame down to an eighth of full scale is known for what it is.

    Args:
        used: as `used_bits` says.
    """
    if told is not None:
        if used >= 1 << told:
            raise InvalidInput(
                f"camera_bits says that the camera gives {told} bits, values up to {(1 << told) - 1}, but a pixel is "
                "brighter; correct camera_bits (16 where the camera's bits stand at the high end of 16)"
            )
        return told
    bits = next(bits for bits in DEPTHS if used < 1 << bits)
    return max(16 if bits == 14 and not used & 3 else bits, usual or 0)


def to_8bit(pixels: Pixels, told: int | None = None, *, usual: int | None = None) -> NDArray[np.uint8]:
    """The picture with 8 bit a channel: the highest 8 of `camera_bits`, which has the arguments and errors."""
    if pixels.dtype == np.uint8:
        return cast(NDArray[np.uint8], pixels)
    seen = np.empty(pixels.shape, np.uint8)
    np.right_shift(pixels, camera_bits(pixels, told, usual=usual) - 8, out=seen, casting="unsafe")
    return seen
