"""From an empty system to the first verdict on one's own pictures: how far an installation is, read from what there is.

Only three things are remembered beside that (QC_HOME/first-run.json): that somebody began while the system was empty,
that somebody left the guide, and whose verdict was looked at. So the guide never appears on a plant that runs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from sqlmodel import Session, col, select

from qc.durable import write_whole
from qc.errors import InvalidInput
from qc.records import Inspection
from server import first_login
from server.context import Context
from server.gate_records import StationMode
from server.records import User

FILE = "first-run.json"

Name = Literal["password", "product", "station", "pictures", "verdict", "label_studio", "second_person"]

OPTIONAL: frozenset[Name] = frozenset({"label_studio", "second_person"})


@dataclass(frozen=True, slots=True)
class Remembered:
    """What cannot be read from what there is."""

    begun: bool = False
    """Somebody opened the guide while the system was empty."""
    left: bool = False
    """Somebody put it away; they may take it up again."""
    seen: str = ""
    """The inspection whose verdict was looked at."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the guide."""

    name: Name
    done: bool
    detail: str
    """What it is done with, such as the product's name; empty: nothing to name."""

    @property
    def optional(self) -> bool:
        """The guide is done without it."""
        return self.name in OPTIONAL


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an installation is."""

    steps: tuple[Step, ...]
    empty: bool
    """No part was ever inspected."""
    left: bool
    begun: bool
    newest: str | None
    """The newest inspection that has a verdict."""
    station: str
    """The one to send pictures from; empty: none is known."""
    product: str
    """The one whose costs are known; empty: none."""

    @property
    def done(self) -> bool:
        """All but optional steps are."""
        return all(step.done or step.optional for step in self.steps)

    @property
    def active(self) -> bool:
        """Is an administrator led through it?"""
        return not self.left and not self.done and (self.empty or self.begun)


def remembered(home: Path) -> Remembered:
    """What was kept; nothing of a file that makes no sense, as it holds nothing that cannot be done again."""
    try:
        told = json.loads((home / FILE).read_text(encoding="utf-8"))
        return Remembered(bool(told["begun"]), bool(told["left"]), str(told["seen"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Remembered()


def remember(
    context: Context, session: Session, *, begun: bool | None = None, left: bool | None = None, seen: str | None = None
) -> None:
    """Keep what changed. Raises InvalidInput where the inspection that was seen has no verdict."""
    before = remembered(context.settings.home)
    after = before
    if begun and session.exec(select(Inspection.id).limit(1)).first() is None:
        after = replace(after, begun=True)
    if left is not None:
        after = replace(after, left=left, begun=after.begun or not left)
    if seen is not None:
        found = session.get(Inspection, seen)
        if found is None or found.verdict is None:
            raise InvalidInput(f"inspection {seen} has no verdict that could have been seen")
        after = replace(after, seen=seen)
    if after != before:
        write_whole(context.settings.home / FILE, json.dumps(asdict(after)))


def standing(context: Context, session: Session) -> Standing:
    """How far the installation is."""
    kept = remembered(context.settings.home)
    newest = select(Inspection).where(col(Inspection.verdict).is_not(None)).order_by(col(Inspection.id).desc()).limit(1)
    judged = session.exec(newest).first()
    any_part = session.exec(select(Inspection.id).limit(1)).first() is not None
    station = judged.station if judged else session.exec(select(StationMode.station).limit(1)).first() or ""
    priced = _priced(context)
    people = list(session.exec(select(User.name).limit(3)))
    studio = context.parts.get("label-studio")
    connected = studio is not None and studio.state().get("state") == "ok"
    return Standing(
        steps=(
            Step("password", first_login.read(context.settings) is None, ""),
            Step("product", bool(priced), priced),
            Step("station", bool(station), station),
            Step("pictures", judged is not None, judged.part if judged else ""),
            Step("verdict", bool(kept.seen), kept.seen),
            Step("label_studio", connected, ""),
            Step("second_person", len(people) > 1, ""),
        ),
        empty=not any_part,
        left=kept.left,
        begun=kept.begun,
        newest=judged.id if judged else None,
        station=station,
        product=priced,
    )


def _priced(context: Context) -> str:
    """A product whose file says what a wrong verdict costs; empty: none does."""
    for name in context.policies.products():
        try:
            if context.policies.rules(name).costs is not None:
                return name
        except InvalidInput:
            continue  # its page says what is wrong with it
    return ""
