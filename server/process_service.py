"""Serving process models: answers about parts in the making, what came of them, and learning from it.

Functions take a session; the caller commits. A model is found by the name's current row at every request, so a
`qc process register` beside the running server is noticed at once; models themselves are kept in memory by id.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections import OrderedDict
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select, update

from process_opt.model import ProcessModel, load_model
from process_opt.records import Outcome, ProcessVersion, Recommendation
from process_opt.request import check_machines, check_observed
from process_opt.scales import check_credible
from process_opt.swapped import check_not_swapped
from qc.errors import InvalidInput, NotFound
from qc.records import new_id
from server import audit
from server.db import inserting

FOLDER = "processes"
"""Under QC_HOME: `processes/<name>/<hash of the model>`."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

KEPT_IN_MEMORY = 8
"""Models of so many processes, or versions of one, are kept ready; a model takes a few megabytes."""

ASSIGNMENTS = ("operator", "dither", "recommendation", "")


class Models:
    """Process models in memory, by id, least recently used first. Safe to share between threads."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._kept: OrderedDict[str, ProcessModel] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, version: ProcessVersion) -> ProcessModel:
        """The model of a version."""
        with self._lock:  # loading under the lock: two requests for a new model load it once
            model = self._kept.get(version.model)
            if model is None:
                model = self._kept[version.model] = load_model(self.home / version.folder_key)
            self._kept.move_to_end(version.model)
            while len(self._kept) > KEPT_IN_MEMORY:
                self._kept.popitem(last=False)
            return model


def current(session: Session, name: str) -> ProcessVersion:
    """The version that answers under a name; raises NotFound."""
    wanted = select(ProcessVersion).where(ProcessVersion.name == name, col(ProcessVersion.current).is_(True))
    if version := session.exec(wanted).first():
        return version
    raise NotFound(f"there is no process {name!r}; register one with `qc process register {name} MODEL`")


def all_current(session: Session) -> list[ProcessVersion]:
    """The versions that answer, by name."""
    wanted = select(ProcessVersion).where(col(ProcessVersion.current).is_(True)).order_by(col(ProcessVersion.name))
    return list(session.exec(wanted))


def take_in(home: Path, name: str, model: Path) -> tuple[str, str]:
    """Copy a model folder under QC_HOME; whole or not at all, and once.

    Returns:
        The model's id and its folder relative to `home`.

    Raises:
        InvalidInput: the name cannot be part of an address, or the folder holds no sound model.
    """
    check_name(name)
    found = load_model(model)
    key = f"{FOLDER}/{name}/{found.id.removeprefix('sha256:')}"
    target = home / key
    if not target.exists():
        working = target.with_name(f".{target.name}.{new_id()}")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copytree(model, working)
            working.rename(target)
        finally:
            shutil.rmtree(working, ignore_errors=True)
    return found.id, key


def check_name(name: str) -> None:
    """Raises InvalidInput for a name that cannot be part of an address."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} cannot be a process's name: letters, digits, dot, dash and underscore, up to 64")


def register(
    session: Session, name: str, model_id: str, folder_key: str, *, now: datetime, report: dict[str, Any]
) -> ProcessVersion:
    """Let a model answer under a name from now on; the one that does so already is left as it is."""
    before = session.exec(
        select(ProcessVersion).where(ProcessVersion.name == name, col(ProcessVersion.current).is_(True))
    ).all()
    if len(before) == 1 and before[0].model == model_id:
        return before[0]
    session.connection().execute(update(ProcessVersion).where(col(ProcessVersion.name) == name).values(current=False))
    version = ProcessVersion(name=name, model=model_id, folder_key=folder_key, created_at=now, report=report)
    session.add(version)
    session.flush()
    return version


def answer(model: ProcessModel, request: dict[str, Any]) -> dict[str, Any]:
    """One recommendation, timed; equal requests to one model get equal answers but for `id` and `elapsed_ms`."""
    from process_opt.recommend import recommend

    begun = time.perf_counter()
    advice = recommend(model, request)
    return {"id": new_id(), **advice, "elapsed_ms": round(1000 * (time.perf_counter() - begun), 2)}


def wonder(model: ProcessModel, request: dict[str, Any], settings: dict[str, Any], run: list[str]) -> dict[str, Any]:
    """What chosen settings would do to a part."""
    from process_opt.what_if import what_if

    return what_if(model, request, settings, run)


def remember(session: Session, name: str, request: dict[str, Any], told: dict[str, Any], *, now: datetime) -> None:
    """Keep what was asked and answered, and an entry of the audit trail with it."""
    row = Recommendation(
        id=told["id"],
        process=name,
        part=str(told["part"]),
        at=str(told["at"]),
        batch=request.get("batch"),
        decision=str(told["decision"]),
        request=request,
        answer={k: v for k, v in told.items() if k != "id"},
        asked_at=now,
    )
    session.add(row)
    audit.record(session, audit.RECOMMENDATION, row.id, audit.recommendation_body(row), by="server", at=now)


def plain(report: dict[str, Any]) -> dict[str, Any]:
    """A report as JSON that every database and browser reads: without NaN and infinities, which become null."""
    cleaned: dict[str, Any] = json.loads(json.dumps(report), parse_constant=lambda _: None)
    return cleaned


def check_outcome(model: ProcessModel, outcome: dict[str, Any], where: str = "outcome") -> dict[str, Any]:
    """An outcome as it may be stored; raises InvalidInput that names the mistake."""
    process = model.process
    part = outcome.get("part")
    if not isinstance(part, str) or not part:
        raise InvalidInput(f"{where}: part must be the part's name, not {part!r}")
    disposition = outcome.get("disposition")
    if disposition not in ("finished", "scrapped"):
        raise InvalidInput(f"{where}: disposition must be finished or scrapped, not {disposition!r}")
    at = outcome.get("scrapped_at") or None
    if at is not None and at not in process.place:
        raise InvalidInput(f"{where}: scrapped_at names {at!r}, which is not a step of {process.name}")
    if at is not None and disposition == "finished":
        raise InvalidInput(f"{where}: a finished part cannot have been scrapped at {at}")
    assignment = outcome.get("assignment") or ""
    if assignment not in ASSIGNMENTS:
        raise InvalidInput(f"{where}: assignment must be operator, dither, recommendation or empty, not {assignment!r}")
    observed = outcome.get("observed") or {}
    if not isinstance(observed, dict):
        raise InvalidInput(f"{where}: observed must map step.name to numbers")
    checked = check_observed(observed, process, part)
    if at is not None:
        places = {name: k for name, (k, _) in (*process.settings.items(), *process.measurements.items())}
        if later := [name for name in checked if places[name] > process.place[at]]:
            raise InvalidInput(f"{where}: the part was scrapped at {at} but has {later[0]} of a later step")
    check_credible(checked, model.layout, process, part)
    check_not_swapped(checked, model.layout, process, part)
    machines = check_machines(outcome.get("machines"), process, part)
    return {
        "part": part,
        "batch": outcome.get("batch"),
        **({"machines": dict(machines)} if machines else {}),
        "disposition": disposition,
        "scrapped_at": at,
        "assignment": assignment,
        "observed": checked,
    }


def store_outcome(session: Session, name: str, outcome: dict[str, Any], *, now: datetime) -> Outcome | None:
    """Keep what came of a part; None when it was told before, and then the first word stands."""
    row = {
        "id": new_id(),
        "process": name,
        "part": outcome["part"],
        "batch": outcome["batch"],
        "content": outcome,
        "received_at": now,
    }
    once = (
        inserting(session, Outcome, row)
        .on_conflict_do_nothing(index_elements=["process", "part"])
        .returning(col(Outcome.id))
    )
    stored = session.connection().execute(once).first()
    return session.get(Outcome, stored[0]) if stored else None


def history(
    session: Session, name: str, *, decision: str | None, cursor: str | None, limit: int
) -> tuple[list[tuple[Recommendation, Outcome | None]], str | None]:
    """What was advised, newest first, with what came of the part; and where the next page begins."""
    wanted = select(Recommendation).where(Recommendation.process == name).order_by(col(Recommendation.id).desc())
    if cursor:
        wanted = wanted.where(col(Recommendation.id) < cursor)
    if decision:
        wanted = wanted.where(col(Recommendation.decision) == decision)
    rows = list(session.exec(wanted.limit(limit + 1)))
    parts = [row.part for row in rows[:limit]]
    known = select(Outcome).where(Outcome.process == name, col(Outcome.part).in_(parts))
    came_of = {outcome.part: outcome for outcome in session.exec(known)}
    following = rows[limit - 1].id if len(rows) > limit else None
    return [(row, came_of.get(row.part)) for row in rows[:limit]], following


def counts(session: Session, name: str) -> tuple[int, int]:
    """How many recommendations and outcomes a process has."""
    asked = session.exec(select(func.count()).where(col(Recommendation.process) == name)).one()
    came = session.exec(select(func.count()).where(col(Outcome.process) == name)).one()
    return int(asked), int(came)
