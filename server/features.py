"""The feature store: what the encoder saw of every image and defect, kept in the transaction of the verdict.

Vectors are float16 in the main database. What is kept in memory for searching is in `features_index`; what is made
anew when another model serves is in `features_job`. Functions take the session; the caller commits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, delete
from sqlalchemy import select as sql_select
from sqlmodel import Session, col

from labeling.order import WAITING
from labeling.records import Annotation, LabelTask
from qc.errors import InvalidInput, NotFound
from qc.features import Features, Vector, from_bytes, to_bytes
from qc.records import Exposure, Inspection
from server.features_records import IMAGE, AnonymousFeature, Feature, Suggestion

Key = tuple[str, int, int]
"""Inspection, image, defect."""

AT_ONCE = 1000
"""Inspections of one statement."""

# built once: building one takes five times as long as reading a vector by it
_ONE = sql_select(col(Feature.vector)).where(
    col(Feature.inspection_id) == bindparam("id"),
    col(Feature.n) == bindparam("image"),
    col(Feature.defect) == bindparam("place"),
)
_ONE_IN_POSTGRESQL = "SELECT vector FROM feature WHERE inspection_id = %s AND n = %s AND defect = %s"
# one text, or three arrays, instead of thousands of values, and one column back: that takes half of the time. Encoders
# are compared where the vector lies: a database that may choose looks through all vectors of one
_IN_SQLITE = (
    "SELECT f.vector FROM json_each(?) asked LEFT JOIN feature f "
    "ON f.inspection_id = asked.value AND f.n = ? AND f.defect = ? AND (? IS NULL OR f.encoder = ?)"
)
# one row with all of them end to end, as PostgreSQL packs and psycopg unpacks each row by itself; in whatever order
# they are found, which is the same for all three: sorting each by itself was a sixth of it
_IN_POSTGRESQL = (
    "SELECT array_agg(asked.place::int), array_agg(octet_length(f.vector)), string_agg(f.vector, '') "
    "FROM unnest(%s::text[], %s::int[], %s::int[]) WITH ORDINALITY asked(id, n, defect, place) "
    "JOIN feature f ON f.inspection_id = asked.id AND f.n = asked.n AND f.defect = asked.defect "
    "AND (%s::text IS NULL OR f.encoder = %s)"
)


def keep(
    session: Session,
    inspection: Inspection,
    exposures: Sequence[Exposure],
    found: Sequence[Features | None],
    *,
    encoder: str,
    runtime: str,
    new: bool = False,
) -> int:
    """Write the vectors of an inspection, instead of those it had; how many.

    Args:
        exposures: its images, with their defects.
        found: what the encoder made of each image; None where it says nothing.
        encoder: the model's id.
        runtime: what computed it.
        new: it has none yet, so that they need not be looked for; a line waits.
    """
    said = {} if new else _take_out(session, inspection.id)
    rows: list[dict[str, Any]] = []
    for exposure, features in zip(exposures, found, strict=True):
        if features is None:
            continue
        vectors = [(IMAGE, features.image), *enumerate(features.defects)]
        for place, vector in vectors:
            if vector is None:
                continue
            defect: dict[str, Any] = {"class": "", "score": exposure.score or 0.0}
            if place != IMAGE:
                defect = exposure.defects[place]
            rows.append(
                {
                    "inspection_id": inspection.id,
                    "n": exposure.n,
                    "defect": place,
                    "encoder": encoder,
                    "runtime": runtime,
                    "station": inspection.station,
                    "product": inspection.product,
                    "at": inspection.received_at,
                    "kind": str(defect["class"]),
                    "score": float(defect["score"]),
                    "label": said.get((exposure.n, place)),
                    "vector": to_bytes(vector),
                }
            )
    if rows:
        session.flush()
        session.connection().execute(Feature.__table__.insert(), rows)  # type: ignore[attr-defined]
    return len(rows)


def _take_out(session: Session, inspection_id: str) -> dict[tuple[int, int], str | None]:
    """Remove what is kept of an inspection; its labels, by image and defect."""
    columns = col(Feature.n), col(Feature.defect), col(Feature.label)
    rows = session.execute(sql_select(*columns).where(col(Feature.inspection_id) == inspection_id))
    said = {(n, defect): label for n, defect, label in rows}
    session.execute(delete(Feature).where(col(Feature.inspection_id) == inspection_id))
    return said


def vector(session: Session, key: Key) -> Vector:
    """One vector; raises NotFound."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":  # SQLAlchemy's share would be as much as the database's
        driver: Any = connection.connection.driver_connection
        row = driver.execute(_ONE_IN_POSTGRESQL, key, binary=True).fetchone()
    else:
        row = connection.execute(_ONE, {"id": key[0], "image": key[1], "place": key[2]}).first()
    if row is None:
        raise NotFound(f"nothing is kept of what the encoder saw of defect {key[2]}, image {key[1]} of {key[0]}")
    return from_bytes(row[0])


def vectors(session: Session, keys: Iterable[Key], *, encoder: str | None = None) -> dict[Key, Vector]:
    """Those of these vectors that are kept; of one encoder only, if it is given."""
    kept = [(key, data) for key, data in _stored(session, sorted(set(keys)), encoder) if data is not None]
    if len({len(data) for _, data in kept}) != 1:  # of encoders that tell more or less
        return {key: from_bytes(data) for key, data in kept}
    together = from_bytes(b"".join([data for _, data in kept])).reshape(len(kept), -1)
    return dict(zip([key for key, _ in kept], together, strict=True))


def _stored(session: Session, keys: list[Key], encoder: str | None) -> Iterator[tuple[Key, bytes | None]]:
    """Each of these keys, and what is kept of it."""
    connection = session.connection()
    driver: Any = connection.connection.driver_connection  # rows of SQLAlchemy's take a fifth of the time
    if connection.dialect.name == "postgresql":
        columns = [list(column) for column in zip(*keys, strict=True)]
        if columns:
            with driver.cursor(binary=True) as cursor:
                places, lengths, together = cursor.execute(_IN_POSTGRESQL, (*columns, encoder, encoder)).fetchone()
            ends = list(accumulate(lengths or ()))
            for place, length, end in zip(places or (), lengths or (), ends, strict=True):
                yield keys[place - 1], together[end - length : end]
        return
    alike: dict[tuple[int, int], list[str]] = {}
    for inspection_id, n, defect in keys:
        alike.setdefault((n, defect), []).append(inspection_id)
    for (n, defect), ids in alike.items():
        found = driver.execute(_IN_SQLITE, (json.dumps(ids), n, defect, encoder, encoder)).fetchall()
        yield from (((of, n, defect), data) for of, (data,) in zip(ids, found, strict=True))


def encoder_of(session: Session, keys: Sequence[Key]) -> str:
    """The model whose encoder saw these defects; raises NotFound, and InvalidInput where it was more than one."""
    found = {row[0] for key in keys for row in session.execute(sql_select(col(Feature.encoder)).where(*_is(key)))}
    if not found:
        raise NotFound("nothing is kept of what an encoder saw of these defects; inspect their parts again")
    if len(found) > 1:
        raise InvalidInput(f"these defects were seen by the encoders of {len(found)} models; take those of one station")
    return str(found.pop())


def forget_before(session: Session, moment: datetime) -> int:
    """Forget the vectors of parts that came before `moment`, and what was suggested of them; how many vectors."""
    old = sql_select(col(Inspection.id)).where(col(Inspection.received_at) < moment)
    session.execute(delete(Suggestion).where(col(Suggestion.inspection_id).in_(old)))
    gone = session.connection().execute(delete(Feature).where(col(Feature.at) < moment))
    return int(gone.rowcount)


def of_tasks(session: Session, encoder: str, *, most: int) -> tuple[dict[str, Vector], list[Vector]]:
    """Where label tasks lie among all surfaces, for `labeling.order.rank`.

    Args:
        encoder: of the model that serves.
        most: tasks that get a vector, most urgent first, and labelled defects, newest first.

    Returns:
        Task id to the vector of the most doubtful defect on its crop; and the vectors of what people labelled, also of
        parts of which nothing else is known any more.
    """
    waiting = (
        sql_select(LabelTask, Exposure)
        .join(
            Exposure,
            (col(Exposure.inspection_id) == col(LabelTask.inspection_id)) & (col(Exposure.n) == col(LabelTask.n)),
        )
        .where(col(LabelTask.state).in_(WAITING))
        .order_by(col(LabelTask.urgency).desc())
        .limit(most)
    )
    places: dict[str, Key] = {}
    for task, exposure in session.execute(waiting):
        crop = task.crop
        inside = [
            (abs(float(defect["score"]) - 0.5), place)
            for place, defect in enumerate(exposure.defects)
            if _touches(defect["bbox"], (crop.x, crop.y, crop.right, crop.bottom))
        ]
        if inside:
            places[task.id] = (task.inspection_id, task.n, min(inside)[1])
    kept = vectors(session, places.values(), encoder=encoder)
    labelled = (
        sql_select(col(Feature.vector))
        .where(col(Feature.encoder) == encoder, col(Feature.label).is_not(None), col(Feature.defect) != IMAGE)
        .order_by(col(Feature.at).desc())
        .limit(most)
    )
    known = [from_bytes(data) for (data,) in session.execute(labelled)]
    nameless = (
        sql_select(col(AnonymousFeature.vector))
        .where(
            col(AnonymousFeature.encoder) == encoder,
            col(AnonymousFeature.whole).is_(False),
            col(AnonymousFeature.label).is_not(None),
        )
        .order_by(col(AnonymousFeature.month).desc())
        .limit(most - len(known))
    )
    known += [from_bytes(data) for (data,) in session.execute(nameless)]
    return {task: kept[key] for task, key in places.items() if key in kept}, known


def take_labels(session: Session, masks: Any, *, since: datetime | None = None) -> int:
    """Give defects the class that people drew over them; how many changed.

    A defect of which a person's drawing covers a tenth or more has that class; one inside the crop that it leaves
    free is none. What the drawing leaves open (255) says nothing. Drawings that count: not deleted, not superseded.

    Args:
        masks: `mask(key) -> H x W uint8 or None`, such as from the blob store.
        since: drawings received before this moment were taken already.
    """
    wanted = (
        sql_select(Annotation, LabelTask)
        .join(LabelTask, col(LabelTask.id) == col(Annotation.label_task_id))
        .where(~col(Annotation.deleted), ~col(Annotation.superseded))
        .order_by(col(Annotation.received_at))
    )
    if since is not None:
        wanted = wanted.where(col(Annotation.received_at) >= since)
    changed = 0
    for drawing, task in session.execute(wanted).all():
        exposure = session.get(Exposure, (task.inspection_id, task.n))
        drawn = masks(drawing.mask_key)
        if exposure is None or drawn is None:
            continue
        for place, defect in enumerate(exposure.defects):
            row = session.get(Feature, (task.inspection_id, task.n, place))
            told = None if row is None else said_of(drawn, drawing.classes, defect["bbox"], task.crop.x, task.crop.y)
            if row is not None and told is not None and row.label != told:
                row.label, changed = told, changed + 1
                session.add(row)
    return changed


def said_of(drawn: NDArray[np.uint8], classes: dict[str, str], bbox: Sequence[int], left: int, top: int) -> str | None:
    """What a drawing on a crop at `left`, `top` says of a defect: its class, empty for none, None for nothing."""
    x, y, width, height = (int(v) for v in bbox)
    if x < left or y < top or x + width > left + drawn.shape[1] or y + height > top + drawn.shape[0]:
        return None
    piece = drawn[y - top : y - top + height, x - left : x - left + width]
    marked = piece[(piece > 0) & (piece < 255)]
    if 10 * marked.size >= piece.size:
        return classes.get(str(int(np.bincount(marked).argmax())))
    return None if (piece == 255).any() or marked.size else ""


def _is(key: Key) -> tuple[Any, ...]:
    return (col(Feature.inspection_id) == key[0], col(Feature.n) == key[1], col(Feature.defect) == key[2])


def _touches(bbox: Sequence[int], crop: tuple[int, int, int, int]) -> bool:
    x, y, width, height = (int(v) for v in bbox)
    left, top, right, bottom = crop
    return x < right and left < x + width and y < bottom and top < y + height
