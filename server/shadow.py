"""The shadow: a challenger looks at every production part after the answer has left, and never reaches the line.

It works on spare capacity only: in a process of its own that stands still while a part waits for its verdict
(`onlooker`). What does not fit into its short queue is shed, oldest first, and counted. What it said is stored
(`ShadowVerdict`); `server.gate` compares it with the champion on the parts whose truth people told.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from sqlmodel import Session

from qc.errors import QcError
from qc.records import Inspection, Progress
from segmentation.records import ModelVersion
from server import judging, registry
from server.context import Context
from server.events import Event
from server.inspections import exposures_of
from server.models_in_use import Find
from server.onlooker import Eyes, GivesWay, Gone, Onlooker, Picture, Stopped
from server.watch_records import ShadowVerdict

log = structlog.get_logger(__name__)

QUEUE = 64
"""Parts that may wait for the challenger; more are shed."""
LOOK_S = 2.0
"""How often the registry is looked at for a challenger."""

Load = Callable[[Path, GivesWay], Eyes]
"""Begins a model folder's work."""


class Shadow:
    """Runs the challenger beside the line. A `server.context.Part`."""

    def __init__(self, context: Context, *, find: Find, load: Load) -> None:
        self._context, self._find, self._load = context, find, load
        self._queue: deque[str] = deque()
        self._lock = threading.Lock()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._way = GivesWay(self._busy, self._stop)
        self._challenger: Eyes | None = None
        self._unfit: str | None = None
        self._problem: str | None = None
        self._looked = -LOOK_S
        self.seen = self.shed = 0
        context.events.call("inspection", self._inspected, only_here=True)
        context.events.call("model", lambda _: self._changed())
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def state(self) -> dict[str, Any]:
        """For /health. The line does not need it, so that it is never worse than degraded."""
        if self._problem:
            return {"state": "degraded", "message": self._problem}
        if self._challenger is None:
            return {"state": "off", "message": "there is no challenger"}
        return {
            "state": "ok",
            "challenger": self._challenger.model_id,
            "waiting": len(self._queue),
            "seen": self.seen,
            "shed": self.shed,
        }

    def stop(self) -> None:
        """End; parts that wait are not looked at."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=10)
        self._let_go()

    def _let_go(self) -> None:
        """The challenger there was ends."""
        before, self._challenger = self._challenger, None
        if before is not None:
            before.end()

    def _busy(self) -> bool:
        return self._context.inspector is not None and self._context.inspector.busy

    def _inspected(self, event: Event) -> None:
        if self._challenger is None or event.data.get("progress") != Progress.DONE:
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
                if isinstance(error, Gone):
                    self._let_go()
                    self._unfit = None
                self._problem = error.message if isinstance(error, QcError) else f"{type(error).__name__}: {error}"
                log.error("shadow failed", problem=self._problem, exc_info=error)
                self._stop.wait(LOOK_S)

    def _refresh(self) -> None:
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        with self._context.database.read() as session:
            wanted = self._find(session)
        if wanted is None:
            self._let_go()
            self._problem = None
            with self._lock:
                self._queue.clear()
            return
        model_id, folder = wanted
        if model_id in (self._unfit, self._challenger and self._challenger.model_id):
            return
        if not folder.is_dir():
            self._let_go()
            self._problem = f"the challenger {model_id} is not on this server (yet)"
            return
        self._let_go()
        self._unfit = model_id  # not loaded again until another one stands there
        loaded = self._load(folder, self._way)
        self._unfit, self._problem, self._challenger = None, None, loaded
        log.info("a challenger looks on", model=model_id)

    def _step(self) -> bool:
        """Look at one part, if one waits and the line leaves room; False when there is nothing to do."""
        challenger = self._challenger
        with self._lock:
            if challenger is None or not self._queue:
                return False
            inspection_id = self._queue.popleft()
        self._way.wait()
        self._look(challenger, inspection_id)
        return True

    def _look(self, challenger: Eyes, inspection_id: str) -> None:
        context = self._context
        with context.database.read() as session:
            inspection = session.get(Inspection, inspection_id)
            exposures = exposures_of(session, inspection_id)
            known = session.get(ShadowVerdict, (inspection_id, challenger.model_id))
        if inspection is None or known is not None or inspection.verdict is None or inspection.model is None:
            return
        if inspection.model == challenger.model_id:
            return  # it was promoted meanwhile
        pictures = [Picture(judging.received(each, context.blobs), each.view, each.sha256) for each in exposures]
        said = challenger.look(pictures, context.policies.get(inspection.product), station=inspection.station)
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
        )
        with context.database.write() as session:
            if session.get(Inspection, inspection_id) is None:
                return  # erased meanwhile
            session.add(row)
            session.commit()
        self.seen += 1
        context.metrics.shadow_seen.inc()


def find_challenger(home: Path) -> Find:
    """The challenger of the registry."""

    def find(session: Session) -> tuple[str, Path] | None:
        row: ModelVersion | None = registry.challenger(session)
        return None if row is None else (row.id, home / row.folder)

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
    return Shadow(context, find=find_challenger(settings.home.resolve()), load=load)
