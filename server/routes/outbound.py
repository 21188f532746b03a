"""Who is told what: how each address is doing, and a person's word where one does not take what it is told."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlmodel import Session, col, select

from qc.errors import Conflict, NotFound
from server.auth import IdentityDep
from server.context import Context, ContextDep
from server.db import SessionDep
from server.outbound import outbox
from server.outbound.config import WebhookConfig
from server.outbound.records import OutboundAddress
from server.outbound.sender import close_alarms
from server.outbound.start import Outbound

router = APIRouter(tags=["outbound"])


class AddressJson(BaseModel):
    """One address that is told something. Secrets and paths of addresses do not leave the file."""

    name: str
    kind: Literal["webhook", "mqtt", "unknown"]
    to: str = Field(description="Without path and query; empty where the file does not name it any more.")
    tell: list[str]
    state: Literal["ok", "waiting", "away", "off", "unknown"] = Field(
        description="waiting: the last attempt failed; away: for so long that there is an alarm; off: it wants no "
        "more; unknown: not in the file any more."
    )
    message: str
    waiting: int
    first_waiting: str | None = Field(description="Id of the message that is told next.")
    oldest_at: datetime | None
    delivered: int
    dropped: int = Field(description="Never told: skipped by a person, or the oldest of too many.")
    failures: int = Field(description="In a row, since the last success.")
    failing_since: datetime | None
    last_error: str
    last_attempt_at: datetime | None
    last_delivered_at: datetime | None
    off_at: datetime | None


class AddressPage(BaseModel):
    """Every address, by name."""

    items: list[AddressJson]


class SkipWord(BaseModel):
    """Which message is given up, and why."""

    message: str = Field(description="Its id; it must be the first that waits.")
    reason: str = Field(min_length=1, max_length=500)


@router.get("/outbound")
def list_addresses(session: SessionDep, context: ContextDep) -> AddressPage:
    """How telling each address goes."""
    rows = list(session.exec(select(OutboundAddress).order_by(col(OutboundAddress.name))))
    return AddressPage(items=[_show(context, session, row) for row in rows])


@router.post("/outbound/{name}/resume")
def resume(name: str, session: SessionDep, who: IdentityDep, context: ContextDep) -> AddressJson:
    """Try at once; an address that was switched off is on again, beginning with what still waits."""
    row = _row(session, name)
    if (outbound := _outbound(context)) is None or name not in outbound.senders:
        raise Conflict(f"outbound.yaml does not name {name}; name it there and start the server again")
    now = context.now()
    outbox.resume(session, name, by=who.name, now=now)
    close_alarms(context, session, name, by=who.name, reason="switched on again", now=now)
    session.commit()
    outbound.senders[name].resumed()
    return _show(context, session, row)


@router.post("/outbound/{name}/skip")
def skip(name: str, word: SkipWord, session: SessionDep, who: IdentityDep, context: ContextDep) -> AddressJson:
    """Give up the first message that waits, as its receiver will not take it; it is in the audit trail."""
    row = _row(session, name)
    outbox.skip(session, name, word.message, word.reason, by=who.name, now=context.now())
    session.commit()
    if (outbound := _outbound(context)) is not None and name in outbound.senders:
        outbound.senders[name].try_now()
    return _show(context, session, row)


@router.delete("/outbound/{name}", status_code=204)
def forget(name: str, session: SessionDep, who: IdentityDep, context: ContextDep) -> None:
    """Forget an address that is not in the file any more, with all that waits for it."""
    _row(session, name)
    if (outbound := _outbound(context)) is not None and name in outbound.senders:
        raise Conflict(f"outbound.yaml still names {name}; take it out there and start the server again first")
    outbox.leave(session, name, by=who.name, now=context.now())
    session.commit()


def _outbound(context: Context) -> Outbound | None:
    part = context.parts.get("outbound")
    return part if isinstance(part, Outbound) else None


def _row(session: Session, name: str) -> OutboundAddress:
    row = session.get(OutboundAddress, name)
    if row is None:
        raise NotFound(f"there is no address {name}")
    return row


def _show(context: Context, session: Session, row: OutboundAddress) -> AddressJson:
    outbound = _outbound(context)
    sender = outbound.senders.get(row.name) if outbound else None
    shown, config = (sender.shown(), sender.config) if sender else (None, None)
    first, waits = outbox.oldest(session, row.name), outbox.waiting(session, row.name)
    return AddressJson(
        **row.model_dump(exclude={"off_reason"}),
        kind="unknown" if config is None else "webhook" if isinstance(config, WebhookConfig) else "mqtt",
        to=config.shown if config else "",
        tell=list(config.tell) if config else [],
        state=shown.state if shown else "unknown",
        message=shown.message if shown else row.off_reason,
        waiting=waits.messages,
        first_waiting=first.id if first else None,
        oldest_at=waits.oldest_at,
    )
