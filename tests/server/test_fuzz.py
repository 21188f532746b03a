"""Spoilt pictures are read or refused in a sentence: no crash, and memory stays bounded."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from qc.errors import InvalidInput
from qc.frame import picture_size

HERE = Path(__file__).parent


def test_spoilt_pictures_are_read_or_refused_within_bounded_memory():
    done = subprocess.run(
        [sys.executable, str(HERE / "fuzz_images.py"), "--examples", "300"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_picture_as_large_as_is_promised_is_not_taken_for_a_bomb():
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    def header(width: int, height: int) -> bytes:
        size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")

    assert picture_size(header(16_000, 12_500)) == (16_000, 12_500)
    with pytest.raises(InvalidInput, match="200000000"):
        picture_size(header(16_000, 12_501))
