"""Which settings' effects are known, how well, and the cheapest dither that would make the others known."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.belief import believe
from process_opt.identify import ENOUGH
from process_opt.model import ProcessModel
from process_opt.outlook import look_ahead

Floats = NDArray[np.float64]

HARM = 0.05
"""Share by which a dither may raise the variance of a deciding reading: hardly one part in a thousand more is lost."""
PRECISE = 0.25
"""Of half the tolerance: how well the effect of a setting's whole way from nominal to its limit is to be known."""
WITHIN = 2.5
"""Standard deviations of a dither between nominal and the machine's limit, so that few draws are cut off."""
USUAL = float(np.sqrt(2 / np.pi))
"""Mean size of a normal number, for the cost of leaving nominal."""


@dataclass(frozen=True)
class Lever:
    """What is known of one setting."""

    setting: str
    identified: bool
    reading: str
    """The deciding reading that it moves most, for its tolerance; empty where it moves none."""
    effect: float
    """On that reading, for the whole way from nominal to the limit, as a share of half its tolerance."""
    error: float
    """Standard deviation of `effect` by the fit; it does not hold what people saw and did not write down."""
    dither_sd: float | None
    """Standard deviation of the random offset from nominal to make it known, in the setting's unit; None: it is."""
    dither_parts: int | None
    """How many parts to run with it."""
    dither_cost: float | None
    """What that costs in set-ups and changes, in the process's currency."""
    spread: float = 1.0
    """Standard deviation of that reading as seen from the start of the line, as a share of half its tolerance."""
    choice: bool = False
    """It can only be put to certain values (`choices.py`): a dither gives it these at random."""


def diagnose(model: ProcessModel) -> list[Lever]:
    """Every setting in the order of processing, as seen from the start of the line.

    The dither is as large as the machine and the finished parts bear (`WITHIN`, `HARM`): its cost grows with its size,
    the parts that it needs fall with the square. Its effect is taken for as large as nineteen in twenty draws say.
    """
    ahead = look_ahead(model, believe(model, {}, 0), np.zeros(len(model.layout.nominal)), _all_optional(model))
    rows = len(ahead.mean)
    spread = np.sqrt(ahead.cov[np.arange(rows), np.arange(rows)].mean(axis=1) + ahead.mean.var(axis=1))
    width = ahead.upper - ahead.lower
    half = np.where(np.isfinite(width), width / 2, 3 * spread)
    out = []
    for j, (name, (k, setting)) in enumerate(model.process.settings.items()):
        stretch = model.layout.stretch[j]
        way = max(setting.high - setting.nominal, setting.nominal - setting.low) / stretch
        effect = ahead.gain[:, j] * way / half[:, None]  # m x D
        top = int(np.argmax(np.abs(effect.mean(axis=1))))
        known = bool(model.identified.get(name, False))
        step = model.process.steps[k]
        sd = parts = cost = None
        if not known and way > 0:
            strong = np.maximum(np.quantile(np.abs(ahead.gain[:, j]), 0.95, axis=1), 1e-9)
            size = float(min(way / WITHIN, (np.sqrt(HARM) * spread / strong).min()))
            parts = int(np.ceil(max(ENOUGH, (spread * way / (size * PRECISE * half)).max() ** 2)))
            sd = float(size * stretch)
            cost = parts * (step.setup_cost + setting.change_cost * USUAL * sd)
        out.append(
            Lever(
                setting=name,
                identified=known,
                reading=model.process.conformance[top] if np.abs(effect).max() > 1e-9 else "",
                effect=float(effect[top].mean()),
                error=float(effect[top].std()),
                dither_sd=sd,
                dither_parts=parts,
                dither_cost=cost,
                spread=float(spread[top] / half[top]),
                choice=j in model.choices,
            )
        )
    return out


def as_json(levers: list[Lever]) -> list[dict[str, Any]]:
    """For the report."""
    return [
        {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in asdict(lever).items()}
        for lever in levers
    ]


def as_text(levers: list[Lever], currency: str) -> str:
    """A line for each setting; first those that nobody knows, cheapest first."""
    lines = []
    for lever in sorted(levers, key=lambda x: (x.identified, x.dither_cost or 0.0)):
        told = (
            f"{lever.effect:+.2f} ± {lever.error:.2f} of half the tolerance of {lever.reading}" if lever.reading else ""
        )
        if lever.identified:
            lines.append(f"{lever.setting}: known, {told or 'moves no deciding reading'}")
        elif lever.dither_sd is None:
            lines.append(f"{lever.setting}: not known, and the machine leaves no room to vary it")
        else:
            how = f"vary it at random around nominal with a standard deviation of {lever.dither_sd:.3g}"
            how = "give it its values at random" if lever.choice else how
            cost = f"on {lever.dither_parts} parts, about {lever.dither_cost:.2f} {currency}"
            lines.append(f"{lever.setting}: not known; {how} {cost}")
    return "\n".join(lines) + "\n"


def _all_optional(model: ProcessModel) -> frozenset[int]:
    return frozenset(k for k, step in enumerate(model.process.steps) if step.optional)
