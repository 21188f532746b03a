"""A backup that can be made unreadable: one encrypted file, whose key lies elsewhere.

Whatever is erased lives on in backups made before. So each backup can have a key of its own, in a folder that is
neither part of the installation nor of a backup::

    OUT/about.json         id, when, and how much
    OUT/backup.encrypted   a plain backup (`server.backup`) as a tar stream in AES-256-GCM, chunk by chunk
    KEYS/<id>.json         the key: as long as it is there, the backup can be read

When a later backup is whole and parts were erased in between, the keys of the earlier ones are destroyed.

Chunks of 1 MiB are encrypted with their number and whether they are the last one as nonce, so that a missing, doubled
or reordered chunk and a cut-off end are found (STREAM of Hoang, Reyhanitabar, Rogaway and Vizár, 2015; the key serves
one file only, so that no random part is needed).
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qc.errors import Conflict, InvalidInput, Unavailable
from qc.records import new_id
from server.audit import ERASURE
from server.backup import DATABASE
from server.erasure_scope import PERSON

ABOUT, CONTENT = "about.json", "backup.encrypted"
CHUNK = 1 << 20
TAG = 16
"""Bytes that AES-GCM adds to each chunk."""

Say = Callable[[str], None]


def encrypt(
    plain: Path,
    out: Path,
    keys: Path,
    *,
    made_at: datetime,
    told: Mapping[str, Any] | None = None,
    say: Say = lambda text: None,
) -> list[str]:
    """Encrypt a plain backup, read it back, then destroy the keys of backups that hold what was erased meanwhile.

    Args:
        plain: a folder that `server.backup.backup` has written.
        out: a folder that does not exist.
        keys: the folder of the keys; it is made if need be.
        made_at: when the plain backup was begun.
        told: what else `about.json` says, for whoever has no key.
        say: told how far it is.

    Returns:
        Ids of the backups whose keys were destroyed.

    Raises:
        Conflict: `out` exists.
        Unavailable: a disk refuses, or what was written cannot be read back.
    """
    if out.exists():
        raise Conflict(f"{out} exists already; name a new folder")
    name, key = new_id(), secrets.token_bytes(32)
    working = out.with_name(f".{out.name}.{name}")
    try:
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        working.mkdir(mode=0o700, parents=True)
        say("encrypting")
        with (
            (working / CONTENT).open("wb") as file,
            closing(_Encrypting(file, key)) as stream,
            tarfile.open(fileobj=cast(BinaryIO, stream), mode="w|", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(plain, arcname=".")
        about = {"id": name, "made_at": made_at.astimezone(UTC).isoformat()}
        _write(working / ABOUT, json.dumps({**(told or {}), **about}).encode())
        say("reading it back")
        _read_through(working / CONTENT, key)
        _write(_key_file(keys, name), json.dumps({**about, "key": base64.b64encode(key).decode()}).encode())
        working.rename(out)
        erased = last_erasure(plain / DATABASE)
        return destroy(keys, before=erased, but=name) if erased else []
    except InvalidInput as error:
        raise Unavailable(f"the backup could not be read back: {error}; try another disk") from error
    except OSError as error:
        raise Unavailable(f"the backup could not be written to {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(working, ignore_errors=True)


def decrypt(source: Path, into: Path, keys: Path) -> None:
    """Make a plain backup of an encrypted one, in the new folder `into`; half of one stays only if the disk fails.

    Raises:
        InvalidInput: `source` is no encrypted backup, was altered or cut short, or its key is not there (any more).
    """
    try:
        about: Any = json.loads((source / ABOUT).read_text(encoding="utf-8"))
        name = str(about["id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{source} is no encrypted backup: {ABOUT} cannot be read ({error})") from error
    file = _key_file(keys, name)
    if not file.is_file():
        raise InvalidInput(
            f"the key of this backup is not in {keys}: it lies elsewhere, or was destroyed because something was "
            "erased after the backup; restore a later one"
        )
    key = _read_key(file)
    into.mkdir(mode=0o700)
    with (source / CONTENT).open("rb") as encrypted:
        stream = _Decrypting(encrypted, key)
        with tarfile.open(fileobj=cast(BinaryIO, stream), mode="r|") as archive:
            for member in archive:
                place = PurePosixPath(member.name)
                if place.is_absolute() or ".." in place.parts or not (member.isfile() or member.isdir()):
                    raise InvalidInput(
                        f"the backup holds {member.name[:80]!r}, which no backup has; it was tampered with"
                    )
                target = into / place
                if member.isdir():
                    target.mkdir(mode=0o700, parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                content = archive.extractfile(member)
                assert content is not None
                with target.open("wb") as writing:
                    shutil.copyfileobj(content, writing, CHUNK)
        while stream.read(CHUNK):  # to the end, which says that nothing was cut off
            pass


def is_encrypted(source: Path) -> bool:
    """Is this an encrypted backup?"""
    return (source / ABOUT).is_file() and (source / CONTENT).is_file()


def destroy(keys: Path, *, before: datetime, but: str) -> list[str]:
    """Overwrite and remove the keys of backups that were begun up to `before`; the ids of those backups."""
    gone = []
    for file in sorted(keys.glob("*.json")):
        if file.stem == but or _made_at(file) > before:
            continue
        with file.open("r+b") as writing:
            writing.write(secrets.token_bytes(file.stat().st_size))
            writing.flush()
            os.fsync(writing.fileno())
        file.unlink()
        gone.append(file.stem)
    return gone


class _Encrypting:
    """Takes bytes, writes encrypted chunks; `close` writes the last."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        self._file, self._cipher, self._number = file, AESGCM(key), 0
        self._waiting = bytearray()

    def write(self, data: bytes) -> int:
        self._waiting += data
        while len(self._waiting) > CHUNK:  # never the last one: it is marked as such
            self._put(bytes(self._waiting[:CHUNK]), last=False)
            del self._waiting[:CHUNK]
        return len(data)

    def close(self) -> None:
        self._put(bytes(self._waiting), last=True)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _put(self, chunk: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), chunk, None))
        self._number += 1


class _Decrypting:
    """Gives the bytes back; raises InvalidInput at the first chunk that is not what was written there."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        self._file, self._cipher, self._number = file, AESGCM(key), 0
        self._ahead = file.read(CHUNK + TAG)
        self._ready = b""
        self._over = False

    def read(self, size: int) -> bytes:
        while len(self._ready) < size and not self._over:
            chunk, self._ahead = self._ahead, self._file.read(CHUNK + TAG)
            self._over = not self._ahead
            try:
                self._ready += self._cipher.decrypt(_nonce(self._number, last=self._over), chunk, None)
            except InvalidTag as error:
                raise InvalidInput(f"the backup was altered or cut short near {self._number} MiB") from error
            self._number += 1
        told, self._ready = self._ready[:size], self._ready[size:]
        return told


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _read_through(file: Path, key: bytes) -> None:
    with file.open("rb") as encrypted:
        stream = _Decrypting(encrypted, key)
        while stream.read(CHUNK):
            pass


def last_erasure(database: Path) -> datetime | None:
    """When something was erased last, by the copied trail; None: never."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as reading:
        (at,) = reading.execute("SELECT max(at) FROM auditentry WHERE kind IN (?, ?)", (ERASURE, PERSON)).fetchone()
    return datetime.fromisoformat(at).replace(tzinfo=UTC) if at else None


def _key_file(keys: Path, name: str) -> Path:
    if not name.replace("-", "").isalnum():
        raise InvalidInput(f"{name[:80]!r} is no backup's id")
    return keys / f"{name}.json"


def _read_key(file: Path) -> bytes:
    try:
        key = base64.b64decode(json.loads(file.read_text(encoding="utf-8"))["key"], validate=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"the key {file} cannot be read: {error}") from error
    if len(key) != 32:
        raise InvalidInput(f"the key {file} is damaged: it has {len(key)} bytes, not 32")
    return key


def _made_at(file: Path) -> datetime:
    try:
        return datetime.fromisoformat(json.loads(file.read_text(encoding="utf-8"))["made_at"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"the key {file} cannot be read: {error}; nothing was destroyed from there on") from error


def _write(file: Path, data: bytes) -> None:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writing:
        writing.write(data)
        writing.flush()
        os.fsync(writing.fileno())
