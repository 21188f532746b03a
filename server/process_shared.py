"""Settings that the parts of a batch share: what stands already when one of them is asked about.

A person's decision for the batch stands until it is taken anew; what another part of the batch was run with stands for
good. Functions take a session.
"""

from __future__ import annotations

from typing import Any

from sqlmodel import Session, col, select

from process_opt.process import Process
from process_opt.records import BatchDecision, Outcome, Recommendation
from process_opt.together import still_shared

RECENT = 2000
"""Newest requests and outcomes of a process that are looked at: parts of a batch are asked about near to each other."""


def with_decided(session: Session, name: str, process: Process, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Requests about parts of batches, with the shared settings of steps still to come that stand already.

    What a request says itself (`decided`) comes first. One whose `at` is no step is left to be refused.
    """
    if not process.shared:
        return asked
    known: dict[tuple[str, str], dict[str, float]] = {}
    out = []
    for request in asked:
        batch, at = request.get("batch"), str(request.get("at"))
        if not batch or at not in process.place:
            out.append(request)
            continue
        if (batch, at) not in known:
            known[batch, at] = decided(session, name, process, batch, at)
        stands = known[batch, at] | (request.get("decided") or {})
        out.append({**request, "decided": stands} if stands else request)
    return out


def decided(session: Session, name: str, process: Process, batch: str, at: str) -> dict[str, float]:
    """Shared settings of steps from `at` on that stand for a batch: run by one of its parts, else a person's word."""
    wanted = select(BatchDecision).where(BatchDecision.process == name, BatchDecision.batch == batch)
    said: dict[str, float] = {}
    for row in session.exec(wanted.order_by(col(BatchDecision.id))):
        said |= row.plan.get("shared") or {}
    open_ = still_shared(process, process.place[at])
    stands = said | run_with(session, name, process, batch, at)
    return {setting: stands[setting] for setting in open_ if setting in stands}


def run_with(session: Session, name: str, process: Process, batch: str, at: str) -> dict[str, float]:
    """Shared settings of steps from `at` on that parts of the batch were run with already, as told last."""
    open_ = still_shared(process, process.place[at])
    if not open_:
        return {}
    newest = select(Recommendation).where(Recommendation.process == name).order_by(col(Recommendation.id).desc())
    ended = select(Outcome).where(Outcome.process == name).order_by(col(Outcome.id).desc())
    told = [row.request for row in session.exec(newest.limit(RECENT))]
    told += [row.content for row in session.exec(ended.limit(RECENT))]
    out: dict[str, float] = {}
    for content in told:
        if content.get("batch") == batch:
            observed = content.get("observed") or {}
            for setting in open_:
                if isinstance(value := observed.get(setting), int | float):
                    out.setdefault(setting, float(value))
    return out
