"""From a history to a process model: the state space's parameters, their uncertainty, and what cannot be known from it.

1. `estimate.py`: penalised maximum likelihood by EM over the smoothed states; `climb.py`: then damped scoring steps
   with the score vectors of all steps jointly, whose information's inverse is the posterior covariance.
2. `hierarchy.py` (Pyro): how far effects of a kind usually are from nothing; it sets the penalty.
3. `draws` of all effects, frozen in the model: every later prediction carries them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from process_opt.batches import batch_shifts
from process_opt.calibration import held_out_check
from process_opt.climb import climb, inverse
from process_opt.drift import follow, follow_effects
from process_opt.em import em
from process_opt.estimate import PINNED, Data, Estimate, prepare, start_estimate
from process_opt.hands import HERE, Hands
from process_opt.hierarchy import scales
from process_opt.history import History
from process_opt.identify import identified_levers, looks, not_random
from process_opt.knowledge import banded
from process_opt.layout import lay_out
from process_opt.machines import as_chance, learn_machines, machine_shifts
from process_opt.misfit import misfit
from process_opt.model import ProcessModel, build_model
from process_opt.nonlinear import wanted_terms
from process_opt.process import Process
from process_opt.refute import refute
from process_opt.skips import late_effects
from process_opt.trusted import as_people_saw, people_mislead
from process_opt.unsteered import doubted, only_people
from qc.errors import InvalidInput

Floats = NDArray[np.float64]

DRAWS = 64
"""Half of them choose the plan, all judge it; more change the mean of a probability by less than 0.01."""
EM_ROWS = 2500
"""Rows for the first iterations: they only have to come near, the last ones use all."""

FEWEST, MOST_ROWS, OPERATIONS = 9_000, 60_000, 4e10
"""Rows of the last passes: each costs weights squared, and beyond these the errors of the model's form are the larger
ones. Within them a fit of 50 steps takes well under a minute on one core."""

FEWEST_DECIDING = 20
"""Parts of which a reading that decides conformance must be on record."""

SKIPS = 6
"""Times at most that effects which skip steps are looked for, each time given those found before."""

MISLEAD = (
    "parts whose settings were drawn at random are foretold better without those whose settings people chose, who may "
    "each have a way of their own: the steps are learnt from the {drawn} drawn ones alone"
)

Progress = Callable[[str, float], None]


def fit(
    process: Process, history: History, *, seed: int = 0, hands: Hands = HERE, progress: Progress | None = None
) -> ProcessModel:
    """Fit a process model; all or nothing.

    Args:
        hands: who sums over the parts; the model does not depend on it.
        seed: of the held-out choice and the draws; the same seed and history give the same model.
        progress: called with what is being done and the share done, in [0, 1].

    Raises:
        InvalidInput: the history is too small to learn from.
    """
    say = progress or (lambda _text, _share: None)
    if history.size < 50:
        raise InvalidInput(f"the history has {history.size} parts; at least 50 are needed to learn a process from")
    check_deciding(process, history)
    rng = np.random.default_rng(seed)
    layout = lay_out(process, history)
    data = prepare(process, history, layout)
    held = rng.random(history.size) < min(0.1, 1000 / history.size)
    train = data.rows(np.flatnonzero(~held))
    estimate, covariance, train = learn_effects(
        lambda few: start_estimate(process, layout, few), train, rng, seed=seed, say=say, skips=True, hands=hands
    )
    say("uncertainty", 0.8)
    means = estimate.flat()
    draws = estimate.split(draw_weights(means, covariance, rng))
    if (hands_on := only_people(estimate, train)) is not None:
        draws = doubted(estimate, draws, hands_on, rng)
    say("attempts to refute it", 0.85)
    machines = machine_shifts(estimate, train)
    unknown = as_chance(estimate, machines)
    model = build_model(process, history, layout, unknown, draws, identified_levers(process, history), seed=seed)
    if hands_on is not None:
        model = replace(model, about={**model.about, "people": hands_on.as_json()})
    if not train.people.any() and data.people.any():
        notes = [*model.about["notes"], MISLEAD.format(drawn=train.size)]
        model = replace(model, about={**model.about, "notes": notes})
    model = model.with_machines(machines.shifts, machines.surer)
    weights = means.size
    precision = inverse(covariance[:weights, :weights])
    sizes = [m.weights.size for m in estimate.motions]
    model = model.with_band(banded(precision, sizes), train.size)
    tried = refute(estimate, covariance[:weights, :weights], train, model.identified, seed=seed)
    about = {"refutation": tried, "looks": looks(estimate, train), "not_random": not_random(process, history)}
    model = replace(model, about={**model.about, **about})
    say("batches and drift", 0.88)
    recent = data if data.size <= MOST_ROWS else data.rows(np.arange(data.size - MOST_ROWS, data.size))
    drift = follow(estimate, recent)
    say("check of what was promised", 0.93)
    names = list(process.measurements)
    found = misfit(
        unknown, [names.index(name) for name in process.conformance], data, covariance,
        rows=np.flatnonzero(~held), drift=drift, seed=seed,
    )  # fmt: skip
    model = model.with_check(held_out_check(model, data.rows(np.flatnonzero(held)), found))
    model = replace(model, batches=batch_shifts(estimate, recent, history.batches))
    model = model.moved_on(drift, rng)
    known = np.array([model.identified[name] for name in process.settings], dtype=bool)
    model = model.with_effects(follow_effects(estimate, covariance, train, known), rng)
    say("done", 1.0)
    return model


def check_deciding(process: Process, history: History) -> None:
    """Refuse a history that hardly holds a reading which decides conformance; raises InvalidInput naming it."""
    names = list(process.measurements)
    count = np.isfinite(history.readings).sum(axis=0)
    for name in process.conformance:
        if (parts := int(count[names.index(name)])) < FEWEST_DECIDING:
            raise InvalidInput(
                f"{name} decides conformance, but the history holds it of {parts} parts; to say what a part has to "
                f"expect, at least {FEWEST_DECIDING} are needed"
            )


def learn_effects(
    start: Callable[[Data], Estimate],
    train: Data,
    rng: np.random.Generator,
    *,
    seed: int,
    say: Progress,
    skips: bool = False,
    hands: Hands = HERE,
) -> tuple[Estimate, Floats, Data]:
    """From where EM begins to the top of the likelihood; without the rows that people chose, where these mislead
    (`trusted.py`).

    Args:
        start: the first estimate, from the rows of the first passes.
        skips: look for settings that come to light only steps later (`skips.py`).
        hands: who sums over the parts.

    Returns:
        The estimate, the covariance of its parameters (weights first, as `climb` gives it), and the rows it used last.
    """
    if people_mislead(start, train, hands):
        train = train.rows(np.flatnonzero(~train.people))
    few = train if train.size <= EM_ROWS else train.rows(_preferring_dither(train, EM_ROWS, rng))
    estimate = start(few)
    say("first passes", 0.05)
    estimate = em(estimate, few, passes=8, hands=hands, progress=lambda s: say("first passes", 0.05 + 0.25 * s))
    estimate = as_people_saw(estimate, few, hands)
    estimate, covariance = climb(estimate, few, rounds=8, hands=hands, progress=lambda s: say("effects", 0.3 + 0.1 * s))
    say("machines", 0.39)
    estimate = learn_machines(estimate, few)
    if train.size > MOST_ROWS:  # from here on the errors of the model's form are the larger ones
        train = train.rows(_preferring_dither(train, MOST_ROWS, rng))
    say("bent and joint effects", 0.4)
    for _ in range(SKIPS if skips else 0):
        late = late_effects(estimate, train)
        if not any(late):
            break
        estimate, covariance = climb(estimate.with_late(late, train), few, rounds=2, hands=hands)
    extra = wanted_terms(estimate, train)
    if any(extra):
        estimate, covariance = climb(estimate.with_terms(extra), few, rounds=2, hands=hands)
    say("how large effects usually are", 0.5)
    learnt = scales(estimate, estimate.flat(), covariance, seed=seed)
    kept = tuple(np.where(old >= PINNED, old, new) for old, new in zip(estimate.penalty, learnt, strict=True))
    estimate = estimate.with_penalty(kept)
    most = int(min(MOST_ROWS, max(FEWEST, OPERATIONS / estimate.flat().size ** 2)))
    train = train if train.size <= most else train.rows(_preferring_dither(train, most, rng))
    say("all parts", 0.55)
    estimate, covariance = climb(
        estimate, train, rounds=3, hands=hands, progress=lambda s: say("all parts", 0.55 + 0.25 * s)
    )
    freedom = degrees_of_freedom(estimate, covariance)
    readings = int(np.isfinite(train.y).sum())
    return estimate.with_spread(readings / max(readings - freedom, 0.2 * readings)), covariance, train


def degrees_of_freedom(estimate: Estimate, covariance: Floats) -> float:
    """How many weights the data and not the prior decide: what fits them fits some of the chance, too, and the
    variances found are too small by one for each (restricted maximum likelihood, Patterson and Thompson 1971, with one
    factor for all)."""
    penalty = np.concatenate([p.ravel() for p in estimate.penalty])
    return float(penalty.size - (np.diag(covariance)[: penalty.size] * penalty).clip(0.0, 1.0).sum())


def _preferring_dither(data: Data, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Places of `size` rows, up to half of them dithered: those carry the effects of the settings."""
    dithered = rng.permutation(np.flatnonzero(~data.people))
    chosen = dithered[: size // 2]
    rest = rng.permutation(np.setdiff1d(np.arange(data.size), chosen))
    return np.sort(np.concatenate([chosen, rest[: size - chosen.size]]))


def draw_weights(means: Floats, covariance: Floats, rng: np.random.Generator) -> Floats:
    """`P x DRAWS` draws of `P` weights, antithetic, so that their mean is the estimate.

    Args:
        covariance: of the weights and whatever else comes after them.
    """
    root = np.linalg.cholesky(covariance + 1e-12 * np.eye(len(covariance)))
    z = rng.standard_normal((len(covariance), DRAWS // 2))
    off = root @ np.hstack([z, -z])[:, rng.permutation(DRAWS)]
    return np.asarray(means[:, None] + off[: means.size])
