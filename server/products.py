"""A product's file as a page sees and changes it: rules by class, zones, scale, gate, money.

The file stays the truth (`server.policies`): it is written whole, checked before, and comments of the one before are
not carried over; that one is kept among the policies in the blobs, where the audit entry finds it by its hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import yaml
from sqlmodel import Session, col, select

from qc.durable import write_whole
from qc.errors import Conflict, InvalidInput
from qc.plain_yaml import parsed
from qc.records import Exposure, Inspection
from server import audit, loose_scan
from server.context import Context
from server.judging import policy_key
from server.policies import check_product, parse_rules
from server.retention import GONE

HEADER = "# Written by the Administration page; edit here or there. server/policies.py explains each word.\n"

LOOKED_BACK = 200
"""So many of a product's newest inspections are asked for the pictures of its views."""


def known(session: Session, context: Context) -> list[str]:
    """Names of every product that has a file or a part."""
    seen = set(loose_scan.values(session, col(Inspection.product))) - {""}
    return sorted({*context.policies.products(), *seen})


def text_of(context: Context, product: str) -> str:
    """The product's file as it is, even where it makes no sense; empty where there is none."""
    file = context.policies.folder / f"{check_product(product)}.yaml"
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file.name} cannot be read: {error}") from error


def hash_of(text: str) -> str:
    """SHA-256 of a file's text, in hexadecimal: what was read when an editing began."""
    return hashlib.sha256(text.encode()).hexdigest()


def content_of(text: str) -> dict[str, Any] | None:
    """What a file says as a form takes it; None where it is no YAML, which only an editor can mend."""
    try:
        content = parsed(text)
    except yaml.YAMLError:
        return None
    return content if isinstance(content, dict) else {}


def change(
    context: Context, session: Session, product: str, content: Mapping[str, Any], *, read: str, by: str, now: datetime
) -> str:
    """Write a product's file; the next part is judged by it. The caller commits.

    Args:
        content: what the file shall say.
        read: `hash_of` the file when the editing began.

    Returns:
        The new text.

    Raises:
        InvalidInput: the content makes no sense; the place is named.
        Conflict: somebody else changed the file meanwhile.
    """
    before = text_of(context, product)
    if hash_of(before) != read:
        raise Conflict(f"the file of {product} was changed meanwhile; look at it again, then save")
    told = {**content, "product": product}
    text = HEADER + yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=120)
    parse_rules(parsed(text), text, where=product)
    for kept in (before, text):
        context.blobs.keep(policy_key(hash_of(kept)), kept.encode())
    audit.record(session, "product", product, {"before": read, "after": hash_of(text)}, by=by, at=now)
    write_whole(context.policies.folder / f"{product}.yaml", text)
    return text


def newest_views(session: Session, product: str) -> list[Exposure]:
    """The newest picture of each station's view of a product that is still kept, with its inspection's id."""
    recent = (
        select(Inspection.id)
        .where(Inspection.product == product)
        .order_by(col(Inspection.id).desc())
        .limit(LOOKED_BACK)
    )
    ids = list(session.exec(recent))
    wanted = (
        select(Exposure, Inspection.station)
        .join(Inspection, col(Inspection.id) == col(Exposure.inspection_id))
        .where(col(Exposure.inspection_id).in_(ids), Exposure.original_key != GONE)
        .order_by(col(Exposure.inspection_id).desc(), col(Exposure.n))
    )
    newest: dict[tuple[str, str], Exposure] = {}
    for exposure, station in session.exec(wanted):
        newest.setdefault((station, exposure.view), exposure)
    return [newest[key] for key in sorted(newest)]
