"""What a product's file asks of a new model, and what a wrong verdict costs: its sections `gate` and `money`::

gate:
  approval: required            # a named person lets the proved challenger serve; default: automatic
  golden: {escapes: 0, false_rejects: 0}    # golden parts that it may get wrong
  escapes: 0.05                 # more escapes of a defective part than the champion that are tolerated
  latency: 1.25                 # CPU time of a picture against the champion's, on this machine, at most
  memory: 1.25                  # the same for the memory of its process
  calibration: 0.05             # by how much its error of calibration may exceed the champion's
money:
  currency: EUR
  escape: 120.0                 # a part that is not good and goes out as ok
  false_reject: 4.0             # an ok part that is scrapped or made again
  review: 0.5                   # a person's look at a part
  before: {escapes: 0.004, false_rejects: 0.02, reviews: 1.0}    # shares of all parts before this product
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qc.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class GateRules:
    """What a challenger must keep to before it serves a product."""

    approval_required: bool = False
    golden_escapes: int = 0
    """Golden parts that are not good and that it may let pass."""
    golden_false_rejects: int = 0
    """Golden parts that are ok and that it may not let pass."""
    escapes: float = 0.05
    """Tolerated rate of escapes beyond the champion's, in (0, 1): less needs more proof than a plant has defective
    parts in a month (about 90 without a miss of its own prove 5 %)."""
    latency: float = 1.25
    """CPU seconds of a megapixel, as a multiple of the champion's. A quarter more is still within the room that a line
    planned at 80 % load has."""
    memory: float = 1.25
    """Peak memory of a process that holds the model, as a multiple of the champion's."""
    calibration: float = 0.05
    """Expected calibration error on decided parts, at most the champion's and this."""


@dataclass(frozen=True, slots=True)
class Before:
    """The state before: shares of all parts, in [0, 1]."""

    escapes: float = 0.0
    false_rejects: float = 0.0
    reviews: float = 1.0
    """Every part was looked at by a person, unless the file says otherwise."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What verdicts cost, in `currency` for each part."""

    currency: str
    escape: float
    false_reject: float
    review: float = 0.0
    before: Before | None = None
    """None: nobody has said how it was before, so nothing is said of savings."""

    def of_wrong(self, *, truth_is_defective: bool, passed: bool) -> float:
        """What a verdict costs whose truth is known: 0 where it was right."""
        if truth_is_defective == passed:
            return self.escape if passed else self.false_reject
        return 0.0

    @property
    def worst(self) -> float:
        """The most that one wrong verdict costs."""
        return max(self.escape, self.false_reject)


def parse_gate(content: Any, *, where: str) -> GateRules:
    """The section `gate`; raises InvalidInput with the place of the mistake."""
    known = {"approval", "golden", "escapes", "latency", "memory", "calibration"}
    told = _mapping(content, where, known)
    golden = _mapping(told.get("golden", {}), f"{where}.golden", {"escapes", "false_rejects"})
    usual = GateRules()
    approval = told.get("approval", "automatic")
    if approval not in ("automatic", "required"):
        raise InvalidInput(f"{where}.approval must be automatic or required, not {approval!r}")
    margin = _number(told, "escapes", usual.escapes, where)
    if not 0 < margin < 1:
        raise InvalidInput(f"{where}.escapes must lie between 0 and 1, not {margin}")
    return GateRules(
        approval_required=approval == "required",
        golden_escapes=_whole(golden, "escapes", f"{where}.golden"),
        golden_false_rejects=_whole(golden, "false_rejects", f"{where}.golden"),
        escapes=margin,
        latency=_number(told, "latency", usual.latency, where),
        memory=_number(told, "memory", usual.memory, where),
        calibration=_number(told, "calibration", usual.calibration, where),
    )


def parse_costs(content: Any, *, where: str) -> Costs:
    """The section `money`; raises InvalidInput with the place of the mistake."""
    told = _mapping(content, where, {"currency", "escape", "false_reject", "review", "before"})
    if missing := sorted({"currency", "escape", "false_reject"} - set(told)):
        raise InvalidInput(f"{where} must say {missing}: what a wrong verdict costs is for the plant to say")
    before = None
    if told.get("before") is not None:
        shares = _mapping(told["before"], f"{where}.before", {"escapes", "false_rejects", "reviews"})
        read = {name: _number(shares, name, getattr(Before(), name), f"{where}.before") for name in shares}
        if wrong := [name for name, share in read.items() if share > 1]:
            raise InvalidInput(f"{where}.before.{wrong[0]} is a share of all parts and must lie in [0, 1]")
        before = Before(**read)
    return Costs(
        currency=str(told["currency"]),
        escape=_number(told, "escape", 0.0, where),
        false_reject=_number(told, "false_reject", 0.0, where),
        review=_number(told, "review", 0.0, where),
        before=before,
    )


def _mapping(value: Any, where: str, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} must be a mapping of {sorted(known)}, not {value!r}")
    if unknown := sorted(set(map(str, value)) - known):
        raise InvalidInput(f"{where} does not know {unknown}; it knows {sorted(known)}")
    return value


def _number(told: Mapping[str, Any], name: str, usual: float, where: str) -> float:
    value = told.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InvalidInput(f"{where}.{name} must be a number of at least 0, not {value!r}")
    return float(value)


def _whole(told: Mapping[str, Any], name: str, where: str) -> int:
    value = told.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInput(f"{where}.{name} must be a whole number of at least 0, not {value!r}")
    return value
