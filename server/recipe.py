"""Better nominal settings for a process that is served: proposals by a job, trials that people open and close.

Looking is done in a child process on a copy of the study, so it opens nothing and may be repeated; only a person opens
a trial. What came of one is taken from the outcomes that were told since, by their settings. The study lies beside the
process's models. Its numbers are standardised by the fit, so another fit begins another study.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, col, select

from process_opt.model import ProcessModel, load_model
from process_opt.records import Outcome
from qc.errors import Conflict, InvalidInput, NotFound
from server import audit, process_service
from server.context import Context
from server.jobs import queue
from server.jobs.child import run_in_child
from server.jobs.records import Job
from server.jobs.runner import JobRun
from server.process_capability import as_history

if TYPE_CHECKING:
    from process_opt.recipe.steps import RecipeNetwork
    from process_opt.recipe.study import Search

KIND = "recipe"

KEPT = 4
"""Networks kept ready: making one takes tenths of a second, and every open page asks."""

_networks: OrderedDict[str, RecipeNetwork] = OrderedDict()
_lock = threading.Lock()


def ask(session: Session, name: str, *, parts: int, later: int, count: int, by: str, now: datetime) -> Job:
    """Ask for proposals; joins a search of the same process that is under way. The caller commits."""
    wish = {"process": name, "parts": parts, "later": later, "count": count, "by": by}
    return queue.enqueue(session, KIND, wish, now=now, key=f"{KIND}:{name}", max_attempts=3)


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Look for the next settings to try; the answers are the job's result."""
    home, name = context.settings.home.resolve(), str(run.arguments["process"])
    with context.database.read() as session:
        version = process_service.current(session, name)
    wish = {
        "model": str(home / version.folder_key),
        "folder": str(home / process_service.FOLDER / name),
        **{key: run.arguments[key] for key in ("parts", "later", "count")},
    }
    return run_in_child(run, "server.recipe:look", wish, log=context.settings.folder("logs") / "recipe.log")


def look(wish: dict[str, Any], report: Callable[[float | None, str], None]) -> dict[str, Any]:
    """The child's side: `count` proposals that may be tried side by side, or fewer where no more are worth it."""
    from process_opt.recipe.propose import Terms, propose

    report(0.02, "reading what is known of the process")
    model = load_model(Path(wish["model"]))
    recipe = network(model)
    kept = study_file(Path(wish["folder"]), recipe)
    with tempfile.TemporaryDirectory() as beside:
        copy = Path(beside) / kept.name
        if kept.is_file():
            shutil.copyfile(kept, copy)
        search = _search(recipe, copy)
        found: list[dict[str, Any]] = []
        for n in range(int(wish["count"])):
            report(0.1 + 0.9 * n / int(wish["count"]), f"proposal {n + 1} of {wish['count']}")
            found.append(propose(recipe, search, Terms(int(wish["parts"]), int(wish["later"]))))
            if found[-1]["trial"] is None:
                break
    report(1.0, "done")
    return {"process": Path(wish["folder"]).name, "model": model.id, "proposals": found}


def newest(session: Session, name: str) -> Job | None:
    """The last search that was asked for; None: none was."""
    asked = select(Job).where(Job.kind == KIND, col(Job.arguments)["process"].as_string() == name)
    return session.exec(asked.order_by(col(Job.id).desc()).limit(1)).first()


def trials(session: Session, home: Path, name: str, model: ProcessModel) -> list[dict[str, Any]]:
    """All trials, the oldest first: settings, state, money a part as it came; of open ones the parts told so far."""
    from process_opt.recipe.propose import listed

    recipe = network(model)
    file = study_file(home / process_service.FOLDER / name, recipe)
    if not file.is_file():
        return []
    search = _search(recipe, file)
    told = _told(session, name, recipe, search)[1]
    return [{**one, "told": len(told.get(one["trial"], []))} for one in listed(recipe, search)]


def start(
    session: Session, home: Path, name: str, model: ProcessModel, settings: dict[str, float], *, by: str, now: datetime
) -> int:
    """Open a trial with these settings, all others as they are today; its number. The caller commits.

    Raises:
        InvalidInput: a setting is unknown, may not be moved, or not that far; or nothing is moved.
    """
    recipe = network(model)
    names, layout = list(model.process.settings), model.layout
    chosen = dict(recipe.present)
    for setting, value in settings.items():
        if setting not in chosen:
            raise InvalidInput(f"{setting:.80} may not be moved: the history does not tell what it does")
        place = names.index(setting)
        low, high = (float(side[place]) for side in (model.tables.low, model.tables.high))
        moved = (value - float(layout.nominal[place])) / float(layout.stretch[place])
        chosen[setting] = min(max(moved, low), high) if low - 1e-3 <= moved <= high + 1e-3 else moved
    if not settings:
        raise InvalidInput("a trial moves at least one setting")
    number = _search(recipe, study_file(home / process_service.FOLDER / name, recipe)).start(chosen)
    audit.record(session, "recipe.trial", name, {"trial": number, "settings": settings}, by=by, at=now)
    return number


def end(
    session: Session, home: Path, name: str, model: ProcessModel, number: int, *, call_off: bool, by: str, now: datetime
) -> int:
    """Close a trial: take in what was told of its parts, or call it off; how many parts it had. The caller commits.

    Raises:
        NotFound, Conflict: there is no such open trial; or no part of it was told, so that there is nothing to take in.
    """
    from process_opt.recipe.propose import take_in

    recipe = network(model)
    file = study_file(home / process_service.FOLDER / name, recipe)
    if not file.is_file():
        raise NotFound(f"{name} has no trial {number}")
    search = _search(recipe, file)
    if number not in {one.number for one in search.running()}:
        raise NotFound(f"{name} has no open trial {number}")
    parts = 0
    if call_off:
        search.call_off(number)
    else:
        history, told = _told(session, name, recipe, search)
        if number not in told or history is None:
            raise Conflict(f"no outcome with the settings of trial {number} was told yet; run its parts and tell them")
        parts = take_in(recipe, search, history, {number: told[number]})[number]
    body = {"trial": number, "called_off": call_off, "parts": parts}
    audit.record(session, "recipe.trial_ended", name, body, by=by, at=now)
    return parts


def network(model: ProcessModel) -> RecipeNetwork:
    """The model as a network to search; raises InvalidInput where no setting may be moved."""
    from process_opt.recipe.steps import network_of

    with _lock:
        if model.id not in _networks:
            _networks[model.id] = network_of(model)
        _networks.move_to_end(model.id)
        while len(_networks) > KEPT:
            _networks.popitem(last=False)
        return _networks[model.id]


def study_file(folder: Path, recipe: RecipeNetwork) -> Path:
    """Where the trials of a fit are kept."""
    layout = recipe.model.layout
    scale = [[i.name for i in recipe.network.inputs], layout.nominal.tolist(), layout.stretch.tolist()]
    return folder / f"recipe-{hashlib.sha256(json.dumps(scale).encode()).hexdigest()[:16]}.study"


def _search(recipe: RecipeNetwork, file: Path) -> Search:
    from process_opt.recipe.study import Search

    return Search(recipe.network, file=file, present=recipe.present)


def _told(session: Session, name: str, recipe: RecipeNetwork, search: Search) -> tuple[Any, dict[int, list[int]]]:
    """Outcomes since the first open trial began, and which of them belong to which."""
    from process_opt.recipe.trials import matching

    running = search.running()
    began = [one.datetime_start.astimezone(UTC) for one in running if one.datetime_start is not None]
    if not began:
        return None, {}
    since = select(Outcome).where(Outcome.process == name, col(Outcome.received_at) >= min(began))
    rows = session.exec(since.order_by(col(Outcome.received_at), col(Outcome.id))).all()
    if not rows:
        return None, {}
    history = as_history(recipe.model.process, [row.content for row in rows])
    return history, matching(recipe, history, {one.number: dict(one.params) for one in running})
