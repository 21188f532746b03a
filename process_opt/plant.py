"""The demonstration plant: a seat bar through 50 steps in 10 factories of 5 partners, with real-looking physics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.process import parse_process
from process_opt.simulate import Line, Truth

Floats = NDArray[np.float64]

NAMES = ("diameter", "angle", "hardness", "coating", "roughness")
CENTRE = np.array([12.0, 104.0, 320.0, 18.0, 0.8])
UNIT = np.array([0.03, 0.25, 6.0, 0.8, 0.06])
UNITS = ("mm", "deg", "HV", "um", "um")

KINDS = ("draw", "bend", "weld", "heat", "chrome", "grind", "straighten", "polish", "pickle", "temper")


def _kinds(steps: int) -> list[str]:
    out = []
    for k in range(steps):
        if (k + 1) % 5 == 0:
            out.append("inspect")
        elif k % 10 == 7:
            out.append("refinish")
        else:
            out.append(KINDS[(k * 3 + k // 10) % len(KINDS)])
    out[9] = "chrome"
    return out


def bar_line(seed: int = 0, *, steps: int = 50, **habits: Any) -> Line:
    """The demonstration plant. `habits` as in `Line`; batch effects, faults at the tenth step and
    rework are part of it."""
    rng = np.random.default_rng([seed, 77])
    kinds = _kinds(steps)
    truths: list[Truth] = []
    raw: list[dict[str, Any]] = []
    for k, kind in enumerate(kinds):
        factory = k * 10 // steps
        step: dict[str, Any] = {
            "name": f"s{k + 1:02d}-{kind}",
            "partner": f"P{factory // 2 + 1}",
            "factory": f"F{factory + 1}",
            "cost": 0.4 if kind == "inspect" else 0.6,
            "minutes": 2.0 if kind == "inspect" else 15.0 if kind == "refinish" else 6.0,
        }
        measures: dict[str, Any] = {}
        if kind == "inspect":
            reads: tuple[int, ...] = tuple(range(5))
        elif kind == "refinish":
            reads = (4,)
            step |= {"optional": True, "cost": 1.2}
        else:
            reads = tuple(sorted({_touches(kind)[0]} if k % 2 else set()))
        for i in reads:
            measures[NAMES[i]] = {"unit": UNITS[i], "gauge_sd": float(np.round(0.15 * UNIT[i], 5))}
        if kind != "inspect":
            step["setup_cost"] = 0.3
            step["settings"] = _levers(kind)
        if measures:
            step["measurements"] = measures
        move, steer = _physics(kind, rng)
        noise = np.full(5, 0.03)
        noise[_touches(kind)[0]] = 0.12
        fault = None
        if k == 9:
            fault = (0.25, np.array([0.0, 2.2, 0.0, -2.4, 0.5]))
        truths.append(Truth(move, noise, np.full(len(reads), 0.15), reads, fault, steer))
        raw.append(step)
    width = np.array([1.3, 1.2, 1.6, 1.3, 1.6])
    final = raw[-1]["measurements"]
    for i, name in enumerate(NAMES):
        final[name] |= {"lower": float(CENTRE[i] - width[i] * UNIT[i]), "upper": float(CENTRE[i] + width[i] * UNIT[i])}
    content = {
        "name": "seat-bar",
        "currency": "EUR",
        "part": {"value": 60.0, "scrap": 1.5, "escape": -120.0},
        "conformance": [f"{raw[-1]['name']}.{n}" for n in NAMES],
        "steps": raw,
    }
    settled = {"batch_sd": np.full(5, 0.04), "scrap_beyond": 4.5, **habits}
    return Line(parse_process(content), truths, CENTRE, UNIT, start_sd=np.full(5, 0.5), **settled)


def _touches(kind: str) -> tuple[int, ...]:
    """The coordinates a kind of step acts on, the main one first."""
    return {
        "draw": (0, 2),
        "bend": (1, 2),
        "weld": (1, 2),
        "heat": (2, 1),
        "chrome": (3, 4),
        "grind": (0, 4),
        "straighten": (1, 0),
        "polish": (4, 3),
        "pickle": (3, 4),
        "temper": (2, 4),
        "refinish": (4, 3),
        "inspect": (0,),
    }[kind]


def _levers(kind: str) -> dict[str, dict[str, Any]]:
    lever: dict[str, tuple[str, str, float, float]] = {
        "draw": ("force", "kN", 14.0, 4.0),
        "bend": ("stroke", "mm", 85.0, 5.0),
        "weld": ("current", "A", 180.0, 40.0),
        "heat": ("temperature", "C", 840.0, 40.0),
        "chrome": ("charge", "Ah", 22.0, 6.0),
        "grind": ("feed", "um", 12.0, 6.0),
        "straighten": ("load", "kN", 6.0, 3.0),
        "polish": ("passes", "1", 8.0, 4.0),
        "pickle": ("time", "s", 60.0, 30.0),
        "temper": ("temperature", "C", 420.0, 50.0),
        "refinish": ("passes", "1", 6.0, 3.0),
    }
    name, unit, nominal, half = lever[kind]
    return {
        name: {
            "unit": unit,
            "low": nominal - half,
            "high": nominal + half,
            "nominal": nominal,
            "change_cost": 0.25 / half,
        }
    }


def _physics(kind: str, rng: np.random.Generator) -> tuple[Callable[[Floats, Floats], Floats], Floats | None]:
    """How a kind of step moves the state (`N x 5`) under its lever (`N x 1`), and how operators steer it."""
    if kind == "inspect":
        return (lambda x, v: x), None
    main, side = _touches(kind)
    gain = rng.uniform(0.6, 1.1) * rng.choice([-1.0, 1.0])
    cross = 0.25 * rng.standard_normal()
    curve = 0.25 * rng.standard_normal()
    keep = rng.uniform(0.9, 1.0)
    couple = 0.1 * rng.standard_normal(5)
    couple[main] = 0.0
    work = 0.15 * rng.standard_normal()

    def move(x: Floats, v: Floats) -> Floats:
        out = x.copy()
        u = v[:, 0]
        bite = gain * (np.tanh(1.2 * u) / 1.2 + curve * u**2 * 0.5) * (1.0 + work * x[:, side])
        out[:, main] = keep * x[:, main] + bite + x @ couple
        out[:, side] = x[:, side] + cross * u
        if kind == "refinish":
            out[:, main] = 0.25 * x[:, main] + bite
        return out

    steer = np.zeros((1, 5))
    steer[0, main] = -0.3 / gain
    return move, steer
