"""The same piece from other angles or in other light: labels that contradict each other, without aligning pictures.

For pieces whose views cannot be laid on each other: only presence, class and size are compared. A defect that is drawn
in one view and not in another is no contradiction in itself, for a scratch may show at one angle only; how often each
class shows in each view is learnt from the other parts, and only what that does not explain is asked about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from labeling.evidence import components
from qc.dataset import Sample

ERROR = 0.02
"""Chance that a person forgets a visible defect, draws one that is not there, calls it by a wrong name, or draws a
quite different size: one in fifty each, before anything is known."""

FROM_CLASS = 10.0
"""How a class shows in a single view is believed from about this many parts on; below, how it shows in all views."""

WIDE = 5.0
"""A wrong size strays this many times as far as a right one (the wide part of Tukey's contaminated normal)."""


class Contradiction(StrEnum):
    """What the views of a piece disagree about."""

    CLASS = "class"
    PRESENCE = "presence"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class ViewLabels:
    """What is drawn on one picture of a piece."""

    part: str
    view: str
    image: str
    areas: Mapping[int, int]
    """Class id to drawn pixels; classes that are not drawn are left out. Empty: it is labelled, and clean."""


@dataclass(frozen=True, slots=True)
class PieceQuestion:
    """A contradiction between the views of one piece, to be settled by a person."""

    part: str
    kind: Contradiction
    certainty: float
    """Chance in [0, 1] that at least one of the labels is wrong in this way."""
    classes: tuple[int, ...]
    images: tuple[str, ...]
    """All pictures of the piece; a person needs them side by side."""
    doubted: tuple[str, ...]
    """The pictures on which the fewer labels, or none, or the stray size stand."""
    harm: float = 1.0
    """Share in [0, 1] of the defect that is taught wrongly; 1 where its class or presence is in doubt."""
    also: tuple[PieceQuestion, ...] = ()
    """What else may be asked about the piece: of each other kind the likeliest."""

    @property
    def priority(self) -> float:
        """How sure times how harmful; the questions are ordered by it."""
        return self.certainty * self.harm

    def sentence(self, names: Mapping[int, str]) -> str:
        """The question in words."""
        called = " or ".join(names.get(c, str(c)) for c in self.classes)
        count = f"{len(self.doubted)} of {len(self.images)} pictures"
        return {
            Contradiction.CLASS: f"Is the defect of {self.part} a {called}? {count} say otherwise than the rest.",
            Contradiction.PRESENCE: f"Does {self.part} have a {called}? Nothing is drawn on {count}.",
            Contradiction.SIZE: f"How large is the {called} of {self.part}? {count} stray from the rest.",
        }[self.kind]


def view_labels(samples: Iterable[Sample], classes: Mapping[int, str]) -> list[ViewLabels]:
    """What is drawn on each labelled picture; specks do not count."""
    found = []
    for sample in samples:
        if sample.mask is None:
            continue
        areas: dict[int, int] = {}
        for class_id, _, pixels in components(sample.labels(classes)):
            areas[class_id] = areas.get(class_id, 0) + int(pixels.sum())
        found.append(ViewLabels(sample.part, sample.view, sample.name, areas))
    return found


def contradictions(labels: Sequence[ViewLabels]) -> list[PieceQuestion]:
    """One question for each piece of several views whose labels differ, surest and most harmful first.

    Where two names for one defect are likelier than not, that is the question, and it explains the rest.

    Every hypothesis is a small probability model with `ERROR` as the chance of a slip; the certainty is the posterior
    chance of a slip. For classes: one defect called by two names, against two defects. For presence: forgotten or
    invented, against not showing in that view. For sizes: a contaminated normal (Tukey 1960) of the logarithms.
    What is learnt about a class leaves out the piece in question.
    """
    pieces: dict[str, list[ViewLabels]] = {}
    for label in labels:
        pieces.setdefault(label.part, []).append(label)
    shows = _Visibility(pieces)
    scatter = _scatter(pieces)
    questions = []
    for part, views in pieces.items():
        if len(views) < 2 or not any(v.areas for v in views):
            continue
        named = _class_doubts(part, views, shows)
        views = _by_one_name(views, named)
        doubts = [*named, *_presence_doubts(part, views, shows), *_size_doubts(part, views, scatter)]
        best: dict[Contradiction, PieceQuestion] = {}
        for doubt in sorted(
            doubts, key=lambda q: (q.kind is not Contradiction.CLASS or q.certainty < 0.5, -q.priority)
        ):
            best.setdefault(doubt.kind, doubt)
        if best:
            first, *rest = best.values()
            questions.append(replace(first, also=tuple(q for q in rest if q.certainty >= ERROR)))
    return sorted(questions, key=lambda q: (-q.priority, q.kind is not Contradiction.CLASS, q.part))


class _Visibility:
    """How often each class is drawn in each view of a piece that has it, learnt from all pieces but one."""

    def __init__(self, pieces: Mapping[str, Sequence[ViewLabels]]) -> None:
        self._pieces = len(pieces)
        self._with: dict[int, int] = {}
        self._drawn: dict[tuple[int, str | None], int] = {}
        self._asked: dict[tuple[int, str | None], int] = {}
        self._own: dict[str, Sequence[ViewLabels]] = dict(pieces)
        for views in pieces.values():
            for class_id in _classes(views):
                self._with[class_id] = self._with.get(class_id, 0) + 1
            self._add(views)

    def _add(self, views: Sequence[ViewLabels]) -> None:
        for key, drawn in _counts(views):
            self._drawn[key] = self._drawn.get(key, 0) + drawn
            self._asked[key] = self._asked.get(key, 0) + 1

    def drawn(self, class_id: int, view: str, part: str) -> float:
        """Chance that a class of a piece is drawn in this view, slips included; in (0, 1)."""
        own = _counts(self._own[part])
        in_all = self._share(own, (class_id, None), 0.5, 2.0)
        return self._share(own, (class_id, view), in_all, FROM_CLASS)

    def _share(
        self,
        own: Sequence[tuple[tuple[int, str | None], bool]],
        key: tuple[int, str | None],
        mean: float,
        weight: float,
    ) -> float:
        drawn = self._drawn.get(key, 0) - sum(d for k, d in own if k == key)
        asked = self._asked.get(key, 0) - sum(k == key for k, _ in own)
        return (mean * weight + drawn) / (weight + asked)

    def common(self, class_id: int, part: str) -> float:
        """Share of the other pieces that have this class; in (0, 1)."""
        own = class_id in _classes(self._own[part])
        return (self._with.get(class_id, 0) - own + 0.5) / (self._pieces - 1 + 1.0)


def _classes(views: Sequence[ViewLabels]) -> set[int]:
    return {class_id for view in views for class_id in view.areas}


def _counts(views: Sequence[ViewLabels]) -> list[tuple[tuple[int, str | None], bool]]:
    """((class, view), drawn?) of every class that the piece has; view None stands for all of them."""
    counts = list[tuple[tuple[int, str | None], bool]]()
    for class_id in sorted(_classes(views)):
        for view in views:
            counts += [((class_id, view.view), class_id in view.areas), ((class_id, None), class_id in view.areas)]
    return counts


def _class_doubts(part: str, views: Sequence[ViewLabels], shows: _Visibility) -> list[PieceQuestion]:
    """Two classes that are hardly ever drawn in the same view of the piece: one defect with two names?"""
    doubts = []
    classes = sorted(_classes(views))
    for place, one in enumerate(classes):
        for two in classes[place + 1 :]:
            ones = [v for v in views if one in v.areas]
            twos = [v for v in views if two in v.areas]
            either = [v for v in views if one in v.areas or two in v.areas]
            both = len(ones) + len(twos) - len(either)
            separate = math.log(max(shows.common(one, part), shows.common(two, part)))
            separate += _pattern(views, one, shows, part) + _pattern(views, two, shows, part)
            usual = one if len(ones) >= len(twos) else two
            single = math.log(ERROR) + both * math.log(ERROR)  # drawn twice in one view: yet another slip
            for view in views:
                chance = shows.drawn(usual, view.view, part)
                single += math.log(chance if view in either else 1 - chance)
            single -= math.log((len(either) + 1) * math.comb(len(either), min(len(ones), len(either))))
            certainty = 1 / (1 + math.exp(min(separate - single, 700.0)))
            fewer = ones if len(ones) < len(twos) else twos
            doubts.append(_question(part, Contradiction.CLASS, certainty, (one, two), views, fewer))
    return doubts


def _by_one_name(views: Sequence[ViewLabels], doubts: Sequence[PieceQuestion]) -> list[ViewLabels]:
    """The views with doubtful names replaced by the usual one, so that a second name is no absence of the first."""
    called: dict[int, int] = {}
    for doubt in doubts:
        if doubt.certainty >= 0.5:
            one, two = doubt.classes
            usual, other = (one, two) if all(_has(views, doubt.doubted, two)) else (two, one)
            called[other] = usual
    out = []
    for view in views:
        areas: dict[int, int] = {}
        for class_id, area in view.areas.items():
            name = called.get(class_id, class_id)
            areas[name] = areas.get(name, 0) + area
        out.append(ViewLabels(view.part, view.view, view.image, areas))
    return out


def _has(views: Sequence[ViewLabels], images: Sequence[str], class_id: int) -> Iterable[bool]:
    return (class_id in v.areas for v in views if v.image in images)


def _pattern(views: Sequence[ViewLabels], class_id: int, shows: _Visibility, part: str) -> float:
    """Log-chance of the views in which a class is drawn, if the piece has it."""
    total = 0.0
    for view in views:
        chance = shows.drawn(class_id, view.view, part)
        total += math.log(chance if class_id in view.areas else 1 - chance)
    return total


def _presence_doubts(part: str, views: Sequence[ViewLabels], shows: _Visibility) -> list[PieceQuestion]:
    """A class drawn in some views and not in others."""
    doubts = []
    for class_id in sorted(_classes(views)):
        blank = [v for v in views if class_id not in v.areas]
        if not blank:
            continue
        drawn = len(views) - len(blank)
        explained = forgotten_or_hidden = 0.0
        for view in blank:
            chance = shows.drawn(class_id, view.view, part)
            hidden = max(1 - chance / (1 - ERROR), 1e-6)  # what is drawn is what shows and was not forgotten
            explained += math.log(hidden)
            forgotten_or_hidden += math.log(1 - chance)
        seen = math.log(shows.common(class_id, part)) + _pattern(views, class_id, shows, part) - forgotten_or_hidden
        right = math.exp(seen + explained)
        forgotten = max(math.exp(seen + forgotten_or_hidden) - right, 0.0)
        invented = (1 - shows.common(class_id, part)) * ERROR**drawn * (1 - ERROR) ** len(blank)
        certainty = (forgotten + invented) / (right + forgotten + invented)
        doubts.append(_question(part, Contradiction.PRESENCE, certainty, (class_id,), views, blank))
    return doubts


def _scatter(pieces: Mapping[str, Sequence[ViewLabels]]) -> dict[int, float]:
    """For each class, the standard deviation of the logarithm of its drawn area between the views of a piece.

    From the median difference of pairs, which needs no centre and bears outliers (Rousseeuw and Croux 1993).
    """
    apart: dict[int, list[float]] = {}
    for views in pieces.values():
        for class_id in _classes(views):
            sizes = np.log([v.areas[class_id] for v in views if class_id in v.areas])
            first, second = np.triu_indices(len(sizes), k=1)
            apart.setdefault(class_id, []).extend(np.abs(sizes[first] - sizes[second]).tolist())
    return {c: max(1.4826 / math.sqrt(2) * float(np.median(d)), 0.05) for c, d in apart.items() if len(d) >= 6}


def _size_doubts(part: str, views: Sequence[ViewLabels], scatter: Mapping[int, float]) -> list[PieceQuestion]:
    doubts = []
    for class_id, usual in scatter.items():
        drawn = [v for v in views if class_id in v.areas]
        if len(drawn) < 3:
            continue
        sizes = np.log([v.areas[class_id] for v in drawn])
        strays = np.abs(sizes - np.median(sizes)) / usual
        worst = float(strays.max())
        wide = ERROR / WIDE * math.exp(-0.5 * (worst / WIDE) ** 2)
        narrow = (1 - ERROR) * math.exp(-0.5 * worst**2)
        certainty = wide / (wide + narrow) if wide + narrow > 0 else 1.0
        far = [v for v, stray in zip(drawn, strays, strict=True) if stray >= 0.5 * worst]
        harm = 1 - math.exp(-float(np.abs(sizes - np.median(sizes)).max()))
        doubts.append(replace(_question(part, Contradiction.SIZE, certainty, (class_id,), views, far), harm=harm))
    return doubts


def _question(
    part: str,
    kind: Contradiction,
    certainty: float,
    classes: tuple[int, ...],
    views: Sequence[ViewLabels],
    doubted: Sequence[ViewLabels],
) -> PieceQuestion:
    images = tuple(v.image for v in views)
    return PieceQuestion(part, kind, certainty, classes, images, tuple(v.image for v in doubted))
