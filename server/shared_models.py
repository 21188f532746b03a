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
from pathlib import Path

import structlog
from sqlalchemy import or_
from sqlmodel import col, select

from qc.durable import write_whole
from qc.errors import NotFound
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


class SharedModels:
    """Brings models that lie here to the store, and those that serve somewhere from it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._home = context.settings.home.resolve()
        self._there: set[str] = set()
        """Folders of which we know that the store has them."""

    def look(self) -> None:
        """Bring and fetch what is missing; quick when nothing is. Raises StoreAway and Unavailable."""
        wanted_ids = select(Assignment.champion)
        serves = or_(col(ModelVersion.alias).is_not(None), col(ModelVersion.id).in_(wanted_ids))
        with self._context.database.read() as session:
            folders = [row.folder for row in session.exec(select(ModelVersion))]
            serving = set(session.exec(select(ModelVersion.folder).where(serves)))
        for key in folders:
            folder = self._home / key
            if folder.is_dir():
                if key not in self._there:
                    put(self._context.blobs, folder, key)
                    self._there.add(key)
            elif key in serving and fetch(self._context.blobs, folder, key):
                log.info("a model of another server is here now", folder=key)
                self._there.add(key)
                self._context.need_champion().changed()


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
    """
    working = folder.with_name(f".{folder.name}.{new_id()}")
    try:
        for name, digest in json.loads(blobs.get(f"{key}/{LIST}")).items():
            if not (working / name).resolve().is_relative_to(working.resolve()):
                log.warning("a model in the store names a file outside of its folder", file=f"{key}/{name}")
                return False
            data = blobs.get(f"{key}/{name}")
            if hashlib.sha256(data).hexdigest() != digest:
                log.warning("a file of a model in the store is not what was put there", file=f"{key}/{name}")
                return False
            write_whole(working / name, data)
        working.rename(folder)
    except NotFound:
        return False
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return True
