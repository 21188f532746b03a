"""Files that are written whole or not at all, and survive a power cut once that is said."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_whole(path: Path, data: bytes | str, *, mode: int = 0o666) -> None:
    """Let `path` hold `data`; whoever reads meanwhile, or after a crash, finds the old content or the new one.

    Written beside, flushed to the disk, renamed into place, and the rename flushed, too: without that a power cut may
    bring back what was there before.

    Args:
        path: in a folder that is made if it is not there.
        data: the whole content; text is written as UTF-8.
        mode: permissions of a new file, less the process's umask.

    Raises:
        OSError: the disk refuses. `path` holds what it held or, where only the rename could not be flushed, the new.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
            out.write(data.encode() if isinstance(data, str) else data)
            out.flush()
            os.fsync(out.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
