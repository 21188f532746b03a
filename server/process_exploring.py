"""What exploring costs and teaches: counted from the answers that moved settings to learn, and what was told back."""

from __future__ import annotations

import math

from pydantic import BaseModel
from sqlmodel import Session, col, select

from process_opt.identify import ENOUGH
from process_opt.model import ProcessModel
from process_opt.records import Outcome, Recommendation
from process_opt.serving import serving_of


class Varied(BaseModel):
    """A setting that was moved to learn what it does."""

    setting: str
    asked: int
    """Parts on which it was to be moved."""
    told: int
    """Of these, parts whose outcome came back as `dither` with the setting in it."""
    identified: bool
    """Is its effect known by now?"""


class ExploringJson(BaseModel):
    """Whether settings may be moved to learn, for which price, and what came of it. Money in the process's currency."""

    allowed: bool
    price: float | None
    """Expected money that a part may lose by it; null where it is not allowed."""
    chance: float | None
    """By how much it may lower a part's chance to conform."""
    steps: list[str]
    """Steps whose settings may be moved; empty: all, where it is allowed."""
    parts: int
    """Parts on which something was moved."""
    expected_price: float
    """What that was expected to cost in all."""
    needed: int
    """Dithered parts from which on the next fit may know a setting."""
    settings: list[Varied]


def exploring(session: Session, name: str, model: ProcessModel) -> ExploringJson:
    """What is allowed now, and what was explored under this name, also by earlier models."""
    rule = serving_of(model.process).explore
    known = select(Outcome).where(Outcome.process == name)
    dithered = {
        o.part: set(o.content["observed"]) for o in session.exec(known) if o.content.get("assignment") == "dither"
    }
    parts: set[str] = set()
    asked: dict[str, set[str]] = {}
    prices = []
    rows = select(Recommendation).where(Recommendation.process == name).order_by(col(Recommendation.id))
    for row in session.exec(rows):
        if not (moved := row.answer.get("explored")):
            continue
        parts.add(row.part)
        prices.append(float(moved["price"]))
        for setting in set(moved["settings"]) & set(model.process.settings):
            asked.setdefault(setting, set()).add(row.part)
    return ExploringJson(
        allowed=rule is not None,
        price=rule.price if rule else None,
        chance=rule.chance if rule else None,
        steps=list(rule.steps) if rule else [],
        parts=len(parts),
        expected_price=round(math.fsum(prices), 2),
        needed=ENOUGH,
        settings=[
            Varied(
                setting=setting,
                asked=len(mine),
                told=sum(setting in dithered.get(part, ()) for part in mine),
                identified=bool(model.identified.get(setting, False)),
            )
            for setting, mine in sorted(asked.items(), key=lambda item: -len(item[1]))
        ],
    )
