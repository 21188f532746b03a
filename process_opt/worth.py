"""Is following the advice worth money? Tested, not believed: by lot, and valid however often one looks.

Where both the advice and usual handling are acceptable, a lot decides which a part gets; it is drawn from the part's
name, so that it can be drawn again by anybody, and is kept with the recommendation. Each part then gives an unbiased
look at what advice is worth on it: with `A` the lot, `p` its share, `Y` the money and `m1`, `m0` what was expected of
either beforehand,

    psi = m1 - m0 + A / p (Y - m1) - (1 - A) / (1 - p) (Y - m0).

Whatever `m1` and `m0` say, right or wrong, the mean of `psi` is the true difference; good ones make it vary less.

Evidence is a wager, as for models (`segmentation/eprocess.py`), but on money: for `xi = (psi - guess) / unit >= -1`
and a true mean `mu`, `exp(l (psi - mu) / unit - (-log(1 - l) - l) xi^2)` multiplies up to a purse that nobody can make
grow on average, for every stake `l` in [0, 1); so their mean over stakes exceeds `1 / alpha` with a chance of at most
`alpha`, ever. All `mu` whose purses (one on either side) stayed below `2 / alpha` are the interval. It holds the mean
of the true differences over the parts so far, at every look, also while the model learns and the advice changes.

Source:
    Howard, Ramdas, McAuliffe, Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals
    of Statistics 49, theorem 4 (empirical Bernstein; the inequality is Fan, Grama, Liu 2015); psi is from Robins,
    Rotnitzky, Zhao 1994, JASA 89.
    Here the mixture is over fixed stakes, valid as it stands: a mean of purses is a purse.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from process_opt.process import Process
from process_opt.serving import Trial

Floats = NDArray[np.float64]

ALPHA = 0.05
"""Chance that the interval is ever wrong, and that advice which is worth nothing is ever called better or worse."""
STAKES: Floats = np.asarray(np.geomspace(0.002, 0.95, 32), dtype=np.float64)
"""From the best stake for half a million parts down to that for a dozen."""
ROOM = 0.25
"""Share of the unit by which the guess may leave what was expected; the unit is larger by so much."""

ADVICE, USUAL = "advice", "usual"


@dataclass(frozen=True, slots=True)
class Lot:
    """One part of the trial. Money from the step on at which the lot was drawn."""

    arm: str
    """`advice` or `usual`."""
    share: float
    """Chance of `advice`, in (0, 1)."""
    money: float
    """What the part brought in the end."""
    if_advised: float
    if_usual: float
    """What was expected of either way before the lot was drawn."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What the trial says, at any look."""

    parts: int
    advised: int
    """Of these, by lot."""
    gain: float
    """Estimate of what advice is worth, money a part; 0 before the first part."""
    low: float
    high: float
    """Hold the true mean over all these parts, at every look, with a chance of `1 - ALPHA`."""
    evidence: float
    """The purse against "advice is worth nothing, or less": 1 says nothing, 40 is proof."""

    @property
    def claim(self) -> str | None:
        """`better`, `worse`, or None: not known."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else None


def draw_lot(process: str, trial: Trial, part: str) -> str:
    """`advice` or `usual`: the same for a part whenever it is asked about, and for anybody who draws again."""
    digest = hashlib.sha256("\n".join((process, trial.name, part)).encode()).digest()
    return ADVICE if int.from_bytes(digest[:8]) / 2**64 < trial.share else USUAL


def offered(process: Process, trial: Trial, answer: dict[str, Any]) -> dict[str, Any] | None:
    """What an answer says of the trial; None where the part is not in it, because one way is not acceptable.

    Usual handling is expected to be worth what the part is if it goes on at nominal settings.
    """
    if answer["decision"] not in ("continue", "correct", "scrap"):
        return None
    usual = answer["value_if_continued"]
    if not trial.always and abs(answer["expected_value"] - usual) > trial.loss:
        return None
    return {
        "name": trial.name,
        "arm": draw_lot(process.name, trial, answer["part"]),
        "share": trial.share,
        "if_advised": answer["expected_value"],
        "if_usual": usual,
    }


def money_bounds(process: Process) -> tuple[float, float]:
    """The least and the most that a part can bring: every step run, every setting at its limit, and it escapes; or a
    good part for nothing. Money beyond (readings taken again and again) counts as at the bound."""
    spent = math.fsum(
        step.cost
        + (step.setup_cost if step.settings else 0.0)
        + math.fsum(s.change_cost * max(s.high - s.nominal, s.nominal - s.low) for s in step.settings)
        for step in process.steps
    )
    return min(process.escape, process.scrap) - spent, max(process.value, process.scrap)


class Purse:
    """The wager on one trial, part by part.

    Args:
        low, high: bounds of the money of a part (`money_bounds`).
        least_share: the smallest chance that either arm ever has.
    """

    def __init__(self, low: float, high: float, *, least_share: float = 0.5, alpha: float = ALPHA) -> None:
        self.low, self.high, self.alpha = low, high, alpha
        self.unit = (high - low) / least_share * (1 + ROOM)
        self.parts = self.advised = 0
        self.total = self.square = self._off = 0.0
        """Sum of psi, in money; sum of squared xi."""

    def see(self, lot: Lot) -> None:
        """Put one part to it, in the order in which lots were drawn."""
        money, one, none = (min(max(x, self.low), self.high) for x in (lot.money, lot.if_advised, lot.if_usual))
        expected = one - none
        off = (money - one) / lot.share if lot.arm == ADVICE else -(money - none) / (1 - lot.share)
        most = ROOM / (1 + ROOM) * self.unit
        guess = min(max(self._off / max(self.parts, 1), -most), most)
        self.square += ((off - guess) / self.unit) ** 2
        self.total += expected + off
        self._off += off
        self.parts += 1
        self.advised += lot.arm == ADVICE

    def worth(self) -> Worth:
        """Where it stands."""
        if not self.parts:
            return Worth(0, 0, 0.0, self.low - self.high, self.high - self.low, 1.0)
        reach = float(reach_of(np.array([self.square]), self.alpha)[0]) * self.unit
        purse = purse_of(np.array(self.total / self.unit), np.array(self.square))
        widest = self.high - self.low
        return Worth(
            parts=self.parts,
            advised=self.advised,
            gain=self.total / self.parts,
            low=max((self.total - reach) / self.parts, -widest),
            high=min((self.total + reach) / self.parts, widest),
            evidence=math.exp(min(float(purse), 700.0)),
        )


def weigh(lots: Iterable[Lot], low: float, high: float, *, alpha: float = ALPHA) -> Worth:
    """The worth of advice from parts in the order in which their lots were drawn."""
    drawn = list(lots)
    least = min((min(lot.share, 1 - lot.share) for lot in drawn), default=0.5)
    purse = Purse(low, high, least_share=least, alpha=alpha)
    for lot in drawn:
        purse.see(lot)
    return purse.worth()


def purse_of(total: Floats, square: Floats) -> Floats:
    """Logarithm of the purse against a true mean of 0 or less; any shape.

    Args:
        total: sums of psi, in units.
        square: sums of squared `xi`.
    """
    price = _cost(STAKES) * square[..., None]
    return np.asarray(logsumexp(STAKES * total[..., None] - price, axis=-1) - math.log(STAKES.size))


def reach_of(square: Floats, alpha: float = ALPHA) -> Floats:
    """How far, in units, the sum may be from the true one: where a purse on one side would hold `2 / alpha`.

    Args:
        square: any shape, sums of squared `xi`.
    """
    wanted = math.log(2 / alpha)
    low = np.zeros(square.shape)
    high = (wanted + math.log(STAKES.size) + _cost(STAKES)[0] * square) / STAKES[0]
    for _ in range(50):
        middle = (low + high) / 2
        enough = purse_of(middle, square) >= wanted
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.asarray(high)


def in_words(worth: Worth, currency: str) -> str:
    """The result in one sentence."""
    if not worth.parts:
        return "No part of the trial has an outcome yet."
    told = f"{worth.gain:+.2f} {currency} a part ({worth.low:+.2f} to {worth.high:+.2f}, {1 - ALPHA:.0%} at every look)"
    verdict = {
        "better": "Following the advice is worth money",
        "worse": "Following the advice loses money",
        None: "Whether following the advice is worth money is not known yet",
    }[worth.claim]
    return f"{verdict}: {told}, from {worth.parts} parts given to advice or usual handling by lot."


def _cost(stakes: Floats) -> Floats:
    return -np.log1p(-stakes) - stakes
