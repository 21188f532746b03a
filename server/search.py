"""What people look for by a name: parts, inspections, models, batches, stations, products, classes, people.

Parts are found by how their names begin: there are millions of them, and that is what an index answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, func, or_
from sqlmodel import Session, col, select

from labeling import book
from qc.records import Inspection
from segmentation.records import ModelVersion
from server import people, registry
from server.access import ENGINEERS, LABELS, Role
from server.loose_scan import newest_of_each

MOST = 12
"""Of each kind: who sees more than these types another letter."""

LAST = "\U0010ffff"
"""Sorts behind every letter where text is compared byte by byte, as SQLite does."""

Kind = Literal["part", "inspection", "model", "batch", "station", "class", "product", "person"]


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that was found."""

    kind: Kind
    name: str
    id: str
    """Of a part its newest inspection; of a batch its process."""


def find(
    session: Session,
    asked: str,
    *,
    role: Role,
    products: Iterable[str] = (),
    batches: Iterable[tuple[str, str]] = (),
) -> list[Hit]:
    """What bears that name, or one that begins with it; letters may be upper or lower case.

    Args:
        asked: what somebody typed; of spaces around it nothing is thought.
        role: of who asks; nothing is found that has no page for them.
        products: those that are known.
        batches: likewise, newest first, each with its process; not read where `role` has no page for them.
    """
    asked = asked.strip()
    if not asked:
        return []
    hits = _parts(session, asked)
    if row := session.get(Inspection, asked.lower()):
        hits.append(Hit("inspection", row.part, row.id))
    if role in ENGINEERS:
        hits += _models(session, asked) + _batches(batches, asked) + _stations(session, asked)
        hits += _named("product", products, asked)
    if role in LABELS:
        hits += _named("class", _classes(session), asked)
    if role is Role.ADMIN:
        hits += _named("person", (user.name for user in people.accounts(session)), asked)
    return hits


def _parts(session: Session, asked: str) -> list[Hit]:
    begins = {asked, asked.upper(), asked.lower()}
    part = col(Inspection.part)
    wanted = (
        select(part, func.max(col(Inspection.id)))
        .where(or_(*(_begins(session, part, one) for one in sorted(begins))))
        .group_by(part)
        .order_by(part)
        .limit(MOST)
    )
    return [Hit("part", name, id) for name, id in session.exec(wanted)]


def _begins(session: Session, name: Any, asked: str) -> ColumnElement[bool]:
    """SQLite asks an index for a range and not for LIKE; PostgreSQL for LIKE, which `ix_inspection_part` knows."""
    if session.get_bind().dialect.name == "sqlite":
        return cast(ColumnElement[bool], name.between(asked, asked + LAST))
    return cast(ColumnElement[bool], name.startswith(asked, autoescape=True))


def _models(session: Session, asked: str) -> list[Hit]:
    begin = asked.lower().removeprefix("sha256:")
    ids = session.exec(select(ModelVersion.id).order_by(col(ModelVersion.created_at).desc())).all()
    return [Hit("model", id, id) for id in ids if id.removeprefix("sha256:").startswith(begin)][:MOST]


def _batches(batches: Iterable[tuple[str, str]], asked: str) -> list[Hit]:
    return [Hit("batch", batch, name) for batch, name in batches if asked.lower() in batch.lower()][:MOST]


def _stations(session: Session, asked: str) -> list[Hit]:
    return _named("station", newest_of_each(session, col(Inspection.station), col(Inspection.id)), asked)


def _classes(session: Session) -> set[str]:
    """Classes that the serving model answers or the label book explains."""
    champion = registry.champion(session)
    served = registry.as_json(champion)["classes"].values() if champion else ()
    return {*served, *book.pages(session)}


def _named(kind: Kind, names: Iterable[str], asked: str) -> list[Hit]:
    """Of a list that is short, whatever has these letters in its name."""
    return [Hit(kind, name, name) for name in sorted(names) if asked.lower() in name.lower()][:MOST]
