"""The registry of models: which one serves, which ones served, which ones wait or were turned down.

Functions take a writing session; the caller commits. The audit entry belongs to the same commit as the change, and the
event goes out after it.
"""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, func, select

from qc.errors import Conflict, NotFound, Unavailable
from qc.records import new_id
from segmentation.records import ModelState, ModelVersion
from server import audit
from server.db import Database, inserting
from server.events import EventBus
from server.gate_records import Assignment

CHAMPION = "champion"
CHALLENGER = "challenger"


_LOCK = 7_153_522
"""A number that nobody else uses for an advisory lock in a PostgreSQL: of whoever says which model serves."""


def alone(session: Session) -> None:
    """From now on until the session's transaction ends, nobody else changes which model serves or looks on, anywhere;
    what was read of that before is read again. To be called before what a change rests on is looked at."""
    if session.get_bind().dialect.name != "postgresql":  # on SQLite writers wait for each other anyway
        return
    session.flush()
    session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    for row in list(session):
        if isinstance(row, ModelVersion | Assignment):
            session.expire(row)


def champion(session: Session) -> ModelVersion | None:
    """The model that serves; None before the first is installed."""
    return session.exec(select(ModelVersion).where(ModelVersion.alias == CHAMPION)).first()


def challenger(session: Session) -> ModelVersion | None:
    """The model that looks on beside the champion; None where there is none."""
    return session.exec(select(ModelVersion).where(ModelVersion.alias == CHALLENGER)).first()


def get(session: Session, model_id: str) -> ModelVersion:
    """One model; raises NotFound."""
    if row := session.get(ModelVersion, model_id):
        return row
    raise NotFound(f"there is no model {model_id}")


def newest(session: Session, *, limit: int = 100) -> list[ModelVersion]:
    """Models, the champion first, then the newest."""
    rows = session.exec(select(ModelVersion).order_by(col(ModelVersion.created_at).desc()).limit(limit)).all()
    serving = champion(session)
    return [*([serving] if serving else []), *(row for row in rows if row.alias != CHAMPION)]


def add(
    session: Session,
    *,
    model_id: str,
    folder: str,
    card: dict[str, Any],
    now: datetime,
    decision: dict[str, Any] | None = None,
    parent: str | None = None,
) -> ModelVersion:
    """Enter a model as a candidate, or give back its row when it is known, also to another server since a moment ago.

    Args:
        folder: where its files lie, relative to QC_HOME.
        card: its model.json.
        decision: its comparison with the champion of its time, if there was one.
        parent: the model from whose weights its training began.
    """
    row = session.get(ModelVersion, model_id)
    if row is None:
        dataset = dict(card.get("dataset") or card.get("data") or {})
        new = {
            "id": model_id,
            "folder": folder,
            "state": ModelState.CANDIDATE,
            "created_at": now,
            "classes": {str(k): str(v) for k, v in dict(card.get("classes") or {}).items()},
            "figures": dict(card.get("figures") or {}),
            "dataset": {**{k: v for k, v in dataset.items() if k not in ("files", "manifest")}, "parent": parent},
        }
        session.connection().execute(inserting(session, ModelVersion, new).on_conflict_do_nothing())
        row = session.get_one(ModelVersion, model_id)
    if decision is not None:
        row.decision = decision
    session.add(row)
    session.flush()
    return row


def promote(session: Session, events: EventBus, model_id: str, *, by: str, at: datetime, reason: str) -> ModelVersion:
    """Let a model serve from now on; the champion so far is kept for a rollback.

    Raises:
        NotFound: there is no such model.
        Conflict: it serves already.
    """
    alone(session)
    row = get(session, model_id)
    before = champion(session)
    if before is not None and before.id == row.id:
        raise Conflict(f"{model_id} serves already")
    _swap(session, before, ModelState.RETIRED, row, at)
    _tell(session, events, "promotion", row, before, by=by, at=at, reason=reason)
    return row


def reject(session: Session, events: EventBus, model_id: str, *, by: str, at: datetime, reason: str) -> ModelVersion:
    """Note that a candidate lost against the champion; a person may still promote it."""
    alone(session)
    row = get(session, model_id)
    if row.alias == CHAMPION:
        raise Conflict(f"{model_id} serves; roll back instead")
    row.state, row.alias = ModelState.REJECTED, None
    session.add(row)
    session.flush()
    audit.record(session, "rejection", row.id, {"model": row.id, "reason": reason}, by=by, at=at)
    events.on_commit(session, "model", as_json(row))
    return row


def challenge(session: Session, events: EventBus, model_id: str, *, by: str, at: datetime) -> ModelVersion:
    """Let a candidate look on beside the champion, until it has proved itself or a person promotes it.

    Raises:
        Conflict: it is the champion.
    """
    alone(session)
    row = get(session, model_id)
    if row.alias == CHAMPION:
        raise Conflict(f"{model_id} serves already; a challenger must be another model")
    before = challenger(session)
    if before is not None:
        before.alias = None
        session.add(before)
        session.flush()  # the alias is unique: it must be free before it is given again
    if row.state != ModelState.RETIRED:  # who served before may still be rolled back to
        row.state = ModelState.CANDIDATE
    row.alias = CHALLENGER
    session.add(row)
    session.flush()
    body = {"model": row.id, "before": before.id if before else None}
    audit.record(session, "challenge", row.id, body, by=by, at=at)
    events.on_commit(session, "model", as_json(row))
    return row


def rollback(session: Session, events: EventBus, *, by: str, at: datetime) -> ModelVersion:
    """Let the champion before this one serve again. This one counts as turned down, so that a second rollback goes
    further back and not to it; a person may promote it.

    Raises:
        Conflict: no model served before.
    """
    alone(session)
    now_serving = champion(session)
    served = select(ModelVersion).where(
        ModelVersion.state == ModelState.RETIRED, col(ModelVersion.served_since).is_not(None)
    )
    before = session.exec(served.order_by(col(ModelVersion.served_since).desc())).first()
    if before is None:
        raise Conflict("no other model served before this one, so there is none to roll back to; promote one instead")
    _swap(session, now_serving, ModelState.REJECTED, before, at)
    _tell(session, events, "rollback", before, now_serving, by=by, at=at, reason=f"rolled back by {by}")
    if now_serving is not None:
        events.on_commit(session, "model", as_json(now_serving))
    return before


def install(database: Database, events: EventBus, home: Path, folder: Path, *, now: datetime) -> str | None:
    """Enter the model in `folder` as the first champion, copied under QC_HOME; where one serves already, do nothing.

    Returns:
        The id of the model that serves; None where `folder` holds none either.
    """
    with database.read() as session:
        serving = champion(session)
    if serving is not None:
        return serving.id
    from segmentation.model import CARD, read_card  # torch is not needed before a model is

    if not (folder / CARD).is_file():
        return None
    card = read_card(folder)
    key = keep(home, folder, str(card["id"]))
    with database.write() as session:
        if champion(session) is None:
            add(session, model_id=str(card["id"]), folder=key, card=card, now=now)
            why = "the model that comes with the product"
            promote(session, events, str(card["id"]), by="server", at=now, reason=why)
            session.commit()
    return str(card["id"])


def keep(home: Path, folder: Path, model_id: str) -> str:
    """Copy a model's folder under QC_HOME, whole or not at all, and once; returns where, relative to `home`."""
    key = folder_of(model_id)
    target = home / key
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        working = target.with_name(f".{target.name}.{new_id()}")
        try:
            shutil.copytree(folder, working)
            working.rename(target)
        except OSError as error:
            if not target.exists():  # somebody else was faster otherwise
                raise Unavailable(f"the model cannot be kept in {target}: {error}") from error
        finally:
            shutil.rmtree(working, ignore_errors=True)
    return key


def folder_of(model_id: str) -> str:
    """Where a model's files lie, relative to QC_HOME."""
    return f"models/{model_id.removeprefix('sha256:')}"


def as_json(row: ModelVersion) -> dict[str, Any]:
    """A model in the words of the interface."""
    return {
        "id": row.id,
        "alias": row.alias,
        "state": str(row.state),
        "created_at": row.created_at.isoformat(),
        "served_since": row.served_since.isoformat() if row.served_since else None,
        "figures": row.figures,
        "decision": row.decision,
        "classes": row.classes,
        "dataset": without_files(row.dataset),
    }


def without_files(dataset: dict[str, Any]) -> dict[str, Any]:
    """What a card says of its data set, less the hash of every file: they would be a hundred bytes for each picture in
    every list and event, and stay in the model's folder."""
    return {name: told for name, told in dataset.items() if name not in ("train_files", "val_files")}


def _swap(
    session: Session, before: ModelVersion | None, becomes: ModelState, after: ModelVersion, at: datetime
) -> None:
    if before is not None:
        before.alias, before.state = None, becomes
        session.add(before)
        session.flush()  # the alias is unique: it must be free before it is given again
    after.alias, after.state, after.served_since = CHAMPION, ModelState.SERVING, at
    session.add(after)
    session.flush()


def _tell(
    session: Session,
    events: EventBus,
    kind: str,
    row: ModelVersion,
    before: ModelVersion | None,
    *,
    by: str,
    at: datetime,
    reason: str,
) -> None:
    body = {"model": row.id, "before": before.id if before else None, "reason": reason}
    audit.record(session, kind, row.id, body, by=by, at=at)
    events.on_commit(session, "model", as_json(row))
