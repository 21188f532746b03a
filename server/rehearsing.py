"""The first verdict after a start takes no longer than the others: what it asks of the database is rehearsed before.

SQLAlchemy compiles a statement when it meets it for the first time, modules are loaded and versions looked up when they
are first needed: on two cores that made 15 to 30 ms of a first verdict. So a part that nobody sent is stored and judged
in a transaction that is rolled back, by the very functions that do it later; nobody is told of it, and nothing of it is
kept.
"""

from __future__ import annotations

import cv2
import numpy as np
import structlog
from sqlalchemy.exc import SQLAlchemyError

from qc.errors import QcError
from qc.features import Features
from qc.frame import Frame
from qc.inspection import Findings
from qc.records import Inspection
from qc.verdict import Verdict
from server import judging
from server.context import Context
from server.judging import Judgement
from server.orders import Order, Picture, Rows, rows_of_order
from server.watch_records import CameraLook

log = structlog.get_logger(__name__)

NOWHERE = "rehearsal of a verdict"
"""The station of the part that nobody sent; no station of a plant."""
SIDE_PX = 16


def rehearse(context: Context, station: str) -> None:
    """For a station whose model serves; short, and it holds the database's write lock meanwhile.

    A database that is away or a disk that is full is logged: parts are told so when they come, and the first verdict is
    slower. Any other error goes to whoever asks: a verdict would meet it, too.
    """
    try:
        _rehearse(context, station)
    except (QcError, SQLAlchemyError, OSError) as error:
        why = error.message if isinstance(error, QcError) else str(error)
        log.warning("a verdict could not be rehearsed", station=station, problem=why)


def _rehearse(context: Context, station: str) -> None:
    product = context.settings.default_product
    segmenter, rules = context.need_champion().serving(product, station), context.policies.rules(product)
    pixels = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    frame = Frame(pixels, "", "0" * 64)
    order = Order("nobody's", NOWHERE, [Picture(bytes(cv2.imencode(".png", pixels)[1]))], "0")
    inspection, exposures = rows_of_order(order, product, [frame], received_at=context.now(), keeper="")
    seen = Features(np.zeros(1, np.float16), ())
    found = Findings(Verdict.OK, 0.0, (), np.zeros((SIDE_PX, SIDE_PX), np.uint16), seen)
    try:
        judging.rehearse(
            context,
            Rows(inspection, exposures),
            Judgement(Verdict.OK, 0.0, segmenter.model_id, (found,)),
            looks=[_look_of(inspection)] if context.cameras is not None else [],
            made_by=judging.made_by(segmenter, rules, context.blobs),
        )
    finally:
        if context.drift is not None:
            context.drift.forget(NOWHERE)
    if context.drift is not None:
        with context.database.read() as session:  # up to two thousand rows, which its first verdict would read
            context.drift.charts(session, (station, product, segmenter.model_id))


def _look_of(inspection: Inspection) -> CameraLook:
    at = inspection.received_at
    return CameraLook(
        inspection_id=inspection.id, n=0, key="", station=NOWHERE, view="", at=at, fingerprint="", level=0.0
    )
