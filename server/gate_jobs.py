"""What is asked of a challenger as soon as one is named: to be measured here, and to look at the golden parts."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlmodel import Session

from server import gate, gate_cost, golden_needs, registry
from server.context import Context
from server.events import Event
from server.gate_records import Measured
from server.jobs import queue
from server.jobs.child import run_in_child
from server.jobs.runner import JobRun

KIND = "measure_challenger"


def ask(session: Session, challenger: str, *, now: datetime) -> None:
    """Ask for all that the gate needs to know of a challenger; the caller commits."""
    queue.enqueue(session, KIND, {"model": challenger}, now=now, key=f"{KIND}:{challenger}")
    golden_needs.ask(session, model=challenger, why="challenger", now=now)


def watch(context: Context) -> None:
    """Ask as soon as a model becomes the challenger; a line in `server.loop`."""
    context.events.call("model", partial(_model_changed, context), only_here=True)


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Measure challenger and champion, store it, and let the gate act."""
    with context.database.read() as session:
        champion, challenger = registry.champion(session), registry.get(session, str(run.arguments["model"]))
        pictures = gate_cost.some_pictures(context, session)
    if champion is None or champion.id == challenger.id or not pictures:
        return {"waits": "there is no other champion, or no picture to look at yet"}
    home = context.settings.home.resolve()
    figures = measure_both(context, run, home / champion.folder, home / challenger.folder, pictures)
    with context.database.write() as session:
        session.merge(Measured(challenger=challenger.id, champion=champion.id, at=context.now(), figures=figures))
        session.flush()
        gate.act(context, session)
        session.commit()
    return figures


def measure_both(
    context: Context, run: JobRun, champion: Path, challenger: Path, pictures: list[str]
) -> dict[str, dict[str, Any]]:
    """`champion` and `challenger` -> their `gate_cost.Cost`, one after the other, each in a process of its own that
    stands still while a part waits for its verdict: what is measured is processor time.

    Args:
        champion: its folder; `challenger` likewise.
        pictures: blob keys.
    """

    def busy() -> bool:
        return context.inspector is not None and context.inspector.busy

    told, home = {}, str(context.settings.home.resolve())
    log = context.settings.folder("logs") / "gate.log"
    for name, folder in (("champion", champion), ("challenger", challenger)):
        arguments = {"model": str(folder), "home": home, "blobs": context.settings.blobs, "pictures": pictures}
        told[name] = run_in_child(run, "server.gate_cost:measure", arguments, log=log, busy=busy)
    return told


def _model_changed(context: Context, event: Event) -> None:
    if event.data.get("alias") != registry.CHALLENGER or event.data.get("state") == "retired":
        return  # who served before has shown all that already
    with context.database.write() as session:
        champion = registry.champion(session)
        if champion is not None and session.get(Measured, (str(event.data["id"]), champion.id)) is None:
            ask(session, str(event.data["id"]), now=context.now())
            session.commit()
