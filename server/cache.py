"""A folder of things that can be made again: zoom pyramids, thumbnails. Bounded: what was used longest ago goes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.settings import GIB, Settings

PRUNE_EVERY = 50
"""So many things are made between two looks at the folder's size."""


class Cache:
    """One folder for each picture, named by its SHA-256. Safe to use from several threads."""

    def __init__(self, root: Path, *, limit_bytes: int) -> None:
        self.root, self.limit = root, limit_bytes
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._made = 0

    def folder(self, sha256: str) -> Path:
        """The folder of a picture, made when missing; counts as used now."""
        folder = self.root / sha256[:2] / sha256
        folder.mkdir(parents=True, exist_ok=True)
        folder.touch()
        return folder

    @contextmanager
    def making(self, sha256: str) -> Iterator[Path]:
        """The folder of a picture, for one maker at a time."""
        with self._lock:
            lock = self._locks.setdefault(sha256, threading.Lock())
        with lock:
            yield self.folder(sha256)
        with self._lock:
            self._locks.pop(sha256, None)
            self._made += 1
            due = self._made % PRUNE_EVERY == 0
        if due:
            self.prune()

    def prune(self) -> int:
        """Remove what was used longest ago until the limit holds; returns the bytes that are left."""
        folders = []
        for folder in self.root.glob("??/*"):
            try:
                used = folder.stat().st_mtime
                size = sum(file.stat().st_size for file in folder.iterdir())
            except OSError:  # another thread is just making or removing it
                continue
            folders.append((used, size, folder))
        total = sum(size for _, size, _ in folders)
        for _, size, folder in sorted(folders):
            if total <= self.limit:
                break
            shutil.rmtree(folder, ignore_errors=True)
            total -= size
        return total


def open_cache(settings: Settings) -> Cache:
    """The cache of an installation."""
    return Cache(settings.folder("cache"), limit_bytes=int(settings.cache_gb * GIB))
