"""Outcomes teach the model at once: where the steps stand now, what settings do, and whether promises were kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.batches import pulls_of
from process_opt.belief import believe, standardised
from process_opt.calibration import since_fit, surprises
from process_opt.climb import slope_of_each
from process_opt.estimate import Data, Estimate
from process_opt.knowledge import move, scaled
from process_opt.model import ProcessModel
from process_opt.outlook import look_ahead, probabilities
from process_opt.request import Machines, check_machines, check_observed
from qc.errors import InvalidInput

Floats = NDArray[np.float64]

REMEMBERED = 5000
"""Names of parts whose outcome was taken in, so that a second telling changes nothing."""
AT_ONCE = 25
"""Outcomes taken in together; the next ones meet a model that these have taught."""
OFFSETS_LAST, EFFECTS_LAST = 100.0, 20_000.0
"""Parts for which an offset, an effect stays what it is: tools wear and batches change, physics hardly does. What was
known before counts for a third after so many outcomes, and never for more than so many parts."""
LOUDEST = 12.0
"""Squared standardised error per reading above which a part teaches as one at this distance: a slip, or a fault."""
BETS = (0.1, 0.25, 0.5)
WITHDRAWN, RESTORED = 20.0, 1.0
"""A bettor against the promises who has multiplied his money by 20 is wrong once in 20 processes at most, however often
one looks (Ville's inequality; Shafer 2021); the promises return when he has lost his gains."""


def update(model: ProcessModel, outcomes: list[dict[str, Any]]) -> ProcessModel:
    """The model after some outcomes (contracts, section 4); a part told before is passed over.

    1. Each finished part's promise, made half way under the settings that it then had, is compared with what came.
       Promises that are too high at any betting odds are withdrawn: `recommend` abstains until they hold again.
    2. Its deciding readings are compared with what was foretold: larger errors than promised widen every later
       prediction, smaller ones narrow it again.
    3. What the parts of a batch have in common, where batches differ: also of one that is new (`batches.py`).
    4. The weights move by the score of every part whose settings nobody chose by what only he saw (`dither`,
       `recommendation`), as far as they were uncertain.

    Raises:
        InvalidInput: an outcome names what does not exist; nothing is learnt then.
    """
    told = list(model.learnt.get("parts", []))
    known = set(told)
    new = []
    for outcome in outcomes:
        one = _parse(model, outcome)
        if one.part not in known:
            known.add(one.part)
            new.append(one)
    for first in range(0, len(new), AT_ONCE):
        few = new[first : first + AT_ONCE]
        model = _weights(_of_batches(_misfit(_promises(model, few), few), few), few)
    if not new:
        return model
    learnt = {**model.learnt, "parts": [*told, *(n.part for n in new)][-REMEMBERED:]}
    learnt["outcomes"] = int(model.learnt.get("outcomes", 0)) + len(new)
    return replace(model, learnt=learnt)


@dataclass(frozen=True)
class Told:
    """One outcome, checked."""

    part: str
    finished: bool
    last: int
    """Place of the last step that it went through."""
    free: bool
    """Its settings were not chosen by what only people saw."""
    batch: str | None
    machines: Machines
    """Of every step that says which machine ran it."""
    observed: dict[str, float]


def _parse(model: ProcessModel, outcome: Any) -> Told:
    if not isinstance(outcome, Mapping):
        raise InvalidInput(
            f"an outcome must be an object with part, disposition and observed, not {type(outcome).__name__}"
        )
    part = outcome.get("part")
    if not isinstance(part, str) or not part:
        raise InvalidInput(f"an outcome needs the part's name, not {part!r}")
    if outcome.get("disposition") not in ("finished", "scrapped"):
        raise InvalidInput(f"part {part}: disposition must be finished or scrapped, not {outcome.get('disposition')!r}")
    at = outcome.get("scrapped_at")
    if at and at not in model.process.place:
        raise InvalidInput(f"part {part}: scrapped_at {at!r} is not a step of {model.process.name}")
    observed = outcome.get("observed") or {}
    if not isinstance(observed, Mapping):
        raise InvalidInput(f"part {part}: observed must map names to numbers, not {type(observed).__name__}")
    checked = check_observed(observed, model.process, part)
    finished = outcome["disposition"] == "finished"
    seen = [(model.process.settings.get(n) or model.process.measurements[n])[0] for n in checked]
    last = len(model.process.steps) - 1 if finished else model.process.place[at] if at else max(seen, default=-1)
    free = outcome.get("assignment") in ("dither", "recommendation")
    batch = outcome.get("batch")
    machines = check_machines(outcome.get("machines"), model.process, part)
    return Told(part, finished, last, free, batch if isinstance(batch, str) else None, machines, checked)


def _promises(model: ProcessModel, told: list[Told]) -> ProcessModel:
    """The bets against the promises after some finished parts."""
    was = dict(model.learnt.get("promises", {}))
    wealth = np.array(was.get("wealth", [1.0] * len(BETS)))
    count, promised, kept = (float(was.get(name, 0.0)) for name in ("finished", "promised", "kept"))
    for one in told:
        if not one.finished or any(name not in one.observed for name in model.process.conformance):
            continue
        chance = _promise(model.made_by(one.batch, one.machines), one.observed)
        limits = [(one.observed[n], model.process.measurements[n][1]) for n in model.process.conformance]
        good = all(m.lower <= y <= m.upper for y, m in limits)
        wealth = np.clip(wealth * (1 + np.array(BETS) * (chance - good)), 1e-3, 1e9)
        count, promised, kept = count + 1, promised + chance, kept + good
    doubt = float(wealth.mean())
    withdrawn = doubt >= WITHDRAWN or (bool(was.get("withdrawn", False)) and doubt > RESTORED)
    now = {"wealth": wealth.tolist(), "finished": count, "promised": promised, "kept": kept, "withdrawn": withdrawn}
    return replace(model, learnt={**model.learnt, "promises": now})


def _promise(model: ProcessModel, observed: dict[str, float]) -> float:
    """The chance to conform as seen half way, under the settings that the rest of the way then had."""
    process = model.process
    at = len(process.steps) // 2
    early = {
        name: value
        for name, value in observed.items()
        if (process.settings.get(name) or process.measurements[name])[0] < at
    }
    v, y = standardised(model, observed)
    run = {
        k
        for k in range(at, len(process.steps))
        if process.steps[k].optional
        and (
            np.isfinite(v[list(model.layout.levers[k])]).any()
            or any(np.isfinite(y[place]) for place, _ in model.layout.reads[k])
        )
    }
    ahead = look_ahead(model, believe(model, early, at), np.where(np.isfinite(v), v, 0.0), frozenset(run))
    return float(probabilities(ahead).mean())


def _misfit(model: ProcessModel, told: list[Told]) -> ProcessModel:
    """The widening after some finished parts."""
    learnt, check = dict(model.learnt), dict(model.check)
    base = np.asarray(learnt.get("fitted_widen", check.get("widen", [1.0] * len(model.process.conformance))))
    sure = np.asarray(learnt.get("fitted_widen_sd", check.get("widen_sd", [0.0] * base.size)))
    squares = np.asarray(learnt.get("squares", np.zeros(base.size)))
    counts = np.asarray(learnt.get("counts", np.zeros(base.size)))
    for batch, machines in sorted({(one.batch, one.machines) for one in told}, key=repr):
        mine = [one for one in told if (one.batch, one.machines) == (batch, machines) and one.finished]
        if mine:
            z2 = surprises(model.made_by(batch, machines), _data(model, mine), 0.5)
            squares = squares + np.where(np.isfinite(z2), z2, 0.0).sum(axis=1)
            counts = counts + np.isfinite(z2).sum(axis=1)
    now = since_fit(base, sure, squares, counts)
    learnt |= {
        "fitted_widen": base.tolist(),
        "fitted_widen_sd": sure.tolist(),
        "squares": squares.tolist(),
        "counts": counts.tolist(),
    }
    check |= {"widen": np.exp(now.log).tolist(), "widen_sd": now.sd.tolist(), "widen_alike": now.alike}
    return replace(model, learnt=learnt, check=check)


def _of_batches(model: ProcessModel, told: list[Told]) -> ProcessModel:
    """What batches have in common, after some parts of them.

    Before the weights: what a batch explains is not laid to the steps, which stay what they are for the next batch.
    """
    if not model.batches.spread.size:
        return model
    for batch in sorted({one.batch for one in told if one.batch and one.free and one.last >= 0}):
        pull: Floats = np.zeros(model.batches.differ.size)
        mine = [one for one in told if one.batch == batch and one.free and one.last >= 0]
        for machines in sorted({one.machines for one in mine}, key=repr):
            alike = [one for one in mine if one.machines == machines]
            pull += pulls_of(*_scores(model, batch, machines, alike))[model.batches.differ].sum(axis=1)
        model = replace(model, batches=model.batches.after(batch, pull, len(mine)))
    return model


def _scores(model: ProcessModel, batch: str | None, machines: Machines, told: list[Told]) -> tuple[Estimate, Floats]:
    """Each part's score of the weights, `P x N`, less of those that are far off; and of what model."""
    estimate = _estimate(model.made_by(batch, machines))
    each, surprise = slope_of_each(estimate, _data(model, told))
    return estimate, each * np.minimum(1.0, np.sqrt(LOUDEST / np.maximum(surprise, 1e-9)))


def _weights(model: ProcessModel, told: list[Told]) -> ProcessModel:
    """The weights, and how surely they are known, after some parts."""
    told = [one for one in told if one.free and one.last >= 0]
    if not told or not model.band.size:
        return model
    worth = {**model.learnt.get("worth", _first_worth(model))}
    slope: Floats = np.zeros(model.band.shape[1])
    for batch, machines in sorted({(one.batch, one.machines) for one in told}, key=repr):
        mine = [one for one in told if (one.batch, one.machines) == (batch, machines)]
        slope += _scores(model, batch, machines, mine)[1].sum(axis=1)
    n = len(told)
    worth["offsets"] = worth["offsets"] * np.exp(-n / OFFSETS_LAST) + n
    worth["effects"] = worth["effects"] * np.exp(-n / EFFECTS_LAST) + n
    off = move(scaled(model.band, _shares(model, worth)), slope)
    return replace(model.moved_by(off), learnt={**model.learnt, "worth": worth})


def _first_worth(model: ProcessModel) -> dict[str, float]:
    """How many parts the fit's offsets and effects are worth."""
    parts = float(model.about["learnt_from"])
    return {"offsets": min(parts, OFFSETS_LAST), "effects": min(parts, EFFECTS_LAST)}


def _shares(model: ProcessModel, worth: Mapping[str, float]) -> Floats:
    """`P`: the precision of each weight now as a share of that of the fit."""
    out = []
    for motion in model.motions:
        mine = np.full(motion.weights.shape, worth["effects"])
        mine[:, 0] = worth["offsets"]
        out.append(mine.ravel())
    return np.asarray(np.concatenate(out) / float(model.about["learnt_from"]))


def _estimate(model: ProcessModel) -> Estimate:
    """The model as an estimate, of parts whose settings carry no message."""
    return Estimate(
        process=model.process,
        layout=model.layout,
        motions=model.motions,
        gauge=model.gauge,
        gauge_known=np.ones(model.gauge.size, dtype=bool),
        start=model.start,
        habits={},
        penalty=tuple(np.zeros(m.weights.shape) for m in model.motions),
    )


def _data(model: ProcessModel, told: list[Told]) -> Data:
    """Parts as the fit sees them."""
    pairs = [standardised(model, one.observed) for one in told]
    v, y = np.array([p[0] for p in pairs]).T, np.array([p[1] for p in pairs]).T
    skipped: list[NDArray[np.bool_] | None] = []
    for k, step in enumerate(model.process.steps):
        marks = np.vstack([v[list(model.layout.levers[k])], y[[p for p, _ in model.layout.reads[k]]]])
        skipped.append(np.asarray(~np.isfinite(marks).any(axis=0), dtype=bool) if step.optional else None)
    return Data(
        y=y,
        v=v,
        people=np.zeros(len(told), dtype=bool),
        last=np.array([one.last for one in told], dtype=np.int64),
        skipped=tuple(skipped),
        batch=np.full(len(told), -1, dtype=np.int64),
        pressed=np.zeros(v.shape, dtype=np.int8),
        machine=np.full((len(model.process.machines), len(told)), -1, dtype=np.int64),
    )
