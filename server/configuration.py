"""What a server starts with, in the audit trail: each start records how it differs from the start before.

A change on the settings page is an entry when somebody makes it (`settings_form`). Environment variables, arguments
and the files in QC_HOME are changed where no server looks on; so every start compares what holds now with what this
data folder's last entry says, and writes the difference. Nothing differs: no entry.

What is kept of a secret is whether it is set, and an Argon2id hash by which another one is noticed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from server import audit, passwords
from server.audit import AuditEntry
from server.home_id import home_id
from server.settings import Settings

KIND = "configuration"
FILES = ("*.yaml", "products/*.yaml")
"""Files of QC_HOME that say how it works: plant, outbound, codes, and the products' rules."""
SET, NOT_SET, ANOTHER = "set", "not set", "set to another"
_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]*@")
"""In an address: who, and what is not told."""

Told = dict[str, dict[str, Any]]
"""`settings` that are not the defaults, `secrets` as hashes, `files` by their SHA-256, and `version` of the product."""


def keep(session: Session, settings: Settings, *, now: datetime) -> AuditEntry | None:
    """Record how the configuration differs from that of this data folder's last start; the caller commits.

    Returns:
        The entry; None where nothing differs. The first start says what it holds, and `changed` is empty.
    """
    home = settings.folder(".")
    mine = select(AuditEntry).where(AuditEntry.kind == KIND, AuditEntry.subject == home_id(home))
    last = session.exec(mine.order_by(col(AuditEntry.n).desc()).limit(1)).first()
    known: Told | None = None  # also where an erasure took the entry's words: then all of it is told again
    if last is not None and audit.erased_hash(last) is None:
        known = json.loads(last.body)["holds"]
    holds = _holds(settings, home, {} if known is None else known["secrets"])
    if known is not None and holds == known:
        return None
    changed = {} if known is None else _difference(known, holds)
    return audit.record(session, KIND, home_id(home), {"changed": changed, "holds": holds}, by="server", at=now)


def _holds(settings: Settings, home: Path, hashes: Mapping[str, str]) -> Told:
    told: Told = {"settings": {}, "secrets": {}, "files": _files(home), "version": {"qc-line": version("qc-line")}}
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if value == field.get_default(call_default_factory=True):
            continue
        text = str(value)
        hidden = field.repr is False
        if hidden or _PASSWORD.search(text):
            told["secrets"][name] = _hash(text, hashes.get(name, ""))
        if not hidden:
            told["settings"][name] = _plain(value)
    return told


def _hash(secret: str, known: str) -> str:
    """The hash that is known where it is still this secret's, else another one."""
    return known if passwords.fits(secret, known) else passwords.hash_of(secret)


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, dict | list):
        return json.loads(json.dumps(value))
    return _PASSWORD.sub(r"\1:***@", str(value))


def _files(home: Path) -> dict[str, str]:
    found = {}
    for file in sorted(one for pattern in FILES for one in home.glob(pattern) if one.is_file()):
        name = file.relative_to(home).as_posix()
        try:
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError as error:  # whoever needs it says so; that it could not be read is part of what held
            found[name] = f"cannot be read: {error.strerror}"
    return found


def _difference(before: Told, after: Told) -> dict[str, dict[str, Any]]:
    """Name to what was and what is, of settings, secrets, files and the version."""
    changed: dict[str, dict[str, Any]] = {}
    for kind in ("version", "files", "settings", "secrets"):
        old, new = before[kind], after[kind]
        for name in sorted({*old, *new}):
            if old.get(name) == new.get(name):
                continue
            was, now = old.get(name), new.get(name)
            if kind == "settings":
                was, now = old.get(name, _default(name)), new.get(name, _default(name))
            elif kind == "secrets":
                was, now = (SET if name in old else NOT_SET), (SET if name in new else NOT_SET)
                now = ANOTHER if was == now else now
                if name in changed:  # an address that holds a password: what else it says has changed as well
                    changed[name] |= {"secret": now}
                    continue
            changed[name] = {"before": was, "after": now}
    return changed


def _default(name: str) -> Any:
    """None for a setting that only another version of the product has."""
    field = Settings.model_fields.get(name)
    return None if field is None else _plain(field.get_default(call_default_factory=True))
