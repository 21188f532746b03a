"""What is known of one part before its next step: the state as every draw of the parameters sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from process_opt.counted import look_between
from process_opt.model import ProcessModel
from process_opt.state_space import look, predict

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Belief:
    """The state before step `at`."""

    at: int
    mean: Floats
    """`d x D`, one column a draw."""
    cov: Floats
    """`d x d x D`"""
    readings: Floats
    """`M`: what was read, standardised; NaN where nothing was."""
    often: Mapping[int, int] = field(default_factory=dict)
    """Places of readings that were taken more than once, and how often."""
    settings: Floats = field(default_factory=lambda: np.zeros(0))
    """`S`: settings of the steps before `at`, standardised, nominal where not recorded and later."""
    held: Floats = field(default_factory=lambda: np.zeros(0))
    """`S`: settings of later steps that are decided already, standardised; NaN where free."""

    @property
    def free(self) -> NDArray[np.bool_]:
        """`S`: settings that a plan may choose."""
        return np.isnan(self.held)

    @property
    def base(self) -> Floats:
        """`S`: the plan that chooses nothing, standardised: what is decided, and nominal."""
        return np.where(self.free, 0.0, self.held)


def standardised(model: ProcessModel, observed: dict[str, float]) -> tuple[Floats, Floats]:
    """`S` settings and `M` readings in the model's units, NaN where not given."""
    process, layout = model.process, model.layout
    u = np.array([observed.get(name, np.nan) for name in process.settings])
    y = np.array([observed.get(name, np.nan) for name in process.measurements])
    return layout.settings(u), layout.readings(y)


def believe(
    model: ProcessModel,
    observed: dict[str, float],
    at: int,
    times: Mapping[str, int] | None = None,
    decided: Mapping[str, float] | None = None,
) -> Belief:
    """Filter what was observed before step `at` (a place), in every draw.

    Args:
        times: how often a reading was taken, where more than once: a mean of `n` has an `n`-th of the gauge's variance.
        decided: settings of steps from `at` on that no plan may choose any more.
    """
    v, y = standardised(model, observed)
    size = model.size
    often = {i: times[name] for i, name in enumerate(model.process.measurements) if name in times} if times else {}
    m = np.repeat(model.start[0][:, None], size, axis=1)
    p = np.repeat(model.start[1][:, :, None], size, axis=2)
    eye, every = np.eye(model.layout.d), np.ones(size, dtype=bool)
    bounds = model.layout.bounds(y)
    for k in range(at):
        motion, step = model.motions[k], model.process.steps[k]
        if step.optional and not _was_run(v[list(model.layout.levers[k])], y, model.layout.reads[k]):
            continue
        raw = v[motion.acting(model.layout.levers[k])]
        known = np.isfinite(raw)
        clean = np.where(known, raw, 0.0)[:, None]
        a, b = motion.map(clean, model.draws[k], at=m)
        noise = motion.noise[:, :, None]
        if not known.all():
            noise = noise + motion.unsure(known[:, None], clean, m)
        m, p = predict(m, p, a, b, noise)
        for place, c in model.layout.reads[k]:
            if np.isfinite(y[place]):
                gauge = float(model.gauge[place]) / often.get(place, 1)
                if place in bounds:
                    look_between(m, p, c, *bounds[place], gauge, every)
                else:
                    look(m, p, eye[c], y[place] - m[c], gauge, every)
    past = np.isfinite(v) & (model.tables.step_of < at)
    held, _ = standardised(model, dict(decided or {}))
    return Belief(at, m, p, y, often, np.where(past, v, 0.0), held)


def unheard(model: ProcessModel, observed: Mapping[str, float]) -> list[str]:
    """A sentence that names readings of a part which say nothing, as the history never held one; none, no sentence."""
    names = [n for i, n in enumerate(model.process.measurements) if n in observed and np.isnan(model.layout.mean[i])]
    if not names:
        return []
    what = "a reading" if len(names) == 1 else "readings"
    return [f"Not used, as the history never held such {what}: {', '.join(names)}."]


def _was_run(settings: Floats, y: Floats, reads: tuple[tuple[int, int], ...]) -> bool:
    return bool(np.isfinite(settings).any() or any(np.isfinite(y[place]) for place, _ in reads))
