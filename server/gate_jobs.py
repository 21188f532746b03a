"""What is asked of a challenger as soon as one is named: to be measured here, and to look at the golden parts; and, of
every word that people say of its parts, whether that completes its proof."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from sqlmodel import Session

from segmentation.records import ModelVersion
from server import gate, gate_cost, golden_needs, registry, rivals
from server.context import Context
from server.events import Event
from server.gate_records import Measured
from server.jobs import queue
from server.jobs.child import run_in_child
from server.jobs.runner import JobRun
from server.where import Where

KIND = "measure_challenger"


def ask_missing(context: Context, session: Session) -> bool:
    """Ask for whatever the gate has yet to know of a challenger, anywhere; the caller commits. False: it knows all.

    Who served before was measured then, and need not be again.
    """
    now, asked = context.now(), False
    for pair in rivals.all_pairs(session):
        challenger, champion = pair.challenger.id, pair.champion.id
        if not pair.returns and session.get(Measured, (challenger, champion)) is None:
            arguments = {"model": challenger, "champion": champion}
            queue.enqueue(session, KIND, arguments, now=now, key=f"{KIND}:{challenger}:{champion}")
            asked = True
        if golden_needs.unseen(session, context, challenger, product=pair.where.product or None):
            golden_needs.ask(session, model=challenger, why="challenger", now=now)
            asked = True
    return asked


def watch(context: Context) -> None:
    """Ask as soon as a model becomes the challenger; a line in `server.loop`."""
    context.events.call("model", partial(_model_changed, context), only_here=True)


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Measure challenger and champion, store it, and let the gate act."""
    with context.database.read() as session:
        challenger = registry.get(session, str(run.arguments["model"]))
        champion = _champion(session, run)
        pictures = gate_cost.some_pictures(context, session)
    if champion is None or champion.id == challenger.id or not pictures:
        return {"waits": "there is no other champion, or no picture to look at yet"}
    home = context.settings.home.resolve()
    figures = measure_both(context, run, home / champion.folder, home / challenger.folder, pictures)
    with context.database.write() as session:
        session.merge(Measured(challenger=challenger.id, champion=champion.id, at=context.now(), figures=figures))
        session.flush()
        gate.act_for(context, session, challenger.id)
        session.commit()
    return figures


def weigh(context: Context, run: JobRun) -> dict[str, Any]:
    """Does what people said complete the proof of the challenger there? Read beside the line; only where it does, once
    more in the transaction that lets it serve."""
    where = Where(**run.arguments)
    with context.database.read() as session:
        if not gate.would_act(context, session, where):
            return {"promoted": False}
    with context.database.write() as session:
        promoted = gate.act(context, session, where)
        session.commit()
    return {"promoted": promoted}


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


def _champion(session: Session, run: JobRun) -> ModelVersion | None:
    """Whom it is measured beside; a job of an earlier version names nobody, and means the champion of all."""
    named = run.arguments.get("champion")
    return registry.champion(session) if named is None else registry.get(session, str(named))


def _model_changed(context: Context, event: Event) -> None:
    with context.database.write() as session:
        if ask_missing(context, session):
            session.commit()
