"""What each setting of a process does, as its model has it: on what is decided in the end, and where it acts first."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from process_opt.diagnose import diagnose
from process_opt.model import ProcessModel

BAND = 1.6449
"""Standard deviations on either side that hold 90 %."""


class LeverJson(BaseModel):
    """One setting, moved all the way from nominal to its limit."""

    setting: str
    unit: str
    low: float
    nominal: float
    high: float
    identified: bool
    """False: the history cannot tell its effect from people's habits; the figures are the fit's, and not believed."""
    reading: str
    """The deciding reading that it moves most for its tolerance; empty: it moves none."""
    effect: float
    """On that reading, as a share of half its tolerance: at 1 it moves a centred part to its limit."""
    effect_low: float
    effect_high: float
    """90 %."""
    acts_on: str | None
    """What it acts on at its own step; null where the fit's report does not say."""
    to_high: float | None
    """By how much, in that characteristic's unit, from nominal to the upper limit; with `to_high_90`."""
    to_high_90: list[float] | None
    bent: bool
    """Is its effect a curve?"""
    dither_sd: float | None
    """The cheapest trial that would make it known: standard deviation of a random offset from nominal, in its unit."""
    dither_parts: int | None
    dither_cost: float | None
    """Set-ups and changes of that trial, in the process's currency."""


class LeversJson(BaseModel):
    """Every setting in the order of processing."""

    currency: str
    items: list[LeverJson]


def levers(model: ProcessModel, report: dict[str, Any]) -> LeversJson:
    """Of a model and the report of its fit."""
    first = {e["setting"]: e for step in report.get("steps", []) for e in step.get("effects", [])}
    items = []
    for lever in diagnose(model):
        setting = model.process.settings[lever.setting][1]
        own = first.get(lever.setting, {})
        items.append(
            LeverJson(
                setting=lever.setting,
                unit=setting.unit,
                low=setting.low,
                nominal=setting.nominal,
                high=setting.high,
                identified=lever.identified,
                reading=lever.reading,
                effect=round(lever.effect, 5),
                effect_low=round(lever.effect - BAND * lever.error, 5),
                effect_high=round(lever.effect + BAND * lever.error, 5),
                acts_on=own.get("acts_on"),
                to_high=own.get("to_high"),
                to_high_90=own.get("interval90"),
                bent=bool(own.get("bent", False)),
                dither_sd=lever.dither_sd,
                dither_parts=lever.dither_parts,
                dither_cost=lever.dither_cost,
            )
        )
    return LeversJson(currency=model.process.currency, items=items)
