"""What to label next: one number for each candidate, and a share drawn at random, so that estimates stay honest.

A label is worth its price where it is likely to yield a defect of a class that labels lack, where the model is unsure,
where a likely defect looks like nothing labelled before, or where opinions differ; worth is divided by the time it
takes. Clean surfaces are a class like the others, and mostly the one that no labels lack. Labels chosen that way say
nothing about how often the model is wrong; labels drawn by chance do, and each keeps the chance it was drawn with.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput

WEIGHTS = {"uncertainty": 0.5, "disagreement": 1.0, "novelty": 1.0, "rarity": 1.0}
"""How far each reason alone can carry a candidate: a quarrel, what a memory of clean surfaces does not know, or a sure
defect of a class that labels lack, to the very top; a doubt half the way. A model that learnt from few labels doubts
clean surfaces as well, while a memory of the clean ones among them knows what it has not seen (see the README)."""

LOOKS = 0.5
"""A look that differs from all that is labelled, where a defect is likely, is worth so much of what a memory of clean
surfaces finds: odd clean surfaces look different, too."""

CLEAN = 0
"""Where labels are counted by class: the pictures on which people found no defect."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something a person could label."""

    id: str
    uncertainty: float
    """In [0, 1]; see `uncertainty`."""
    disagreement: float = 0.0
    """In [0, 1]: between model versions, with the operator, or between views."""
    classes: Mapping[int, float] = field(default_factory=dict)
    """Class id to the chance that labelling it yields a defect of that class."""
    embedding: Sequence[float] | None = None
    """Where it lies among all surfaces; any length, the same for all."""
    novelty: float = 0.0
    """In [0, 1]: how unlike everything that a model remembers it is; an embedding can only add to it."""
    cost_s: float = 60.0
    """Seconds a person will need."""

    @property
    def likely(self) -> float:
        """The chance that it shows a defect of a known class; 1 where nothing was said about classes."""
        return max(self.classes.values(), default=1.0)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A candidate to be labelled."""

    id: str
    worth: float
    """In [0, 1]."""
    chance: float
    """With which it was chosen, in (0, 1]; 1 / `chance` is its weight in an estimate."""
    by_chance: bool
    """Drawn at random, and not for its worth."""


def uncertainty(scores: Sequence[float]) -> float:
    """Of a frame, from its defects' scores: that of the most doubtful one; 1 at a score of one half, 0 without any."""
    return max((1.0 - abs(2.0 * s - 1.0) for s in scores), default=0.0)


def labelling_seconds(defects: int, megapixels: float) -> float:
    """How long a person will need, about: to open it, to look it over, and to mend each proposed defect."""
    return 10.0 + 5.0 * megapixels + 8.0 * defects


def choose(
    candidates: Sequence[Candidate],
    *,
    count: int,
    share_at_random: float,
    labelled: Mapping[int, int],
    known: Sequence[Sequence[float]] = (),
    seed: int = 0,
) -> list[Chosen]:
    """The next `count` to label, most worth first; those drawn at random are mixed in at random places.

    The worthiest `count - r` are taken for certain, then `r` uniformly from the rest, so that each candidate's chance
    of being labelled is known: 1, or r over the rest.

    Args:
        candidates: all that could be labelled.
        count: how many are wanted; all of them if there are fewer.
        share_at_random: of `count`, in [0, 1].
        labelled: class id to the number of labelled defects so far; `CLEAN` to that of pictures without any.
        known: embeddings of what is labelled.
        seed: the same seed draws the same.

    Raises:
        InvalidInput: a share, chance or cost is out of its range, or embeddings differ in length.
    """
    if not 0 <= share_at_random <= 1 or count < 0:
        raise InvalidInput(f"cannot choose {count} with a share of {share_at_random} at random")
    _check(candidates)
    count = min(count, len(candidates))
    drawn = min(math.ceil(count * share_at_random), count)
    order, number = _worthiest(candidates, labelled, known, count - drawn)
    taken = set(order)
    rest = [k for k in range(len(candidates)) if k not in taken]
    random = np.random.default_rng(seed)
    lucky = random.choice(rest, drawn, replace=False).tolist() if drawn else []
    chosen = [Chosen(candidates[k].id, float(number[k]), 1.0, False) for k in order]
    for k in lucky:
        place = int(random.integers(len(chosen) + 1))
        chosen.insert(place, Chosen(candidates[k].id, float(number[k]), drawn / len(rest), True))
    return chosen


def _check(candidates: Sequence[Candidate]) -> None:
    for c in candidates:
        numbers = (c.uncertainty, c.disagreement, c.novelty, *c.classes.values())
        if not all(0 <= x <= 1 for x in numbers) or not 0 < c.cost_s < math.inf:
            raise InvalidInput(f"candidate {c.id}: chances must lie in [0, 1] and the cost must be positive")
    if len({len(c.embedding) for c in candidates if c.embedding is not None}) > 1:
        raise InvalidInput("the candidates' embeddings have different lengths; take all from one model")


def weigh(
    candidates: Sequence[Candidate], *, labelled: Mapping[int, int], known: Sequence[Sequence[float]] = ()
) -> dict[str, float]:
    """Every candidate's worth for its price, in [0, 1], by id; arguments and errors as for `choose`."""
    chosen = choose(candidates, count=len(candidates), share_at_random=0.0, labelled=labelled, known=known)
    return {each.id: each.worth for each in chosen}


def novelties(candidates: Sequence[Candidate], known: Sequence[Sequence[float]]) -> dict[str, float]:
    """How unlike what is labelled each one is, in [0, 1], by id: by what a model remembers, or by its embedding, which
    counts as far as a defect is likely."""
    have = [c for c in candidates if c.embedding is not None]
    found = {c.id: c.novelty for c in candidates}
    if not have or not len(known):
        return found
    space = np.array([c.embedding for c in have], np.float64)
    near = np.full(len(have), np.inf)
    for point in np.asarray(known, np.float64):
        near = np.minimum(near, np.linalg.norm(space - point, axis=1))
    for c, far in zip(have, 1.0 - np.exp(-near / _spread(space)), strict=True):
        found[c.id] = max(found[c.id], c.likely * float(far))
    return found


def reasons(candidate: Candidate, labelled: Mapping[int, int]) -> dict[str, float]:
    """What speaks for a candidate before its price: each in [0, 1], and not yet weighted (`WEIGHTS`)."""
    most = max(labelled.values(), default=0)
    rarity = 0.0
    if most:
        rarity = max((p * (1 - labelled.get(c, 0) / most) for c, p in candidate.classes.items()), default=0.0)
    return {
        "uncertainty": candidate.uncertainty,
        "disagreement": candidate.disagreement,
        "novelty": candidate.novelty,
        "rarity": rarity,
    }


def _worthiest(
    candidates: Sequence[Candidate], labelled: Mapping[int, int], known: Sequence[Sequence[float]], count: int
) -> tuple[list[int], Floats]:
    """Places of the worthiest, in order, and every candidate's number, which never rises along that order.

    After each pick the others' novelty falls where they resemble it, so that ten pictures of one scratch are not picked
    together (farthest-first, as in Sener and Savarese 2018, arXiv:1708.00489), and what it is expected to yield counts
    as labelled, so that a batch is not all of one class.
    """
    calm = np.array([_calm(c) for c in candidates])
    cost = np.array([c.cost_s for c in candidates])
    price = np.clip(np.median(cost) / cost if len(cost) else cost, 0.0, 1.0)  # what is cheap gains nothing by it
    yields, labels = _yields(candidates, labelled)
    near, space = _distances(candidates, known)
    have = np.array([c.embedding is not None for c in candidates], bool)
    likely = np.array([c.likely for c in candidates])
    strange = np.array([c.novelty for c in candidates], np.float64)
    spread = _spread(space[have])

    def number() -> Floats:
        looks = LOOKS * likely * (1.0 - np.exp(-near / spread))
        novelty = np.maximum(np.where(have, looks, 0.0), strange)
        lack = 1.0 - labels / max(float(labels.max()), 1e-9)
        rarity = (yields * lack)[:, 1:].max(axis=1, initial=0.0)  # a clean surface more is nothing to look for
        rest = calm * (1.0 - WEIGHTS["rarity"] * rarity) * (1.0 - WEIGHTS["novelty"] * novelty)
        return np.asarray((1.0 - rest) * price, np.float64)

    final, order, last = number(), list[int](), 1.0
    for _ in range(count):
        now = number()
        now[order] = -1.0
        best = int(now.argmax())
        order.append(best)
        final[best] = last = min(last, float(now[best]))
        labels = labels + yields[best]
        if have[best]:
            near = np.minimum(near, np.linalg.norm(space - space[best], axis=1))
    return order, final


def _calm(candidate: Candidate) -> float:
    """That neither doubt nor quarrel makes it worth a label, were they independent."""
    return float(math.prod(1.0 - WEIGHTS[name] * getattr(candidate, name) for name in ("uncertainty", "disagreement")))


def _yields(candidates: Sequence[Candidate], labelled: Mapping[int, int]) -> tuple[Floats, Floats]:
    """What labelling each candidate is expected to add to the labels, candidate x class; and the labels so far.

    `CLEAN` is the first class. Before anything is labelled no class is rarer than another, and nothing is expected.
    """
    classes = [CLEAN, *sorted({*labelled, *(c for each in candidates for c in each.classes)} - {CLEAN})]
    labels = np.array([labelled.get(c, 0) for c in classes], np.float64)
    yields = np.array([[each.classes.get(c, 0.0) for c in classes] for each in candidates]).reshape(-1, len(classes))
    yields[:, 0] = [1.0 - each.likely for each in candidates]
    return yields * float(labels.any()), labels


def _distances(candidates: Sequence[Candidate], known: Sequence[Sequence[float]]) -> tuple[Floats, Floats]:
    """How far each candidate lies from what is labelled, infinite where nothing is; and the embeddings, or zeros."""
    near = np.full(len(candidates), np.inf)
    length = next((len(c.embedding) for c in candidates if c.embedding is not None), 1)
    space = np.array([c.embedding if c.embedding is not None else [0.0] * length for c in candidates], np.float64)
    space = space.reshape(-1, length)
    for point in np.asarray(known, np.float64).reshape(-1, length) if len(known) else ():
        near = np.minimum(near, np.linalg.norm(space - point, axis=1))
    return near, space


def _spread(space: Floats) -> float:
    """The mean distance between two candidates: the scale of what is far."""
    if len(space) < 2:
        return 1.0
    some = space[np.linspace(0, len(space) - 1, min(len(space), 200)).astype(int)]
    apart = np.linalg.norm(some[:, None] - some[None], axis=-1)
    return max(float(np.mean(apart[np.triu_indices(len(some), k=1)])), 1e-9)


def drawn_by_chance(key: str, share: float) -> bool:
    """Is this inspection among the share that is labelled whatever the model says? By a hash of its id.

    For a stream: the chance is `share` for every key, and the same key always gives the same answer.

    Raises:
        InvalidInput: the share is outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise InvalidInput(f"the share drawn at random must lie in [0, 1], not {share}")
    return int.from_bytes(hashlib.sha256(f"drawn {key}".encode()).digest()[:8], "big") / 2**64 < share


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over all candidates, estimated from the labelled ones."""

    value: float
    low: float
    """90 % interval."""
    high: float
    labels: int


def estimate(values: Sequence[float], chances: Sequence[float], *, total: int) -> Estimate:
    """The mean of a quantity over all candidates, from those that were labelled, without bias.

    Args:
        values: the quantity of each labelled candidate, for example 1 where the model was wrong.
        chances: with which each was chosen (`Chosen.chance`).
        total: how many candidates there were.

    Raises:
        InvalidInput: nothing is labelled, lengths differ, or a chance is outside (0, 1].

    Source:
        Horvitz and Thompson 1952, JASA 47, eq. 6; the variance for independent draws (their eq. 9 without the joint
        terms), which is a little too large for draws without replacement.
    """
    y, p = np.asarray(values, np.float64), np.asarray(chances, np.float64)
    if len(y) == 0 or len(y) != len(p) or total < len(y):
        raise InvalidInput(f"{len(y)} values with {len(p)} chances say nothing about {total} candidates")
    if not ((p > 0) & (p <= 1)).all():
        raise InvalidInput("a chance of being chosen must lie in (0, 1]")
    mean = float((y / p).sum() / total)
    spread = float(np.sqrt((y**2 * (1 - p) / p**2).sum()) / total)
    reach = NormalDist().inv_cdf(0.95) * spread
    return Estimate(mean, mean - reach, mean + reach, len(y))
