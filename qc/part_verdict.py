"""The verdict of a part from all of its views, knowing that some defects are visible from one angle only.

Each suspected defect (`qc.part_evidence`) is judged by the product's policy as the frames were: by the sizes that its
views measured, but as sure as all views together are of it. Several that are each too doubtful may together call for a
person, and so may a view that is missing; neither makes a part not good. With a view whose camera failed no part is ok.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from qc.defects import CLOSE, logit, probability
from qc.part_evidence import ClassChance, Suspect, class_chances, class_of, suspects
from qc.part_places import Between, Look, Sighting, Spot, spots
from qc.part_settings import PartSettings
from qc.verdict import Policy, Verdict, worst


@dataclass(frozen=True, slots=True)
class Joined:
    """One suspected defect of a part."""

    class_name: str
    verdict: Verdict
    """By the policy, on it alone."""
    chance: float | None
    """That it is a defect; None where the worst view decides."""
    sightings: tuple[Sighting, ...]
    by_presence: tuple[Sighting, ...] = ()
    """Further ones, of views on which its place is not known."""
    silent: tuple[int, ...] = ()
    """Looks that might have answered and did not."""

    @property
    def looks(self) -> set[int]:
        """The looks that answered it."""
        return {s.look for s in (*self.sightings, *self.by_presence)}


@dataclass(frozen=True, slots=True)
class PartVerdict:
    """What is said of a part."""

    verdict: Verdict
    reason: str
    """In one sentence."""
    chance: float | None
    """That the part has a defect that counts under the policy; None where the worst view decides."""
    defects: tuple[Joined, ...]
    """Worst first."""
    classes: Mapping[str, ClassChance] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    """Views that such parts have, and this one has not."""
    faulty: tuple[str, ...] = ()
    """Views that could not be judged, as their camera failed, and that were not looked at since."""


def judge_part(
    looks: Sequence[Look],
    between: Between,
    policy: Policy,
    settings: PartSettings | None,
    *,
    threshold: float,
) -> PartVerdict:
    """Judge a part.

    Args:
        looks: of one part, each view of a station once, in the order in which they were taken.
        between: how the pictures lie on each other.
        policy: of the part's product.
        settings: what the model learnt about views; None: it learnt nothing, and the worst view decides.
        threshold: the model's.
    """
    seen = [look for look in looks if look.fault is None]
    looked = list(dict.fromkeys(look.view for look in seen))
    faulty = tuple(dict.fromkeys(look.view for look in looks if look.fault is not None and look.view not in looked))
    joined = spots(looks, between)
    if settings is None:
        return _worst_view(looks, joined, policy, faulty)
    known = any(view in settings.views for view in looked)
    absent = tuple(v for v in settings.views if known and v not in looked and v not in faulty)
    suspected = suspects(looks, joined, settings)
    judged = [_judged(s, looks, policy, settings, threshold) for s in suspected]
    none_seen = math.prod(1 - s.chance for s, (_, counts) in zip(suspected, judged, strict=True) if counts)
    chances = class_chances(suspected, looked, (*absent, *faulty), settings)
    matter = [chances[name] for name in chances if _matters(policy, name)]
    none_hidden, none_absent = math.prod(1 - c.hidden for c in matter), math.prod(1 - c.absent for c in matter)
    review_from = probability(settings.log_odds(probability(logit(threshold) - CLOSE)))
    verdict = worst(one.verdict for one, _ in judged)
    doubtful = 1 - none_seen * none_absent >= review_from or bool(faulty) or not seen
    if verdict is Verdict.OK and doubtful:
        verdict = Verdict.REVIEW
    part = PartVerdict(
        verdict=verdict,
        reason="",
        chance=1 - none_seen * none_hidden,
        defects=tuple(sorted((one for one, _ in judged), key=_bad)),
        classes=chances,
        missing=absent,
        faulty=faulty,
    )
    return replace(part, reason=_sentence(part, looks, seen=1 - none_seen, absent=1 - none_absent))


def _judged(
    suspect: Suspect, looks: Sequence[Look], policy: Policy, settings: PartSettings, threshold: float
) -> tuple[Joined, bool]:
    """The suspect under the policy, and whether it would count there if it were sure enough.

    Its views measured it differently; a defect is at least as large as any of them shows it.
    """
    score = settings.score(suspect.log_odds)
    beyond = logit(min(max(score, 1e-9), 1 - 1e-9)) - logit(threshold)
    sightings = (*suspect.sightings, *suspect.by_presence)
    verdicts, counts = [], False
    for s in sightings:
        seen = looks[s.look].defects[s.defect]
        whole = replace(
            seen, class_name=suspect.class_name, score=score, counts=beyond >= -1e-6, close=beyond >= -CLOSE
        )
        verdicts.append(policy.judge([whole], view=looks[s.look].view))
        sure = policy.judge([replace(whole, counts=True, close=True)], view=looks[s.look].view)
        counts = counts or sure is not Verdict.OK
    verdict, chance = worst(verdicts), suspect.chance
    return Joined(suspect.class_name, verdict, chance, suspect.sightings, suspect.by_presence, suspect.silent), counts


def _matters(policy: Policy, class_name: str) -> bool:
    """Does the policy mind the class at all?"""
    rule = policy.classes.get(class_name, policy.default)
    return rule.ng is not None or rule.review is not None


def _worst_view(looks: Sequence[Look], joined: Sequence[Spot], policy: Policy, faulty: tuple[str, ...]) -> PartVerdict:
    """The verdict where nothing was learnt about views."""
    defects = []
    for spot in joined:
        verdict = worst(
            policy.judge([looks[s.look].defects[s.defect]], view=looks[s.look].view) for s in spot.sightings
        )
        defects.append(Joined(class_of(looks, spot), verdict, None, spot.sightings, (), spot.silent))
    defects.sort(key=_bad)
    verdict = worst(one.verdict for one in defects)
    if verdict is Verdict.OK and (faulty or all(look.fault is not None for look in looks)):
        verdict = Verdict.REVIEW
    part = PartVerdict(verdict, "", None, tuple(defects), faulty=faulty)
    return replace(part, reason=_sentence(part, looks, seen=0.0, absent=0.0))


def _bad(one: Joined) -> tuple[int, float]:
    return -list(Verdict).index(one.verdict), -(one.chance or 0.0)


def _sentence(part: PartVerdict, looks: Sequence[Look], *, seen: float, absent: float) -> str:
    """Why, in one sentence."""
    start = {Verdict.OK: "OK", Verdict.REVIEW: "A person should look", Verdict.NG: "Not good"}[part.verdict]
    said, first = list[str](), part.defects[0] if part.defects else None
    if not any(look.fault is None for look in looks):
        said.append("no view could be looked at")
    elif first is None:
        said.append(f"{_views(looks, range(len(looks)))} {_show(looks, range(len(looks)))} nothing")
    else:
        more = sum(one.verdict is part.verdict for one in part.defects[1:]) if part.verdict is not Verdict.OK else 0
        said.append(_about(first, looks, decides=first.verdict is part.verdict is not Verdict.OK))
        if more:
            said.append(f"{more} more like it" if more > 1 else "one more like it")
        if part.verdict is Verdict.REVIEW and first.verdict is Verdict.OK and not part.faulty:
            said.append(f"together the doubts make a defect {seen:.0%} likely")
    if part.faulty:
        said.append(f"{_names(part.faulty)} could not be judged")
    if part.missing:
        chance = f", and would show a defect that is not seen with a chance of {absent:.1%}" if absent else ""
        said.append(f"{_names(part.missing)} {'is' if len(part.missing) == 1 else 'are'} missing{chance}")
    if part.chance is None and len({look.view for look in looks}) > 1:
        said.append("the worst view decides, as the model has not learnt which view shows what")
    return f"{start}: {'; '.join(said)}."


def _about(one: Joined, looks: Sequence[Look], *, decides: bool) -> str:
    sure = "" if one.chance is None else f", {one.chance:.0%} sure"
    text = f"{one.class_name}{sure}, in {_views(looks, sorted(one.looks))}"
    if one.silent:
        text += f", not in {_views(looks, one.silent)}"
    return text if decides else f"the surest suspicion is {text}"


def _views(looks: Sequence[Look], places: Iterable[int]) -> str:
    return _names([looks[n].view or f"view {n + 1}" for n in places if looks[n].fault is None])


def _show(looks: Sequence[Look], places: Iterable[int]) -> str:
    return "shows" if sum(looks[n].fault is None for n in places) == 1 else "show"


def _names(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "no view"
