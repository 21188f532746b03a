"""Jobs on features: made anew when another model serves, and forgotten when their time is over.

Every inspection is one transaction, newest first, and what was made is recognised by its encoder: a job that was cut
off goes on where it was. It waits while a part waits for its verdict.
"""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import func
from sqlalchemy import select as sql_select
from sqlmodel import col, select

from qc.errors import QcError
from qc.features import Features, pooled
from qc.geometry import Box
from qc.inspection import at_depth
from qc.ports import Segmenter
from qc.records import Exposure, Inspection
from segmentation.segmenter import looking_everywhere
from server import features, features_anonymous, features_heads
from server.context import Context
from server.features_records import Feature, Head
from server.inspections import exposures_of
from server.jobs.runner import JobRun
from server.judging import frames_of, read_instances
from server.retention import GONE

log = structlog.get_logger(__name__)

FORGET = "forget_features"
IDLE_S = 0.05
"""Between two looks whether the line needs the machine."""
TOLD_EVERY = 20
"""Inspections between two reports of progress."""
NICENESS = 15


def step_back() -> None:
    """Whatever this thread does from now on, others go before it."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def line_first(context: Context, run: JobRun) -> None:
    """Wait while a part waits for its verdict; raises as `JobRun.check`."""
    run.check()
    while context.inspector is not None and context.inspector.busy:
        run.check()
        threading.Event().wait(IDLE_S)


def remake(context: Context, run: JobRun) -> dict[str, Any]:
    """Make anew what other encoders made than that of the model that serves a station, as far as the pictures are
    still there; then learn the heads again."""
    step_back()
    stations = _stale(context)
    total = sum(stations.values())
    made = gone = 0
    for (product, station), _ in sorted(stations.items()):
        segmenter, last = context.need_champion().serving(product, station), None
        while (inspection_id := _next(context, product, station, segmenter.model_id, last)) is not None:
            last = inspection_id
            line_first(context, run)
            if context.need_champion().serving(product, station).model_id != segmenter.model_id:
                return {"made": made, "waits": "another model serves now; a job for its features follows"}
            if _make(context, segmenter, inspection_id):
                made += 1
            else:
                gone += 1
            if (made + gone) % TOLD_EVERY == 1:
                run.report(min((made + gone) / max(total, 1), 1.0), f"features of {made + gone} of {total} parts")
    learnt = _learn_again(context)
    if context.features is not None:
        context.features.changed()
    return {"made": made, "pictures_gone": gone, "heads_learnt_again": learnt}


def forget(context: Context, run: JobRun) -> dict[str, Any]:
    """Forget the features whose time is over (`QC_KEEP_FEATURES_DAYS`), or keep them on without their parts
    (`QC_KEEP_ANONYMOUS_FEATURES_DAYS`); from memory they go with the next start."""
    settings = context.settings
    days, further = settings.keep_features_days, settings.keep_anonymous_features_days
    if days <= 0:
        return {"forgotten": 0}
    now, anonymous = run.clock(), 0
    if further > 0:
        for carried in features_anonymous.anonymise(context.database, before=now - timedelta(days=days), now=now):
            anonymous += carried
            run.check()
    with context.database.write() as session:
        number = features.forget_before(session, now - timedelta(days=days))
        number += features_anonymous.forget_before(session, now - timedelta(days=days + further))
        told = {"forgotten": number} | ({"anonymous": anonymous} if further > 0 else {})
        run.finish(session, told)
        session.commit()
    return told


def _stale(context: Context) -> dict[tuple[str, str], int]:
    """(product, station) -> parts whose features are not of the model that serves there."""
    columns = col(Feature.product), col(Feature.station), col(Feature.encoder)
    counted = func.count(col(Feature.inspection_id).distinct())
    with context.database.read() as session:
        rows = session.execute(sql_select(*columns, counted).group_by(*columns)).all()
    found: dict[tuple[str, str], int] = {}
    for product, station, encoder, number in rows:
        if context.need_champion().serving(product, station).model_id != encoder:
            found[product, station] = found.get((product, station), 0) + int(number)
    return found


def _next(context: Context, product: str, station: str, encoder: str, last: str | None) -> str | None:
    """The newest inspection of a station before `last` with features of another encoder."""
    wanted = sql_select(func.max(col(Feature.inspection_id))).where(
        col(Feature.encoder) != encoder, col(Feature.product) == product, col(Feature.station) == station
    )
    if last is not None:
        wanted = wanted.where(col(Feature.inspection_id) < last)
    with context.database.read() as session:
        found: str | None = session.execute(wanted).scalar_one()
    return found


def _make(context: Context, segmenter: Segmenter, inspection_id: str) -> bool:
    """Make the features of one inspection anew; False where its pictures are gone."""
    with context.database.read() as session:
        exposures = exposures_of(session, inspection_id)
        taken = session.get(Inspection, inspection_id)
    if taken is None or not exposures or any(exposure.original_key == GONE for exposure in exposures):
        return False
    try:
        policy = context.policies.get(taken.product)
        frames = [
            at_depth(frame, policy, station=taken.station)
            for frame in frames_of(exposures, context.blobs, context.decode)
        ]
    except QcError as error:  # erased or damaged: what was there before stays
        log.warning("features cannot be made anew", inspection=inspection_id, problem=error.message)
        return False
    found = [_seen(context, segmenter, e, f.pixels) for e, f in zip(exposures, frames, strict=True)]
    if all(one is None for one in found):
        return False
    with context.database.write() as session:
        inspection = session.get(Inspection, inspection_id)
        if inspection is None:
            return False  # erased meanwhile
        features.keep(
            session,
            inspection,
            exposures,
            found,
            encoder=segmenter.model_id,
            runtime=str(getattr(segmenter, "runtime", "torch")),
        )
        session.commit()
    if context.features is not None:
        rows = [
            ((inspection_id, exposure.n, place), vector)
            for exposure, one in zip(exposures, found, strict=True)
            for place, vector in enumerate(one.defects if one is not None else ())
            if vector is not None
        ]
        context.features.made([key for key, _ in rows], [vector for _, vector in rows], segmenter.model_id)
    return True


def _seen(context: Context, segmenter: Segmenter, exposure: Exposure, pixels: Any) -> Features | None:
    """What the encoder makes of a picture, and of the defects that were found on it then."""
    seen = looking_everywhere(segmenter).segment(pixels)  # what was found then may lie where this model need not look
    if seen.cells is None:
        return None
    boxes = [Box(*(int(v) for v in defect["bbox"])) for defect in exposure.defects]
    return pooled(seen.cells, read_instances(exposure, context.blobs), boxes, cell_px=seen.cell_px, sample=seen.sample)


def _learn_again(context: Context) -> list[str]:
    """Heads of models that serve no longer, from the same examples; one that cannot be learnt stays silent."""
    serving = {one.model_id for one in context.need_champion().all_serving()}
    with context.database.read() as session:
        rows = list(session.exec(select(Head).where(col(Head.retired_at).is_(None), col(Head.encoder).not_in(serving))))
    learnt = []
    for row in rows:
        examples = [(str(i), int(n), int(d)) for i, n, d in row.examples]
        try:
            with context.database.read() as session:
                encoder = features.encoder_of(session, examples)
                found = features_heads.learn(session, row.name, encoder=encoder, examples=examples)
            with context.database.write() as session:
                features_heads.keep(session, found, to_review=row.to_review, by=row.by, now=context.now())
                session.commit()
            learnt.append(row.name)
        except QcError as error:
            log.warning("a quick head cannot be learnt again", head=row.name, problem=error.message)
    return learnt
