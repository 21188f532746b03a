"""Which labels are probably wrong: ranked questions, from the answers of models that did not learn from the part.

How it decides, for each of the five kinds: `labeling.evidence` gives a number for every drawn defect (or predicted
blob), and the same number for labels imagined wrong in just this way. A logistic regression tells the two apart, and
so estimates the ratio of their densities f1/f. With `prior` the share of labels that are wrong in this way, the chance
that one with evidence x is wrong is `prior f1(x) / f(x)`: Efron's local false discovery rate, with the null drawn from
the labels at hand (Efron, Tibshirani, Storey, Tusher 2001, JASA 96, eq. 2.4; density ratios by logistic regression: Qin
1998, Biometrika 85). We use `r / (1 + r)` of it, which is the same for small chances and never exceeds 1.
So a class that the model never finds makes no question: being unseen is then nothing unusual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from labeling.evidence import FOUND, Drawn, Measured, Seen
from labeling.questions import Kind, Question
from qc.errors import InvalidInput
from qc.geometry import Box

PRIOR = 0.02
"""Share of defects assumed wrong in each way before anything is known: one in ten in any of the five ways. It moves
kinds against each other and scales the chances; the order within a kind does not depend on it."""

LEAST = 5
"""With fewer imagined errors of a kind than this nobody is asked about it, and the report says so."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Doubts:
    """All questions about a set of labels, most worth asking first."""

    questions: tuple[Question, ...]
    """One for each drawn defect and each predicted blob that nobody drew."""
    unjudged: tuple[Kind, ...]
    """Kinds that cannot be judged on this set: too few examples (neighbours to merge, second classes, …)."""


def find_errors(
    measured: Sequence[Measured],
    *,
    priors: Mapping[Kind, float] | None = None,
    weights: Mapping[int, float] | None = None,
) -> Doubts:
    """Rank every label of a set by how sure and how harmful its error would be.

    Args:
        measured: `labeling.evidence.measure` of every image, each with a model that did not learn from its part.
        priors: share of defects believed wrong in each way, in (0, 1); `PRIOR` otherwise.
        weights: class id to harm of getting it wrong, in [0, 1]; 1 otherwise.

    Raises:
        InvalidInput: a prior or weight is out of its range.
    """
    prior = {kind: PRIOR for kind in Kind} | dict(priors or {})
    if bad := [p for p in prior.values() if not 0 < p < 1]:
        raise InvalidInput(f"a prior must lie between 0 and 1, not {bad[0]}")
    if bad := [w for w in (weights or {}).values() if not 0 <= w <= 1]:
        raise InvalidInput(f"a class's weight must lie in [0, 1], not {bad[0]}")
    drawn = [(m, d) for m in measured for d in m.drawn]
    fresh = [(m, s) for m in measured for s in m.seen if s.known is None]
    chances, unjudged = _chances(measured, [d for _, d in drawn], [s for _, s in fresh], prior)

    questions = list[tuple[Measured, Question]]()
    for k, (m, d) in enumerate(drawn):
        questions.append((m, _about(m, d, {kind: float(p[k]) for kind, p in chances.items() if kind != Kind.MISSING})))
    missing = chances.get(Kind.MISSING)
    for k, (m, s) in enumerate(fresh if missing is not None else []):
        assert missing is not None
        questions.append((m, _absent(m, s, float(missing[k]))))
    if weights is not None:
        questions = [(m, replace(q, harm=q.harm * _weight(q, weights))) for m, q in questions]
    kept = _one_for_each_place(questions)
    kept.sort(key=lambda q: (-q.priority, q.image, q.box.y, q.box.x))
    return Doubts(tuple(kept), tuple(unjudged))


def _weight(question: Question, weights: Mapping[int, float]) -> float:
    """Of the class that matters more, the drawn or the proposed one."""
    ids = [c for c in (question.drawn_class, question.proposed_class) if c is not None]
    return max(weights.get(c, 1.0) for c in ids)


def _chances(
    measured: Sequence[Measured], drawn: Sequence[Drawn], fresh: Sequence[Seen], prior: Mapping[Kind, float]
) -> tuple[dict[Kind, Floats], list[Kind]]:
    """Chance of each kind of error, for all drawn defects (for MISSING: all blobs that nobody drew)."""
    observed: dict[Kind, list[tuple[int, float, float]]] = {
        Kind.SPURIOUS: [(d.class_id, float(d.pixels.sum()), -d.support) for d in drawn],
        Kind.SHIFTED: [(d.class_id, float(d.pixels.sum()), d.gain) for d in drawn],
        Kind.MERGED: [(d.class_id, float(d.pixels.sum()), d.split) for d in drawn],
        Kind.WRONG_CLASS: [(d.class_id, float(d.pixels.sum()), d.other) for d in drawn],
        Kind.MISSING: [(s.class_id, float(s.pixels.sum()), s.support) for s in fresh],
    }
    imagined: dict[Kind, list[tuple[int, float, float]]] = {
        Kind.SPURIOUS: [(c, a, -x) for m in measured for c, a, x in m.elsewhere],
        Kind.SHIFTED: [(d.class_id, float(d.pixels.sum()), g) for d in drawn for g in d.gain_if_moved],
        Kind.MERGED: [e for m in measured for e in m.joined],
        Kind.WRONG_CLASS: [(c, float(d.pixels.sum()), o) for d in drawn for c, o in d.other_if_renamed],
        Kind.MISSING: [
            (s.class_id, float(s.pixels.sum()), s.support) for m in measured for s in m.seen if s.known is not None
        ],
    }
    chances, unjudged = dict[Kind, Floats](), list[Kind]()
    for kind in Kind:
        if len(imagined[kind]) < LEAST:
            unjudged.append(kind)
        elif observed[kind]:
            # a missing defect is one of those found elsewhere, had it not been drawn: as many as there are of them
            total = float(len(imagined[kind]) if kind is Kind.MISSING else len(observed[kind]))
            ratio = density_ratio(imagined[kind], observed[kind], total=total)
            chances[kind] = prior[kind] * ratio / (1 + prior[kind] * ratio)
    return chances, unjudged


def density_ratio(
    imagined: Sequence[tuple[int, float, float]], observed: Sequence[tuple[int, float, float]], *, total: float
) -> Floats:
    """How much more often evidence like each observed one comes from the imagined errors than from what was observed.

    Logistic regression on the evidence and the logarithm of the area. Each class has an offset and a slope of its own,
    drawn towards common ones (unit Gaussian priors on standardised columns), so that rare classes borrow. Slopes are
    never negative: more evidence of an error must not make it less likely.

    Args:
        imagined, observed: (class id, area in px, evidence; higher speaks for an error).
        total: the imagined ones together weigh this much; an observed one weighs 1.

    Returns:
        A positive number for each observed one.
    """
    rows = [*imagined, *observed]
    classes = sorted({c for c, _, _ in rows})
    place = np.array([classes.index(c) for c, _, _ in rows])
    evidence = _standard(np.array([x for _, _, x in rows]))
    area = _standard(np.log([a for _, a, _ in rows]))
    label = np.r_[np.ones(len(imagined)), np.zeros(len(observed))]
    weight = np.r_[np.full(len(imagined), total / len(imagined)), np.ones(len(observed))]
    base, k = float(np.log(total / len(observed))), len(classes)

    def loss(beta: Floats) -> tuple[float, Floats]:
        common, slope_area, slope = beta[:3]
        offsets, slopes = beta[3 : 3 + k], beta[3 + k :]
        fit = base + common + offsets[place] + slope_area * area + slopes[place] * evidence
        pull = slopes - slope
        value = float(weight @ (np.logaddexp(0.0, fit) - label * fit))
        value += 0.5 * float(slope_area**2 + slope**2 + offsets @ offsets + pull @ pull)
        residual = weight * (expit(fit) - label)
        gradient = np.r_[
            residual.sum(),
            residual @ area + slope_area,
            slope - pull.sum(),
            np.bincount(place, weights=residual, minlength=k) + offsets,
            np.bincount(place, weights=residual * evidence, minlength=k) + pull,
        ]
        return value, gradient

    bounds = [(None, None), (None, None), (0.0, None), *[(None, None)] * k, *[(0.0, None)] * k]
    beta = minimize(loss, np.zeros(3 + 2 * k), jac=True, method="L-BFGS-B", bounds=bounds).x
    fit = base + beta[0] + beta[3 : 3 + k][place] + beta[1] * area + beta[3 + k :][place] * evidence
    return np.asarray(np.exp(np.clip(fit[len(imagined) :], -30.0, 30.0)), np.float64)


def _standard(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-6), np.float64)


def _about(m: Measured, d: Drawn, chances: Mapping[Kind, float]) -> Question:
    """The likeliest and most harmful doubt about one drawn defect."""
    harm = {
        Kind.SPURIOUS: 1.0,
        Kind.SHIFTED: 1.0 - d.overlap,
        Kind.MERGED: max(d.gap, 0.5),  # of two defects one is not counted
        Kind.WRONG_CLASS: 1.0,
    }
    order = sorted(chances, key=lambda kind: -chances[kind] * harm[kind])
    if not order:
        return Question(m.image, m.part, Kind.SPURIOUS, d.box, d.class_id, None, 0.0, 1.0, None)
    kind = order[0]
    box, proposal = d.box, d.pixels
    if kind is Kind.SHIFTED:
        moved = d.box.shifted(dx=d.move[0], dy=d.move[1])
        box = d.box.around(moved)
        proposal = np.zeros((box.height, box.width), bool)
        y, x = moved.y - box.y, moved.x - box.x
        proposal[y : y + moved.height, x : x + moved.width] = d.pixels
    return Question(
        image=m.image,
        part=m.part,
        kind=kind,
        box=box,
        drawn_class=d.class_id,
        proposed_class={Kind.SPURIOUS: None, Kind.WRONG_CLASS: d.other_class}.get(kind, d.class_id),
        certainty=chances[kind],
        harm=harm[kind],
        proposal=None if kind is Kind.SPURIOUS else proposal,
        move=d.move if kind is Kind.SHIFTED else (0, 0),
        also=tuple(order[1:]),
    )


def _absent(m: Measured, s: Seen, chance: float) -> Question:
    return Question(m.image, m.part, Kind.MISSING, s.box, None, s.class_id, chance, 1.0, s.pixels)


def _one_for_each_place(questions: Sequence[tuple[Measured, Question]]) -> list[Question]:
    """Where a drawing should be moved onto a blob, the blob is not asked about as well."""
    moved: dict[str, list[Question]] = {}
    for _, q in questions:
        if q.kind is Kind.SHIFTED:
            moved.setdefault(q.image, []).append(q)
    kept = []
    for _, q in questions:
        absorbed = q.kind is Kind.MISSING and any(
            shift.priority >= q.priority and _covers(shift, q) for shift in moved.get(q.image, ())
        )
        if not absorbed:
            kept.append(q)
    return kept


def _covers(shift: Question, missing: Question) -> bool:
    assert shift.proposal is not None
    assert missing.proposal is not None
    if not shift.box.touches(missing.box):
        return False
    whole: Box = shift.box.around(missing.box)
    planes = []
    for q in (shift, missing):
        plane = np.zeros((whole.height, whole.width), bool)
        y, x = q.box.y - whole.y, q.box.x - whole.x
        plane[y : y + q.box.height, x : x + q.box.width] = q.proposal
        planes.append(plane)
    common = int((planes[0] & planes[1]).sum())
    return common >= FOUND * int(planes[1].sum())
