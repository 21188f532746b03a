"""A defect drawn in one view and not in another: forgotten there, or does it not show there?

Two things tell. How often defects of the class that are drawn in the one view are drawn in the other, on other pieces
(a Beta posterior for each class and pair of views); and how far the other picture stands out where it should lie,
against how far it does where people drew one and where they did not. With v the chance that the defect is visible
there, given both, and e the share of visible defects that people forget, Bayes gives

    P(forgotten | not drawn) = e v / (e v + 1 - v).

Labels that are learnt from may be wrong themselves; so the chances go back into what is learnt, until they settle
(expectation maximisation; Dempster, Laird and Rubin 1977).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from labeling.carry import Carried, Fate
from labeling.views import ERROR, FROM_CLASS
from qc.geometry import Box

ROUNDS = 12
"""Rounds of expectation and maximisation; the chances change by less than a hundredth after about six."""

SURE_OF_ERROR = 50.0
"""`views.ERROR` is believed as if it had been seen on so many defects; then the labels at hand outweigh it."""

RIDGE = 0.05
"""Weight of the prior on slopes (one of a standard normal's nats in twenty): few labels give no steep curve."""

FOLDS = 5
"""What pictures say is learnt on four fifths of the parts, and applied to the other: no label speaks for itself."""

FEWEST = 8
"""Defects that are drawn in the other view, and that are not, from which on the pictures are listened to."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CarriedQuestion:
    """A label that another view of the same part puts in doubt."""

    part: str
    fate: Fate
    """`MISSING` or `RENAMED`."""
    certainty: float
    """Chance in [0, 1] that the labels of the two views are at odds by mistake."""
    visible: float
    """Chance in [0, 1] that such a defect shows in the other view, before knowing whether it is drawn."""
    class_id: int
    other_class: int | None
    image: str
    box: Box
    doubted: str
    """The picture on which it is not drawn, or called otherwise."""
    there: Box
    """Where on that."""

    def sentence(self, names: Mapping[int, str]) -> str:
        """The question in words."""
        name = names.get(self.class_id, str(self.class_id))
        where = f"at {self.there.x}, {self.there.y} of {self.doubted}"
        if self.fate is Fate.RENAMED and self.other_class is not None:
            other = names.get(self.other_class, str(self.other_class))
            return f"The {name} of {self.image} is called {other} {where}. Which is right?"
        return f"The {name} of {self.image} lies {where}, where nothing is drawn. Was it forgotten?"


def questions(carried: Sequence[Carried]) -> list[CarriedQuestion]:
    """One question for each spot where views are at odds, surest first; what visibility explains comes last."""
    known = [c for c in carried if c.fate in (Fate.MATCHED, Fate.MISSING, Fate.RENAMED)]
    forgotten, visible = _chances(known)
    asked = []
    for k, c in enumerate(known):
        if c.fate is Fate.MATCHED or c.there is None:
            continue
        certainty = forgotten[k] if c.fate is Fate.MISSING else _renamed(c, known)
        asked.append(
            CarriedQuestion(
                part=c.part,
                fate=c.fate,
                certainty=float(certainty),
                visible=float(visible[k]),
                class_id=c.class_id,
                other_class=c.other_class,
                image=c.image,
                box=c.box,
                doubted=c.other_image,
                there=c.there,
            )
        )
    asked.sort(key=lambda q: (-q.certainty, q.part, q.doubted, q.there.as_list()))
    return _once(asked)


def _once(asked: Sequence[CarriedQuestion]) -> list[CarriedQuestion]:
    """The surest question for each spot: a defect drawn in two other views is asked about once, a second name once."""
    kept: list[CarriedQuestion] = []
    for q in asked:
        same = (
            k
            for k in kept
            if (k.doubted == q.doubted and k.class_id == q.class_id and k.there.touches(q.there))
            or (q.fate is k.fate is Fate.RENAMED and k.doubted == q.image and k.there.touches(q.box))
        )
        if next(same, None) is None:
            kept.append(q)
    return kept


def _chances(known: Sequence[Carried]) -> tuple[Floats, Floats]:
    """For each carried defect: the chance that it was forgotten (0 where it is drawn), and that it is visible."""
    if not known:
        return np.zeros(0), np.zeros(0)
    missing = np.array([c.fate is Fate.MISSING for c in known])
    part = np.unique([c.part for c in known], return_inverse=True)[1]
    kind = np.array([c.class_id for c in known])
    pair = np.unique([f"{c.class_id} {c.view}\n{c.other_view}" for c in known], return_inverse=True)[1]
    shows = np.array([np.nan if c.shows is None else np.arcsinh(c.shows) for c in known])
    there = np.where(missing, ERROR, 1.0)  # chance that it is visible, drawn or not
    slips = ERROR
    visible = there
    for _ in range(ROUNDS):
        rate = _rates(there, part, kind, pair)
        odds = rate / (1 - rate) * _said_by_pictures(shows, there, kind, part % FOLDS)
        visible = np.clip(odds / (1 + odds), 1e-6, 1 - 1e-6)
        forgotten = slips * visible / (slips * visible + 1 - visible)
        there = np.where(missing, forgotten, 1.0)
        lost = float(there[missing].sum())
        slips = (ERROR * SURE_OF_ERROR + lost) / (SURE_OF_ERROR + float((~missing).sum()) + lost)
    return np.where(missing, there, 0.0), visible


def _rates(there: Floats, part: NDArray[np.int64], kind: NDArray[np.int64], pair: NDArray[np.int64]) -> Floats:
    """How often the class shows in the one view if it is drawn in the other, without the piece in question.

    The mean of a Beta posterior; its prior is that of the class over all pairs of views, worth `FROM_CLASS` defects.
    """
    rates = np.empty(len(there))
    for k in range(len(there)):
        others = part != part[k]
        same = others & (kind == kind[k])
        mean = (1.0 + there[same].sum()) / (2.0 + same.sum())
        here = others & (pair == pair[k])
        rates[k] = (FROM_CLASS * mean + there[here].sum()) / (FROM_CLASS + here.sum())
    return rates


def _said_by_pictures(shows: Floats, there: Floats, kind: NDArray[np.int64], fold: NDArray[np.int64]) -> Floats:
    """How much likelier the picture is if the defect shows than if not; 1 where nothing can be said.

    Density ratios by logistic regression (Qin 1998, Biometrika 85): first over all classes, then each class near that;
    learnt on the parts of the other folds.
    """
    ratio = np.ones(len(shows))
    told = np.isfinite(shows)
    if not told.any():
        return ratio
    x = (shows - float(shows[told].mean())) / max(float(shows[told].std()), 1e-6)
    for held_out in np.unique(fold):
        others = told & (fold != held_out)
        if min(there[others].sum(), (1 - there[others]).sum()) < FEWEST:
            continue
        general = _logistic(x[others], there[others], np.zeros(2))
        for class_id in np.unique(kind[told & (fold == held_out)]):
            known, asked = others & (kind == class_id), told & (fold == held_out) & (kind == class_id)
            line = _logistic(x[known], there[known], general)
            prior = (there[known].sum() + 0.5) / ((1 - there[known]).sum() + 0.5)
            ratio[asked] = np.exp(np.clip(line[0] + line[1] * x[asked] - np.log(prior), -12.0, 12.0))
    return ratio


def _logistic(x: Floats, target: Floats, near: Floats) -> Floats:
    """Intercept and slope (at least 0) of a logistic regression on targets in [0, 1], drawn to `near`."""

    def cost(line: Floats) -> tuple[float, Floats]:
        height = line[0] + line[1] * x
        away = line - near
        nats = float((np.logaddexp(0.0, height) - target * height).sum()) + RIDGE * float((away**2).sum())
        wrong = expit(height) - target
        return nats, np.array([wrong.sum(), (wrong * x).sum()]) + 2 * RIDGE * away

    best = minimize(cost, near, jac=True, bounds=((None, None), (0.0, None)))
    return np.asarray(best.x, np.float64)


def _renamed(question: Carried, known: Sequence[Carried]) -> float:
    """Chance that two names at one place are one defect, rather than two that happen to lie there.

    Slips of the name, `ERROR` in either view, against how often, on other pieces, a defect lies on another class's.
    """
    others = [c for c in known if c.part != question.part]
    by_chance = (0.5 + 0.5 * sum(c.fate is Fate.RENAMED for c in others)) / (1.0 + len(others))
    return 2 * ERROR / (2 * ERROR + by_chance)
