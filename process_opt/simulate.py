"""Imaginary lines whose truth we know: for tests, benches and the demonstration.

A line holds a hidden state of the part (deviations of its characteristics), which every step moves. Operators see
the part
through a gauge (and, with `hidden_look`, better than the log shows) and steer against what they see; a share of the
parts
is dithered instead; parts that look hopeless are scrapped on the way.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from process_opt.process import Process, parse_process

Floats = NDArray[np.float64]

WORN = 1.915
"""`tanh(WORN) / WORN` is a half."""


@dataclass(frozen=True)
class Truth:
    """What really happens at one step, in deviations: `x` is `N x d`, `v` is `N x p` from nominal in half ranges."""

    move: Callable[[Floats, Floats], Floats]
    """The state after the step without noise, `N x d`."""
    noise: Floats
    """`d`: standard deviation of what the step adds by chance."""
    gauge: Floats
    """Standard deviation of the gauge, one for each measurement of the step."""
    reads: tuple[int, ...]
    """Which coordinate each measurement of the step reads."""
    fault: tuple[float, Floats] | None = None
    """Share of parts on which the step goes wrong, and the shift it then gives the state (`d`)."""
    steer: Floats | None = None
    """`p x d`: operators set `v = steer @ (what they see)`."""


class Line:
    """An imaginary line. `process` is its description; the truth is hidden in `truths`."""

    def __init__(
        self,
        process: Process,
        truths: list[Truth],
        centre: Floats,
        unit: Floats,
        *,
        start_sd: Floats,
        batch_sd: Floats | None = None,
        drift_sd: float = 0.0,
        dither: float = 0.25,
        dither_size: float = 0.35,
        hidden_look: float = 0.0,
        operator_noise: float = 0.1,
        missing: float = 0.0,
        scrap_beyond: float = np.inf,
        batch_size: int = 100,
        only: tuple[str, ...] | None = None,
        charge_sd: Floats | None = None,
    ) -> None:
        self.process = process
        self.truths = truths
        self.centre, self.unit = centre, unit
        self.start_sd = start_sd
        self.batch_sd = np.zeros_like(start_sd) if batch_sd is None else batch_sd
        self.drift_sd = drift_sd
        self.dither, self.dither_size = dither, dither_size
        self.hidden_look, self.operator_noise = hidden_look, operator_noise
        self.missing, self.scrap_beyond, self.batch_size = missing, scrap_beyond, batch_size
        self.only = only
        """Settings that are dithered; the others are nominal on dithered parts. None: all."""
        self.charge_sd = charge_sd
        """`d`: how far the parts of a batch are off alike when they come in. Then batches are dithered as a whole, and
        settings that a batch shares are the mean of what its parts would have got."""
        self.drift = 0.0
        """Where slow drift stood at the end of the last history drawn, in the state's units."""

    def readings_to_units(self, k: int, values: Floats) -> Floats:
        """Deviations of the readings of step `k` (`N x r`) in their units."""
        reads = list(self.truths[k].reads)
        return self.centre[reads] + self.unit[reads] * values

    def settings_to_units(self, k: int, v: Floats) -> Floats:
        """Half ranges from nominal (`N x p`) in the settings' units."""
        s = self.process.steps[k].settings
        nominal = np.array([x.nominal for x in s])
        half = np.array([(x.high - x.low) / 2 for x in s])
        units = nominal + half * v
        return np.clip(units, [x.low for x in s], [x.high for x in s]) if s else units

    def settings_from_units(self, k: int, settings: Mapping[str, float]) -> Floats:
        """`p` half ranges from nominal; what is not named stays nominal."""
        s = self.process.steps[k].settings
        return np.array([(settings.get(x.name, x.nominal) - x.nominal) / ((x.high - x.low) / 2) for x in s])

    def history(self, n: int, seed: int) -> pd.DataFrame:
        """`n` parts as a table in the form of contracts, section 5."""
        rng = np.random.default_rng(seed)
        d = self.centre.size
        batch = np.arange(n) // self.batch_size
        x = self.start_sd * rng.standard_normal((n, d))
        dithered = rng.random(n) < self.dither
        if self.charge_sd is not None:
            x += (self.charge_sd * rng.standard_normal((batch.max() + 1, d)))[batch]
            dithered = (rng.random(batch.max() + 1) < self.dither)[batch]
        walk = np.cumsum(rng.standard_normal(n)) * self.drift_sd / max(np.sqrt(n), 1.0)
        alive = np.ones(n, dtype=bool)
        scrapped_at = np.full(n, "", dtype=object)
        columns: dict[str, Floats] = {}
        seen = np.zeros((n, d))
        for k, (step, truth) in enumerate(zip(self.process.steps, self.truths, strict=True)):
            run: NDArray[np.bool_] = np.ones(n, dtype=bool)
            look = (1 - self.hidden_look) * seen + self.hidden_look * (x + 0.3 * rng.standard_normal(x.shape) * 0.2)
            if step.optional:
                bad = np.abs(look).max(axis=1) > 1.0
                run = np.where(dithered, rng.random(n) < 0.3, bad & (rng.random(n) < 0.7))
            p = len(step.settings)
            v: Floats = np.zeros((n, p))
            if p:
                habit: Floats = look @ truth.steer.T if truth.steer is not None else np.zeros((n, p))
                habit = habit + self.operator_noise * rng.standard_normal((n, p))
                drawn = self.dither_size * rng.standard_normal((n, p))
                drawn *= [self.only is None or s.name in self.only for s in step.settings]
                v = np.where(dithered[:, None], drawn, habit)
                v = np.clip(v, -1, 1)
                for j, s in enumerate(step.settings):
                    if s.shared:
                        v[:, j] = _of_the_batch(v[:, j], batch, dithered)
                units = self.settings_to_units(k, v)
                for j, s in enumerate(step.settings):
                    columns[s.name] = np.where(alive & run, units[:, j], np.nan)
            moved = self._advance(k, x, v, rng, batch, walk if k % 5 == 0 else None)
            x = np.where(run[:, None], moved, x)
            if truth.reads:
                y = x[:, list(truth.reads)] + truth.gauge * rng.standard_normal((n, len(truth.reads)))
                seen[:, list(truth.reads)] = y
                units = self.readings_to_units(k, y)
                for j, m in enumerate(step.measurements):
                    keep = alive & run & (rng.random(n) >= self.missing)
                    if m.name in self.process.conformance:
                        keep = alive
                    columns[m.name] = np.where(keep, units[:, j], np.nan)
                hopeless = alive & (np.abs(seen).max(axis=1) > self.scrap_beyond) & (rng.random(n) < 0.8)
                if k < len(self.truths) - 1:
                    scrapped_at[hopeless] = step.name
                    alive &= ~hopeless
        self.drift = float(walk[-1])
        return pd.DataFrame(
            {
                "part": [f"H{seed}-{i:06d}" for i in range(n)],
                "batch": [f"B{seed}-{b}" for b in batch],
                "disposition": np.where(alive, "finished", "scrapped"),
                "scrapped_at": scrapped_at,
                "assignment": np.where(dithered, "dither", "operator"),
                **columns,
            }
        )

    def _advance(
        self, k: int, x: Floats, v: Floats, rng: np.random.Generator, batch: NDArray[Any] | None, walk: Floats | None
    ) -> Floats:
        truth = self.truths[k]
        out = truth.move(x, v) + truth.noise * rng.standard_normal(x.shape)
        if truth.fault is not None:
            out = out + (rng.random(len(x)) < truth.fault[0])[:, None] * truth.fault[1]
        if batch is not None and self.batch_sd.any():
            per_batch = self.batch_sd * np.random.default_rng([k, int(batch[0]) * 0 + 7]).standard_normal(
                (int(batch.max()) + 1, x.shape[1])
            )
            out = out + per_batch[batch]
        elif self.batch_sd.any():
            out = out + self.batch_sd * rng.standard_normal(x.shape)
        if walk is not None:
            out = out + walk[:, None]
        return out

    @property
    def start_variance(self) -> Floats:
        """`d`: of a part that comes in, of a batch that nobody has seen."""
        alike = 0.0 if self.charge_sd is None else self.charge_sd
        return np.asarray(self.start_sd**2 + alike**2)

    def start(self, seed: int, charge: int | None = None) -> Part:
        """A new part at the beginning of the line, of a new batch; `charge`: the batch's seed, where several are of
        one."""
        part = Part(self, seed)
        if charge is not None and self.charge_sd is not None:
            part.x = part.x + self.charge_sd * np.random.default_rng([charge, 13]).standard_normal(part.x.shape[1])
        return part


class Part:
    """One part on its way; run the steps in order."""

    def __init__(self, line: Line, seed: int) -> None:
        self.line = line
        self.rng = np.random.default_rng([seed, 11])
        self.x = line.start_sd * self.rng.standard_normal((1, line.centre.size))
        self.next = 0
        self.observed: dict[str, float] = {}
        """Everything logged so far, by `step.setting` and `step.measurement`."""
        self.spent = 0.0
        """Money spent on steps, set-ups and changes so far."""

    @property
    def at(self) -> str | None:
        """The next step to run, or None at the end."""
        steps = self.line.process.steps
        return steps[self.next].name if self.next < len(steps) else None

    def run_step(self, step: str, settings: Mapping[str, float] | None = None) -> dict[str, float]:
        """Run `step` and take its readings.

        Args:
            step: must be `at`.
            settings: `step.setting` (or `setting`) to value; what is not named stays nominal. None: at nominal, or
            not at
                all where the step is optional (pass `{}` to run it at nominal).

        Returns:
            The readings of the step, by `step.measurement`.
        """
        k = self.next
        here = self.line.process.steps[k]
        if step != here.name:
            raise ValueError(f"the next step is {here.name}, not {step}")
        self.next += 1
        if here.optional and settings is None:
            return {}
        chosen = {(n if "." in n else f"{step}.{n}"): float(v) for n, v in (settings or {}).items()}
        v = np.clip(self.line.settings_from_units(k, chosen), -1, 1)[None, :]
        units = self.line.settings_to_units(k, v)[0]
        self.observed.update({s.name: float(units[j]) for j, s in enumerate(here.settings)})
        moved = [abs(units[j] - s.nominal) for j, s in enumerate(here.settings)]
        self.spent += here.cost + (here.setup_cost if any(m > 1e-9 for m in moved) else 0.0)
        self.spent += sum(m * s.change_cost for m, s in zip(moved, here.settings, strict=True))
        walk = np.array([self.line.drift]) if k % 5 == 0 and self.line.drift else None
        self.x = self.line._advance(k, self.x, v, self.rng, None, walk)
        truth = self.line.truths[k]
        noise = truth.gauge * self.rng.standard_normal((1, len(truth.reads)))
        y = self.line.readings_to_units(k, self.x[:, list(truth.reads)] + noise)[0]
        readings = {m.name: float(y[j]) for j, m in enumerate(here.measurements)}
        self.observed.update(readings)
        return readings

    def conforms(self) -> bool:
        """Do all readings that decide conformance lie within their limits? Only at the end."""
        known = self.line.process.measurements
        return all(
            known[name][1].lower <= self.observed.get(name, np.nan) <= known[name][1].upper
            for name in self.line.process.conformance
        )


def linear_line(
    steps: int,
    seed: int = 0,
    *,
    states: int = 3,
    levers: int = 2,
    every: int = 1,
    hardness: float = 1.0,
    **habits: Any,
) -> Line:
    """A line whose steps are linear in state and settings.

    Args:
        steps: how many, 2 and up.
        states: characteristics of the part; every `every`-th step and the last measure all of them.
        levers: settings of each step.
        hardness: limits of the finished part in standard deviations of a part left alone.
        habits: of `Line` (dither, hidden_look, missing, batch_sd, ...).
    """
    rng = np.random.default_rng([seed, steps, states])
    names = ["length", "angle", "thickness", "runout", "hardness", "gloss"][:states]
    centre = np.round(rng.uniform(5, 60, states), 1)
    unit = np.round(10 ** rng.uniform(-1.5, 0.5, states), 3)
    start_sd = np.full(states, 0.8)
    truths, raw, spread = [], [], start_sd**2
    covariance = np.diag(spread)
    for k in range(steps):
        a = 0.97 * np.eye(states) + 0.12 / np.sqrt(states) * rng.standard_normal((states, states))
        b = 0.45 * rng.standard_normal((states, levers))
        noise = rng.uniform(0.05, 0.2, states) * np.sqrt(10 / max(steps, 10))
        covariance = a @ covariance @ a.T + np.diag(noise**2)
        last = k == steps - 1
        reads = tuple(range(states)) if last or (k + 1) % every == 0 else ()
        gauge = np.full(len(reads), 0.1)
        steer = np.asarray(-0.35 * np.linalg.pinv(b) / max(1.0, steps / 12), dtype=np.float64)
        truths.append(Truth(_linear(a, b), noise, gauge, reads, None, steer))
        step: dict[str, Any] = {"name": f"s{k + 1:02d}-op", "cost": 0.3, "setup_cost": 0.2}
        step["settings"] = {}
        for j in range(levers):
            middle, half = np.round(rng.uniform(10, 900), 1), np.round(10 ** rng.uniform(-0.5, 1.5), 2)
            step["settings"][f"lever{j + 1}"] = {
                "unit": "u",
                "low": float(middle - half),
                "high": float(middle + half),
                "nominal": float(middle),
                "change_cost": float(0.1 / half),
            }
        step["measurements"] = {names[i]: {"unit": "mm", "gauge_sd": float(0.1 * unit[i])} for i in reads}
        raw.append(step)
    limit = hardness * np.sqrt(np.diag(covariance))
    for i in range(states):
        reading = raw[-1]["measurements"][names[i]]
        reading["lower"] = float(centre[i] - unit[i] * limit[i])
        reading["upper"] = float(centre[i] + unit[i] * limit[i])
    content = {
        "name": f"linear-{steps}",
        "currency": "EUR",
        "part": {"value": 42.0, "scrap": 1.5, "escape": -60.0},
        "conformance": [f"{raw[-1]['name']}.{n}" for n in names],
        "steps": raw,
    }
    return Line(parse_process(content), truths, centre, unit, start_sd=start_sd, **habits)


def furnace_line(steps: int, seed: int = 0, *, every: int = 4, batch_size: int = 12, **habits: Any) -> Line:
    """A line like `linear_line` in which every `every`-th step is a furnace: parts of a batch share its settings.

    Parts of a batch come in off alike, as much as each is off by itself, and operators set a furnace for the mean of
    the parts in it.
    """
    line = linear_line(steps, seed, batch_size=batch_size, **habits)
    content = copy.deepcopy(dict(line.process.source))
    for raw in content["steps"][every - 1 :: every]:
        raw["shared"] = "batch"
    line.process = parse_process(content)
    line.charge_sd = line.start_sd
    return line


def bent_line(steps: int, seed: int = 0, *, hardness: float = 1.5, **habits: Any) -> Line:
    """A line like `linear_line`, whose levers wear off towards their limits, act on each other, and act the more the
    further a part is off.

    A lever at its limit does half of what it would do if it went on as it begins; the first two together, both at their
    limits, do a third of what the first does; and the first one at its limit changes what is carried on by a tenth.
    """
    line = linear_line(steps, seed, hardness=hardness, **habits)
    line.truths = [replace(truth, move=_bent(truth.move, len(line.centre))) for truth in line.truths]
    return line


def crossed_line(steps: int, seed: int = 0, *, strength: float = 0.6, **habits: Any) -> Line:
    """A line like `linear_line` whose declared graph is wrong: it has edges that do not exist and lacks three that do.

    What the first lever is set to at a fifth, two fifths and two thirds of the way comes to light only a seventh of
    the way later (a stress that springs back), by something of the part that nobody measures: the last of its
    characteristics.

    Args:
        strength: what then happens, as a share of what the lever usually does at once.
    """
    line = linear_line(steps, seed, **habits)
    rng = np.random.default_rng([seed, steps, 5])
    d, later = len(line.centre), max(1, steps // 7)
    begins = [int(steps * share) for share in (0.2, 0.45, 0.7)]
    for k, truth in enumerate(line.truths):
        pull: Floats = np.zeros(d)
        if k - later in begins:
            pull = strength * 0.45 * rng.standard_normal(d)
        steer = None if truth.steer is None else np.pad(truth.steer, ((0, 0), (0, 1)))
        moved = _sprung(truth.move, k in begins, pull)
        line.truths[k] = replace(truth, move=moved, noise=np.append(truth.noise, 0.0), steer=steer)
    declared = [
        replace(step, after=tuple(line.process.steps[i].name for i in {k - 1, int(rng.integers(k))}) if k else ())
        for k, step in enumerate(line.process.steps)
    ]
    line.process = replace(line.process, steps=tuple(declared))
    line.centre, line.unit = np.append(line.centre, 0.0), np.append(line.unit, 1.0)
    line.start_sd, line.batch_sd = np.append(line.start_sd, 0.0), np.append(line.batch_sd, 0.0)
    return line


def _sprung(move: Callable[[Floats, Floats], Floats], begins: bool, pull: Floats) -> Callable[[Floats, Floats], Floats]:
    comes = bool(pull.any())

    def moved(x: Floats, v: Floats) -> Floats:
        kept = x[:, -1:]
        seen = np.asarray(move(x[:, :-1], v)) + kept * pull
        return np.hstack([seen, v[:, :1] + 0.0 * kept if begins else 0.0 * kept if comes else kept])

    return moved


def _bent(move: Callable[[Floats, Floats], Floats], d: int) -> Callable[[Floats, Floats], Floats]:
    first = move(np.zeros((1, d)), np.eye(2)[:1])[0]

    def moved(x: Floats, v: Floats) -> Floats:
        worn: Floats = np.tanh(WORN * v) / WORN
        together = (v[:, :1] * v[:, 1:2]) * first / 3
        return np.asarray(move(x, worn) + together + 0.1 * v[:, :1] * x)

    return moved


def _of_the_batch(v: Floats, batch: NDArray[np.int64], drawn: NDArray[np.bool_]) -> Floats:
    """One value for each batch, for each of its parts: the first part's where it is drawn, else the mean."""
    _, first, place = np.unique(batch, return_index=True, return_inverse=True)
    mean = np.bincount(place, v) / np.bincount(place)
    return np.asarray(np.where(drawn, v[first][place], mean[place]))


def _linear(a: Floats, b: Floats) -> Callable[[Floats, Floats], Floats]:
    return lambda x, v: x @ a.T + v @ b.T
