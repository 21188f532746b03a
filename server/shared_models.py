"""Models in the common store (QC_BLOBS), so that any server on one database can serve what another one trained.

    models/<hash of the model>/<file>        each file of its folder
    models/<hash of the model>/files.json    their SHA-256; a model is taken only when all of them are there and fit

What tells of parts stays where the model was trained, as an erasure looks for it there: the validation crops in
`samples/`, and the names of what it learnt from in its card. A model's id depends on neither.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path

import structlog
from sqlalchemy import or_
from sqlmodel import col, select

from qc.durable import write_whole
from qc.errors import NotFound, Unavailable
from qc.object_stores import StoreAway
from qc.ports import BlobStore
from qc.records import new_id
from segmentation.records import ModelVersion
from server import registry
from server.context import Context
from server.gate_records import Assignment

log = structlog.get_logger(__name__)

LIST = "files.json"
CARD = "model.json"
SAMPLES = "samples"
REMEDY = f"; remove its {LIST} there and start the server again that has the model: it brings it anew"
DAMAGED_S = 600.0
"""So long a model that is damaged in the store is not asked for again: it is tens of megabytes."""


class SharedModels:
    """Brings models that lie here to the store, and those that serve somewhere from it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._home = context.settings.home.resolve()
        self._there: set[str] = set()
        """Folders of which we know that the store has them."""
        self._damaged: dict[str, tuple[str, float]] = {}
        """Folder -> what is wrong with it in the store, and when to look again."""

    @property
    def problem(self) -> str:
        """What serves and cannot be had from the store; empty where all is well."""
        return "; ".join(why for why, _ in self._damaged.values())

    def look(self) -> None:
        """Bring and fetch what is missing; quick when nothing is. One that is damaged keeps none of the others back.

        Raises:
            StoreAway: the store does not answer.
        """
        own = [col(ModelVersion.id).in_(select(each)) for each in (Assignment.champion, Assignment.challenger)]
        serves = or_(col(ModelVersion.alias).is_not(None), *own)
        with self._context.database.read() as session:
            folders = [row.folder for row in session.exec(select(ModelVersion))]
            serving = set(session.exec(select(ModelVersion.folder).where(serves)))
        for key in folders:
            folder = self._home / key
            if folder.is_dir():
                if key not in self._there:
                    put(self._context.blobs, folder, key)
                    self._there.add(key)
            elif key in serving and self._fetch(folder, key):
                log.info("a model of another server is here now", folder=key)
                self._there.add(key)
                self._context.need_champion().changed()
        self._damaged = {key: told for key, told in self._damaged.items() if key in serving}

    def _fetch(self, folder: Path, key: str) -> bool:
        if key in self._damaged and time.monotonic() < self._damaged[key][1]:
            return False
        try:
            there = fetch(self._context.blobs, folder, key)
        except StoreAway:
            raise
        except Unavailable as error:
            log.warning("a model in the store is not taken", problem=error.message)
            self._damaged[key] = error.message, time.monotonic() + DAMAGED_S
            return False
        self._damaged.pop(key, None)
        return there


def put(blobs: BlobStore, folder: Path, key: str) -> None:
    """Store a model's folder under `key`, unless it is there. Raises Unavailable."""
    if blobs.exists(f"{key}/{LIST}"):
        return
    hashes = {}
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        name, data = file.relative_to(folder).as_posix(), file.read_bytes()
        if name.startswith(f"{SAMPLES}/"):
            continue
        if name == CARD:
            card = json.loads(data)
            data = json.dumps(card | {"dataset": registry.without_files(card.get("dataset") or {})}, indent=1).encode()
        hashes[name] = hashlib.sha256(data).hexdigest()
        blobs.put(f"{key}/{name}", data)
    blobs.put(f"{key}/{LIST}", json.dumps(hashes).encode())


def fetch(blobs: BlobStore, folder: Path, key: str) -> bool:
    """Make `folder` from what lies under `key`, whole or not at all; False where not all of it is there yet.

    Raises:
        StoreAway: the store does not answer.
        Unavailable: what lies there is not what was put there, or names files outside of the folder.
    """
    working = folder.with_name(f".{folder.name}.{new_id()}")
    try:
        for name, digest in _listed(blobs, key).items():
            if not (working / name).resolve().is_relative_to(working.resolve()):
                raise Unavailable(f"a model in the store names a file outside of its folder: {key}/{name}{REMEDY}")
            data = blobs.get(f"{key}/{name}")
            if hashlib.sha256(data).hexdigest() != digest:
                raise Unavailable(f"a model in the store is not what was put there: {key}/{name}{REMEDY}")
            write_whole(working / name, data)
        working.rename(folder)
    except NotFound:
        return False
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return True


def _listed(blobs: BlobStore, key: str) -> dict[str, str]:
    """Files of the model under `key` and their SHA-256; raises NotFound, StoreAway, Unavailable."""
    try:
        told = json.loads(blobs.get(f"{key}/{LIST}"))
    except ValueError:
        told = None
    if not isinstance(told, dict) or not told:
        raise Unavailable(f"a model in the store has no list of its files: {key}/{LIST}{REMEDY}")
    return told
