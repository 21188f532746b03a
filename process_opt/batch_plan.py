"""One decision for the parts of a batch that wait before the same step, and which of them are better treated apart.

Judged are plans that all parts could share: going on as is, scrapping all, and corrections near the middle of those
that the parts were advised one by one; beside them, each part as it was advised. Where the batch shares some settings
only (`shared: batch` in the process), one value for these and each part's own way with it (`batch_shared.py`) takes the
place of the latter, which nobody could carry out. Draws of the parameters are the same for all parts, so what is not
known of the steps is not averaged away by looking at many parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.alternatives import rework_of, settings_of
from process_opt.batch_shared import Side, best_common, once
from process_opt.belief import believe
from process_opt.choices import nearest
from process_opt.model import ProcessModel
from process_opt.patience import patient
from process_opt.plan import Plan, settle_each
from process_opt.recommend import GAIN_WORTH_A_CHANGE
from process_opt.request import parse_question
from process_opt.together import still_shared
from process_opt.what_if import chosen_plan
from qc.errors import InvalidInput

Floats = NDArray[np.float64]

UNDECIDED = ("measure", "abstain")
"""Decisions after which somebody must look before anything is done with the part."""
TRIED = 4
"""Own plans of parts, those nearest to the middle of all, that are tried on the whole batch beside that middle."""


@dataclass(frozen=True)
class Member:
    """A part of the batch: what was asked about it, and what was answered (contracts, section 6)."""

    request: Mapping[str, Any]
    answer: Mapping[str, Any]

    @property
    def decision(self) -> str:
        """What it was advised by itself."""
        return str(self.answer["decision"])

    def under(self, decided: Mapping[str, float]) -> Member:
        """The same part where these settings of steps still to come stand already, and no others."""
        asked = {key: value for key, value in self.request.items() if key != "decided"}
        return Member({**asked, "decided": dict(decided)} if decided else asked, self.answer)

    def plan(self, model: ProcessModel) -> tuple[Floats, frozenset[int]] | None:
        """The settings and optional steps that it was advised, standardised; nothing is moved by what is no correction.
        What is decided already stays as it is.

        None: it was advised when the process was another one, so that it must be asked about again.
        """
        corrects = self.decision == "correct"
        question = parse_question(self.request, model.process, model.layout)
        settings, run = (self.answer["settings"], self.answer["run"]) if corrects else ({}, [])
        settings = {name: value for name, value in settings.items() if name not in question.decided}
        try:
            return chosen_plan(model, question, settings, run)
        except InvalidInput:
            return None


@dataclass(frozen=True)
class Shared:
    """A plan for all parts: `each[i]` is it for part `i`; None: the part is scrapped."""

    name: str
    """each, shared, correct, continue or scrap."""
    v: Floats | None
    run: frozenset[int]
    each: tuple[Plan | None, ...]
    further: float = 0.0
    """Money that readings which some parts need first are worth beyond that."""
    set_ups: float = 0.0
    """Money for leaving nominal with what the batch shares, once for all of its parts that go on."""

    @property
    def going(self) -> int:
        """How many parts go on."""
        return sum(one is not None for one in self.each)

    def value(self, part: int, scrap: float) -> float:
        """Money of one part, which bears its share of the batch's set-ups."""
        plan = self.each[part]
        return scrap if plan is None else plan.value - self.set_ups / self.going


def decide_batch(
    model: ProcessModel, members: Sequence[Member], decided: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """What to do with parts of a batch that all wait before the same step.

    Args:
        members: each part once.
        decided: settings of steps still to come that cannot be chosen for this batch any more, as other parts of it
            were through the step.

    Returns:
        JSON: `decision`, the plan worth most that can be carried out on the batch (shared, correct, continue or scrap);
        `plans`, every plan with its money, its expected number of parts within specification and where both lie with
        90 %, best first, the plan `each` among them unless settings are shared; `shared` in them, the value of every
        setting that the batch shares; `parts`, for every part its chance and money as advised and under the decision,
        what that is for it, `apart`, whether it is better treated as advised, and the step that made it what it is;
        `worth_apart`, what that gains in all.

    Raises:
        InvalidInput: there is no part, the parts wait before different steps, or a request makes no sense.
    """
    if not members:
        raise InvalidInput("a batch without parts that wait cannot be decided on")
    if len(steps := sorted({str(m.request["at"]) for m in members})) > 1:
        raise InvalidInput(f"these parts wait before different steps ({', '.join(steps[:3])}); ask for one step's")
    members = [m.under(decided or {}) for m in members]
    sides = [_side(model, m) for m in members]
    own = [m.plan(model) for m in members]
    corrections = [pair for pair, m in zip(own, members, strict=True) if pair is not None and m.decision == "correct"]
    as_is = (sides[0].belief.base, frozenset[int]())
    shared = [as_is, *_between(model, corrections)]
    together = np.array(
        [
            list(model.process.settings).index(name)
            for name in still_shared(model.process, sides[0].belief.at)
            if name not in (decided or {})
        ],
        dtype=np.int64,
    )
    judged = [_judged(side, mine or as_is, shared) for side, mine in zip(sides, own, strict=True)]
    nothing = tuple(None for _ in members)
    open_ = [mine is None or m.decision in UNDECIDED for m, mine in zip(members, own, strict=True)]
    advised = tuple(_as_advised(side, m, j[0], o) for side, m, j, o in zip(sides, members, judged, open_, strict=True))
    further = [_of_a_reading(model, m, plan) for m, plan in zip(members, advised, strict=True)]
    plans = [Shared("scrap", None, frozenset(), nothing)]
    for i, (v, run) in enumerate(shared):
        name = "correct" if v.any() or run else "continue"
        each = tuple(j[i + 1] for j in judged)
        plans.append(Shared(name, v, run, each, set_ups=once(sides[0], v[together], together)))
    if together.size:
        wishes = [
            None if m is None or p.decision == "scrap" else j[0] for j, m, p in zip(judged, own, members, strict=True)
        ]
        plans.append(_one_value(model, sides, wishes, together))
    best = max(plans, key=lambda p: _money(model, p))
    apart = [] if together.size else [Shared("each", None, frozenset(), advised, sum(further))]
    found = sorted([*apart, *_one_of_each_kind(model, plans)], key=lambda p: -_money(model, p))
    parts = [
        _part(model, members[i], advised[i], best, i, further[i], open_[i], alone=not together.size)
        for i in range(len(members))
    ]
    return {
        "at": str(members[0].request["at"]),
        "decision": best.name,
        "plans": [_told(model, p, sides[0].belief.at) for p in found],
        "parts": parts,
        "worth_apart": round(sum(max(p["gain"], 0.0) for p in parts if p["apart"]), 4),
        "currency": model.process.currency,
        "model": model.id,
    }


def good_parts(chances: Floats) -> Floats:
    """How likely each number of parts is to end within specification.

    Args:
        chances: `N x D`, of each part in each draw; parts are independent of each other within a draw.

    Returns:
        `N + 1`, for 0 to `N` parts, averaged over the draws (Poisson binomial, by adding part after part).
    """
    out = np.zeros((len(chances) + 1, chances.shape[1]))
    out[0] = 1.0
    for i, p in enumerate(chances):
        out[1 : i + 2] = out[1 : i + 2] * (1 - p) + out[: i + 1] * p
        out[0] *= 1 - p
    return np.asarray(out.mean(axis=1))


def _between(model: ProcessModel, own: list[tuple[Floats, frozenset[int]]]) -> list[tuple[Floats, frozenset[int]]]:
    """Corrections that all parts could share: the middle of those advised, and the advised ones nearest to it."""
    if not own:
        return []
    every = np.array([v for v, _ in own])
    middle = nearest(model, np.median(every, axis=0))
    ran = [k for k in frozenset().union(*(run for _, run in own)) if 2 * sum(k in run for _, run in own) > len(own)]
    near = np.argsort(np.abs(every - middle).sum(axis=1), kind="stable")[:TRIED]
    found = [(middle, frozenset(ran)), *(own[i] for i in near)]
    return [pair for i, pair in enumerate(found) if not any(_same(pair, other) for other in found[:i])]


def _same(one: tuple[Floats, frozenset[int]], other: tuple[Floats, frozenset[int]]) -> bool:
    return one[1] == other[1] and bool(np.allclose(one[0], other[0]))


def _side(model: ProcessModel, member: Member) -> Side:
    question = parse_question(member.request, model.process, model.layout)
    mine = model.made_by(question.batch, question.machines)
    return Side(mine, believe(mine, question.observed, question.at, question.times, question.decided))


def _judged(side: Side, own: tuple[Floats, frozenset[int]], shared: list[tuple[Floats, frozenset[int]]]) -> list[Plan]:
    """The part's own plan, then those for all parts, whose shared settings are the batch's to set up."""
    (mine,) = settle_each(side.model, side.belief, [own[0]], [own[1]])
    bound = replace(side.belief, held=np.where(side.model.tables.shared, side.belief.base, side.belief.held))
    return [mine, *settle_each(side.model, bound, [v for v, _ in shared], [run for _, run in shared])]


def _one_value(model: ProcessModel, sides: list[Side], own: list[Plan | None], together: NDArray[np.int64]) -> Shared:
    """One value for each of these settings, by place, and each part's own way with it."""
    least = GAIN_WORTH_A_CHANGE * (model.process.value - model.process.escape)
    found = best_common(sides, own, together, least)
    v = sides[0].belief.base
    v[together] = found.values
    return Shared("shared", v, frozenset(), found.plans, set_ups=once(sides[0], found.values, together))


def _as_advised(side: Side, member: Member, plan: Plan, undecided: bool) -> Plan | None:
    """What comes of following a part's own advice; where that decides nothing yet, the better of going on and scrap.

    A part that goes on because it will be asked about again is worth what it is then.
    """
    scrap = side.model.process.scrap
    if member.decision == "scrap" or (undecided and plan.value < scrap):
        return None
    renewed = patient(side.model, side.belief, plan) if plan.value < scrap else None
    return plan if renewed is None else replace(plan, value=renewed.value)


def _of_a_reading(model: ProcessModel, member: Member, plan: Plan | None) -> float:
    """What the reading that a part needs first is worth beyond deciding now, as it was advised."""
    if member.decision != "measure":
        return 0.0
    return max(0.0, float(member.answer["expected_value"]) - (model.process.scrap if plan is None else plan.value))


def _money(model: ProcessModel, plan: Shared) -> float:
    return plan.further + float(sum(plan.value(i, model.process.scrap) for i in range(len(plan.each))))


def _one_of_each_kind(model: ProcessModel, plans: list[Shared]) -> list[Shared]:
    kinds = {plan.name for plan in plans}
    return [max((p for p in plans if p.name == kind), key=lambda p: _money(model, p)) for kind in kinds]


def _told(model: ProcessModel, plan: Shared, at: int) -> dict[str, Any]:
    process = model.process
    settings = {} if plan.v is None else settings_of(model, plan.v)
    fixed = {} if plan.v is None else {n: process.settings[n][1].nominal for n in still_shared(process, at)}
    going = [one for one in plan.each if one is not None]
    money = _money(model, plan)
    likely = good_parts(np.array([one.chances for one in going]).reshape(len(going), model.size))
    low, high = (int(n) for n in np.searchsorted(likely.cumsum(), [0.05, 0.95]))
    expected = float(np.arange(len(likely)) @ likely)
    stake = process.value - process.escape
    return {
        "plan": plan.name,
        "settings": settings,
        "shared": {name: settings.get(name, nominal) for name, nominal in fixed.items()},
        "run": [process.steps[k].name for k in sorted(plan.run)],
        "scrapped": len(plan.each) - len(going),
        "good": round(expected, 3),
        "good_interval": [low, high],
        "all_good": round(float(likely[-1]), 4) if going else None,
        "money": round(money, 4),
        "money_interval": [round(money + (n - expected) * stake, 4) for n in (low, high)],
    }


def _part(
    model: ProcessModel,
    member: Member,
    own: Plan | None,
    best: Shared,
    place: int,
    further: float,
    undecided: bool,
    *,
    alone: bool,
) -> dict[str, Any]:
    """A part as it is told; `alone`: what it was advised can be carried out on it whatever the others do."""
    scrap, shared = model.process.scrap, best.each[place]
    value = (scrap if own is None else own.value) + further
    alike = best.value(place, scrap)
    worth_it = value - alike > GAIN_WORTH_A_CHANGE * (model.process.value - model.process.escape)
    causes = member.answer.get("causes") or []
    return {
        "part": str(member.request["part"]),
        "decision": member.decision,
        "p_own": None if own is None else round(own.chance, 4),
        "p_shared": None if shared is None else round(shared.chance, 4),
        "p_shared_interval": None if shared is None else shared.interval(),
        "decision_shared": "scrap" if shared is None else "correct" if shared.v.any() or shared.run else "continue",
        "settings_shared": {} if shared is None else settings_of(model, shared.v),
        "run_shared": [] if shared is None else rework_of(model, shared),
        "value_own": round(value, 4),
        "value_shared": round(alike, 4),
        "gain": round(value - alike, 4),
        "apart": undecided or (worth_it and alone),
        "cause": str(causes[0]["step"]) if causes else None,
    }
