"""A station that a PLC drives: triggers become pictures, pictures inspections, inspections the PLC's result.

What the PLC was told is in the audit trail (`plc.result`), also where nothing could be inspected. The number of
triggers goes to the disk while its part is inspected, whose row bears it, too: after a restart none is used twice.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from qc.errors import InvalidInput, QcError, Unavailable
from qc.records import Exposure, Inspection, Progress
from qc.verdict import Verdict
from server.codes import Unreadable
from server.codes_config import codes_at
from server.context import Context
from server.inspections import exposures_of, get_inspection
from server.orders import Order, Picture
from server.plant import handshake
from server.plant.config import StationConfig
from server.plant.handshake import Fault, Inputs, Job, Phase, Reply, Rules, Signals, State
from server.plant.memory import PLC, counted, keep, noted, remembered, unnamed
from server.plant.sources import NoPicture, Source, Wanted
from server.plant.standing import Standing
from server.plant.trail import Trail
from server.plant.views import Views
from server.rehearsing import rehearse

log = structlog.get_logger(__name__)

STARTING = "it has just started"
"""The problem of a station that has not looked yet."""
LOOK_S = 0.5
"""How often camera and model are asked whether they are there, in seconds."""
WHOSE_PICTURE = "nobody can say whose picture this is"
"""Begins the problem of an inspection whose part was overrun."""
OVERRUN = 16
"""Overrun triggers that are remembered; the inspection of an earlier one has ended long ago."""
READ_S = 0.01
"""So long the PLC has for reading a result before the trail is told of it, which takes the interpreter and the disk."""
QUIET_S = 0.2
"""After an error, at least so many seconds pass before what lies about is put aside; see also `picture_within_s`."""

Now = Callable[[], float]
"""Seconds that only go forward; the inspector counts by `time.perf_counter`."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the PLC can read at one moment: consistent with each other."""

    signals: Signals
    reply: Reply | None
    number: int
    """Triggers seen so far."""
    recipe: int
    acquired: int = 0
    """The last trigger whose pictures are all there: its part may move on."""


@dataclass(slots=True)
class _Found:
    """How far the part of a trigger has come."""

    inspection: str = ""
    """Its id, once it is taken."""
    cleared: threading.Event = field(default_factory=threading.Event)
    """Its pictures are stored, and gone from where the cameras' software put them."""


class Station:
    """Runs the handshake of one station; safe to use from several threads."""

    def __init__(
        self,
        name: str,
        config: StationConfig,
        context: Context,
        sources: Sequence[Source],
        *,
        memory: Path,
        now: Now = time.perf_counter,
    ) -> None:
        """
        Args:
            memory: file that holds the number of triggers and the last result.
        """
        self.name, self.config = name, config
        self._context, self._sources, self.memory, self._now = context, sources, memory, now
        self._rules = Rules(config.decide_by_s, dict(config.recipes), config.silent_s)
        self._lock = threading.Lock()
        self._state = _begun(memory, counted(context, name))
        self._kept = self._state.number
        """The number that is on disk."""
        self._problem: str | None = STARTING
        self._rehearsed = False
        self._acquired = 0
        self._late_s = config.picture_within_s if any(source.unasked for source in sources) else 0.0
        """How long after its trigger a picture may still come by itself."""
        self._lying: tuple[int, float] | None = None
        """Pictures lie there while it is ready: the trigger before them, and since when."""
        self._trail = Trail(name, context, memory)
        self._standing = Standing(name, context)
        self._overrun: deque[int] = deque(maxlen=OVERRUN)
        """Triggers that were followed by another one before their result."""
        self._keeping = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._wake, self._tidy, self._stop = threading.Event(), threading.Event(), threading.Event()
        self._views = Views(sources, name=name)
        self._work = ThreadPoolExecutor(1, thread_name_prefix=f"plc-{name}")
        self._watch = threading.Thread(target=self._run, name=f"plc-{name}-watch", daemon=True)
        self._look = threading.Thread(target=self._look_after, name=f"plc-{name}-look", daemon=True)
        if self._trail.waiting:
            self._wake.set()
        self._watch.start()
        self._look.start()

    def heard(self, inputs: Inputs) -> None:
        """The PLC wrote something. Quick: what takes long happens elsewhere."""
        with self._lock:
            now = self._now()
            self._move(handshake.passed(self._state, now, self._rules))
            before = self._state.phase
            state, job = handshake.heard(self._state, inputs, self._rules, now)
            self._move(state)
            if job is not None:
                self._work.submit(self._inspect, job)
            becomes_ready = self._state.phase == Phase.READY != before
            look = becomes_ready or handshake.wants_cleaning(self._state)
        self._notice()
        if look:
            self._tidy.set()

    def trigger_if_ready(self, inputs: Inputs) -> int | None:
        """For a wire whose calls have answers: the trigger's number, or None, and nothing has happened."""
        with self._lock:
            now = self._now()
            self._move(handshake.passed(self._state, now, self._rules))
            if self._state.phase != Phase.READY:
                return None
            state, job = handshake.heard(self._state, inputs, self._rules, now)
            self._move(state)
            number = self._state.number
            if job is not None:
                self._work.submit(self._inspect, job)
            self._move(handshake.heard(self._state, replace(inputs, trigger=False), self._rules, now)[0])
        self._notice()
        return number

    def abort(self) -> None:
        """Give the part at hand up: its result is an error, and ng. Without one nothing happens."""
        with self._lock:
            self._move(handshake.aborted(self._state, self._now()))
        self._notice()

    def on_change(self, function: Callable[[], None]) -> None:
        """Call a quick function, on any thread, whenever something may have changed."""
        self._listeners.append(function)

    @property
    def phase(self) -> Phase:
        """Where it stands."""
        return self._state.phase

    @property
    def problem(self) -> str | None:
        """Why it cannot take a part; None: it can."""
        return self._problem

    @property
    def frames_lost(self) -> int:
        """Frames that its cameras, or their wires, are known to have lost since the start."""
        return sum(source.lost for source in self._sources)

    def lost(self) -> None:
        """The wire to the PLC is cut."""
        with self._lock:
            self._move(handshake.lost(self._state))
        log.warning("the PLC is gone", station=self.name)

    def shown(self) -> Shown:
        """What the PLC reads now; what is due by now is late in it, whether or not anybody has noticed before."""
        with self._lock:
            self._move(handshake.passed(self._state, self._now(), self._rules))
            state = self._state
        return Shown(handshake.signals(state), state.reply, state.number, state.inputs.recipe, self._acquired)

    def state(self) -> dict[str, Any]:
        """For /health."""
        shown = self.shown()
        ready = {"triggers": shown.number, "phase": str(self._state.phase), "frames_lost": self.frames_lost}
        if len(self._sources) > 1:
            ready["asked_apart_ms"] = round(self._views.apart_ms, 1)
        if self._problem is not None:
            return {"state": "degraded", "message": self._problem, **ready}
        if not self._state.alive:
            return {
                "state": "degraded",
                "message": f"the PLC gave no sign of life for {self.config.silent_s:g} s",
                **ready,
            }
        return {"state": "ok", **ready}

    def stop(self) -> None:
        """End; a part at hand is finished first, so that its result is not lost."""
        self._stop.set()
        with self._lock:  # a trigger that comes from now on is an error at once, while the wire is still there
            self._move(handshake.able(self._state, False))
        self._wake.set()
        self._tidy.set()
        self._work.shutdown(wait=True)
        self._trail.stop()
        self._watch.join(timeout=5)
        self._trail.end(self._keep)
        self._look.join(timeout=5)
        self._keep()
        self._views.close()
        for source in self._sources:
            source.close()

    def forget(self, part: str) -> None:
        """A part was erased: its name leaves the last result and what waits for the trail. Raises OSError; may be done
        again."""
        with self._lock:
            self._state = unnamed(self._state, part)
        self._keep()
        self._trail.forget(part)

    def _inspect(self, job: Job) -> None:
        found = _Found()
        self._tell(job, found, lambda: self._result_of(job, found))

    def _result_of(self, job: Job, found: _Found) -> Reply | None:
        """Take the part's pictures and have it inspected; None: the thread that judged it has told its result."""
        pictures = self._views.pictures(partial(self._picture, job))
        if not self._is_at_hand(job):
            raise NoPicture(f"trigger {job.number} was given up before its pictures were there")
        coded = not job.part and codes_at(self._context, self.name) is not None
        part = job.part or ("" if coded else f"{self.name}-{job.number}")
        trigger_id, doubt = f"{PLC}{job.number}", lambda: self._objection(job)
        first = partial(self._judged, job, found)
        stored = partial(self._stored, job, found)
        order = Order(
            part,
            self.name,
            pictures,
            trigger_id,
            job.product,
            objection=doubt,
            judged=first,
            stored=stored,
            fresh=True,
        )
        inspector = self._context.need_inspector()
        taken = inspector.take(order, started=job.started)
        if not taken.new:
            raise InvalidInput(f"{self.name} has had a trigger {job.number} before; is {self.memory.name} an old copy?")
        found.inspection = taken.inspection_id
        inspector.wait(found.inspection)
        if not self._is_at_hand(job):
            return None
        with self._context.database.read() as session:
            row = get_inspection(session, found.inspection)
            return self._reply(job, row, exposures_of(session, found.inspection))

    def _stored(self, job: Job, found: _Found) -> None:
        """The part is safe: its pictures may go from where the cameras' software put them, and it may move on."""
        for source in self._sources:
            source.stored()
        self._acquired = job.number
        self._notice()
        found.cleared.set()  # from now on whoever judges it may see whether a picture too many lies there

    def _judged(self, job: Job, found: _Found, row: Inspection, exposures: Sequence[Exposure]) -> None:
        """The part's verdict is committed: tell it at once, on this thread, where its pictures are cleared away."""
        if found.cleared.is_set():
            self._tell(job, found, lambda: self._reply(job, row, exposures))

    def _tell(self, job: Job, found: _Found, reply_of: Callable[[], Reply | None]) -> None:
        """Whatever happens to one part, the PLC gets its result and the line goes on."""
        failure: Exception | None = None
        try:
            reply = reply_of()
        except Exception as error:
            failure, fault = error, _fault(error)
            since = self._since(job)
            reply = Reply(job.number, job.number, job.part, fault, inspection=found.inspection, elapsed_ms=since)
        if reply is None:
            return
        if failure is not None and self._kept < job.number:
            self._keep_number()  # there may be no inspection that bears it
        with self._lock:
            self._move(handshake.answered(self._state, reply, self._now()))
        self._notice()
        if failure is not None:
            ours = failure if not isinstance(failure, QcError) else None
            log.error("no verdict", station=self.name, trigger=job.number, problem=str(failure), exc_info=ours)

    def _picture(self, job: Job, source: Source, wanted: Wanted) -> Picture:
        until = min(job.due, job.started + self._late_s) if source.unasked else job.due
        return source.picture(max(until - self._now(), 0.0), lambda: wanted() and self._is_at_hand(job))

    def _is_at_hand(self, job: Job) -> bool:
        """Once it is not, as the PLC has broken the order or time is up, the next picture is another part's."""
        return self._state.job is job

    def _objection(self, job: Job) -> str:
        """Why there must be no verdict of a part, however it was judged."""
        overrun = job.number in self._overrun
        return f"{WHOSE_PICTURE}, since trigger {job.number + 1} came before its result" if overrun else ""

    def _reply(self, job: Job, row: Inspection, exposures: Sequence[Exposure]) -> Reply:
        if surplus := sum(source.surplus() for source in self._sources):
            raise NoPicture(f"{surplus} pictures too many came for trigger {job.number}: which one is its?")
        defects = sum(bool(defect.get("counts")) for image in exposures for defect in image.defects)
        failed = row.progress != Progress.DONE or row.verdict is None
        held_back = row.model_verdict is not None  # the station only looks on, or advises
        return Reply(
            job.number,
            job.number,
            row.part,
            Fault.FAILED if failed else Fault.NONE,
            Verdict.NG if failed else Verdict(str(row.verdict)),
            row.id,
            0.0 if held_back else row.score or 0.0,
            0 if held_back else defects,
            self._since(job),
        )

    def _notice(self) -> None:
        self._wake.set()
        for listener in self._listeners:
            listener()

    def _since(self, job: Job) -> float:
        return 1000 * (self._now() - job.started)

    def _run(self) -> None:
        """Notices what is due, and writes down what the PLC was told."""
        while not self._stop.is_set():
            with self._lock:
                due = handshake.next_event(self._state, self._rules)
            self._wake.wait(None if due is None else max(due - self._now(), 0.0))
            self._wake.clear()
            self.shown()
            if self._kept < self._state.number:
                self._keep_number()
            if self._trail.waiting:
                self._stop.wait(READ_S)
                self._trail.tell(self._keep)

    def _move(self, state: State) -> None:
        """The next state; under the lock. A result that it brings is written down later."""
        if state.reply is not None and state.reply is not self._state.reply:
            self._trail.add(state.reply)
            if state.reply.fault == Fault.OVERRUN:
                self._overrun.append(state.reply.since)
        self._state = state

    def _look_after(self) -> None:
        """Asks camera and model whether they are there, and puts aside what belongs to no trigger."""
        while not self._stop.is_set():
            try:
                self._look_once()
            except Exception as error:  # such as a disk that refuses to move a file: not ready, and tried again
                log.exception("a station cannot be looked after", station=self.name)
                self._set_problem(f"the station cannot be looked after: {error}")
            self._standing.look(self._problem)
            self._tidy.wait(LOOK_S if self._lying is None else min(LOOK_S, self.config.picture_early_s))
            self._tidy.clear()

    def _look_once(self) -> None:
        problem = self._find_problem()
        if problem is None and not self._rehearsed:
            rehearse(self._context, self.name)
            self._rehearsed = True
        self._set_problem(problem)
        if self._problem is not None:
            return
        if handshake.wants_cleaning(self._state):
            self._put_aside()
        self._look_for_nobodys()

    def _put_aside(self) -> None:
        """What lies about, once nothing that was triggered can come any more."""
        self._stop.wait(max(QUIET_S, self._state.pulse_at + self._late_s - self._now()))
        pulse_at = self._state.pulse_at
        if self._now() < pulse_at + self._late_s:
            return
        for source in self._sources:
            source.arm()
        with self._lock:
            if self._state.pulse_at == pulse_at:
                self._move(handshake.cleaned(self._state))
        self._notice()

    def _look_for_nobodys(self) -> None:
        """A picture that lies there while no part does: its trigger is about to be heard, or it is nobody's."""
        seen, now = self._state, self._now()
        if seen.phase != Phase.READY or not any(source.lying() for source in self._sources):
            self._lying = None
            return
        if self._lying is None or self._lying[0] != seen.number:
            self._lying = (seen.number, now)
        if now - self._lying[1] < self.config.picture_early_s:
            return
        self._lying = None
        with self._lock:
            if self._state.number != seen.number:  # a trigger has just come, and may be that picture's
                return
            self._move(handshake.doubted(self._state, now))
        log.warning("a picture came without a trigger and is put aside", station=self.name)
        self._tidy.set()
        self._notice()

    def _set_problem(self, problem: str | None) -> None:
        if problem != self._problem:
            log.info("station", station=self.name, able=problem is None, problem=problem)
        self._problem = problem
        with self._lock:
            self._move(handshake.able(self._state, problem is None and not self._stop.is_set()))

    def _find_problem(self) -> str | None:
        try:
            self._context.need_champion().serving()
        except Unavailable as error:
            return error.message
        return next((problem for source in self._sources if (problem := source.problem())), None)

    def _keep_number(self) -> None:
        """While the part is inspected, which waits for nothing of it."""
        try:
            self._keep()
        except OSError as error:  # a part that is inspected has its number in the database, too
            log.error("the number of triggers is not on disk yet", station=self.name, problem=str(error))

    def _keep(self) -> None:
        with self._keeping:
            with self._lock:
                state = self._state
            keep(self.memory, state)
            self._kept = state.number


def _begun(memory: Path, in_database: int) -> State:
    """As the last run left it; `in_database` is the newest trigger there, which a kill may have kept from the disk. So
    may a result that was written down for the trail, where the number could not be written just before."""
    state = remembered(memory) or State()
    for_the_trail = (entry.body["triggers"][1] for entry in noted(memory))
    return replace(state, number=max(state.number, in_database, *for_the_trail))


def _fault(error: Exception) -> Fault:
    if isinstance(error, NoPicture):
        return Fault.NO_PICTURE
    if isinstance(error, Unavailable):
        return Fault.REFUSED
    if isinstance(error, Unreadable):
        return Fault.NO_CODE
    if isinstance(error, InvalidInput) and "image" in error.details:
        return Fault.NO_PICTURE
    return Fault.FAILED
