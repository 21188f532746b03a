"""Units of a formula's names: what kind of thing a number is, and how to turn it into base units and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from qc.errors import InvalidInput

if TYPE_CHECKING:
    from pint import UnitRegistry

Kinds = tuple[tuple[str, float], ...]

HARDNESS = ("HV", "HB", "HRC")
"""Numbers of a test, in no relation to other units or to each other."""
LONGEST = 40


@dataclass(frozen=True, slots=True)
class Unit:
    """A number `x` in this unit is `factor * x + offset` in base units (SI; angles in rad)."""

    kinds: Kinds
    """Base units and their exponents, by name; empty: a plain number."""
    factor: float = 1.0
    offset: float = 0.0
    """Of temperatures in degrees."""

    @property
    def said(self) -> str:
        """For messages."""
        return " ".join(n if p == 1 else f"{n}^{p:g}" for n, p in self.kinds) or "a plain number"

    def times(self, other: Unit, sign: int) -> Unit:
        """The unit of a product (`sign` 1) or ratio (-1), in base units."""
        powers = dict(self.kinds)
        for name, power in other.kinds:
            powers[name] = powers.get(name, 0.0) + sign * power
        return Unit(_sorted(powers.items()))

    def to_the(self, power: float) -> Unit:
        """The unit of a power, in base units."""
        return Unit(_sorted((name, p * power) for name, p in self.kinds))


PLAIN = Unit(())


@lru_cache(maxsize=512)
def parse_unit(text: str, where: str) -> Unit:
    """A unit as people write it (`mm`, `kN/mm^2`, `degC`); none means a plain number. Raises InvalidInput."""
    if not text or text == "1":
        return PLAIN
    if len(text) > LONGEST:
        raise InvalidInput(f"{where}: the unit {text!r:.50} is too long")
    registry = _registry()
    try:
        unit = registry.parse_units("degC" if text == "C" else text)  # on a machine C is a temperature, not a charge
        one, none = (registry.Quantity(x, unit).to_base_units() for x in (1.0, 0.0))
        kinds = _sorted((str(n), float(str(p))) for n, p in one.unit_items())
    except Exception as error:  # the parser of units fails in many ways, all meaning the same
        raise InvalidInput(
            f"{where}: {text!r} is not a known unit; write it like mm, deg, kN/mm^2, or leave it out"
        ) from error
    return Unit(kinds, float(one.magnitude - none.magnitude), float(none.magnitude))


def _sorted(powers: Sequence[tuple[str, float]] | Any) -> Kinds:
    return tuple(sorted((name, float(round(power, 9))) for name, power in powers if abs(power) > 1e-9))


@lru_cache(maxsize=1)
def _registry() -> UnitRegistry[Any]:
    import pint

    registry: UnitRegistry[Any] = pint.UnitRegistry()
    for name in HARDNESS:
        registry.define(f"{name} = [{name.lower()}_hardness]")
    return registry
