"""Thumbnails: made while the decoded picture is at hand, so that a live list costs no second decoding."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from qc.frame import Frame, Pixels, to_8bit
from server.cache import Cache
from server.pictures import jpeg, shrunk

SIZE = 320
"""Longer side in pixels of the thumbnails that are made in advance."""

SIZES = (64, 1024)
"""Smallest and largest that can be asked for."""


def keep_thumbnail(cache: Cache, frame: Frame, size: int = SIZE) -> bytes:
    """Make and keep a thumbnail; returns it."""
    data = jpeg(shrunk(to_8bit(frame.pixels), size), quality=85)
    file = _file(cache, frame.sha256, size)
    if not file.exists():
        beside = file.with_name(f".{secrets.token_hex(4)}.jpg")
        beside.write_bytes(data)
        beside.replace(file)
    return data


def thumbnail(cache: Cache, sha256: str, size: int, decode: Callable[[], Pixels]) -> bytes:
    """A thumbnail as JPEG, its longer side `size` pixels at most; made when it is not there yet."""
    size = min(max(size, SIZES[0]), SIZES[1])
    try:
        return _file(cache, sha256, size).read_bytes()
    except FileNotFoundError:
        return keep_thumbnail(cache, Frame(decode(), "", sha256), size)


def _file(cache: Cache, sha256: str, size: int) -> Path:
    return cache.folder(sha256) / f"thumbnail-{size}.jpg"
