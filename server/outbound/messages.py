"""What is told of what happened: the words of the REST interface, as a line's key would be told them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlmodel import Session

from process_opt.records import Recommendation
from qc.records import Inspection, new_id
from server import inspections, permission
from server.context import Context
from server.events import Event
from server.outbound.records import OutboundMessage

log = structlog.get_logger(__name__)

ALARM = "outbound"
"""Kind of the alarm about an address that cannot be told."""


@dataclass(frozen=True, slots=True)
class Told:
    """Something to tell."""

    type: str
    """Such as `inspection.judged`."""
    data: Mapping[str, Any]
    cell: str = ""
    """The station or step it is about."""
    part: str = ""


def message_of(context: Context, session: Session, event: Event) -> OutboundMessage:
    """The message of an event of this transaction, not yet added; `event.kind` is one of `config.KINDS`.

    Words that cannot be made must not cost a verdict: then the event itself is told, which is shorter.
    """
    try:
        told = _WORDS[event.kind](context, session, event.data)
    except Exception as error:  # whatever it is, the transaction is about more than this message
        log.error("a message is told in short", kind=event.kind, exc_info=error)
        told = Told(f"{event.kind}.told", event.data)
    now, id = context.now(), new_id()
    body = {"id": id, "type": told.type, "timestamp": now.isoformat(), "data": told.data}
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=str)
    return OutboundMessage(id=id, kind=event.kind, cell=told.cell, part=told.part, body=text, at=now)


def cell_of_alarm(kind: str, station: str) -> str:
    """Where an alarm belongs: an address that cannot be told belongs to no cell."""
    return "" if kind == ALARM else station


def _inspection(context: Context, session: Session, data: Mapping[str, Any]) -> Told:
    """The contract's inspection. What a station in shadow saw is held back."""
    row = inspections.get_inspection(session, str(data["id"]))
    shown = inspections.show(context, session, [row], outlines=False)[0]
    body = inspections.for_the_line(shown).model_dump(
        mode="json", by_alias=True, exclude={"decision", "call", "label_task"}
    )
    for image in body["images"]:
        for defect in image["defects"]:
            defect.pop("outline", None)
    return Told("inspection.judged", body, row.station, row.part)


def _decision(context: Context, session: Session, data: Mapping[str, Any]) -> Told:
    row = session.get(Inspection, data["inspection_id"])
    part = row.part if row else ""
    type = "decision.undone" if "undoes" in data else "decision.made"
    return Told(type, {**data, "part": part}, str(data["station"]), part)


def _call(context: Context, session: Session, data: Mapping[str, Any]) -> Told:
    """A team leader was called; and what came of it: `verdict` is how the part stands."""
    type = "call.opened" if data["state"] == "open" else f"call.{data['state']}"
    return Told(type, data, str(data["station"]), str(data["part"]))


def _part(context: Context, session: Session, data: Mapping[str, Any]) -> Told:
    return Told("part.judged", data, "", str(data["part"]))


def _alarm(context: Context, session: Session, data: Mapping[str, Any]) -> Told:
    cell = cell_of_alarm(str(data["kind"]), str(data["station"]))
    return Told("alarm.closed" if data.get("closed_at") else "alarm.raised", data, cell)


def _recommendation(context: Context, session: Session, data: Mapping[str, Any]) -> Told:
    """An answer of the optimiser; or a person's word on the rework that it proposes."""
    part = str(data["part"])
    if "decision" in data:
        return Told("recommendation.given", data, str(data["at"]), part)
    row = session.get(Recommendation, data["id"])
    words = permission.said(session, str(data["process"]), [part]).get(part, [])
    if row is None or not words:
        return Told("recommendation.answered", data, "", part)
    steps = permission.needed(row)
    told = {**data, "at": row.at, "steps": steps, "permission": str(permission.permission(steps, words))}
    return Told("recommendation.answered", {**told, "by": words[-1].by, "risk": words[-1].risk}, row.at, part)


_WORDS = {
    "inspection": _inspection,
    "decision": _decision,
    "call": _call,
    "part": _part,
    "alarm": _alarm,
    "recommendation": _recommendation,
}
