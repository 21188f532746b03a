"""What a process allows while it is served: exploring within a price, and a trial of what the advice is worth.

```yaml
serving:
  explore: {price: 0.5, chance: 0.02, steps: [s03-draw]}   # money a part, and chance to conform, it may cost to learn
  trial: {name: autumn, share: 0.5, loss: 1.0}   # randomised where both ways are expected within `loss` of each other
```

It stands in the process and goes into the model's folder and its id, so that the same request to the same model keeps
the same answer. Nothing of it is on unless it is written there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qc.errors import InvalidInput
from qc.finite import is_finite

if TYPE_CHECKING:
    from process_opt.model import ProcessModel
    from process_opt.process import Process


@dataclass(frozen=True, slots=True)
class Exploring:
    """Settings may be moved to learn what they do."""

    price: float
    """Expected money that a part may lose by it."""
    chance: float
    """How much lower its chance to conform may become, in [0, 1]."""
    steps: tuple[str, ...] = ()
    """Steps whose settings may be moved, each for an equal share of both; empty: all."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Parts are given to the advice or to usual handling by lot."""

    name: str
    """Another name draws new lots."""
    share: float
    """Of the parts that go to the advice, in [0.1, 0.9]."""
    loss: float
    """Money: both ways count as acceptable if they are expected within so much of each other."""
    always: bool
    """The engineer allows both ways on every part."""


@dataclass(frozen=True, slots=True)
class Serving:
    """None: not allowed."""

    explore: Exploring | None = None
    trial: Trial | None = None


def serving_of(process: Process, where: str = "process") -> Serving:
    """What a process allows; raises InvalidInput with the place of the mistake."""
    content = process.source.get("serving") or {}
    raw = _keys(content, {"explore", "trial"}, f"{where}: serving")
    explore = trial = None
    if raw.get("explore"):
        here = f"{where}: serving.explore"
        e = _keys(raw["explore"], {"price", "chance", "steps"}, here)
        steps = e.get("steps") or []
        with_settings = [step.name for step in process.steps if step.settings]
        if not isinstance(steps, list) or (wrong := [s for s in steps if s not in with_settings]):
            raise InvalidInput(
                f"{here}.steps must be names of steps with settings, not {wrong if steps else steps!r:.80}"
            )
        price, chance = _within(e, "price", 0.0, math.inf, here), _within(e, "chance", 0.0, 1.0, here)
        explore = Exploring(price, chance, tuple(steps))
    if raw.get("trial"):
        here = f"{where}: serving.trial"
        t = _keys(raw["trial"], {"name", "share", "loss", "always"}, here)
        always = t.get("always", False)
        if not isinstance(always, bool):
            raise InvalidInput(f"{here}.always must be true or false, not {always!r}")
        share = _within({"share": 0.5, **t}, "share", 0.1, 0.9, here)
        loss = _within({"loss": 0.0, **t} if always else t, "loss", 0.0, math.inf, here)
        trial = Trial(str(t.get("name") or "1"), share, loss, always)
    return Serving(explore, trial)


def allowing(model: ProcessModel, serving: Mapping[str, Any]) -> ProcessModel:
    """The same model under other serving settings; raises InvalidInput.

    Args:
        serving: as in the process; empty: nothing is allowed.
    """
    from dataclasses import replace

    source = {**model.process.source, "serving": dict(serving)}
    if not serving:
        del source["serving"]
    process = replace(model.process, source=source)
    serving_of(process)
    return replace(model, process=process)


def _keys(content: Any, known: set[str], where: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise InvalidInput(f"{where} must be a mapping, not {content!r:.80}")
    if unknown := sorted(set(map(str, content)) - known):
        raise InvalidInput(f"{where} does not know {unknown[0]!r}; it knows {sorted(known)}")
    return content


def _within(content: Mapping[str, Any], name: str, low: float, high: float, where: str) -> float:
    value = content.get(name)
    if not is_finite(value) or not low <= value <= high:
        limit = f"of at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise InvalidInput(f"{where}.{name} must be a number {limit}, not {value!r:.80}")
    return float(value)
