"""The features of the model that serves, at work: searched in memory, watched for drift, asked by quick heads.

What is stored is stored in the verdict's transaction (`judging`); all this can be made again from the rows, and is, at
every start and after every change of the champion.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from datetime import timedelta
from typing import Any

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import select as sql_select
from sqlmodel import col

from labeling.records import TaskState
from qc.errors import NotFound
from qc.features import Vector, from_bytes
from qc.inspection import Findings
from qc.verdict import Verdict
from server import features, features_heads
from server.context import Context
from server.drift import EVER
from server.events import Event
from server.features import Key
from server.features_heads import Serving
from server.features_index import FeatureIndex
from server.features_records import IMAGE, Feature
from server.jobs import queue
from server.judging import Judgement, Said

log = structlog.get_logger(__name__)

INDEXED = 500_000
"""Defects that are searched, newest first: 600 MB of memory at most, of the 152 numbers of a vector twice."""
REMAKE = "remake_features"
OVERLAP = timedelta(minutes=5)
"""Drawings are looked through again that came so shortly before the last time: their transaction may have been open."""
LOOK_S = 2.0
"""How often it is looked whether another model serves, or another process made a head."""


class FeatureService:
    """Index, heads and appearance of the serving model. A `server.context.Part`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._served: tuple[tuple[str, ...], ...] = ()
        self._indexes: dict[str, FeatureIndex] = {}
        self._heads: list[Serving] = []
        self._new: deque[str] = deque()
        self._problem: str | None = None
        self._drawn, self._labels_since = True, EVER
        self._stale = False
        self._wake, self._stop = threading.Event(), threading.Event()
        context.events.call("inspection", self._inspected)
        context.events.call("erasure", self._erased)
        context.events.call("model", lambda _: self._wake.set())
        context.events.call("label_task", self._labelled)
        context.events.call_after_a_gap(self._missed)
        self._thread = threading.Thread(target=self._run, name="features", daemon=True)
        self._thread.start()

    def state(self) -> dict[str, Any]:
        """For /health; the line does not need it, so that it is never worse than degraded."""
        state: dict[str, Any] = {"state": "degraded" if self._problem else "ok", "defects": len(self)}
        state["heads"] = [head.name for head in self._heads]
        return state | ({"message": self._problem} if self._problem else {})

    def stop(self) -> None:
        """End; nothing is lost, as nothing is kept here alone."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=5)

    def __len__(self) -> int:
        """Defects that are searched, of all models that serve."""
        return sum(len(index) for index in list(self._indexes.values()))

    @property
    def encoder(self) -> str:
        """The champion, which serves where nothing else is assigned; empty while there is none."""
        return next(iter(self._indexes), "")

    def index(self, encoder: str) -> FeatureIndex:
        """The defects that one model's encoder saw; raises NotFound for one that serves nowhere."""
        found = self._indexes.get(encoder)
        if found is None:
            raise NotFound(
                "the features of this part are of a model that serves no longer; they are made anew (see the jobs), "
                "where its picture is still kept"
            )
        return found

    def made(self, keys: list[Key], vectors: list[Vector], encoder: str) -> None:
        """Vectors were made anew, and are stored."""
        for name, index in list(self._indexes.items()):
            if name == encoder:
                index.add(keys, vectors)
            elif keys:
                index.remove(keys[0][0])

    def changed(self) -> None:
        """A head was made or retired: look now."""
        self._wake.set()
        self._read_heads()

    def considered(self, judgement: Judgement) -> Judgement:
        """A judgement with what the heads say of its defects. An `ok` may become `review`; nothing else changes.

        Never raises: heads are advice, and a verdict must not be lost over them.
        """
        heads = [head for head in self._heads if head.encoder == judgement.model]
        if not heads:
            return judgement
        try:
            return _considered(judgement, heads)
        except Exception as error:
            log.error("heads could not be asked", exc_info=error)
            return judgement

    def _erased(self, event: Event) -> None:
        for index in list(self._indexes.values()):
            index.remove(str(event.data["id"]))

    def _inspected(self, event: Event) -> None:
        self._new.append(str(event.data["id"]))
        self._wake.set()

    def _labelled(self, event: Event) -> None:
        if event.data.get("state") == TaskState.DONE:
            self._drawn = True
            self._wake.set()

    def _missed(self) -> None:
        """What other servers took in and erased is read again."""
        self._stale = True
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._step()
                self._problem = None
            except Exception as error:  # whatever fails here, the line goes on
                self._problem = f"features are not up to date: {error}"
                log.error("features failed", exc_info=error)
            self._wake.wait(LOOK_S)
            self._wake.clear()

    def _step(self) -> None:
        champion = self._context.champion
        if champion is not None and champion.wait(0):
            encoders = [one.model_id for one in champion.all_serving()]
            served = (tuple(encoders), *sorted((*key, found) for key, found in champion.assigned().items()))
            if served != self._served or self._stale:
                anew, self._stale = self._stale, False
                self._begin(encoders, anew=anew)
                self._served = served
        self._read_heads()
        if self._drawn:
            self._drawn = False
            self._take_labels()
        while self._new and not self._stop.is_set():
            some = [self._new.popleft() for _ in range(min(len(self._new), 100))]
            self._take(some)

    def _begin(self, encoders: list[str], *, anew: bool = False) -> None:
        """Other models serve: their vectors are read, and a job makes anew what others made. `anew`: all are read."""
        known = {} if anew else self._indexes
        self._indexes = {encoder: known.get(encoder) or self._read(encoder) for encoder in encoders}
        with self._context.database.write() as session:
            if session.execute(sql_select(col(Feature.n)).limit(1)).first() is not None:
                queue.enqueue(session, REMAKE, now=self._context.now(), key=REMAKE, again=True)
                session.commit()

    def _read(self, encoder: str) -> FeatureIndex:
        index = FeatureIndex()
        columns = col(Feature.inspection_id), col(Feature.n), col(Feature.defect), col(Feature.vector)
        wanted = (
            sql_select(*columns)
            .where(col(Feature.encoder) == encoder, col(Feature.defect) != IMAGE)
            .order_by(col(Feature.at).desc())
            .limit(INDEXED)
        )
        with self._context.database.read() as session:
            rows = session.execute(wanted).all()
        if rows:
            index.add([(r[0], r[1], r[2]) for r in rows], np.stack([from_bytes(r[3]) for r in rows]))
        log.info("features are read", encoder=encoder, defects=len(index))
        return index

    def _read_heads(self) -> None:
        with self._context.database.read() as session:
            self._heads = features_heads.serving(session)

    def _take_labels(self) -> None:
        """What people drew over defects becomes their label; after a start, all of it is looked through once."""
        begun = self._context.now()
        with self._context.database.patient() as session:
            features.take_labels(session, self._mask, since=self._labels_since)
            session.commit()
        self._labels_since = begun - OVERLAP

    def _mask(self, key: str) -> NDArray[np.uint8] | None:
        try:
            data = self._context.blobs.get(key)
        except NotFound:
            return None
        mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return None if mask is None else np.asarray(mask, np.uint8)

    def _take(self, inspections: list[str]) -> None:
        """What was just judged is found from now on, and moves the windows of its station."""
        columns = (
            col(Feature.inspection_id),
            col(Feature.n),
            col(Feature.defect),
            col(Feature.encoder),
            col(Feature.vector),
        )
        wanted = sql_select(*columns).where(col(Feature.defect) != IMAGE, col(Feature.inspection_id).in_(inspections))
        with self._context.database.read() as session:
            rows = session.execute(wanted).all()
        for encoder, index in self._indexes.items():
            mine: list[tuple[Key, Vector]] = [((r[0], r[1], r[2]), from_bytes(r[4])) for r in rows if r[3] == encoder]
            index.add([key for key, _ in mine], [vector for _, vector in mine])
        if self._context.drift is not None:
            self._context.drift.looked_at(inspections)


def _considered(judgement: Judgement, heads: list[Serving]) -> Judgement:
    findings, said = list(judgement.findings), list[Said]()
    for n, found in enumerate(judgement.findings):
        if found.features is None:
            continue
        moved = False
        for place, vector in enumerate(found.features.defects):
            if vector is None:
                continue
            for head in heads:
                probability = head.probability(vector)
                sends = head.to_review and probability >= head.limit and found.verdict == Verdict.OK
                moved = moved or sends
                if probability >= features_heads.LEAST_SAID:
                    said.append(Said(n, place, head.id, head.name, probability, sends))
        if moved:
            findings[n] = _to_review(found)
    sent = any(one.moved for one in said) and judgement.verdict == Verdict.OK
    verdict = Verdict.REVIEW if sent else judgement.verdict
    return replace(judgement, verdict=verdict, findings=tuple(findings), suggestions=tuple(said))


def _to_review(found: Findings) -> Findings:
    return replace(found, verdict=Verdict.REVIEW)


def start(context: Context) -> FeatureService | None:
    """Start it unless the settings switch it off; a line in `server.parts.PARTS`."""
    if not context.settings.features:
        return None
    context.features = FeatureService(context)
    return context.features
