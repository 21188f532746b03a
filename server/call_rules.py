"""What a product's file says of calls to the team leader: its section `doubt`::

doubt:
  seconds: 300                  # so long the team leader has; default
  stations: {brush-1: 60}       # stations with a time of their own
  then: ng                      # nobody came: not good (default), or `review`: it stays set aside
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qc.errors import InvalidInput
from qc.verdict import Verdict

USUAL_S = 300.0
"""Five minutes: a team leader walks through a hall in two and looks at the part in one."""
LONGEST_S = 86_400.0


@dataclass(frozen=True, slots=True)
class CallRules:
    """How long a call waits, and how the part stands when nobody came."""

    seconds: float = USUAL_S
    stations: Mapping[str, float] = field(default_factory=dict)
    """Station -> seconds, where it differs."""
    then: Verdict = Verdict.NG
    """`ng` or `review`; a part of which somebody was unsure is never `ok` by waiting."""

    def limit(self, station: str) -> float:
        """Seconds that the team leader has at a station."""
        return self.stations.get(station, self.seconds)


def parse_calls(content: Any, *, where: str) -> CallRules:
    """The section `doubt`; raises InvalidInput with the place of the mistake."""
    known = {"seconds", "stations", "then"}
    if not isinstance(content, dict):
        raise InvalidInput(f"{where} must be a mapping of {sorted(known)}, not {content!r}")
    if unknown := sorted(set(map(str, content)) - known):
        raise InvalidInput(f"{where} does not know {unknown}; it knows {sorted(known)}")
    stations = content.get("stations") or {}
    if not isinstance(stations, dict):
        raise InvalidInput(f"{where}.stations must map stations to seconds, not {stations!r}")
    then = content.get("then", Verdict.NG.value)
    if then not in (Verdict.NG.value, Verdict.REVIEW.value):
        raise InvalidInput(f"{where}.then must be ng or review, not {then!r}")
    return CallRules(
        seconds=_seconds(content.get("seconds", USUAL_S), f"{where}.seconds"),
        stations={str(name): _seconds(value, f"{where}.stations.{name}") for name, value in stations.items()},
        then=Verdict(then),
    )


def _seconds(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidInput(f"{where} must be a number of seconds, not {value!r}")
    if not 1 <= value <= LONGEST_S:
        raise InvalidInput(f"{where} must be 1 to {LONGEST_S:.0f} seconds, not {value!r}")
    return float(value)
