"""A person decides for a batch as a whole: kept, in the trail, told to the line as advice, and what it brought.

What is decided becomes the newest advice of each part that it is about, so that the line learns of it and asks for it
as of any other (`GET /processes/{name}/parts/{part}/plan`, webhooks, MQTT), rework in it needs the same permission, and
its outcome counts by the same formulas. Functions take a session; the caller commits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from process_opt.model import ProcessModel
from process_opt.process import Process
from process_opt.records import BatchDecision, Recommendation
from qc.errors import Conflict, InvalidInput
from qc.records import new_id
from server import audit, process_money
from server import process_service as service
from server.context import Context
from server.process_batches import Known
from server.process_money import Summary
from server.wording import count_words

KIND = "batch.decided"
"""Of the trail's entry."""
NAMES = "batch_decision"
"""In an answer: the id of the decision that it comes from."""
LEAST_WORDS = 3
"""A reason in fewer words than these tells nobody why."""


def fingerprint(told: Mapping[str, Any]) -> str:
    """Of what `process_batches.decision` tells: the same while model, parts and their advice are the same."""
    kept = ("id", "apart", "decision_shared", "settings_shared", "run_shared")
    parts = sorted([part[key] for key in kept] for part in told["parts"])
    seen = json.dumps([told["model"], told["at"], told["plans"], parts], sort_keys=True)
    return hashlib.sha256(seen.encode()).hexdigest()


def carry_out(
    context: Context,
    session: Session,
    name: str,
    found: Known,
    told: dict[str, Any],
    *,
    process: Process,
    seen: str,
    apart: bool,
    reason: str,
    by: str,
    now: datetime,
) -> tuple[BatchDecision, list[str]]:
    """Keep the decision that a person saw, and advise each part of it that way.

    Args:
        told: the decision, as `process_batches.decision` tells it now.
        seen: `fingerprint` of what the person saw.
        apart: leave the parts that are better treated apart to what they were advised by themselves.
        reason: why, in the person's words.

    Returns:
        The decision, and names of the parts that it is about.

    Raises:
        Conflict: what the person saw is not what would be decided now; or every part is better treated apart.
        InvalidInput: no reason is given.
    """
    reason = " ".join(reason.split())
    if count_words(reason) < LEAST_WORDS:
        raise InvalidInput("say in a few words why the batch is decided on as a whole")
    if seen != fingerprint(told):
        raise Conflict(f"parts of batch {found.batch}, or what is advised of them, changed since; look at it again")
    mine = {part["id"]: part for part in told["parts"] if not (apart and part["apart"])}
    if not mine:
        raise Conflict(f"every part of batch {found.batch} is better treated apart; each was advised by itself")
    plan = next(one for one in told["plans"] if one["plan"] == told["decision"])
    decision = BatchDecision(
        process=name,
        batch=found.batch,
        at=told["at"],
        plan=plan,
        model=told["model"],
        parts=len(mine),
        reason=reason,
        by=by,
        decided_at=now,
    )
    session.add(decision)
    rows = {row.id: row for row in found.waiting}
    parts = []
    for id, part in mine.items():
        answer = advice(process, rows[id], part, decision, told["currency"])
        service.remember(session, name, rows[id].request, answer, now=now)
        context.events.on_commit(session, "recommendation", {**answer, "process": name})
        parts.append(part["part"])
    body = {
        "process": name,
        "batch": found.batch,
        "at": told["at"],
        "plan": plan,
        "model": told["model"],
        "parts": parts,
        "apart": [part["part"] for part in told["parts"] if part["id"] not in mine],
        "reason": reason,
    }
    audit.record(session, KIND, decision.id, body, by=by, at=now)
    return decision, parts


def advice(
    process: Process,
    row: Recommendation,
    part: Mapping[str, Any],
    decision: BatchDecision,
    currency: str,
) -> dict[str, Any]:
    """What a part of the batch is advised by the decision (contracts, section 6), beside what it was advised before.

    Args:
        row: its newest advice; `part` as `decide_batch` tells it.
    """
    own = row.answer
    asks = [step.name for step in process.steps if step.needs_approval and step.name in part["run_shared"]]
    before = {key: own[key] for key in ("decision", "expected_value", "p_conform", "settings", "run")}
    why = (
        f"Decided for batch {decision.batch} as a whole, {decision.parts} parts before {row.at}: {decision.reason}. "
        f"Advised by itself ({own['decision']}) the part is worth {part['value_own']:.2f} {currency}."
    )
    scrapped = part["p_shared"] is None
    return {
        "id": new_id(),
        "part": row.part,
        "at": row.at,
        "decision": part["decision_shared"],
        "settings": part["settings_shared"],
        "run": part["run_shared"],
        **({"needs_approval": asks} if asks else {}),
        "measure": [],
        "p_conform": own["p_conform"] if scrapped else part["p_shared"],
        "p_conform_interval": own["p_conform_interval"] if scrapped else part["p_shared_interval"],
        "expected_value": part["value_shared"],
        "value_if_continued": own["value_if_continued"],
        "value_if_scrapped": own["value_if_scrapped"],
        "causes": own["causes"],
        "alternatives": [before],
        "reason": why,
        "model": decision.model,
        NAMES: decision.id,
        "elapsed_ms": 0.0,
    }


def taken(
    session: Session, name: str, batch: str, model: ProcessModel
) -> list[tuple[BatchDecision, list[str], Summary]]:
    """Decisions on a batch, newest first: with the parts that they are about, and what came of these.

    A part that was decided on twice counts with the later decision alone.
    """
    wanted = select(BatchDecision).where(BatchDecision.process == name, BatchDecision.batch == batch)
    found, later = [], set[str]()
    for decision in session.exec(wanted.order_by(col(BatchDecision.id).desc())):
        parts = _parts_of(session, decision) - later
        later |= parts
        brought = process_money.summary(session, name, model.process, parts=parts)
        found.append((decision, sorted(parts), brought))
    return found


def forget(session: Session, ids: set[str]) -> None:
    """Remove those of these decisions of which no part is left: their parts were erased. The caller commits."""
    for decision in session.exec(select(BatchDecision).where(col(BatchDecision.id).in_(ids))):
        if not _parts_of(session, decision):
            session.delete(decision)


def _parts_of(session: Session, decision: BatchDecision) -> set[str]:
    of_batch = Recommendation.process == decision.process, Recommendation.batch == decision.batch
    named = col(Recommendation.answer)[NAMES].as_string() == decision.id
    return set(session.exec(select(Recommendation.part).where(*of_batch, named)))
