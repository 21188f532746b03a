"""The inspector: takes pictures in, keeps them safe, has them judged. Nothing it took is lost or judged twice.

1. The pictures are checked and decoded; what is wrong with them is said at once.
2. The camera's bytes are stored, then a row `received` is committed. From here on a power cut loses nothing.
3. A worker judges the part and records the verdict in one transaction.
4. At start, whatever is still `received` is judged.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import or_
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from qc.errors import Conflict, QcError, Unavailable
from qc.frame import Frame, picture_format
from qc.inspection import at_depth
from qc.object_stores import StoreAway
from qc.records import NOT_JUDGED, Exposure, Inspection, Progress
from server import camera_health, judging
from server.codes_config import codes_at
from server.context import Context
from server.deadlines import Deadlines, Late
from server.home_id import home_id
from server.inspections import exposures_of
from server.orders import ENDINGS, Order, Taken, check_order, frames_of_order, nobody
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
        self._taking = 0
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
        if (known := self._known(order)) is not None:
            return Taken(known, new=False)
        self._champion.serving()
        with _Place(self):
            frames = frames_of_order(order.pictures, self._context.decode)
            if codes is not None:
                order = replace(order, part=codes.name_of(order.station, frames))
            inspection, exposures = self._store(order, product, frames)
            with self._context.database.write() as session:
                session.add(inspection)
                try:
                    session.flush()
                except IntegrityError:
                    session.rollback()
                    known = self._known(order)
                    if known is None:
                        raise
                    return Taken(known, new=False)
                session.add_all(exposures)
                # queued before the commit, so that a repeated trigger that sees the row also finds it in the queue
                go = threading.Event()
                self._deadlines.watch(inspection.id, inspection.station, started)
                self._began[inspection.id], self._orders[inspection.id] = started, replace(order, pictures=())
                self._queue(inspection.id, frames, started, go)
                try:
                    session.commit()
                finally:
                    go.set()
        return Taken(inspection.id, new=True)

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
        self._queue(inspection_id, None, self._began.get(inspection_id), _now())
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
        self._queue(inspection_id, None, None, _now())

    @property
    def busy(self) -> bool:
        """Does a part wait for its verdict, or is one being taken in?"""
        return bool(self._waiting) or self._taking > 0

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
    def _store(self, order: Order, product: str, frames: list[Frame]) -> tuple[Inspection, list[Exposure]]:
        inspection = Inspection(
            part=order.part,
            station=order.station,
            trigger_id=order.trigger_id,
            product=product,
            received_at=self._context.now(),
            process_values=dict(order.process_values),
            keeper=self._home_id,
        )
        exposures = []
        for n, (picture, frame) in enumerate(zip(order.pictures, frames, strict=True)):
            kind = picture_format(picture.data)
            key = f"originals/{frame.sha256[:2]}/{frame.sha256}.{ENDINGS[kind]}"
            self._context.blobs.keep(key, picture.data)
            if len(self._waiting) < self._context.settings.max_waiting / 2:  # under load it is made when asked for
                self._keep_thumbnail(frame)
            exposures.append(
                Exposure(
                    inspection_id=inspection.id,
                    n=n,
                    view=picture.view,
                    name=picture.name,
                    format=kind,
                    width=frame.width,
                    height=frame.height,
                    sha256=frame.sha256,
                    original_key=key,
                )
            )
        return inspection, exposures

    def _keep_thumbnail(self, frame: Frame) -> None:
        try:
            keep_thumbnail(self._context.cache, frame)
        except OSError as error:  # it is made when asked for; a part is not refused for it
            log.warning("no thumbnail could be kept", problem=str(error))

    def _queue(
        self, inspection_id: str, frames: list[Frame] | None, started: float | None, go: threading.Event
    ) -> None:
        with self._lock:
            if inspection_id in self._waiting:
                return
            if self._stop.is_set():
                raise Unavailable("the server stops; send it again when it is back")
            future = self._waiting[inspection_id] = self._workers.submit(
                carried(self._judge), inspection_id, frames, started, go
            )
            self._metrics.waiting.set(len(self._waiting))
        future.add_done_callback(lambda _: self._done(inspection_id))

    def _done(self, inspection_id: str) -> None:
        self._deadlines.forget(inspection_id)
        with self._lock:
            self._waiting.pop(inspection_id, None)
            self._metrics.waiting.set(len(self._waiting))

    def _judge(
        self, inspection_id: str, frames: list[Frame] | None, started: float | None, go: threading.Event
    ) -> None:
        go.wait()
        try:
            self._judge_now(inspection_id, frames, started)
        except Exception:
            self._again.set()  # neither verdict nor failure could be written down: it stays `received`
            raise
        self._began.pop(inspection_id, None)
        self._orders.pop(inspection_id, None)

    @traced("part.judge")
    def _judge_now(self, inspection_id: str, frames: list[Frame] | None, started: float | None) -> None:
        with self._context.database.read() as session:
            inspection = session.get(Inspection, inspection_id)
            exposures = exposures_of(session, inspection_id)
        if inspection is None or inspection.progress != Progress.RECEIVED:
            return  # its commit failed, or somebody else has judged it
        note(inspection=inspection_id, station=inspection.station, images=len(exposures))

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

        order = self._orders.get(inspection_id)
        first = nobody if order is None else order.judged
        looks: list[CameraLook] = []
        try:
            in_time_ms()
            segmenter = self._champion.serving(inspection.product, inspection.station)
            rules = self._context.policies.rules(inspection.product)
            frames = frames or judging.frames_of(exposures, self._context.blobs, self._context.decode)
            frames = [at_depth(frame, rules.policy, station=inspection.station) for frame in frames]
            looks = self._context.cameras.check(inspection, frames) if self._context.cameras else []
            if faults := [look for look in looks if look.fault]:
                raise judging.CameraFault(camera_health.problem(faults))
            if self._context.engine is not None:
                limit = self._context.settings.decide_by_of(inspection.station)
                left_s = None if limit is None else limit - elapsed_ms() / 1000
                segmenter = self._context.engine.eyes(segmenter, frames, left_s=left_s)
            judgement = judging.judge(frames, segmenter, rules.policy, station=inspection.station)
            if self._context.features is not None:
                judgement = self._context.features.considered(judgement)
            keys = [
                judging.store_instances(found, inspection_id, n, self._context.blobs)
                for n, found in enumerate(judgement.findings)
            ]
            done = judging.record_judgement(
                self._context,
                inspection_id,
                judgement,
                keys,
                elapsed_ms=in_time_ms,
                looks=looks,
                made_by=judging.made_by(segmenter, rules, self._context.blobs),
                first=first,
            )
        except StoreAway:
            raise  # its pictures are there and cannot be had now: it stays `received` and is judged later
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
            self._queue(inspection_id, None, self._began.get(inspection_id), _now())
        if left:
            log.info("judging what was received and not judged", parts=len(left))


class _Place:
    """A place in the queue of parts; raises Unavailable, with the seconds to wait, when it is full."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector

    def __enter__(self) -> None:
        inspector = self._inspector
        limit = inspector._context.settings.max_waiting
        with inspector._lock:
            if inspector._taking + len(inspector._waiting) >= limit:
                inspector._metrics.refused.inc()
                raise Unavailable(f"{limit} parts wait already; send this one again in a moment", retry_after_s=1)
            inspector._taking += 1

    def __exit__(self, *_: object) -> None:
        with self._inspector._lock:
            self._inspector._taking -= 1


def _now() -> threading.Event:
    """A sign to begin at once."""
    go = threading.Event()
    go.set()
    return go
