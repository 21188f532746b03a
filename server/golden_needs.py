"""What the golden parts say of a model, and what it lacks before it may serve."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from server import golden
from server.context import Context
from server.golden_records import GoldenLook
from server.jobs import queue
from server.jobs.records import Job

KIND = "golden_parts"


def ask(session: Session, *, model: str | None, why: str, now: datetime) -> Job:
    """Ask for a model to look at the golden parts of every product; None: the champion. The caller commits."""
    key = f"{KIND}:{model or 'champion'}"
    return queue.enqueue(session, KIND, {"model": model, "why": why}, now=now, key=key, again=True)


def words(look: GoldenLook) -> str:
    """What a look said, in one sentence."""
    right = sum(not each["wrong"] for each in look.results)
    told = f"right on {right} of {len(look.results)} golden parts"
    if look.escapes or look.false_rejects:
        told += f" ({look.escapes} would escape, {look.false_rejects} would be rejected falsely)"
    return told if look.passed else f"{told}, which is more than the product's file allows"


def unseen(session: Session, context: Context, model: str, *, product: str | None = None) -> bool:
    """Has a model yet to look at golden parts, of one product or of any, by that product's file as it is now?"""
    return any(
        golden.last_look(session, one, model, policy=context.policies.rules(one.product).sha256) is None
        for one in golden.in_force(session)
        if product in (None, one.product)
    )


def missing(session: Session, context: Context, model: str, *, product: str | None = None) -> list[str]:
    """What a model lacks before it may serve, in words, for each product; empty: it got its golden parts right.

    A look counts only for the version in force and the product's file as it is now.

    Args:
        product: only this one's; None: every product's.
    """
    found = []
    for one in golden.in_force(session):
        if product not in (None, one.product):
            continue
        seen = golden.last_look(session, one, model, policy=context.policies.rules(one.product).sha256)
        if seen is None:
            found.append(f"it has not looked at the golden parts of {one.product} (version {one.number}) yet")
        elif not seen.passed:
            found.append(f"{one.product}: {words(seen)}")
    return found
