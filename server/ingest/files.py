"""Is a file finished? And moving files without ever losing one."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import time
from pathlib import Path

UNFINISHED = (".tmp", ".part", ".partial", ".crdownload")
"""Endings by which a writer says that it is not finished yet."""


def is_meant(file: Path) -> bool:
    """Is it a file that somebody wants to have looked at?"""
    return not file.name.startswith(".") and file.suffix.lower() not in UNFINISHED and file.is_file()


def open_for_writing(file: Path) -> bool:
    """Does any process on this machine have it open for writing? Where the system cannot tell: no.

    Linux gives a read lease only on a file that nobody has open for writing (fcntl(2), F_SETLEASE).
    """
    try:
        handle = os.open(file, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN  # others: a network share, or a file of somebody else's
    finally:
        os.close(handle)
    return False


class Settled:
    """Remembers since when each file has not changed."""

    def __init__(self, settle_s: float) -> None:
        self.settle_s = settle_s
        self._seen: dict[Path, tuple[tuple[int, int, int], float]] = {}

    def is_finished(self, file: Path) -> bool:
        """Has it had the same size and time for `settle_s`, and does nobody write to it?"""
        try:
            status = file.stat()
        except FileNotFoundError:
            return False
        stamp = (status.st_size, status.st_mtime_ns, status.st_ino)
        known = self._seen.get(file)
        if known is None or known[0] != stamp:
            self._seen[file] = (stamp, time.monotonic())
        return self.quiet_s(file) >= self.settle_s and not open_for_writing(file)

    def quiet_s(self, file: Path) -> float:
        """Seconds since it was first seen as it is."""
        known = self._seen.get(file)
        return 0.0 if known is None else time.monotonic() - known[1]

    def forget_missing(self) -> None:
        """Drop what is no longer there."""
        self._seen = {file: seen for file, seen in self._seen.items() if file.exists()}


def move(file: Path, to: Path) -> Path:
    """Move a file; where something lies at the goal already, beside it under another name. Returns where it is now.

    Raises OSError where it cannot be taken away; then there is no second copy of it either.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    if to.exists():
        to = to.with_name(f"{to.stem}-{secrets.token_hex(4)}{to.suffix}")
    try:
        shutil.move(file, to)
    except OSError:
        if file.exists():  # what cannot be renamed is copied, before it turns out that it cannot be removed
            to.unlink(missing_ok=True)
        raise
    return to


def remove_if_empty(folder: Path, *, below: Path) -> None:
    """Remove a part's folder once its files are gone; the stations' folders stay."""
    if folder.parent.parent == below:
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                raise
