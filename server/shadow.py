"""The shadow: a challenger looks at every production part after the answer has left, and never reaches the line.

Products and stations with a champion of their own have their own challenger, or none: each part is put to that of where
it belongs (`server.where`). They work on spare capacity only: one part at a time, each model in a process of its own
that stands still while a part waits for its verdict (`onlooker`). What does not fit into the short queue is shed,
oldest first, and counted. What was said is stored (`ShadowVerdict`); `server.gate` compares it with the champion on the
parts whose truth people told.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
from sqlmodel import Session

from qc.errors import QcError
from qc.records import Inspection, Progress
from segmentation.records import ModelVersion
from server import assigning, judging, registry
from server.context import Context
from server.events import Event
from server.inspections import exposures_of
from server.onlooker import Eyes, GivesWay, Gone, Onlooker, Picture, Stopped
from server.watch_records import ShadowVerdict
from server.where import EVERYWHERE, Where, where_of

log = structlog.get_logger(__name__)

QUEUE = 64
"""Parts that may wait for challengers; more are shed."""
LOOK_S = 2.0
"""How often the registry is looked at for challengers."""

Find = Callable[[Session], Mapping[Where, tuple[str, Path] | None]]
"""Everywhere, and wherever a champion of its own serves -> id and folder of the challenger; None: nobody looks on."""

Load = Callable[[Path, GivesWay], Eyes]
"""Begins a model folder's work."""


class Shadow:
    """Runs the challengers beside the line. A `server.context.Part`."""

    def __init__(self, context: Context, *, find: Find, load: Load) -> None:
        self._context, self._find, self._load = context, find, load
        self._queue: deque[str] = deque()
        self._lock = threading.Lock()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._way = GivesWay(self._busy, self._stop)
        self._wanted: Mapping[Where, str | None] = {}
        """Where -> the challenger's id."""
        self._at_work: dict[str, Eyes] = {}
        """Model id -> its process."""
        self._unfit: dict[str, str] = {}
        """Model id -> why it could not be loaded; not tried again until it was taken away meanwhile."""
        self._away: set[str] = set()
        """Models whose folders are not here."""
        self._problem: str | None = None
        self._looked = -LOOK_S
        self.seen = self.shed = 0
        context.events.call("inspection", self._inspected, only_here=True)
        context.events.call("model", lambda _: self._changed())
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def state(self) -> dict[str, Any]:
        """For /health. The line does not need it, so that it is never worse than degraded."""
        away = [f"the challenger {model} is not on this server (yet)" for model in sorted(self._away)]
        problems = [*filter(None, [self._problem]), *self._unfit.values(), *away]
        looking = list(dict.fromkeys(model for model in self._wanted.values() if model in self._at_work))
        if not looking and not problems:
            return {"state": "off", "message": "there is no challenger"}
        counts = {"waiting": len(self._queue), "seen": self.seen, "shed": self.shed}
        told = {"challenger": looking[0], "challengers": looking, **counts} if looking else {}
        if problems:
            return {"state": "degraded", "message": "; ".join(problems), **told}
        return {"state": "ok", **told}

    def stop(self) -> None:
        """End; parts that wait are not looked at."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=10)
        for model in list(self._at_work):
            self._let_go(model)

    def _let_go(self, model: str) -> None:
        """The challenger's process ends, where it has one."""
        before = self._at_work.pop(model, None)
        if before is not None:
            before.end()

    def _busy(self) -> bool:
        return self._context.inspector is not None and self._context.inspector.busy

    def _eyes(self, product: str, station: str) -> tuple[Where, Eyes | None]:
        """Where a part belongs, and who looks on there."""
        where = where_of(self._wanted, product, station)
        return where, self._at_work.get(self._wanted.get(where) or "")

    def _inspected(self, event: Event) -> None:
        if event.data.get("progress") != Progress.DONE:
            return
        if self._eyes(str(event.data.get("product", "")), str(event.data.get("station", "")))[1] is None:
            return
        with self._lock:
            if len(self._queue) >= QUEUE:
                self._queue.popleft()
                self.shed += 1
                self._context.metrics.shadow_shed.inc()
            self._queue.append(str(event.data["id"]))
        self._wake.set()

    def _changed(self) -> None:
        self._looked = -LOOK_S
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._refresh()
                if not self._step():
                    self._wake.wait(LOOK_S)
                    self._wake.clear()
            except Stopped:
                return
            except Exception as error:  # whatever a challenger does, the line goes on
                self._problem = _said(error)
                log.error("shadow failed", problem=self._problem, exc_info=error)
                self._stop.wait(LOOK_S)

    def _refresh(self) -> None:
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        with self._context.database.read() as session:
            found = dict(self._find(session))
        folders = dict(told for told in found.values() if told is not None)
        self._wanted = {where: told[0] if told else None for where, told in found.items()}
        self._problem = None
        self._unfit = {model: why for model, why in self._unfit.items() if model in folders}
        self._away = {model for model, folder in folders.items() if not folder.is_dir()} - self._at_work.keys()
        for model in [model for model in self._at_work if model not in folders]:
            self._let_go(model)
        if not folders:
            with self._lock:
                self._queue.clear()
        for model in folders.keys() - self._at_work.keys() - self._unfit.keys() - self._away:
            self._begin(model, folders[model])

    def _begin(self, model: str, folder: Path) -> None:
        """Let one more challenger look on; what is wrong with it keeps the others from nothing."""
        try:
            self._at_work[model] = self._load(folder, self._way)
        except (Stopped, Gone):
            raise
        except Exception as error:  # whatever a broken folder raises
            self._unfit[model] = _said(error)
            log.error("a challenger could not be loaded", model=model, exc_info=error)
        else:
            log.info("a challenger looks on", model=model)

    def _step(self) -> bool:
        """Look at one part, if one waits and the line leaves room; False when there is nothing to do."""
        with self._lock:
            if not self._at_work or not self._queue:
                return False
            inspection_id = self._queue.popleft()
        self._way.wait()
        self._look(inspection_id)
        return True

    def _look(self, inspection_id: str) -> None:
        context = self._context
        with context.database.read() as session:
            inspection = session.get(Inspection, inspection_id)
            exposures = exposures_of(session, inspection_id)
            if inspection is None or inspection.verdict is None or inspection.model is None:
                return
            where, challenger = self._eyes(inspection.product, inspection.station)
            if challenger is None or session.get(ShadowVerdict, (inspection_id, challenger.model_id)) is not None:
                return
        if inspection.model == challenger.model_id:
            return  # it was promoted meanwhile
        pictures = [Picture(judging.received(each, context.blobs), each.view, each.sha256) for each in exposures]
        try:
            said = challenger.look(pictures, context.policies.get(inspection.product), station=inspection.station)
        except Gone:
            self._let_go(challenger.model_id)
            raise
        self._way.wait()  # writing waits for the disk, and whoever writes then for that
        row = ShadowVerdict(
            inspection_id=inspection_id,
            model=challenger.model_id,
            champion=inspection.model,
            champion_verdict=inspection.said or inspection.verdict,
            verdict=said.verdict,
            score=said.score,
            defects=said.defects,
            elapsed_ms=round(1000 * said.cpu_s, 1),
            at=context.now(),
            for_product=where.product,
            for_station=where.station,
        )
        with context.database.write() as session:
            if session.get(Inspection, inspection_id) is None:
                return  # erased meanwhile
            session.add(row)
            session.commit()
        self.seen += 1
        context.metrics.shadow_seen.inc()


def _said(error: Exception) -> str:
    return error.message if isinstance(error, QcError) else f"{type(error).__name__}: {error}"


def find_challengers(home: Path) -> Find:
    """The challengers of the registry, and of the products and stations that have a champion of their own."""

    def find(session: Session) -> dict[Where, tuple[str, Path] | None]:
        def told(row: ModelVersion | None) -> tuple[str, Path] | None:
            return None if row is None else (row.id, home / row.folder)

        own = {
            Where(own.product, own.station): told(registry.get(session, own.challenger) if own.challenger else None)
            for own in assigning.all_of_them(session)
        }
        return {EVERYWHERE: told(registry.challenger(session)), **own}

    return find


def load_aside(device: str, log: Path) -> Load:
    """Begins a model folder's work in a process of its own."""

    def load(folder: Path, way: GivesWay) -> Eyes:
        return Onlooker(folder, device=device, way=way, log=log)

    return load


def start(context: Context) -> Shadow | None:
    """Start the shadow unless the settings say otherwise; a line in `server.parts.PARTS`."""
    settings = context.settings
    if not settings.shadow:
        return None
    load = load_aside(settings.device, settings.folder("logs") / "shadow.log")
    return Shadow(context, find=find_challengers(settings.home.resolve()), load=load)
