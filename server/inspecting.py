"""The inspector: takes pictures in, keeps them safe, has them judged. Nothing it took is lost or judged twice.

1. The pictures are checked and decoded; what is wrong with them is said at once.
2. The camera's bytes are stored, then a row `received` is committed. From here on a power cut loses nothing.
3. A worker looks at the part meanwhile. Once it is safe, it records the verdict in one transaction.
4. At start, whatever is still `received` is judged.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import or_
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from qc.errors import Conflict, QcError, Unavailable
from qc.frame import Frame
from qc.inspection import at_depth
from qc.object_stores import StoreAway
from qc.records import NOT_JUDGED, Exposure, Inspection, Progress
from server import camera_health, judging
from server.codes_config import codes_at
from server.context import Context
from server.deadlines import Deadlines, Late
from server.home_id import home_id
from server.inspections import exposures_of
from server.orders import Coming, Order, Rows, Taken, check_order, frames_of_order, nobody, rows_of_order
from server.places import Places
from server.policies import check_product
from server.thumbnails import keep_thumbnail
from server.tracing import carried, note, traced
from server.watch_records import CameraLook

log = structlog.get_logger(__name__)

LOOK_S = 0.2
"""How often it is looked whether another server has judged a part, in seconds."""
AGAIN_S = 2.0
"""Seconds between two attempts at parts whose verdict could not be recorded (a full disk, a database that was away)."""


class Inspector:
    """Takes orders from any thread. A `server.context.Part`."""

    def __init__(self, context: Context) -> None:
        self._context, self._champion, self._metrics = context, context.need_champion(), context.metrics
        self._workers = ThreadPoolExecutor(context.settings.inspection_workers, thread_name_prefix="inspect")
        self._waiting: dict[str, Future[None]] = {}
        self._began: dict[str, float] = {}
        """Inspection -> `time.perf_counter()` when its last byte had come; taken by this process and not judged."""
        self._orders: dict[str, Order] = {}
        """Of the same inspections, without their pictures: what they were asked for."""
        self._places = Places(context.settings.max_waiting)
        self._home_id = home_id(context.settings.folder("."))
        self._deadlines = Deadlines(context, self._count)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._again = threading.Event()
        self._recovery = threading.Thread(target=self._recover, name="recover", daemon=True)
        self._recovery.start()

    def inspect(self, order: Order) -> Taken:
        """Take an order and wait until it is judged; a repeated trigger waits for the first one's answer.

        Raises:
            InvalidInput: the order or a picture makes no sense; nothing is stored.
            Unavailable: no model serves yet, too many parts wait already, the disk refuses, or it takes longer than the
                settings allow. What is late by the station's decide-by time is no error here: it is judged, `ng`.
        """
        started = time.perf_counter()
        taken = self.take(order, started=started)
        self.wait(taken.inspection_id)
        return taken

    @traced("part.take")
    def take(self, order: Order, *, started: float | None = None) -> Taken:
        """Check, store and queue an order; on return it is safe. Raises as `inspect`.

        Args:
            order: what to inspect.
            started: `time.perf_counter()` when its last byte had come.
        """
        started = time.perf_counter() if started is None else started
        product = check_product(order.product or self._context.settings.default_product)
        codes = None if order.part else codes_at(self._context, order.station)
        check_order(order if codes is None else replace(order, part="?"), self._context.settings.max_images)
        with self._places.once(order.station, order.trigger_id):
            if not order.fresh and (known := self._known(order)) is not None:
                return Taken(known, new=False)
            self._champion.serving()
            with self._places.place(len(self._waiting), self._metrics.refused.inc):
                frames = frames_of_order(order.pictures, self._context.decode)
                if codes is not None:
                    order = replace(order, part=codes.name_of(order.station, frames))
                inspection, exposures = rows_of_order(
                    order, product, frames, received_at=self._context.now(), keeper=self._home_id
                )
                own, asked = Inspection(**inspection.model_dump()), replace(order, pictures=())
                coming = Coming(own, asked, frames, started, threading.Event())
                # queued before it is stored: looked at meanwhile, and found by a repeated trigger that sees the row
                self._queue(inspection.id, coming)
            return self._keep_safe(order, inspection, exposures, coming)

    def _keep_safe(self, order: Order, inspection: Inspection, exposures: list[Exposure], coming: Coming) -> Taken:
        """Store a part that a worker looks at, and let its verdict be recorded from then on."""
        try:
            known = self._store(order, inspection, exposures, coming)
            if known is not None:
                return Taken(known, new=False)
            coming.stored, coming.safe = Rows(inspection, exposures), True
            order.stored()
            self._look_at_cameras(coming)
        finally:
            coming.settled.set()
        if len(self._waiting) <= self._context.settings.max_waiting / 2:  # under load it is made when asked for
            self._keep_thumbnails(coming.frames)
        return Taken(coming.inspection.id, new=True)

    def wait(self, inspection_id: str) -> None:
        """Wait until an inspection is judged, or late; raises Unavailable when that takes too long."""
        future = self._waited_for(inspection_id)
        if future is None:
            return
        left, patience = self._deadlines.left(inspection_id), self._context.settings.inspection_wait_s
        try:
            future.result(patience if left is None else max(min(left, patience), 0.0))
        except TookTooLong as error:
            if left is not None and left <= patience:
                self._deadlines.give_up(inspection_id)
                return
            raise Unavailable(
                f"inspection {inspection_id} is stored but not judged yet; ask for it again later"
            ) from error
        except CancelledError as error:
            raise Unavailable(
                f"the server stops; inspection {inspection_id} is stored and judged when it is back"
            ) from error
        except Exception as error:  # the worker has logged it; the part is safe
            why = error.message if isinstance(error, QcError) else type(error).__name__
            raise Unavailable(
                f"inspection {inspection_id} is stored, but its verdict could not be ({why}); it is tried again"
            ) from error

    def _waited_for(self, inspection_id: str) -> Future[None] | None:
        """What will judge it; None: it is judged. What a stop or a database that was away left behind is queued, what
        another server took in is waited for."""
        with self._lock:
            if inspection_id in self._waiting:
                return self._waiting[inspection_id]
        with self._context.database.read() as session:
            row = session.get(Inspection, inspection_id)
            if row is None or row.progress != Progress.RECEIVED:
                return None
        if row.keeper not in (None, self._home_id):
            self._wait_for_its_server(inspection_id)
            return None
        self._champion.serving()
        self._queue(inspection_id)
        with self._lock:
            return self._waiting.get(inspection_id)

    def _wait_for_its_server(self, inspection_id: str) -> None:
        """Another server on this database took it in, and judges it; raises Unavailable when that takes too long."""
        until = time.monotonic() + self._context.settings.inspection_wait_s
        while not self._stop.wait(LOOK_S):
            with self._context.database.read() as session:
                row = session.get(Inspection, inspection_id)
            if row is None or row.progress != Progress.RECEIVED:
                return
            if time.monotonic() > until:
                break
        raise Unavailable(f"inspection {inspection_id} is another server's and not judged yet; ask for it again later")

    def resume(self, inspection_id: str) -> None:
        """Judge what lies in the database, taken in by another server that is gone. Raises Unavailable at a stop."""
        self._queue(inspection_id)

    @property
    def busy(self) -> bool:
        """Does a part wait for its verdict, or is one being taken in?"""
        return bool(self._waiting) or self._places.taking > 0

    def state(self) -> dict[str, Any]:
        """For /health."""
        return {"state": "ok", "waiting": len(self._waiting)}

    def stop(self) -> None:
        """Finish the part at hand; what waits is judged after the next start."""
        self._stop.set()
        self._deadlines.stop()
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._recovery.join(timeout=5)

    def _known(self, order: Order) -> str | None:
        """The inspection that the trigger already is, or None."""
        if order.trigger_id is None:
            return None
        wanted = select(Inspection.id).where(
            Inspection.station == order.station, Inspection.trigger_id == order.trigger_id
        )
        with self._context.database.read() as session:
            return session.exec(wanted).first()

    @traced("pictures.store")
    def _store(self, order: Order, inspection: Inspection, exposures: list[Exposure], coming: Coming) -> str | None:
        """Store the pictures, then commit the rows: on return the part is safe. Not None: the trigger is known already,
        as this inspection."""
        for picture, exposure in zip(order.pictures, exposures, strict=True):
            self._context.blobs.keep(exposure.original_key, picture.data)
        with self._context.database.write() as session:
            session.add(inspection)
            try:
                session.flush()
            except IntegrityError:
                session.rollback()
                known = self._known(order)
                if known is None:
                    raise
                return known
            session.add_all(exposures)
            self._deadlines.watch(inspection.id, inspection.station, coming.started)
            self._began[inspection.id], self._orders[inspection.id] = coming.started, coming.order
            session.commit()
        return None

    def _look_at_cameras(self, coming: Coming) -> None:
        """On the thread that takes the part in, while its model looks. What goes wrong is tried again by who judges."""
        try:
            coming.looks = self._camera_looks(coming.inspection, coming.frames)
        except Exception as error:
            log.error("cameras could not be looked at", inspection=coming.inspection.id, exc_info=error)

    def _camera_looks(self, inspection: Inspection, frames: list[Frame]) -> list[CameraLook]:
        if self._context.cameras is None:
            return []
        policy = self._context.policies.rules(inspection.product).policy
        frames = [at_depth(frame, policy, station=inspection.station) for frame in frames]
        looks = self._context.cameras.check(inspection, frames)
        self._context.cameras.keep(inspection.station)
        return looks

    def _keep_thumbnails(self, frames: list[Frame]) -> None:
        try:
            for frame in frames:
                keep_thumbnail(self._context.cache, frame)
        except OSError as error:  # it is made when asked for; a part is not refused for it
            log.warning("no thumbnail could be kept", problem=str(error))

    def _queue(self, inspection_id: str, coming: Coming | None = None) -> None:
        """None: it lies in the database."""
        with self._lock:
            if inspection_id in self._waiting:
                return
            if self._stop.is_set():
                raise Unavailable("the server stops; send it again when it is back")
            future = self._waiting[inspection_id] = self._workers.submit(carried(self._judge), inspection_id, coming)
            self._metrics.waiting.set(len(self._waiting))
        future.add_done_callback(lambda _: self._done(inspection_id))

    def _done(self, inspection_id: str) -> None:
        self._deadlines.forget(inspection_id)
        with self._lock:
            self._waiting.pop(inspection_id, None)
            self._metrics.waiting.set(len(self._waiting))

    def _judge(self, inspection_id: str, coming: Coming | None) -> None:
        try:
            self._judge_now(inspection_id, coming)
        except Exception:
            self._again.set()  # neither verdict nor failure could be written down: it stays `received`
            raise
        self._began.pop(inspection_id, None)
        self._orders.pop(inspection_id, None)

    def _row(self, inspection_id: str) -> tuple[Inspection, list[Exposure]] | None:
        """An inspection that waits for its verdict; None: its commit failed, or somebody else has judged it."""
        with self._context.database.read() as session:
            inspection = session.get(Inspection, inspection_id)
            exposures = exposures_of(session, inspection_id)
        return None if inspection is None or inspection.progress != Progress.RECEIVED else (inspection, exposures)

    def _is_safe(self, coming: Coming) -> bool:
        """Wait until a part is stored; False: it never was, and nobody was told that it is. A commit that failed for us
        may have been done."""
        coming.settled.wait()
        return coming.safe or self._row(coming.inspection.id) is not None

    @traced("part.judge")
    def _judge_now(self, inspection_id: str, coming: Coming | None) -> None:
        found = self._row(inspection_id) if coming is None else (coming.inspection, [])
        if found is None:
            return
        inspection, exposures = found
        frames = [] if coming is None else coming.frames
        order = self._orders.get(inspection_id) if coming is None else coming.order
        started = self._began.get(inspection_id) if coming is None else coming.started
        note(inspection=inspection_id, station=inspection.station, images=len(frames or exposures))

        def elapsed_ms() -> float:
            if started is not None:
                return 1000 * (time.perf_counter() - started)
            return 1000 * (self._context.now() - inspection.received_at).total_seconds()

        def in_time_ms() -> float:
            elapsed = elapsed_ms()
            self._check_time(inspection, elapsed)
            if order is not None and (why_not := order.objection()):
                raise Conflict(why_not)
            return elapsed

        def look() -> judging.Looked:
            in_time_ms()
            segmenter = self._champion.serving(inspection.product, inspection.station)
            rules = self._context.policies.rules(inspection.product)
            shown = frames or judging.frames_of(exposures, self._context.blobs, self._context.decode)
            shown = [at_depth(frame, rules.policy, station=inspection.station) for frame in shown]
            if coming is None:
                looks.extend(self._camera_looks(inspection, shown))
                _refuse_faults(looks)
            serving, judgement = segmenter, None
            if self._context.engine is not None:
                limit = self._context.settings.decide_by_of(inspection.station)
                left_s = None if limit is None else limit - elapsed_ms() / 1000
                segmenter = self._context.engine.eyes(segmenter, shown, left_s=left_s)
            if self._context.workers is not None and segmenter is serving:
                judgement = self._context.workers.judge(shown, segmenter, rules.policy, station=inspection.station)
            if judgement is None:
                judgement = judging.judge(shown, segmenter, rules.policy, station=inspection.station)
            if self._context.features is not None:
                judgement = self._context.features.considered(judgement)
            return judging.Looked(judgement, segmenter, rules)

        first = nobody if order is None else order.judged
        looks: list[CameraLook] = []
        looked = _tried(look)
        if coming is not None and not self._is_safe(coming):
            return
        if isinstance(looked, StoreAway):
            raise looked  # its pictures are there and cannot be had now: it stays `received` and is judged later
        try:
            if coming is not None:
                looks.extend(self._camera_looks(inspection, frames) if coming.looks is None else coming.looks)
                _refuse_faults(looks)  # whatever the model makes of such a picture, or cannot
            if isinstance(looked, Exception):
                raise looked
            keys = [
                judging.store_instances(found, inspection_id, n, self._context.blobs)
                for n, found in enumerate(looked.judgement.findings)
            ]
            done = judging.record_judgement(
                self._context,
                inspection_id,
                looked.judgement,
                keys,
                elapsed_ms=in_time_ms,
                looks=looks,
                made_by=judging.made_by(looked.segmenter, looked.rules, self._context.blobs),
                first=first,
                stored=None if coming is None else coming.stored,
            )
        except judging.CameraFault as fault:
            log.warning("camera fault", inspection=inspection_id, station=inspection.station, problem=fault.message)
            took = elapsed_ms()
            done = judging.record_failure(
                self._context, inspection_id, fault, elapsed_ms=took, looks=looks, first=first
            )
        except Exception as error:  # whatever a model or a file does, the part is set aside and the line goes on
            log.error("inspection failed", inspection=inspection_id, exc_info=error)
            took = elapsed_ms()
            done = judging.record_failure(
                self._context, inspection_id, error, elapsed_ms=took, looks=looks, first=first
            )
        if done is not None:
            self._count(done)

    def _check_time(self, inspection: Inspection, elapsed_ms: float) -> None:
        """Raises Late beyond the decide-by time, such as over a stop, and where the clock was set back meanwhile."""
        seconds = self._context.settings.decide_by_of(inspection.station)
        if seconds is not None and not 0 <= elapsed_ms <= 1000 * seconds:
            self._metrics.late.labels(inspection.station).inc()
            raise Late(
                f"no verdict within {seconds:g} s, the decide-by time of {inspection.station}; it is too late now"
            )

    def _count(self, done: Inspection) -> None:
        self._metrics.inspected(done.station, str(done.verdict), (done.elapsed_ms or 0) / 1000)
        log.info(
            "inspected",
            inspection=done.id,
            part=done.part,
            station=done.station,
            verdict=str(done.verdict),
            ms=done.elapsed_ms,
        )

    def _recover(self) -> None:
        while not self._champion.wait(0.5):
            if self._stop.is_set():
                return
        self._again.set()
        while not self._stop.is_set():
            if self._again.is_set():
                self._again.clear()
                try:
                    self._queue_what_is_left()
                except Exception as error:  # the database is still away
                    self._again.set()
                    log.error("what was not judged cannot be looked up", problem=str(error))
            self._stop.wait(AGAIN_S)

    def _queue_what_is_left(self) -> None:
        ours = or_(col(Inspection.keeper).is_(None), col(Inspection.keeper) == self._home_id)
        wanted = select(Inspection.id).where(NOT_JUDGED, ours).order_by(col(Inspection.id))  # not another server's
        with self._context.database.read() as session:
            left = list(session.exec(wanted))
        for inspection_id in left:
            if self._stop.is_set():
                return
            self._queue(inspection_id)
        if left:
            log.info("judging what was received and not judged", parts=len(left))


def _refuse_faults(looks: list[CameraLook]) -> None:
    """Raises CameraFault."""
    if faults := [look for look in looks if look.fault]:
        raise judging.CameraFault(camera_health.problem(faults))


def _tried(look: Callable[[], judging.Looked]) -> judging.Looked | Exception:
    """What a model says of a part, or why nothing: whatever a model or a file does, the line goes on."""
    try:
        return look()
    except Exception as error:
        return error
