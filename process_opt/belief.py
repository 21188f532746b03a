"""What is known of one part before its next step: the state as every draw of the parameters sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from process_opt.counted import look_between
from process_opt.model import ProcessModel
from process_opt.state_space import look, predict

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Missed:
    """What `q` readings of steps that the part is through would have shown, but for the gauge's error."""

    places: tuple[int, ...]
    mean: Floats
    """`q x D`, standardised."""
    cov: Floats
    """`q x q x D`"""
    tie: Floats
    """`q x d x D`: covariance with the state of now."""


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
    missed: Missed | None = None
    """Deciding readings that should have been taken by now, and were not."""

    @property
    def free(self) -> NDArray[np.bool_]:
        """`S`: settings that a plan may choose."""
        return np.isnan(self.held)

    @property
    def base(self) -> Floats:
        """`S`: the plan that chooses nothing, standardised: what is decided, and nominal."""
        return np.where(self.free, 0.0, self.held)

    def in_draw(self, draw: int) -> Belief:
        """As one draw alone sees it."""
        one, missed = slice(draw, draw + 1), self.missed
        if missed is not None:
            missed = Missed(missed.places, missed.mean[:, one], missed.cov[:, :, one], missed.tie[:, :, one])
        return replace(self, mean=self.mean[:, one], cov=self.cov[:, :, one], missed=missed)


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

    What a missed reading that decides conformance would have looked at is carried along as a coordinate that no step
    moves, so that later readings tell of it, too.

    Args:
        times: how often a reading was taken, where more than once: a mean of `n` has an `n`-th of the gauge's variance.
        decided: settings of steps from `at` on that no plan may choose any more.
    """
    v, y = standardised(model, observed)
    size = model.size
    often = {i: times[name] for i, name in enumerate(model.process.measurements) if name in times} if times else {}
    m = np.repeat(model.start[0][:, None], size, axis=1)
    p = np.repeat(model.start[1][:, :, None], size, axis=2)
    d, every = model.layout.d, np.ones(size, dtype=bool)
    bounds = model.layout.bounds(y)
    names = list(model.process.measurements)
    deciding, missed = {names.index(name) for name in model.process.conformance}, list[int]()
    for k in range(at):
        motion, step = model.motions[k], model.process.steps[k]
        if step.optional and not _was_run(v[list(model.layout.levers[k])], y, model.layout.reads[k]):
            continue
        raw = v[motion.acting(model.layout.levers[k])]
        known = np.isfinite(raw)
        clean = np.where(known, raw, 0.0)[:, None]
        a, b = motion.map(clean, model.draws[k], at=m[:d])
        noise = motion.noise[:, :, None]
        if not known.all():
            noise = noise + motion.unsure(known[:, None], clean, m[:d])
        m, p = predict(m, p, *_beside(a, b, noise, len(m) - d))
        for place, c in model.layout.reads[k]:
            if np.isfinite(y[place]):
                gauge = float(model.gauge[place]) / often.get(place, 1)
                if place in bounds:
                    look_between(m, p, c, *bounds[place], gauge, every)
                else:
                    look(m, p, np.eye(len(m))[c], y[place] - m[c], gauge, every)
        for place, c in model.layout.reads[k]:
            if place in deciding and not np.isfinite(y[place]):
                missed.append(place)
                m = np.concatenate([m, m[c : c + 1]])
                p = np.concatenate([p, p[c : c + 1]])
                p = np.concatenate([p, p[:, c : c + 1]], axis=1)
    past = np.isfinite(v) & (model.tables.step_of < at)
    held, _ = standardised(model, dict(decided or {}))
    lacking = Missed(tuple(missed), m[d:], p[d:, d:], p[d:, :d]) if missed else None
    return Belief(at, m[:d], p[:d, :d], y, often, np.where(past, v, 0.0), held, lacking)


def _beside(a: Floats, b: Floats, noise: Floats, more: int) -> tuple[Floats, Floats, Floats]:
    """A step's map, push and chance where `more` coordinates stand beside the state, which it leaves as they are."""
    if not more:
        return a, b, noise
    d = len(b)
    whole = np.zeros((d + more, d + more, a.shape[2]))
    whole[:d, :d], whole[range(d, d + more), range(d, d + more)] = a, 1.0
    added = np.zeros((d + more, d + more, noise.shape[2]))
    added[:d, :d] = noise
    return whole, np.concatenate([b, np.zeros((more, b.shape[1]))]), added


def unheard(model: ProcessModel, observed: Mapping[str, float]) -> list[str]:
    """A sentence that names readings of a part which say nothing, as the history never held one; none, no sentence."""
    names = [n for i, n in enumerate(model.process.measurements) if n in observed and np.isnan(model.layout.mean[i])]
    if not names:
        return []
    what = "a reading" if len(names) == 1 else "readings"
    return [f"Not used, as the history never held such {what}: {', '.join(names)}."]


def _was_run(settings: Floats, y: Floats, reads: tuple[tuple[int, int], ...]) -> bool:
    return bool(np.isfinite(settings).any() or any(np.isfinite(y[place]) for place, _ in reads))
