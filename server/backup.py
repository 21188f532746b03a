"""A backup of a running system, and putting it back. Every file has a checksum; what does not fit is said by name.

The order makes it consistent without stopping anything: first the database as of one moment, then the files. A picture
is stored before its row is committed and is never changed, so that whatever the copied rows name is there when the
files are copied::

    BACKUP/manifest.json         when, the last seal of the audit trail, a hash for each file
    BACKUP/qc.sqlite3            the database as of one moment; of a PostgreSQL every row, read in one snapshot
    BACKUP/files/…               blobs, models, products, Label Studio's data: QC_HOME without what can be made again
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Container, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from qc.errors import Conflict, InvalidInput, NotFound, Unavailable
from qc.records import new_id
from server.database_move import move
from server.db import Database, sqlite_url

MANIFEST, DATABASE, FILES = "manifest.json", "qc.sqlite3", "files"
FORMAT = 1

LEFT_OUT = frozenset({"backups", "cache", "logs", "ready", "inbox", "rejected", "server.lock", "qc.sqlite3"})
"""Names directly under QC_HOME that can be made again, or were never accepted, and earlier backups."""

SQLITE = b"SQLite format 3\x00"
"""How a SQLite file begins; such files (Label Studio's, a study's) are copied as of one moment, too."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a backup holds."""

    files: int
    megabytes: float
    inspections: int
    entries: int
    """Of the audit trail."""
    seal: str
    """Of its last entry."""


def backup(
    home: Path,
    database_url: str,
    out: Path,
    *,
    now: datetime,
    say: Say = lambda text: None,
    elsewhere: Callable[[], Container[str]] = frozenset,
) -> Summary:
    """Write a backup to `out`, whole or not at all. The server may run.

    Args:
        home: QC_HOME.
        database_url: of the database.
        out: a folder that does not exist.
        now: for the manifest.
        say: told how far it is.
        elsewhere: gives the keys of the pictures that lie in QC_BLOBS, outside of QC_HOME: they are looked for by
            name and not copied, since that place keeps its own copies.

    Raises:
        Conflict: `out` exists, or a PostgreSQL's copy is not equal to it, or its audit trail does not verify.
        NotFound: there is no installation at `home`.
        Unavailable: the disk is too small, or a picture that the database names is missing.
    """
    source = Path(database_url.removeprefix("sqlite:///")) if database_url.startswith("sqlite:///") else None
    if source is not None and not source.is_file():
        raise NotFound(f"there is no database at {source}; set QC_HOME to the installation's folder")
    if out.exists():
        raise Conflict(f"{out} exists already; name a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    size = _size_of_postgresql(database_url) if source is None else source.stat().st_size
    needed = size + sum(file.stat().st_size for file in _files(home) if file.is_file())
    if shutil.disk_usage(out.parent).free < needed:
        raise Unavailable(
            f"the backup needs {needed / 1e9:.1f} GB, and {out.parent.resolve()} has less; choose another disk"
        )
    working = out.with_name(f".{out.name}.{new_id()}")
    working.mkdir(mode=0o700)
    try:
        say("the database")
        if source is None:
            _copy_postgresql(database_url, working / DATABASE, say)
        else:
            _copy_database(source, working / DATABASE)
        hashes = {DATABASE: _hash(working / DATABASE)}
        for number, file in enumerate(_files(home), start=1):
            name = f"{FILES}/{file.relative_to(home).as_posix()}"
            if (digest := _copy(file, working / name)) is not None:
                hashes[name] = digest
            if number % 500 == 0:
                say(f"{number} files")
        summary = _look(working, hashes, elsewhere())
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "made_at": now.isoformat(),
            "inspections": summary.inspections,
            "audit": {"entries": summary.entries, "seal": summary.seal},
            "files": dict(sorted(hashes.items())),
        }
        _write(working / MANIFEST, json.dumps(manifest, indent=1).encode())
        working.rename(out)
    except OSError as error:
        raise Unavailable(f"the backup could not be written to {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return summary


def restore(
    source: Path,
    home: Path,
    *,
    say: Say = lambda text: None,
    elsewhere: Callable[[], Container[str]] = frozenset,
) -> Summary:
    """Put a backup back as the data folder `home`, whole or not at all, after every checksum was compared.

    `elsewhere` as in `backup`.

    Raises:
        Conflict: `home` holds something.
        InvalidInput: `source` is no backup, or a file of it is missing or altered; the first is named.
        Unavailable: the disk refuses.
    """
    manifest = _read_manifest(source)
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise Conflict(
            f"{home.resolve()} is not empty; stop the server and move it away, or set QC_HOME to a new folder"
        )
    files: dict[str, str] = manifest["files"]
    say(f"comparing {len(files)} checksums")
    for name, digest in files.items():
        file = source / name
        if not file.is_file():
            raise InvalidInput(f"{name} is missing from the backup {source}; restore another one")
        if _hash(file) != digest:
            raise InvalidInput(f"{name} of the backup {source} was altered; restore another one")
    home.parent.mkdir(parents=True, exist_ok=True)
    working = home.with_name(f".{home.name}.{new_id()}")
    try:
        working.mkdir(mode=0o700)
        for name, digest in files.items():
            target = working / (DATABASE if name == DATABASE else name.removeprefix(f"{FILES}/"))
            if _copy(source / name, target, snapshot=False) != digest:
                raise InvalidInput(f"{name} changed while it was read; nothing was restored")
        summary = _look(working, files, elsewhere())
        if home.exists():
            home.rmdir()
        working.rename(home)
    except OSError as error:
        raise Unavailable(f"the backup could not be restored to {home}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return summary


def _read_manifest(source: Path) -> dict[str, Any]:
    try:
        manifest: Any = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{source} is no backup of qc: {MANIFEST} cannot be read ({error})") from error
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or manifest.get("format") != FORMAT or DATABASE not in files:
        raise InvalidInput(f"{source} is no backup that this version can read")
    for name in files:
        plain = name == DATABASE or name.startswith(f"{FILES}/")
        if not plain or ".." in Path(name).parts or "\\" in name:
            raise InvalidInput(
                f"the backup {source} names a file outside of itself ({name[:80]!r}); it was tampered with"
            )
    told: dict[str, Any] = manifest
    return told


def _files(home: Path) -> Iterator[Path]:
    """What of QC_HOME belongs into a backup."""
    for top in sorted(home.iterdir()):
        if top.name in LEFT_OUT or top.name.startswith((".", f"{DATABASE}-")):
            continue
        if top.is_file():
            yield top
            continue
        for folder, _, names in os.walk(top):
            for name in sorted(names):
                file = Path(folder) / name
                passing = name.endswith(("-wal", "-shm", "-journal")) or (top.name == "blobs" and name.startswith("."))
                if not passing and not file.is_symlink():
                    yield file


def _copy(source: Path, target: Path, *, snapshot: bool = True) -> str | None:
    """Copy one file, flushed to the disk; its hash, or None where it has just gone."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with source.open("rb") as reading:
            first = reading.read(1 << 20)
            if snapshot and first.startswith(SQLITE):
                _copy_database(source, target)
                return _hash(target)
            with target.open("wb") as writing:
                while first:
                    digest.update(first)
                    writing.write(first)
                    first = reading.read(1 << 20)
                writing.flush()
                os.fsync(writing.fileno())
    except FileNotFoundError:
        return None
    shutil.copystat(source, target)
    return digest.hexdigest()


def _copy_database(source: Path, target: Path) -> None:
    """A SQLite database as of one moment; writers go on meanwhile."""
    try:
        reading = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
        writing = sqlite3.connect(target)
        try:
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            (told,) = writing.execute("PRAGMA quick_check(1)").fetchone()
            if told != "ok":
                raise Unavailable(f"the database {source.name} is damaged: {told}")
        finally:
            writing.close()
            reading.close()
    except sqlite3.Error as error:
        raise Unavailable(f"the database {source.name} could not be copied: {error}") from error


def _copy_postgresql(url: str, target: Path, say: Say) -> None:
    """Every row of a PostgreSQL as of one moment, as a SQLite database; writers go on meanwhile."""
    reading, writing = Database(url), Database(sqlite_url(target))
    try:
        move(reading, writing, say=say)
    finally:
        writing.close()
        reading.close()
    with closing(sqlite3.connect(target)) as copied:
        copied.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it


def _size_of_postgresql(url: str) -> int:
    """Bytes of the database there, about what its copy takes."""
    database = Database(url)
    try:
        with database.read() as session:
            return int(session.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    except DBAPIError as error:
        raise Unavailable(f"the database does not answer: {error.orig}; nothing was backed up") from error
    finally:
        database.close()


def _look(folder: Path, hashes: dict[str, str], elsewhere: Container[str]) -> Summary:
    """What a copied or restored database holds; raises Unavailable where a picture that it names is missing."""
    blobs = (folder / FILES if (folder / FILES).is_dir() else folder) / "blobs"
    # read as it lies there: opened as the server opens it, the file itself would change
    database = sqlite3.connect(f"{(folder / DATABASE).resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        for (key,) in database.execute("SELECT original_key FROM exposure WHERE original_key != ''"):
            if not (blobs / key).is_file() and key not in elsewhere:
                told = f"the picture {key} that the database names is missing; look for it before all else"
                raise Unavailable(f"{told} (if it lies in an object store: set QC_BLOBS)")
        (inspections,) = database.execute("SELECT count(*) FROM inspection").fetchone()
        last = database.execute("SELECT n, seal FROM auditentry ORDER BY n DESC LIMIT 1").fetchone()
    except sqlite3.Error as error:
        raise Unavailable(f"the copied database cannot be read: {error}") from error
    finally:
        database.close()
    entries, seal = last or (0, "")
    size = sum((folder / name).stat().st_size for name in hashes if (folder / name).is_file())
    return Summary(len(hashes), size / 1e6, int(inspections), int(entries), str(seal))


def _hash(file: Path) -> str:
    with file.open("rb") as reading:
        return hashlib.file_digest(reading, "sha256").hexdigest()


def _write(file: Path, data: bytes) -> None:
    with file.open("wb") as writing:
        writing.write(data)
        writing.flush()
        os.fsync(writing.fileno())
