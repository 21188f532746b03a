"""Learning what the views of a part show: visibility from labels, what answers are worth from validation parts.

Visibility comes from the labels of train and val parts: of the defects drawn in some view, how often this view shows
them; by place where the pictures are known to lie on each other, else by the presence of the class. What the model's
answers are worth comes from val parts only, which it was not trained on. Every share is drawn to a broader one (a
view's to that of all views, a class's to that of all classes) as if that had been seen a few times, so that few labels
make no certainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from qc.dataset import DataSet
from qc.defects import logit
from qc.errors import InvalidInput
from qc.given import read_given
from qc.part_evidence import class_of
from qc.part_places import Between, Look, Sighting, Spot, spots
from qc.part_settings import SURELY, PartSettings, Shows
from qc.ports import Segmenter
from qc.progress import Progress
from segmentation.part_looks import answered, as_given, by_part, drawn

FROM_CLASS = 10.0
"""Visibility in a view is believed from about so many defects on; below, that over all views."""

FEW = 4.0
"""Other shares are drawn to their prior as if it had been seen so often."""

RIDGE = 0.5
"""Weight of the prior on the calibration, which is that scores mean what they say."""

Floats = NDArray[np.float64]


@dataclass
class Count:
    """How often, of how many."""

    hits: float = 0.0
    of: float = 0.0

    def add(self, hit: bool) -> None:
        """One more."""
        self.hits, self.of = self.hits + hit, self.of + 1

    def share(self, prior: float, weight: float) -> float:
        """Mean of the Beta posterior whose prior has this mean and weight."""
        return (prior * weight + self.hits) / (weight + self.of)


@dataclass
class Tally:
    """What was counted on parts."""

    shown: dict[tuple[str, str], Count] = field(default_factory=dict)
    """By class and view: of the defects that some view shows."""
    units: dict[str, int] = field(default_factory=dict)
    """By class: defects."""
    parts: int = 0
    found: dict[str, Count] = field(default_factory=dict)
    """By class: of what is drawn in a view, what the model answers there."""
    strays: dict[str, Count] = field(default_factory=dict)
    """By class: pictures with an answer where nothing is."""
    answers: list[tuple[float, bool]] = field(default_factory=list)
    """Score of every answer, and whether it is a defect."""
    again: Count = field(default_factory=Count)
    """Of what is answered wrongly in one view and lies on another, too: answered there as well."""
    by_presence: Count = field(default_factory=Count)
    """The same where places cannot be compared: any wrong answer of the class on the other picture."""
    others: list[tuple[float, bool, bool]] = field(default_factory=list)
    """Score of a spot's surest view; whether another one on which it lies answers it; and whether it is a defect."""
    pairs: list[tuple[float, float, bool]] = field(default_factory=list)
    """Scores of one spot in two views, and whether it is a defect."""


def learn(
    segmenter: Segmenter, dataset: DataSet, *, progress: Progress | None = None
) -> tuple[PartSettings, dict[str, Any]]:
    """What a model should know of the views of a data set's parts.

    Args:
        segmenter: trained on the set's train split, or on similar parts.
        dataset: `views.yaml` says how its pictures lie on each other; without it they are compared by presence.

    Returns:
        The settings, and what they rest on, for the model's card.

    Raises:
        InvalidInput: no train or val part has two labelled views, or no val part is labelled.
    """
    between = as_given(read_given(dataset.root))
    labelled = {side: by_part(dataset.split(side)) for side in ("train", "val")}
    several = [s for parts in labelled.values() for s in parts.values() if len(s) > 1]
    if not several:
        raise InvalidInput(f"no train or val part of {dataset.name} has two labelled views; there is nothing to learn")
    if not labelled["val"]:
        raise InvalidInput(f"no val part of {dataset.name} is labelled; a model cannot be calibrated on what it learnt")
    tally = Tally()
    for side in labelled.values():
        for samples in side.values():
            count_labels(tally, [drawn(s.labels(dataset.classes), dataset.classes, s) for s in samples], between)
    for done, samples in enumerate(labelled["val"].values(), start=1):
        truth = [drawn(s.labels(dataset.classes), dataset.classes, s) for s in samples]
        said = [answered(segmenter.segment(s.pixels()), segmenter, s, s.labels(dataset.classes)) for s in samples]
        count_answers(tally, truth, said, between)
        if progress:
            progress(done / len(labelled["val"]), samples[0].part)
    views = sorted({s.view for samples in several for s in samples})
    settings = settle(tally, views, [segmenter.classes.get(c, n) for c, n in sorted(dataset.classes.items())])
    about = {
        "dataset": dataset.name,
        "parts": tally.parts,
        "val_parts": len(labelled["val"]),
        "val_answers": len(tally.answers),
        "compared_by": "place" if tally.again.of or not tally.by_presence.of else "presence",
    }
    return settings, about


def count_labels(tally: Tally, looks: Sequence[Look], between: Between) -> None:
    """Which views show what is drawn on one part."""
    tally.parts += 1
    joined = spots(looks, between)
    units: list[tuple[str, set[int], set[int]]] = []
    if _comparable(joined):
        units = [(class_of(looks, s), {one.look for one in s.sightings}, set(s.silent)) for s in joined]
    else:
        for name in {d.class_name for look in looks for d in look.defects}:
            here = {n for n, look in enumerate(looks) if any(d.class_name == name for d in look.defects)}
            units.append((name, here, {n for n, look in enumerate(looks) if look.known is None} - here))
    for name, here, silent in units:
        tally.units[name] = tally.units.get(name, 0) + 1
        if len(here) + len(silent) > 1:
            for n in here | silent:
                tally.shown.setdefault((name, looks[n].view), Count()).add(n in here)


def count_answers(tally: Tally, truth: Sequence[Look], said: Sequence[Look], between: Between) -> None:
    """What the answers on one part are worth; a wrong one that lies on a defect of another view is right."""
    looks = [
        replace(one, defects=one.defects + two.defects, known=two.known) for one, two in zip(said, truth, strict=True)
    ]

    def is_drawn(s: Sighting) -> bool:
        return s.defect >= len(said[s.look].defects)

    joined = spots(looks, between)
    wrong: dict[str, set[int]] = {}
    for spot in joined:
        real = {s.look for s in spot.sightings if is_drawn(s)}
        scores: dict[int, float] = {}
        for s in spot.sightings:
            if not is_drawn(s):
                scores[s.look] = max(scores.get(s.look, 0.0), looks[s.look].defects[s.defect].score)
        for n in real:
            name = next(looks[n].defects[s.defect].class_name for s in spot.sightings if s.look == n and is_drawn(s))
            tally.found.setdefault(name, Count()).add(n in scores)
        tally.answers += [(score, bool(real)) for score in scores.values()]
        ordered = sorted(scores)
        tally.pairs += [(scores[n], scores[m], bool(real)) for k, n in enumerate(ordered) for m in ordered[:k]]
        if scores:
            first = max(scores, key=lambda n: scores[n])
            beside = (set(scores) | real | set(spot.silent)) - {first}
            tally.others += [(scores[first], n in scores, bool(real)) for n in sorted(beside)]
        if scores and not real:
            tally.again.hits += len(scores) * (len(scores) - 1)
            tally.again.of += len(scores) * (len(scores) - 1 + len(spot.silent))
            wrong.setdefault(class_of(looks, spot), set()).update(scores)
    present = {d.class_name for look in truth for d in look.defects}
    for name in {*present, *wrong, *tally.strays}:
        for n in range(len(looks)):
            tally.strays.setdefault(name, Count()).add(n in wrong.get(name, ()))
        if name not in present and not _comparable(joined):
            here = len(wrong.get(name, ()))
            tally.by_presence.hits += here * (here - 1)
            tally.by_presence.of += here * (len(looks) - 1)


def _comparable(joined: Sequence[Spot]) -> bool:
    """Is of any spot known where it lies on another view?"""
    return any(len(spot.group) > 1 for spot in joined)


def settle(tally: Tally, views: Sequence[str], classes: Sequence[str]) -> PartSettings:
    """Settings from counts."""
    everywhere, recall = _sum(tally.shown.values()), _sum(tally.found.values())
    of_all, found_of_all = everywhere.share(0.5, 2.0), recall.share(0.5, 2.0)
    stray_of_all = _sum(tally.strays.values()).share(0.1, 2.0)
    known = {}
    for name in classes:
        own = _sum(c for (n, _), c in tally.shown.items() if n == name).share(of_all, FEW)
        known[name] = Shows(
            visible={v: tally.shown.get((name, v), Count()).share(own, FROM_CLASS) for v in views},
            elsewhere=own,
            recall=tally.found.get(name, Count()).share(found_of_all, FEW),
            strays=tally.strays.get(name, Count()).share(stray_of_all, FEW),
            per_part=tally.units.get(name, 0) / max(tally.parts, 1),
        )
    scores = np.array([score for score, _ in tally.answers], np.float64)
    real = np.array([is_real for _, is_real in tally.answers], np.float64)
    scale, offset = calibration(_logits(scores), real)
    share = Count(float(real.sum()), float(len(real))).share(0.5, 2.0)
    repeats = _repeats(tally, of_all * found_of_all)
    found_slope, found_at = _rise(tally.others, True, of_all * found_of_all, scale, offset)
    repeat_slope, repeat_at = _rise(tally.others, False, repeats, scale, offset)
    return PartSettings(
        views=tuple(views),
        classes=known,
        repeats=repeats,
        found_slope=found_slope,
        found_at=found_at,
        repeat_slope=repeat_slope,
        repeat_at=repeat_at,
        alike=_alike(tally.pairs, scale),
        real=min(max(share, 0.01), 0.99),
        scale=scale,
        offset=offset,
    )


def in_words(settings: PartSettings) -> str:
    """What was learnt, a line for each class."""
    lines = [
        f"{name}: shows in "
        + ", ".join(f"{view or 'the only view'} {share:.0%}" for view, share in shows.visible.items())
        + f"; of what shows {shows.recall:.0%} is found"
        for name, shows in settings.classes.items()
    ]
    real, again = f"{settings.real:.0%}", f"{settings.repeats:.0%}"
    return "\n".join([*lines, f"{real} of the answers are defects; {again} of the others come again in another view"])


def _sum(counts: Any) -> Count:
    several = list(counts)
    return Count(sum(c.hits for c in several), sum(c.of for c in several))


def _repeats(tally: Tally, usual: float) -> float:
    """How often a wrong answer comes again; as often as a right one, until there is something to go by."""
    if tally.again.of or not tally.by_presence.of:
        return min(max(tally.again.share(usual, FEW), 0.01), 0.95)
    by_chance = _sum(tally.strays.values()).share(0.1, 2.0)
    beyond = (tally.by_presence.share(usual, FEW) - by_chance) / (1 - by_chance)
    return min(max(beyond, 0.01), 0.95)


def _rise(
    others: Sequence[tuple[float, bool, bool]], kind: bool, usual: float, scale: float, offset: float
) -> tuple[float, float]:
    """How the log-odds of being answered elsewhere rise with sureness: slope, and where the chance is `usual`.

    By logistic regression, its slope drawn to 0 and not below it.
    """
    chosen = [(score, hit) for score, hit, real in others if real is kind]
    if not chosen:
        return 0.0, 0.0
    x = scale * _logits(np.array([score for score, _ in chosen], np.float64)) + offset
    hits = np.array([hit for _, hit in chosen], np.float64)
    middle = float(x.mean())

    def cost(line: Floats) -> tuple[float, Floats]:
        height = line[0] * (x - middle) + line[1]
        away = line - np.array([0.0, logit(usual)])
        nats = float((np.logaddexp(0.0, height) - hits * height).sum()) + RIDGE * float((away**2).sum())
        wrong = expit(height) - hits
        return nats, np.array([(wrong * (x - middle)).sum(), wrong.sum()]) + 2 * RIDGE * away

    best = minimize(cost, np.array([0.0, logit(usual)]), jac=True, bounds=((0.0, 5.0), (-8.0, 8.0)))
    slope, height = (float(v) for v in best.x)
    if slope < 0.01:  # flat: where it crosses means nothing
        return 0.0, 0.0
    return slope, min(max(middle + (logit(usual) - height) / slope, -50.0), 50.0)


def _alike(pairs: Sequence[tuple[float, float, bool]], scale: float) -> float:
    """Correlation of how sure two views are of one spot; 1 until there is something to go by.

    Of the sum and difference of pairs about the mean of their kind, so that the order in a pair plays no part
    (intraclass correlation; Fisher 1925, chapter 7).
    """
    together, alone, number = 0.0, 0.0, 0
    for kind in (True, False):
        own = scale * _logits(np.array([(a, b) for a, b, real in pairs if real is kind], np.float64).reshape(-1, 2))
        if len(own) >= 2:
            own = own - own.mean()
            together += 2 * float((own[:, 0] * own[:, 1]).sum())
            alone += float((own**2).sum())
            number += len(own)
    correlation = together / alone if alone > 0 else 1.0
    return min(max((FEW + number * correlation) / (FEW + number), 0.0), 1.0)


def _logits(scores: Floats) -> Floats:
    kept = np.clip(scores, SURELY, 1 - SURELY)
    return np.asarray(np.log(kept / (1 - kept)), np.float64)


def calibration(x: Floats, real: Floats) -> tuple[float, float]:
    """`(scale, offset)` of the log-odds of being a defect over the logit of the score (Platt 1999), drawn to (1, 0)."""
    if not len(x):
        return 1.0, 0.0

    def cost(line: Floats) -> tuple[float, Floats]:
        height = line[0] * x + line[1]
        away = line - np.array([1.0, 0.0])
        nats = float((np.logaddexp(0.0, height) - real * height).sum()) + RIDGE * float((away**2).sum())
        wrong = expit(height) - real
        return nats, np.array([(wrong * x).sum(), wrong.sum()]) + 2 * RIDGE * away

    best = minimize(cost, np.array([1.0, 0.0]), jac=True, bounds=((0.05, 5.0), (-8.0, 8.0)))
    return float(best.x[0]), float(best.x[1])
