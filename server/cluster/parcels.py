"""A folder on the way to machines that do not share a disk: packed once, unpacked once on each machine.

What is packed is a model or a data set, so it is small beside the pictures that are looked at. The bytes travel
through Ray's object store, which sends them to each machine once.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import tempfile
import time
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from qc.errors import InvalidInput

CACHE = "qc-cluster"
"""Folder below the machine's temporary ones in which parcels lie unpacked, by their hash."""

KEPT_S = 7 * 86400.0
"""What nobody asked for during so many seconds goes when something new is unpacked."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A folder's files in one piece."""

    name: str
    data: bytes
    """A ZIP archive, not compressed; the same files give the same bytes."""

    @property
    def digest(self) -> str:
        """By which it is known again."""
        return sha256(self.data).hexdigest()

    def unpack(self, folder: Path) -> None:
        """Put the files into `folder`, which is made where it is not there."""
        with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
            archive.extractall(folder)


def pack(folder: Path) -> Parcel:
    """The regular files below a folder; raises InvalidInput where there are none."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    if not files:
        raise InvalidInput(f"{folder} holds no files; nothing can be sent to the cluster")
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for path in files:
            about = zipfile.ZipInfo(path.relative_to(folder).as_posix())  # of 1980, whenever the file is from
            with path.open("rb") as file, archive.open(about, "w", force_zip64=True) as copy:
                shutil.copyfileobj(file, copy)
    return Parcel(folder.name, written.getvalue())


def unpacked(parcel: Parcel) -> Path:
    """Where the parcel's folder lies on this machine; unpacked by the first who asks, while others wait."""
    base = Path(tempfile.gettempdir()) / f"{CACHE}-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    if base.stat().st_uid != os.getuid():
        raise InvalidInput(f"{base} belongs to somebody else; remove it")
    there = base / parcel.digest / parcel.name
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not there.parent.exists():
            _forget_old(base)
            working = Path(tempfile.mkdtemp(dir=base))
            try:
                parcel.unpack(working / parcel.name)
                os.rename(working, there.parent)
            finally:
                shutil.rmtree(working, ignore_errors=True)
        os.utime(there.parent)
    return there


def _forget_old(base: Path) -> None:
    for folder in base.iterdir():
        if folder.is_dir() and time.time() - folder.stat().st_mtime > KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)
