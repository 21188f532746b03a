"""A partner learns its own steps from its own rows, as the pooled fit does, and puts down what it found.

The visit is fitted as a small process by itself: parts come in with an unknown state, of which the border's readings
are noisy looks; then its own steps, with the habits of its own people (they saw what was read here and at the border);
then goods-in inspection of the next partner. `fit.py` has the estimation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from process_opt.calibration import held_out_check
from process_opt.drift import follow
from process_opt.estimate import PINNED, SMALLEST_NOISE, Data, Estimate, prepare, start_estimate
from process_opt.fit import learn_effects
from process_opt.history import History
from process_opt.identify import identified_levers
from process_opt.layout import Layout, lay_out
from process_opt.machines import Machines, as_chance, machine_shifts
from process_opt.misfit import misfit
from process_opt.model import ProcessModel
from process_opt.partners.interface import Interface, StepInterface, VisitInterface, said_of, version_of
from process_opt.partners.visit import Visit, own_rows, seen_by, visits
from process_opt.process import MACHINE, Process
from qc.errors import InvalidInput

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]

FEWEST_PARTS = 200
"""Behind every number that leaves the house, and never fewer than the weights: then one part moves a number by less
than the tenth of a standard error to which it is rounded, and sums over parts cannot be taken apart."""
FEWEST_OF_MACHINE = 100
"""Parts that a machine ran, to be told of: one of them moves what it adds by less than it is rounded to."""
ROUNDED = 0.1
"""Of its standard error: to so much every number is rounded; it costs a thousandth of what is known."""
LEAST_EFFECT = 0.1
"""An effect that nobody reads is never taken for smaller, in standard deviations of what it acts on."""
READ = 30
"""Values below which a reading counts as not taken: nothing can be tied to it."""


def fit_partner(
    process: Process,
    table: pd.DataFrame,
    partner: str,
    *,
    seed: int = 0,
    where: str = "history",
    progress: Progress | None = None,
) -> Interface:
    """Fit a partner's steps from its own rows; all or nothing.

    Args:
        table: as in contracts, section 5; only the columns of the partner's own steps and of its borders are used.

    Raises:
        InvalidInput: no such partner, a column is wrong, or there are too few parts.
    """
    here = [v for v in visits(process) if v.partner == partner]
    if not here:
        known = sorted({s.partner for s in process.steps})
        raise InvalidInput(f"{process.name} has no step of partner {partner!r}; its partners are {', '.join(known)}")
    say = progress or (lambda _text, _share: None)
    made, notes, parts, dithered, scrapped = list[VisitInterface](), list[str](), [], [], 0
    for i, visit in enumerate(here):
        history, left_out = own_rows(table, process, visit, where=where)
        share = lambda text, s, i=i: say(text, (i + s) / len(here))  # noqa: E731
        one, beyond = _fit_visit(process, visit, history, seed, share)
        made.append(one)
        notes += [n for n in [*left_out, *history.notes, *beyond] if n not in notes]
        parts.append(history.size)
        dithered.append(int(history.dithered.sum()))
        scrapped += int(history.scrapped.sum())
    steps = sorted({k for v in here for k in (*([v.inward] if v.inward is not None else []), *v.places)})
    return Interface(
        process=process.name,
        partner=partner,
        version=version_of(process),
        agreed={process.steps[k].name: said_of(process.steps[k]) for k in steps},
        parts=min(parts),
        dithered=min(dithered),
        scrapped=scrapped,
        visits=tuple(made),
        notes=tuple(notes),
    )


def _fit_visit(
    process: Process, visit: Visit, history: History, seed: int, say: Progress
) -> tuple[VisitInterface, list[str]]:
    """The visit's interface, and notes on what was found that an interface does not hold."""
    small = seen_by(process, visit)
    entered = 0 if visit.inward is None else 1
    own = range(entered, entered + len(visit.places))
    layout = _rounded_layout(lay_out(small, history), history)
    rng = np.random.default_rng(seed)
    data = prepare(small, history, layout)
    d = layout.d
    weights = sum(d * (1 + d + len(layout.levers[k])) for k in own)
    if history.size < max(FEWEST_PARTS, weights):
        raise InvalidInput(
            f"partner {visit.partner} has {history.size} parts at {process.steps[visit.first].name} to "
            f"{process.steps[visit.last].name}; an interface needs at least {max(FEWEST_PARTS, weights)}, so that no "
            f"part can be told from it"
        )
    held = rng.random(history.size) < min(0.1, 1000 / history.size)
    train = data.rows(np.flatnonzero(~held))
    estimate, covariance, train = learn_effects(
        lambda few: _held_at_border(start_estimate(small, layout, few), bool(entered)),
        train,
        rng,
        seed=seed,
        say=say,
        skips=True,
    )
    machines = machine_shifts(estimate, train)
    estimate = as_chance(estimate, machines)
    settings = list(small.settings)
    sizes = [m.weights.size for m in estimate.motions]
    first, end = sum(sizes[:entered]), sum(sizes[: own.stop])
    drift = follow(estimate, data)
    spread = covariance[first:end, first:end].copy()
    count = np.isfinite(history.readings).sum(axis=0)
    looked = max((k for k, reads in enumerate(layout.reads) for p, _ in reads if count[p] >= READ), default=-1)
    size = _lever_size(estimate, [k for k in own if k <= looked])
    at, steps = 0, []
    for k in own:
        motion = estimate.motions[k]
        w = motion.weights.copy()
        w[:, 0] += drift.level[k]
        place = at + np.arange(d) * w.shape[1]
        spread[place, place] += drift.variance[k]
        if k > looked:  # nobody reads what these settings do: it may be what settings here usually do
            for j in range(len(layout.levers[k])):
                spread[place + 1 + d + j, place + 1 + d + j] += size**2
        se = np.sqrt(np.diag(spread)[at : at + w.size]).reshape(w.shape)
        at += w.size
        noise = blurred(motion.noise, _error_of(motion.noise, train.size))
        steps.append(
            StepInterface(
                small.steps[k].name,
                motion.terms,
                blurred(w, se),
                noise,
                blurred(motion.unknown, motion.unknown * np.sqrt(2 / train.size)),
                tuple(settings[place] for place in motion.late),
                _machines(small, k, machines, train),
            )
        )
    moments = _leaving(estimate, train, own.stop - 1)
    told = [c for p, c in layout.reads[0] if count[p] >= READ] if entered else []
    names = list(small.measurements)
    kept = [p for k in range(own.stop) for p, _ in layout.reads[k]]
    beyond = [
        f"{settings[place]} comes to light at {small.steps[k].name} of the next partner, which an interface cannot say"
        for k in range(own.stop, len(small.steps))
        for place in estimate.motions[k].late
    ]
    say("done", 1.0)
    made = VisitInterface(
        steps=tuple(steps),
        characteristics=layout.coordinates,
        scale=layout.scale,
        means={names[p]: float(layout.mean[p]) for p in kept},
        told=tuple(layout.coordinates[c] for c in told),
        stretch={n: float(s) for n, s in zip(small.settings, layout.stretch, strict=True)},
        usual=_usual(small, data),
        gauge={
            names[p]: float(f"{np.sqrt(estimate.gauge[p]) * layout.scale[layout.coordinate[p]]:.4g}")
            for k in own
            for p, _ in layout.reads[k]
        },
        rounding={
            names[p]: (layout.step(p), float(layout.rounding[p, 1]))
            for k in own
            for p, _ in layout.reads[k]
            if layout.step(p)
        },
        entry=_blurred_moments(estimate.start, train.size),
        exit=_blurred_moments(moments, train.size),
        root=_few_digits(np.linalg.cholesky((spread + spread.T) / 2 + 1e-10 * np.eye(len(spread))), train.size),
        lever_size=size,
        identified=_identified(small, layout, history, count),
        check=_check(process, small, estimate, covariance, data, held, own, count),
    )
    return made, beyond


def _machines(small: Process, k: int, found: Machines, data: Data) -> dict[str, tuple[Floats, Floats]]:
    """What the machines of a step add, of those that ran enough parts; nothing where they do not differ."""
    if not found.shifts.size or not found.shifts[:, k].any():
        return {}
    ran = data.machine[list(small.machines).index(f"{small.steps[k].name}.{MACHINE}")]
    return {
        name: (blurred(found.shifts[m, k], np.sqrt(found.unsure[m, k])), blurred(surer, surer * np.sqrt(2 / data.size)))
        for m, (name, surer) in enumerate(zip(small.steps[k].machines, found.surer[:, k], strict=False))
        if (ran == m).sum() >= FEWEST_OF_MACHINE
    }


def _lever_size(estimate: Estimate, steps: list[int]) -> float:
    """How large an effect of a setting usually is, where it is read."""
    d = estimate.layout.d
    found = [estimate.motions[k].weights[:, 1 + d : 1 + d + len(estimate.layout.levers[k])].ravel() for k in steps]
    effects = np.concatenate([*found, [0.0]])
    return float(f"{max(np.sqrt(np.mean(effects**2)), LEAST_EFFECT):.3g}")


def _held_at_border(estimate: Estimate, entered: bool) -> Estimate:
    """The border step as what it is: it reads, and does nothing to the part."""
    if not entered:
        return estimate
    d = estimate.layout.d
    still = replace(estimate.motions[0], noise=SMALLEST_NOISE * np.eye(d))
    return replace(
        estimate,
        motions=(still, *estimate.motions[1:]),
        penalty=(np.full(estimate.penalty[0].shape, PINNED), *estimate.penalty[1:]),
    )


def _rounded_layout(layout: Layout, history: History) -> Layout:
    """Scales rounded before anything is fitted in them, so that nothing is lost by it."""
    n = max(history.size, 1)
    scale = blurred(layout.scale, layout.scale / np.sqrt(2 * n))
    return replace(
        layout,
        mean=blurred(layout.mean, layout.scale[layout.coordinate] / np.sqrt(n)),
        scale=scale,
        stretch=blurred(layout.stretch, layout.stretch / np.sqrt(2 * n)),
    )


def blurred(values: Floats, errors: Floats) -> Floats:
    """Rounded to a multiple of `ROUNDED` times the standard error of each."""
    step = ROUNDED * np.maximum(errors, 1e-12)
    return np.asarray([float(f"{x:.10g}") for x in (np.round(values / step) * step).ravel()]).reshape(values.shape)


def _few_digits(root: NDArray[np.floating[Any]], n: int) -> Floats:
    """A covariance's root to as many digits as `n` parts decide, and a tenth of its error."""
    digits = 2 if n < 5000 else 3
    return np.array([float(f"{x:.{digits}g}") for x in root.ravel()]).reshape(root.shape)


def _error_of(covariance: Floats, n: int) -> Floats:
    """Standard errors of a covariance from `n` parts (Wishart)."""
    v = np.diag(covariance)
    return np.asarray(np.sqrt((np.outer(v, v) + covariance**2) / max(n, 1)))


def _blurred_moments(moments: tuple[Floats, Floats], n: int) -> tuple[Floats, Floats]:
    mean, cov = moments
    return blurred(mean, np.sqrt(np.diag(cov) / n)), blurred(cov, _error_of(cov, n))


def _usual(small: Process, data: Data) -> dict[str, float]:
    """Mean of each setting over the parts, standardised."""
    count = np.maximum(np.isfinite(data.v).sum(axis=1), 1)
    mean = np.nansum(data.v, axis=1) / count
    return dict(zip(small.settings, blurred(mean, 1 / np.sqrt(count)).tolist(), strict=True))


def _leaving(estimate: Estimate, data: Data, k: int) -> tuple[Floats, Floats]:
    """Mean and covariance of the state after step `k`, over the parts that went through it."""
    d = estimate.layout.d
    mean: Floats = np.zeros(d)
    square: Floats = np.zeros((d, d))
    count = 0
    for part in data.chunks():
        use = part.last >= k
        path = estimate.path(part)
        x, p = path.mean[k][:, use], path.cov[k][:, :, use]
        mean += x.sum(axis=1)
        square += x @ x.T + p.sum(axis=2)
        count += int(use.sum())
    middle: Floats = np.asarray(mean / max(count, 1))
    return middle, square / max(count, 1) - np.outer(middle, middle)


def _identified(small: Process, layout: Layout, history: History, count: NDArray[np.int64]) -> dict[str, bool]:
    """As in the pooled fit; but of a setting after which nothing is read here, nothing is known here."""
    out = identified_levers(small, history)
    looked = [k for k, reads in enumerate(layout.reads) for p, _ in reads if count[p] >= READ]
    return {n: known and any(k >= small.settings[n][0] for k in looked) for n, known in out.items()}


def _check(
    process: Process,
    small: Process,
    estimate: Estimate,
    covariance: Floats,
    data: Data,
    held: NDArray[np.bool_],
    own: range,
    count: NDArray[np.int64],
) -> dict[str, Any]:
    """How well the visit's deciding readings, or else its last ones, are foretold; empty where nothing is read."""
    names = list(small.measurements)
    read = [p for k in own for p, _ in estimate.layout.reads[k] if count[p] >= READ]
    deciding = [names[p] for p in read if names[p] in process.conformance]
    if not deciding and read:
        last = max(small.measurements[names[p]][0] for p in read)
        deciding = [names[p] for p in read if small.measurements[names[p]][0] == last]
    if not deciding or not held.any():
        return {}
    model = ProcessModel(
        process=replace(small, conformance=tuple(deciding)),
        layout=estimate.layout,
        motions=estimate.motions,
        draws=tuple(m.weights[:, :, None] for m in estimate.motions),
        gauge=estimate.gauge,
        start=estimate.start,
        identified={},
    )
    places = [names.index(name) for name in deciding]
    wide = misfit(estimate, places, data, covariance, rows=np.flatnonzero(~held))
    found = held_out_check(model, data.rows(np.flatnonzero(held)), wide)
    few = {name: np.maximum(np.round(found[name], 2), 0.01).tolist() for name in ("widen", "widen_sd")}
    few["widen_alike"] = round(found["widen_alike"], 1)
    cover = {name: None if x is None else round(x, 2) for name, x in found["coverage90"].items()}
    found = {
        name: told for name, told in found.items() if name not in ("coverage", "widen_later")
    }  # not needed for a plan
    return {"readings": deciding, **found, **few, "coverage90": cover}
