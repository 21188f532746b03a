"""What became of a model, as the audit trail has it: trained, looked on, approved, let serve, turned down; where, when,
by whom and why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_
from sqlmodel import Session, col, select

from server.audit import AuditEntry

OF_MODELS = ("training", "challenge", "promotion", "rollback", "rejection")
"""Kinds of entries whose subject is the model."""
OF_PLACES = ("assignment", "challenge ended", "approval")
"""Kinds of entries of a product, a station or a decision, whose body names the model."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One thing that happened to a model."""

    at: datetime
    what: str
    """Kind of the trail's entry; an approval that was refused is `declined`."""
    by: str
    product: str
    """Where; empty, as `station`: everywhere."""
    station: str
    reason: str


def history(session: Session, model_id: str) -> list[Chapter]:
    """The oldest first."""
    own = col(AuditEntry.kind).in_(OF_MODELS) & (col(AuditEntry.subject) == model_id)
    wanted = select(AuditEntry).where(or_(own, col(AuditEntry.kind).in_(OF_PLACES))).order_by(col(AuditEntry.n))
    told = ((entry, dict[str, Any](json.loads(entry.body))) for entry in session.exec(wanted))
    chapters = [_chapter(entry, body) for entry, body in told if _is_about(entry, body, model_id)]
    # a retraining ends with all that it brings about in one moment, and its own entry is the last of these
    return sorted(chapters, key=lambda chapter: (chapter.at, chapter.what != "training"))


def _is_about(entry: AuditEntry, body: dict[str, Any], model_id: str) -> bool:
    return entry.kind in OF_MODELS or model_id in (body.get("model"), body.get("challenger"))


def _chapter(entry: AuditEntry, body: dict[str, Any]) -> Chapter:
    declined = entry.kind == "approval" and not body.get("approved")
    return Chapter(
        at=entry.at,
        what="declined" if declined else entry.kind,
        by=entry.by,
        product=str(body.get("product", "")),
        station=str(body.get("station", "")),
        reason=str(body.get("reason", "")),
    )
