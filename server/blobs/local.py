"""Blobs as files in a folder."""

from __future__ import annotations

import re
from pathlib import Path

from qc.durable import write_whole
from qc.errors import InvalidInput, NotFound, Unavailable

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


class LocalBlobs:
    """A `qc.ports.BlobStore` in a folder: written beside, flushed to the disk, then renamed into place."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """Where a key's bytes lie; raises InvalidInput for a key that is not a plain relative path."""
        if not _KEY.fullmatch(key) or len(key) > 512:
            raise InvalidInput(f"{key!r} is not a blob key: letters, digits, '.', '_', '-' between slashes")
        return self.root / key

    def put(self, key: str, data: bytes) -> None:
        """Store; on return the bytes survive a power cut. Raises Unavailable when the disk refuses."""
        path = self.path(key)
        try:
            write_whole(path, data)
        except OSError as error:
            raise Unavailable(f"{len(data)} bytes could not be stored ({error.strerror}); check the disk") from error

    def keep(self, key: str, data: bytes) -> None:
        """Store unless it is there, under a key that is named by its content; as `put`."""
        if not self.exists(key):
            self.put(key, data)

    def get(self, key: str) -> bytes:
        """The bytes; raises NotFound."""
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"nothing is stored under {key}") from error

    def exists(self, key: str) -> bool:
        """Is there something under this key?"""
        return self.path(key).is_file()

    def delete(self, key: str) -> None:
        """Remove; a key that is not there is no error."""
        self.path(key).unlink(missing_ok=True)
