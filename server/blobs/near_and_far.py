"""Blobs on this computer first, and then in an object store: a part never waits for the network, nor is it lost by it.

Three folders or places hold a key::

    near      QC_HOME/blobs/KEY            written and flushed before the part's row is committed, kept for `near_hours`
    waiting   QC_HOME/blobs-waiting/KEY    a second name (hard link) of what the far end does not have yet
    far       s3://bucket/prefix/KEY       with the SHA-256 of its bytes, which is compared whenever they are read

`server.blobs.moving` takes what waits to the far end, and from `near` what is old and certainly there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qc.durable import flush_folder
from qc.errors import NotFound, Unavailable
from server.blobs.local import LocalBlobs
from server.blobs.mixed import Far

WAITING = "blobs-waiting"
"""Beside the near folder."""

_LOCKS = 64
"""Lock files, each for 1 key of so many: an erasure waits for at most a few uploads that are not its own."""

_HASH = re.compile(r"(?:^|/)([0-9a-f]{64})(?:\.[a-z]+)?$")
"""The content hash in a key that is named by it."""


class NearAndFar:
    """A `qc.ports.BlobStore`. Several processes of one computer may use it over the same folder."""

    def __init__(self, near: LocalBlobs, far: Far) -> None:
        self.near, self.far = near, far
        self.waiting = near.root.with_name(WAITING)
        self._locks = self.waiting / ".locks"
        self._locks.mkdir(parents=True, exist_ok=True)
        self.put_something: Callable[[], None] = _nobody
        """Called after each put, from any thread."""

    def put(self, key: str, data: bytes) -> None:
        """Store; on return the bytes survive a power cut, here, and are on their way. Raises Unavailable."""
        path = self.near.path(key)
        try:
            # from here to the link an upload of what lay here before cannot end, and so not take this for that
            with self._locked("links", fcntl.LOCK_SH):
                self.near.put(key, data)
                self._link(path, self.waiting / key)
        except OSError as error:
            raise Unavailable(f"{key} could not be marked for upload ({error.strerror}); check the disk") from error
        self.put_something()

    def keep(self, key: str, data: bytes) -> None:
        """Store unless it is near, under a key that is named by its content; the far end is not asked."""
        if not self.near.exists(key):
            self.put(key, data)

    def get(self, key: str) -> bytes:
        """The bytes.

        Raises:
            NotFound: neither end has them.
            StoreAway: only the far end may have them, and does not answer.
            Unavailable: the far end has others under this key than were stored there.
        """
        try:
            return self.near.get(key)
        except NotFound:
            pass
        try:
            data, told = self.far.get(key)
        except NotFound:
            return self.near.get(key)  # it may have been put while we looked
        named = _HASH.search(key)
        for wanted in (told, named[1] if named else ""):
            if wanted and hashlib.sha256(data).hexdigest() != wanted:
                raise Unavailable(
                    f"{self.far.url}/{key} is not what was stored there (its SHA-256 differs); restore that object"
                )
        return data

    def exists(self, key: str) -> bool:
        """Is there something under this key, near or far? Raises StoreAway where only the far end may know."""
        return self.near.exists(key) or self.far.head(key) is not None

    def delete(self, key: str) -> None:
        """Remove from both ends; waits for an upload of it. Raises StoreAway; then call it again later."""
        path = self.near.path(key)
        with self.alone_with(key):
            (self.waiting / key).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            self.far.delete(key)

    def far_keys(self, prefix: str = "") -> Iterator[str]:
        """The keys that the far end holds. Raises StoreAway."""
        return (name for name, _ in self.far.names(prefix))

    def waits(self) -> list[tuple[str, os.stat_result]]:
        """Keys that wait for their upload, oldest first."""
        found = [*_walk(self.waiting)]
        return sorted(found, key=lambda one: one[1].st_mtime)

    def lies_near(self) -> Iterator[tuple[str, os.stat_result]]:
        """Keys that lie on this computer."""
        return _walk(self.near.root)

    def upload(self, key: str) -> bool:
        """Take a waiting key to the far end; False where somebody else has. Raises StoreAway."""
        link = self.waiting / key
        with self.alone_with(key):
            try:
                with link.open("rb") as file:
                    data, inode = file.read(), os.fstat(file.fileno()).st_ino
            except FileNotFoundError:
                return False
            self.far.put(key, data, sha256=hashlib.sha256(data).hexdigest())
            with self._locked("links", fcntl.LOCK_EX):
                if _inode(link) == inode:  # else it was put again meanwhile: that waits now
                    link.unlink()
        return True

    def leave(self, key: str) -> bool:
        """Remove a key from this computer if the far end has these very bytes; else mark it for upload.

        Returns:
            Whether it was removed. Raises StoreAway.
        """
        path = self.near.path(key)
        with self.alone_with(key):
            try:
                with path.open("rb") as file:
                    inode, digest = os.fstat(file.fileno()).st_ino, hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError:
                return False
            there = self.far.head(key)
            with self._locked("links", fcntl.LOCK_EX):
                if _inode(path) != inode or (self.waiting / key).exists():
                    return False
                if there is None or there.sha256 != digest:
                    self._link(path, self.waiting / key)
                    self.put_something()
                    return False
                path.unlink()
        return True

    @contextmanager
    def alone_with(self, key: str) -> Iterator[None]:
        """Nobody else uploads, removes or deletes this key meanwhile, in this process or another."""
        with self._locked(f"{zlib.crc32(key.encode()) % _LOCKS:02d}", fcntl.LOCK_EX):
            yield

    @contextmanager
    def _locked(self, name: str, how: int) -> Iterator[None]:
        with (self._locks / name).open("ab") as file:
            fcntl.flock(file, how)  # let go when the file is closed
            yield

    def _link(self, path: Path, link: Path) -> None:
        beside = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, beside)
        beside.replace(link)
        beside.unlink(missing_ok=True)  # rename does nothing where both are names of one file
        flush_folder(link.parent)


def _nobody() -> None:
    """Nobody wants to know."""


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(folder) / name
            if not name.startswith("."):
                try:
                    yield path.relative_to(root).as_posix(), path.stat()
                except FileNotFoundError:
                    continue
