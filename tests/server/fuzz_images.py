"""Spoilt pictures for the decoder, in a process whose memory is limited: read them, or refuse them in a sentence.

    python tests/server/fuzz_images.py [--examples 100000] [--seed 0] [--seconds 170]

A picture of every format is cut, spliced with another, overwritten in its header or anywhere, or swollen (a compressed
part that becomes a thousand times as large). What is neither pixels nor `InvalidInput` is printed and ends it with 1;
so does more memory than the largest picture that is taken may cost, and a crash of a library ends it for good.
"""

from __future__ import annotations

import argparse
import io
import resource
import struct
import sys
import time
import warnings
import zlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import tifffile
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from qc import frame
from qc.errors import InvalidInput

LARGEST_PX = 4_000_000
"""The decoder's limit of 200 Mpx is lowered to this, so that what it may cost is little beside what a bomb takes."""
MEMORY = 300_000_000
"""What the process may take beyond what it has when it starts, in bytes: 4 Mpx of RGB in 16 bit, ten times over."""
BOMB = 400_000_000
"""What a bomb swells to, in bytes."""


def pictures() -> list[bytes]:
    """One honest picture of every kind."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (23, 31), np.uint8)
    colour = rng.integers(0, 256, (23, 31, 3), np.uint8)
    deep, deep_colour = grey.astype(np.uint16) * 257, colour.astype(np.uint16) * 257
    found = [_encoded(ending, pixels) for ending in (".jpg", ".png", ".bmp") for pixels in (grey, colour)]
    found += [_encoded(".png", deep), _encoded(".png", deep_colour)]
    for mode, options in (("P", {}), ("1", {}), ("RGBA", {}), ("LA", {}), ("L", {"interlace": True})):
        found.append(_saved(Image.fromarray(colour).convert(mode), "PNG", **options))
    for mode in ("P", "1", "RGB"):
        found.append(_saved(Image.fromarray(colour).convert(mode), "BMP"))
    found.append(_saved(Image.fromarray(colour), "JPEG", progressive=True))
    found.append(_saved(Image.fromarray(colour).convert("CMYK"), "JPEG"))
    for pixels in (grey, colour, deep, deep_colour):
        found.append(_tiff(pixels))
        found.append(_tiff(pixels, compression="zlib"))
        found.append(_tiff(pixels, byteorder=">", bigtiff=False))
    found.append(_tiff(np.moveaxis(colour, 2, 0), photometric="rgb", planarconfig="separate"))
    found.append(_tiff(np.zeros((64, 64), np.uint8), tile=(32, 32), compression="zlib"))
    return found


def swollen(which: int, deflated: bytes) -> bytes:
    """A small file that wants to become large: its header is modest, its compressed part is not."""
    if which == 0:
        header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", deflated), (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)
    if which == 1:
        header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
        icc = _chunk(b"iCCP", b"x\0\0" + deflated) + _chunk(b"zTXt", b"x\0\0" + deflated)
        body = _chunk(b"IDAT", zlib.compress(bytes(72))) + _chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + icc + body
    compression, strip = (8, deflated) if which == 2 else (1, b"\0" * 64)
    tags = [(256, 64), (257, 64), (258, 8), (259, compression), (262, 1), (273, 0), (277, 1), (278, 64)]
    tags.append((279, len(strip)))
    if which == 3:
        tags.append((32997, 100_000))  # ImageDepth: so many layers
    if which == 4:
        tags = [(tag, 65_535 if tag == 277 else value) for tag, value in tags]  # SamplesPerPixel
    return _raw_tiff(tags, strip)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A picture that something has happened to."""
    data = bytearray(draw(st.sampled_from(HONEST)))
    for how in draw(st.lists(st.sampled_from(HOWS), min_size=1, max_size=4)):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        if how == "cut":
            del data[place:]
        elif how == "splice":
            data[place:] = draw(st.sampled_from(HONEST))[place // 2 :]
        elif how == "prepend":
            data[:0] = draw(st.sampled_from(FOREIGN))
        elif how == "append":
            data += draw(st.sampled_from((b"PK\x05\x06" + bytes(18), b"<script>", b"\xff\xd9", bytes(5000))))
        elif how == "header":
            place = draw(st.integers(0, min(len(data), 120)))
            data[place : place + 4] = draw(st.sampled_from(LIES))
        elif how == "tag" and (found := [n for n in range(len(data)) if bytes(data[n : n + 2]) in TAGS]):
            place = draw(st.sampled_from(found)) + draw(st.sampled_from((2, 4, 8)))
            data[place : place + 4] = draw(st.sampled_from(LIES))
        elif how == "bytes":
            data[place : place + 8] = draw(st.binary(max_size=8))
        elif how == "twice":
            data += data[place : place + 500]
    return bytes(data)


FOREIGN = (b"PK\x03\x04", b"%PDF-1.7\n", b"<svg>", b"GIF89a", b"II*\0", b"\xff\xd8\xff")
HOWS = ("cut", "splice", "prepend", "append", "header", "tag", "bytes", "twice")
LIES = tuple(
    struct.pack(kind, value)
    for kind in ("<I", ">I")
    for value in (0, 1, 2, 3, 8, 32, 65_535, 1_000_000, 2**31 - 1, 2**31, 2**32 - 1)
)
TAGS = {struct.pack(kind, tag) for kind in ("<H", ">H") for tag in (256, 257, 258, 259, 273, 277, 278, 279, 284, 322)}


def take(data: bytes) -> str:
    """What the decoder makes of it, in a word; raises what it should not."""
    try:
        pixels = frame.decode(data)
    except InvalidInput as refusal:
        return "refused" if 0 < len(refusal.message) < 2000 else "refused without a sentence"
    assert pixels.dtype in (np.uint8, np.uint16)
    assert pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    assert 0 < pixels.shape[0] * pixels.shape[1] <= LARGEST_PX
    return "read"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no more examples after so many seconds")
    wanted = parser.parse_args()
    frame.MAX_PIXELS = LARGEST_PX
    deflated = zlib.compress(bytes(BOMB), 1)
    bombs = [swollen(which, deflated) for which in range(5)]
    counted: Counter[str] = Counter()
    for honest in HONEST:
        counted[f"honest {take(honest)}"] += 1
    limit = _virtual_bytes() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    begun = time.monotonic()
    for bomb in bombs:
        counted[f"bomb {take(bomb)}"] += 1

    @seed(wanted.seed)
    @settings(
        max_examples=wanted.examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(spoilt())
    def look(data: bytes) -> None:
        if time.monotonic() - begun < wanted.seconds:
            counted[take(data)] += 1

    warnings.simplefilter("ignore")
    look()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(", ".join(f"{count} {what}" for what, count in sorted(counted.items())), f"; {peak:.0f} MB at most")
    return 0


def _encoded(ending: str, pixels: np.ndarray) -> bytes:
    return bytes(cv2.imencode(ending, pixels)[1])


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _tiff(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _raw_tiff(tags: list[tuple[int, int]], strip: bytes) -> bytes:
    tags = sorted(tags)
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, start if tag == 273 else value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + strip


def _virtual_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


HONEST = pictures()

if __name__ == "__main__":
    sys.exit(main())
