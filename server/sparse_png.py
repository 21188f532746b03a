"""Planes of 16 bit that are nearly all zero, as PNG: the empty rows cost nothing, in time or in memory that is touched.

A PNG holds one zlib stream of all rows (PNG specification, ISO/IEC 15948). A stream may be put together of pieces that
were compressed by themselves and end at a byte's border (RFC 1951; zlib's full flush), so that those of empty rows are
compressed once for each width; and the checksum at its end (Adler-32, RFC 1950) goes over zeros by one multiplication.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_BASE = 65521
"""Of Adler-32."""
_MOST_ROWS = 256
"""Empty rows in one piece, at most; a power of two."""
_AT_ONCE = 1 << 20
"""Bytes of filled rows that are compressed at once, about."""


def sparse_png(plane: NDArray[np.uint16], filled: Iterable[tuple[int, int]]) -> bytes:
    """The plane as a grey PNG of 16 bit.

    Args:
        plane: `H x W`.
        filled: first row and the row after the last, of every stretch that may hold something; in any order, they may
            overlap. All other rows are taken for zero, and not read.
    """
    height, width = plane.shape
    sums, pieces, row = (1, 0), [b"\x78\x01"], 0
    for first, after in _joined(filled, height):
        pieces += _empty(first - row, width)
        sums = _over_zeros(sums, (first - row) * (1 + 2 * width))
        step = max(1, _AT_ONCE // (1 + 2 * width))
        for top in range(first, after, step):
            lines = _lines(plane[top : min(top + step, after)])
            pieces.append(_deflated(lines))
            sums = _over(sums, lines)
        row = after
    pieces += _empty(height - row, width)
    low, high = _over_zeros(sums, (height - row) * (1 + 2 * width))
    pieces += [b"\x03\x00", struct.pack(">HH", high, low)]  # an empty last block, and the checksum
    head = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", b"".join(pieces)) + _chunk(b"IEND", b"")


def _joined(stretches: Iterable[tuple[int, int]], height: int) -> list[tuple[int, int]]:
    """From the top down, without overlaps, within the plane."""
    joined = list[tuple[int, int]]()
    for first, after in sorted((max(first, 0), min(after, height)) for first, after in stretches):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(after, joined[-1][1]))
        elif first < after:
            joined.append((first, after))
    return joined


def _lines(rows: NDArray[np.uint16]) -> bytes:
    """Rows as a PNG has them: a byte that says "no filter", then the numbers, high byte first."""
    lines = np.zeros((rows.shape[0], 1 + 2 * rows.shape[1]), np.uint8)
    lines[:, 1:] = rows.astype(">u2").view(np.uint8)
    return lines.tobytes()


def _deflated(data: bytes) -> bytes:
    """Whole bytes of a stream that may go on with anything."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_RLE)
    return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)


def _empty(rows: int, width: int) -> list[bytes]:
    pieces, most = [], _MOST_ROWS
    while rows:
        pieces += [_empty_piece(most, width)] * (rows // most)
        rows, most = rows % most, most // 2
    return pieces


@lru_cache(maxsize=64)
def _empty_piece(rows: int, width: int) -> bytes:
    return _deflated(bytes(rows * (1 + 2 * width)))


def _over(sums: tuple[int, int], data: bytes) -> tuple[int, int]:
    """Adler-32's two sums after more bytes."""
    told = zlib.adler32(data, sums[1] << 16 | sums[0])
    return told & 0xFFFF, told >> 16


def _over_zeros(sums: tuple[int, int], count: int) -> tuple[int, int]:
    """The same after so many zeros: the first stays, and the second has it added each time."""
    return sums[0], (sums[1] + count * sums[0]) % _BASE


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
