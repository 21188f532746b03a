"""How strong a look at the part that nobody logged would have to be to turn what is said about a setting.

Cinelli and Hazlett 2020 (Journal of the Royal Statistical Society B 82, 39-67, eq. 4 and section 4.2): an unmeasured
common cause that explains the share `R` of what is left of the setting and as much of what is left of the reading
moves an effect by at most `se sqrt(n) sqrt(R R / (1 - R))`; the *robustness value* is the `R` that takes away the share
`q` of it, `(sqrt(f^4 + 4 f^2) - f^2) / 2` with `f = q |effect| / (se sqrt(n))`.

Adapted to this model: effect and standard error are those of the fitted draws on the deciding reading at the end of the
line, `n` the parts fitted. What was drawn at random cannot be confounded, so only the share of the knowledge that comes
from people's choices is exposed, and `f` is divided by it. The bound takes the fit's own account of unlogged looks (the
habits in `state_space.py`) as failed altogether, so it is on the careful side where that works.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from process_opt.diagnose import Lever, diagnose
from process_opt.model import ProcessModel

Floats = NDArray[np.float64]

SURELY = 1.645
"""Standard errors that the interval of an effect reaches to either side (90 %)."""
MOVES = 41
"""Moves tried to find the one that pays best."""


@dataclass(frozen=True)
class Robustness:
    """How much a setting's effect bears. Shares are of what is left once everything logged is used, 0 to 1."""

    setting: str
    identified: bool
    effect: float
    """As in `diagnose`: for the way from nominal to the limit, in half tolerances of the deciding reading."""
    error: float
    random: float
    """Share of what is known of it that comes from parts on which it was drawn at random."""
    sign: float
    """Share of setting and reading that an unlogged look would have to explain to turn the effect's sign."""
    surely: float
    """Likewise, to take nothing out of the 90 % interval; 0 where the interval holds nothing already."""
    decision: float | None
    """Likewise, so that moving it no longer pays for a part that is going to end at its limit; None: it never does."""
    explained: float | None
    """For comparison: the share of the people's choice that what they saw of the part explains."""


def robustness_value(effect: float, error: float, n: float, *, share: float = 1.0, exposed: float = 1.0) -> float:
    """The share `R` that takes away `share` of an effect (see above).

    Args:
        effect, error: with its standard error, > 0.
        n: parts.
        exposed: share of the knowledge that could be confounded; 0 gives 1: nothing could.
    """
    if exposed <= 0:
        return 1.0
    f = share * abs(effect) / (error * np.sqrt(n)) / exposed
    if f > 1e4:
        return 1.0
    return float((np.sqrt(f**4 + 4 * f**2) - f**2) / 2)


def sensitivity(model: ProcessModel) -> list[Robustness]:
    """Every setting that moves a deciding reading, in the order of processing."""
    n = float(model.about.get("learnt_from", model.about.get("parts", 1)))
    told = model.about.get("looks", {})
    out = []
    for lever in diagnose(model):
        if not lever.reading or lever.error <= 0:
            continue
        look = told.get(lever.setting, {})
        random = float(look.get("random", 0.0))
        exposed = 1.0 - random

        def bears(share: float, lever: Lever = lever, exposed: float = exposed) -> float:
            return round(robustness_value(lever.effect, lever.error, n, share=share, exposed=exposed), 4)

        t = abs(lever.effect) / lever.error
        share = _turning_share(model, lever)
        out.append(
            Robustness(
                setting=lever.setting,
                identified=lever.identified,
                effect=lever.effect,
                error=lever.error,
                random=random,
                sign=bears(1.0),
                surely=bears(1 - SURELY / t) if t > SURELY else 0.0,
                decision=None if share is None else bears(share),
                explained=look.get("explained"),
            )
        )
    return out


def _turning_share(model: ProcessModel, lever: Lever) -> float | None:
    """The share of the effect without which moving the setting no longer pays, for a part that is expected to end at
    the limit of the reading; None where moving it does not pay at all."""
    process = model.process
    k, setting = process.settings[lever.setting]
    far = max(setting.high - setting.nominal, setting.nominal - setting.low)
    stake = process.value - process.escape
    reading = process.measurements[lever.reading][1]
    both = np.isfinite(reading.upper - reading.lower)

    def chance(at: Floats) -> Floats:  # `at` in half tolerances from the middle; the spread is that of a usual part
        return np.asarray(ndtr((1 - at) / lever.spread) - (ndtr((-1 - at) / lever.spread) if both else 0.0))

    moves = np.arange(1, MOVES) / (MOVES - 1)
    cost = moves * far * setting.change_cost + process.steps[k].setup_cost
    gain = stake * (chance(1 - moves * abs(lever.effect)) - chance(np.ones(1))) - cost
    best = int(np.argmax(gain))
    if gain[best] <= 0:
        return None
    low, high = 0.0, 1.0  # without any effect it costs and brings nothing
    for _ in range(40):
        middle = (low + high) / 2
        left = 1 - moves[best] * abs(lever.effect) * (1 - middle)
        pays = stake * float(chance(np.array([left]))[0] - chance(np.ones(1))[0]) > cost[best]
        low, high = (middle, high) if pays else (low, middle)
    return (low + high) / 2


def as_json(found: list[Robustness]) -> list[dict[str, Any]]:
    """For programs."""
    return [{n: float(f"{v:.6g}") if isinstance(v, float) else v for n, v in asdict(r).items()} for r in found]


def as_text(found: list[Robustness]) -> str:
    """A line for each setting, the most fragile first."""
    lines = [
        "How much of what is left of a setting and of the reading it moves an unlogged look would have to explain, to",
        "turn the sign of the effect; to leave it in doubt; so that moving it no longer pays.",
        "",
        f"{'setting':<32}{'effect':>16}{'sign':>8}{'doubt':>8}{'pays':>8}   drawn at random; people's choice explained",
    ]
    for r in sorted(found, key=lambda r: r.surely):
        pays = "never" if r.decision is None else f"{r.decision:.0%}"
        seen = "-" if r.explained is None else f"{r.explained:.0%}"
        known = "" if r.identified else "   not identified"
        effect = f"{r.effect:+.2f} ± {r.error:.2f}"
        lines.append(
            f"{r.setting:<32}{effect:>16}{r.sign:>8.0%}{r.surely:>8.0%}{pays:>8}   {r.random:.0%}; {seen}{known}"
        )
    return "\n".join(lines) + "\n"
