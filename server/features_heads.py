"""Quick heads: a class learnt from a few named defects, stored, served, retired. Functions take the session.

A head rests on the features of one model. Beside another one it is silent, until its examples' features are made
anew and it is learnt again from them (`features_job`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from qc.errors import InvalidInput, NotFound
from qc.features import Vector, from_bytes
from qc.records import Inspection
from segmentation import heads
from server import audit, features
from server.features import Key
from server.features_records import IMAGE, Feature, Head
from server.inspections import exposures_of, get_inspection

LEAST_SAID = 0.5
"""Below this probability a head says nothing."""
OTHERS = 500
"""Other defects that a head is told apart from, at most: those with another label first, then the newest."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A head at work."""

    id: str
    name: str
    encoder: str
    to_review: bool
    head: heads.QuickHead

    @property
    def limit(self) -> float:
        """Probability from which on it may send a part to a person."""
        return self.head.limit

    def probability(self, vector: Vector) -> float:
        """Of one defect, in [0, 1]."""
        return float(self.head.probability(vector[None])[0])


def serving(session: Session) -> list[Serving]:
    """The heads that are not retired."""
    rows = session.exec(select(Head).where(col(Head.retired_at).is_(None)).order_by(col(Head.id)))
    return [Serving(row.id, row.name, row.encoder, row.to_review, heads.from_json(row.weights)) for row in rows]


def place_of(session: Session, inspection_id: str, number: int) -> Key:
    """A defect of a part, counted from 0 over all its images in their order; raises NotFound."""
    get_inspection(session, inspection_id)
    left = number
    for exposure in exposures_of(session, inspection_id):
        if 0 <= left < len(exposure.defects):
            return inspection_id, exposure.n, left
        left -= len(exposure.defects)
    raise NotFound(f"inspection {inspection_id} has no defect {number}; they are counted from 0")


@dataclass(frozen=True, slots=True)
class Learnt:
    """A class that was learnt, and not kept yet."""

    name: str
    encoder: str
    examples: list[Key]
    head: heads.QuickHead


def learn(session: Session, name: str, *, encoder: str, examples: Sequence[Key]) -> Learnt:
    """Learn a class. It takes seconds: in a session that only reads, so that nobody waits for it to write.

    Args:
        name: the class.
        encoder: of the model that serves.
        examples: defects of the class; none: those that people labelled so.

    Raises:
        InvalidInput: too few examples, or all of one part (see `segmentation.heads.learn`).
        NotFound: nothing is kept of an example.
    """
    if not name.strip() or len(name) > 64 or not name.isprintable():
        raise InvalidInput("a class has a name of 1 to 64 printable characters")
    if not encoder:
        raise InvalidInput("no model serves yet whose features a class could be learnt from; try again in a moment")
    keys = list(dict.fromkeys(examples)) or _labelled(session, encoder, name)
    mine = dict(sorted(features.vectors(session, keys, encoder=encoder).items()))  # learnt alike, however found
    if missing := [key for key in keys if key not in mine]:
        raise NotFound(
            f"nothing is kept of what the serving model's encoder saw of {len(missing)} examples, such as defect "
            f"{missing[0][2]}, image {missing[0][1]} of {missing[0][0]}; inspect that part again"
        )
    others = _others(session, encoder, name, set(keys))
    if not keys or not others:
        raise InvalidInput(f"{len(keys)} examples of {name} and {len(others)} other defects are too few to learn from")
    parts = _parts(session, {key[0] for key in (*keys, *others)})
    told = [*mine.items(), *others.items()]
    learnt = heads.learn(
        np.stack([vector for _, vector in told]),
        np.array([True] * len(mine) + [False] * len(others)),
        [parts[key[0]] for key, _ in told],
    )
    return Learnt(name, encoder, keys, learnt)


def keep(session: Session, learnt: Learnt, *, to_review: bool, by: str, now: datetime) -> Head:
    """A class that was learnt suggests from now on, instead of the head of that name so far; the caller commits.

    Args:
        to_review: may it send a part that the model calls ok to a person?

    Raises:
        NotFound: a part among the examples was erased meanwhile.
    """
    inspections = {key[0] for key in learnt.examples}
    if len(_parts(session, inspections)) < len(inspections):
        raise NotFound(f"a part from which {learnt.name} was learnt was erased meanwhile; learn it again")
    name, figures = learnt.name, asdict(learnt.head.held_out) | {"limit": round(learnt.head.limit, 4)}
    for old in session.exec(select(Head).where(Head.name == name, col(Head.retired_at).is_(None))):
        old.retired_at = now
        session.add(old)
    row = Head(
        name=name,
        encoder=learnt.encoder,
        created_at=now,
        by=by,
        weights=heads.to_json(learnt.head),
        figures=figures,
        examples=[list(key) for key in learnt.examples],
        to_review=to_review,
    )
    session.add(row)
    told = {"class": name, "encoder": learnt.encoder, "to_review": to_review, "examples": len(learnt.examples)}
    audit.record(session, "quick head", row.id, told | figures, by=by, at=now)
    return row


def retire(session: Session, head_id: str, *, by: str, now: datetime) -> Head:
    """A head suggests nothing from now on; the caller commits. Raises NotFound."""
    row = session.get(Head, head_id)
    if row is None:
        raise NotFound(f"there is no quick head {head_id}")
    if row.retired_at is None:
        row.retired_at = now
        session.add(row)
        audit.record(session, "quick head retired", row.id, {"class": row.name}, by=by, at=now)
    return row


def newest(session: Session) -> list[Head]:
    """All heads, newest first."""
    return list(session.exec(select(Head).order_by(col(Head.id).desc()).limit(200)))


def as_json(row: Head) -> dict[str, Any]:
    """A head in the words of the interface."""
    return row.model_dump(exclude={"weights", "examples"}) | {"examples": len(row.examples)}


def _labelled(session: Session, encoder: str, name: str) -> list[Key]:
    wanted = sql_select(col(Feature.inspection_id), col(Feature.n), col(Feature.defect)).where(
        col(Feature.encoder) == encoder, col(Feature.label) == name, col(Feature.defect) != IMAGE
    )
    return [(r[0], r[1], r[2]) for r in session.execute(wanted)]


def _others(session: Session, encoder: str, name: str, keys: set[Key]) -> dict[Key, Vector]:
    """Defects that are not of the class: those that people said are something else, then the newest of other parts.

    One that nobody labelled may be of the class; with few of them among hundreds the head loses little.
    """
    columns = col(Feature.inspection_id), col(Feature.n), col(Feature.defect), col(Feature.vector)
    base = sql_select(*columns).where(col(Feature.encoder) == encoder, col(Feature.defect) != IMAGE)
    newest_first = col(Feature.at).desc()
    said = base.where(col(Feature.label).is_not(None), col(Feature.label) != name).order_by(newest_first)
    unsaid = base.where(col(Feature.label).is_(None)).order_by(newest_first)
    found: dict[Key, Vector] = {}
    seen = {key[0] for key in keys}
    for wanted, anywhere in ((said, True), (unsaid, False)):
        for inspection, n, defect, data in session.execute(wanted.limit(OTHERS + len(keys))):
            if (inspection, n, defect) in keys or (not anywhere and inspection in seen) or len(found) >= OTHERS:
                continue
            found[inspection, n, defect] = from_bytes(data)
    return found


def _parts(session: Session, ids: set[str]) -> dict[str, str]:
    wanted = sorted(ids)
    found: dict[str, str] = {}
    for first in range(0, len(wanted), features.AT_ONCE):
        some = wanted[first : first + features.AT_ONCE]
        rows = session.execute(sql_select(col(Inspection.id), col(Inspection.part)).where(col(Inspection.id).in_(some)))
        found.update({r[0]: r[1] for r in rows})
    return found
