"""The shadow: a challenger looks at every production part after the answer has left, and never reaches the line.

It works on spare capacity only: in one thread of low priority, and not while a part waits for its verdict. What does
not fit into its short queue is shed, oldest first, and counted. What it said is stored (`ShadowVerdict`); `server.gate`
compares it with the champion on the parts whose truth people told.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import structlog
from sqlmodel import Session

from qc.errors import QcError
from qc.ports import Segmenter
from qc.records import Inspection, Progress
from segmentation.records import ModelVersion
from server import judging, registry
from server.context import Context
from server.events import Event
from server.inspections import exposures_of
from server.models_in_use import Find, Load
from server.watch_records import ShadowVerdict

log = structlog.get_logger(__name__)

QUEUE = 64
"""Parts that may wait for the challenger; more are shed."""
LOOK_S = 2.0
"""How often the registry is looked at for a challenger."""
IDLE_S = 0.02
"""Between two looks whether the line needs the machine."""
NICENESS = 15
"""Priority of the shadow's thread below that of the line: the scheduler gives it what is left."""


class Shadow:
    """Runs the challenger beside the line. A `server.context.Part`."""

    def __init__(self, context: Context, *, find: Find, load: Load) -> None:
        self._context, self._find, self._load = context, find, load
        self._queue: deque[str] = deque()
        self._lock = threading.Lock()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._challenger: Segmenter | None = None
        self._unfit: str | None = None
        self._problem: str | None = None
        self._looked = -LOOK_S
        self.seen = self.shed = 0
        context.events.call("inspection", self._inspected)
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
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)  # on Linux: of this thread alone
        while not self._stop.is_set():
            try:
                self._refresh()
                if not self._step():
                    self._wake.wait(LOOK_S)
                    self._wake.clear()
            except Exception as error:  # whatever a challenger does, the line goes on
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
            self._challenger = self._problem = None
            with self._lock:
                self._queue.clear()
            return
        model_id, folder = wanted
        if model_id in (self._unfit, self._challenger and self._challenger.model_id):
            return
        self._unfit, self._challenger = model_id, None  # not loaded again until another one stands there
        loaded = self._load(folder)
        self._unfit, self._problem, self._challenger = None, None, loaded
        log.info("a challenger looks on", model=model_id)

    def _step(self) -> bool:
        """Look at one part, if one waits and the line leaves room; False when there is nothing to do."""
        challenger = self._challenger
        with self._lock:
            if challenger is None or not self._queue:
                return False
            inspection_id = self._queue.popleft()
        while self._context.inspector is not None and self._context.inspector.busy:
            if self._stop.wait(IDLE_S):
                return False
        self._look(challenger, inspection_id)
        return True

    def _look(self, challenger: Segmenter, inspection_id: str) -> None:
        started = time.perf_counter()
        context = self._context
        with context.database.read() as session:
            inspection = session.get(Inspection, inspection_id)
            exposures = exposures_of(session, inspection_id)
            known = session.get(ShadowVerdict, (inspection_id, challenger.model_id))
        if inspection is None or known is not None or inspection.verdict is None or inspection.model is None:
            return
        if inspection.model == challenger.model_id:
            return  # it was promoted meanwhile
        judgement = judging.judge(
            judging.frames_of(exposures, context.blobs, context.decode),
            challenger,
            context.policies.get(inspection.product),
            station=inspection.station,
        )
        row = ShadowVerdict(
            inspection_id=inspection_id,
            model=challenger.model_id,
            champion=inspection.model,
            champion_verdict=inspection.said or inspection.verdict,
            verdict=judgement.verdict,
            score=judgement.score,
            defects=sum(defect.counts for found in judgement.findings for defect in found.defects),
            elapsed_ms=round(1000 * (time.perf_counter() - started), 1),
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


def load_on_one_thread(device: str) -> Load:
    """Loads a model folder for the shadow: on one thread, as the line needs the others."""

    def load(folder: Path) -> Segmenter:
        from segmentation.model import load_segmenter

        return load_segmenter(folder, device=device, threads=1)

    return load


def start(context: Context) -> Shadow | None:
    """Start the shadow unless the settings say otherwise; a line in `server.parts.PARTS`."""
    if not context.settings.shadow:
        return None
    find = find_challenger(context.settings.home.resolve())
    return Shadow(context, find=find, load=load_on_one_thread(context.settings.device))
