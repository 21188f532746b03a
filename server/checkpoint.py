"""Signed checkpoints of the audit trail, kept outside: they show that its end was cut off, or all of it replaced.

A checkpoint is a line of JSON in a file that another machine, or a person, keeps: number and seal of the last entry,
the moment, and an Ed25519 signature (RFC 8032) over them. Who alters the trail can seal it anew from there to its end,
but cannot take back a line that is kept elsewhere; who can write that file, too, but has not the key (QC_HOME/keys),
cannot sign another line. Whoever verifies holds the public half, which `qc audit key` prints.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlmodel import Session, col, select

from qc.errors import Conflict, InvalidInput, NotFound, Unavailable
from server.audit import AuditEntry, canonical
from server.context import Context
from server.jobs.runner import JobRun

KIND = "checkpoint"
KEY_FILE = "keys/audit.pem"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The trail as it stood once."""

    n: int
    """Entries."""
    seal: str
    """Of the last one, in hexadecimal."""
    at: str
    """ISO 8601, UTC."""
    key: str
    """The public key, base64."""
    signature: str
    """Over everything above, base64."""

    def as_line(self) -> str:
        """A line of the file."""
        return canonical(asdict(self)) + "\n"


def signing_key(home: Path) -> Ed25519PrivateKey:
    """The installation's key, made when first needed; readable by its owner alone."""
    file = home / KEY_FILE
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise InvalidInput(f"{file} holds no Ed25519 key; put it away, and a new one is made")
        return key
    except FileNotFoundError:
        return _make(file)
    except ValueError as error:
        raise InvalidInput(f"{file} is no key ({error}); restore it from a backup") from error


def public_key(home: Path) -> str:
    """The public half, base64: whoever verifies must have got it before, and not from here."""
    return _public(signing_key(home))


def sign(session: Session, key: Ed25519PrivateKey, *, now: datetime) -> Checkpoint:
    """A checkpoint of the trail as it stands; raises NotFound while it has no entry."""
    last = session.exec(select(AuditEntry).order_by(col(AuditEntry.n).desc()).limit(1)).first()
    if last is None:
        raise NotFound("the audit trail has no entry yet, so there is nothing to sign")
    moment = now.isoformat(timespec="seconds")
    told: dict[str, Any] = {"n": last.n, "seal": last.seal, "at": moment, "key": _public(key)}
    signature = base64.b64encode(key.sign(_signed(told))).decode()
    return Checkpoint(signature=signature, **told)


def append(file: Path, checkpoint: Checkpoint) -> None:
    """Add a line to the file, flushed to the disk; raises Unavailable when that fails."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as out:
            out.write(checkpoint.as_line())
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise Unavailable(f"the checkpoint could not be written to {file} ({error.strerror})") from error


def read(file: Path) -> list[Checkpoint]:
    """The checkpoints of a file, oldest first; raises InvalidInput naming the line that is none."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(Checkpoint(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise InvalidInput(f"line {number} of {file.name} is no checkpoint: {error}") from error
    return found


def check(session: Session, checkpoints: Iterable[Checkpoint], *, key: str | None = None) -> int:
    """Is the trail what was signed? Returns how many checkpoints it agrees with.

    Args:
        key: the public key that must have signed, base64; None: the first checkpoint's must have signed them all.

    Raises:
        Conflict: names the first checkpoint that nobody signed, or with which the trail disagrees.
    """
    number, last = 0, 0
    for number, one in enumerate(checkpoints, start=1):
        key = key or one.key
        if one.key != key:
            raise Conflict(f"checkpoint {number} ({one.at}) was signed with another key: {one.key}", n=number)
        if not signed_by(one, key):
            raise Conflict(f"checkpoint {number} ({one.at}) was altered: its signature does not fit", n=number)
        if one.n < last:
            raise Conflict(f"checkpoint {number} ({one.at}) is out of order: {one.n} entries after {last}", n=number)
        last = one.n
        entry = session.get(AuditEntry, one.n)
        if entry is None:
            raise Conflict(
                f"the trail ends before entry {one.n}, which was signed on {one.at}: its end is cut off", n=one.n
            )
        if entry.seal != one.seal:
            raise Conflict(
                f"entry {one.n} is not the one that was signed on {one.at}: the trail was written anew", n=one.n
            )
    return number


def signed_by(one: Checkpoint, key: str) -> bool:
    """Does the signature fit the checkpoint and the key?"""
    told = {name: value for name, value in asdict(one).items() if name != "signature"}
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
        public.verify(base64.b64decode(one.signature, validate=True), _signed(told))
    except (InvalidSignature, ValueError):
        return False
    return True


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Sign the trail as it stands, into the file that the settings name."""
    file = context.settings.checkpoints
    if file is None:
        return {"waits": "QC_CHECKPOINTS names no file"}
    with context.database.read() as session:
        one = sign(session, signing_key(context.settings.home.resolve()), now=run.clock())
    append(file, one)
    return {"entries": one.n}


def _signed(told: dict[str, Any]) -> bytes:
    return b"qc audit checkpoint\n" + canonical(told).encode()


def _public(key: Ed25519PrivateKey) -> str:
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def _make(file: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(pem)
            out.flush()
            os.fsync(out.fileno())
    except FileExistsError:  # another process was faster
        return signing_key(file.parent.parent)
    except OSError as error:
        raise Unavailable(f"the signing key cannot be kept in {file} ({error.strerror})") from error
    return key
