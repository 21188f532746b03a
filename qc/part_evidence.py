"""How likely a spot of a part is a defect, from all views: what one says, weighed by what the others should have seen.

Two explanations compete for a spot: a defect, which view v answers with chance d_v (it shows there, and the model finds
it: visibility times recall), or something else that the model takes for one, such as a grain, which any view answers
with chance k. Given either, views answer independently; how *sure* they are is correlated (`alike`, r). Then

    log-odds = logit(p0) + sum over the views that answer of [w (logit(p_v) - logit(p0)) + log(d_v / k)]
             + sum over the silent ones of log((1 - d_v) / (1 - k)) - log(d / k)

with p_v the view's own calibrated chance, p0 the share of answers that are defects, d the mean of d_v over the views
that the model was calibrated on, and w = 1 / (1 + (n - 1) r) for n answers, the exact weight of equicorrelated normal
evidence (Kish 1965's design effect). So a single view gives back its own chance; a defect that hardly shows elsewhere
(d_v near k) loses nothing by their silence; and two views that saw the same grain count about once, as k is then large.

What is faint in its surest view is seldom answered elsewhere, and a stain that one view is sure of often is: for the
other views, the log-odds of d_v and of k rise with how sure the surest view is (two slopes, learnt; 0: they do not).

Views that cannot be laid on each other are compared by presence: with f the share of pictures on which the class is
answered somewhere for no reason, a view of presence counts log((d e^(w l) + (1 - d) f) / (k + (1 - k) f)) in place of
w l + log(d / k), where l = logit(p_v) - logit(p0): what it answered may be something else.

A part has a defect of a class if one of its spots is one, or one is there that no view answered: with m such defects a
part, thinned by every view that looked, 1 - prod(1 - q_j) exp(-m prod(1 - d_v)) (noisy or; Pearl 1988).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qc.defects import logit, probability
from qc.part_places import Look, Sighting, Spot
from qc.part_settings import MOST_SURE, PartSettings, Shows

LEAST = 0.01
"""Chances that decide are kept this far from 0 and 1: no count of labels proves that a class never shows in a view."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A spot, or one in each of several groups of views that cannot be laid on each other, taken for one defect."""

    class_name: str
    sightings: tuple[Sighting, ...]
    by_presence: tuple[Sighting, ...]
    """Further ones, of views on which its place is not known."""
    silent: tuple[int, ...]
    """Looks that might have answered and did not."""
    log_odds: float
    """That it is a defect."""

    @property
    def chance(self) -> float:
        """That it is a defect, in (0, 1)."""
        return probability(self.log_odds)


def suspects(looks: Sequence[Look], spots: Sequence[Spot], settings: PartSettings) -> list[Suspect]:
    """What is suspected on a part, surest first.

    The surest spots of a class in different groups of views are taken for one defect. A look is silent about a spot
    only if it was taken with it or later: a defect may have come since an earlier one.

    Args:
        looks: of one part.
        spots: as `qc.part_places.spots` joined them.
    """
    by_class: dict[str, list[Spot]] = {}
    for spot in spots:
        by_class.setdefault(class_of(looks, spot), []).append(spot)
    found = []
    for name, own in by_class.items():
        answering = {s.look for spot in own for s in spot.sightings}
        own = sorted(own, key=lambda spot: -_weigh(looks, spot, name, settings).log_odds)
        while own:
            spot, *own = own
            group, others = set(spot.group), list[Sighting]()
            for rival in list(own):
                if not group & rival.group:
                    group |= rival.group
                    others += rival.sightings
                    own.remove(rival)
            elsewhere = {n for n, look in enumerate(looks) if look.fault is None} - group - answering
            found.append(_weigh(looks, spot, name, settings, others, sorted(elsewhere)))
    return sorted(found, key=lambda s: -s.log_odds)


def class_of(looks: Sequence[Look], spot: Spot) -> str:
    """The class of a spot: what the surest answer calls it."""
    surest = max(spot.sightings, key=lambda s: looks[s.look].defects[s.defect].score)
    return looks[surest.look].defects[surest.defect].class_name


def _weigh(
    looks: Sequence[Look],
    spot: Spot,
    name: str,
    settings: PartSettings,
    others: Sequence[Sighting] = (),
    elsewhere: Sequence[int] = (),
) -> Suspect:
    """The formula above, for a spot, what may be the same elsewhere, and looks elsewhere without such an answer."""
    first = min(looks[s.look].moment for s in spot.sightings)
    silent = [n for n in (*spot.silent, *elsewhere) if looks[n].moment >= first]
    shows, start = settings.classes.get(name), logit(settings.real)
    surest = {place: _surest(looks, chosen) for place, chosen in ((True, spot.sightings), (False, others))}
    shown = max(surest[True].items(), key=lambda one: one[1])  # the surest view, and its score
    sure = settings.sureness(shown[1])
    again = _moved(settings.repeats, settings.repeat_slope * (sure - settings.repeat_at))
    weight = 1.0 / (1.0 + (len(surest[True]) + len(surest[False]) - 1) * settings.alike)

    def chances(n: int) -> tuple[float, float]:
        """d_v and k of a look; of a class of which nothing is known they are equal, so that it says nothing."""
        if shows is None:
            return again, again
        found = _decisive(shows.found(looks[n].view))
        if n == shown[0]:
            return found, mean_found(shows, settings)  # of the surest view it only counts how the class shows there
        return _moved(found, settings.found_slope * (sure - settings.found_at)), again

    total = start
    for here, scores in surest.items():
        for n, score in scores.items():
            found, repeats = chances(n)
            by_chance = 0.0 if here or shows is None else shows.strays
            says = weight * (settings.log_odds(score) - start)
            hit = found * math.exp(says) + (1 - found) * by_chance
            total += math.log(hit / (repeats + (1 - repeats) * by_chance))
    for n in silent:
        found, repeats = chances(n)
        total += math.log((1 - found) / (1 - repeats))
    total = min(max(total, -MOST_SURE), MOST_SURE)
    return Suspect(name, spot.sightings, tuple(others), tuple(silent), total)


def _surest(looks: Sequence[Look], sightings: Sequence[Sighting]) -> dict[int, float]:
    """The highest score of each look."""
    scores: dict[int, float] = {}
    for s in sightings:
        scores[s.look] = max(scores.get(s.look, 0.0), looks[s.look].defects[s.defect].score)
    return scores


def mean_found(shows: Shows, settings: PartSettings) -> float:
    """The mean of d_v over the views that the model was calibrated on."""
    if not settings.views:
        return _decisive(shows.elsewhere * shows.recall)
    return sum(_decisive(shows.found(view)) for view in settings.views) / len(settings.views)


def _moved(chance: float, by: float) -> float:
    """A chance whose log-odds are moved."""
    return _decisive(probability(logit(_decisive(chance)) + by))


def _decisive(chance: float) -> float:
    return min(max(chance, LEAST), 1 - LEAST)


@dataclass(frozen=True, slots=True)
class ClassChance:
    """How likely a part has a defect of a class."""

    seen: float
    """That one of the suspects is one."""
    hidden: float
    """That one is there that no view answered."""
    absent: float
    """That one is there that no view answered, but the views that are missing would have."""

    @property
    def chance(self) -> float:
        """That the part has a defect of the class."""
        return 1 - (1 - self.seen) * (1 - self.hidden)


def class_chances(
    found: Sequence[Suspect], looked: Sequence[str], missing: Sequence[str], settings: PartSettings
) -> Mapping[str, ClassChance]:
    """By class, from the suspects of a part, the views that looked, and those that should have.

    A view that looked twice counts once: it misses the same defects again.
    """
    chances = {}
    for name in dict.fromkeys([*settings.classes, *(s.class_name for s in found)]):
        none_seen = math.prod(1 - s.chance for s in found if s.class_name == name)
        shows = settings.classes.get(name)
        left = full = 0.0
        if shows is not None:
            left = shows.per_part * math.prod(1 - _decisive(shows.found(v)) for v in set(looked))
            full = left * math.prod(1 - _decisive(shows.found(v)) for v in set(missing))
        chances[name] = ClassChance(1 - none_seen, -math.expm1(-left), -math.expm1(full - left))
    return chances
