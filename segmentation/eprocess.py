"""An anytime-valid test: is the challenger right more often than the champion, on the same parts?

One may look after every part and stop at any moment, because the evidence is a wager and not a p-value. Start with one
coin. Before each part on which exactly one of the two is right, stake a share `s` of the purse on the challenger: the
purse is multiplied by `1 + s` where it is right and by `1 - s` where the champion is. If the challenger is no better,
no way of staking makes the purse grow on average, so that the chance that it *ever* reaches `1 / alpha` is at most
`alpha` (Ville's inequality). A purse of 20 is therefore proof at 5 %, whenever it is looked at.

The right stake for a challenger that wins a share `p` of the disagreements is `2 p - 1`, which nobody knows. We divide
the first coin over all stakes from 0 to 1 (all `p` from 1/2 to 1) with the density `6 s (1 - s)`, and let each grow by
itself. An even division proves a challenger that is right on 80 % of the disagreements after 17 of them in the median
(exactly, by recursion); this one after 14, because the stakes next to 0 and 1 are hardly ever the right ones.

Source:
    Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", JRSS-B 86, section 4 (the
    wager); Ramdas et al. 2023, "Game-theoretic statistics and safe anytime-valid inference", Stat. Sci. 38 (the
    inequality); Robbins 1970, "Statistical methods related to the law of the iterated logarithm" (the mixture).
    Here the mixture is over 128 fixed stakes (Gauss-Legendre), valid as it stands: a mean of wagers is a wager.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput

Floats = NDArray[np.float64]

STAKES = 128
"""Gauss-Legendre: exact for this mixture up to 253 disagreements; beyond that a slightly coarser, equally valid one."""

ALPHA = 0.05
"""Share of challengers no better than the champion that may ever be called better."""


@cache
def _stakes() -> tuple[Floats, Floats]:
    """Stakes in (0, 1) and the logarithm of the share of the first coin that each was given."""
    nodes, weights = np.polynomial.legendre.leggauss(STAKES)
    stakes = (nodes + 1.0) / 2.0
    return stakes, np.log(weights / 2.0 * 6.0 * stakes * (1.0 - stakes))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the wager says after so many parts."""

    e_value: float
    """The purse now, at least 0; 1 at the start. May fall again; `highest` may not."""
    highest: float
    """The largest purse so far; at `1 / alpha` the challenger is proved better, for good."""
    parts: int
    """Parts that were put to it."""
    wins: int
    """On which only the challenger was right (a gain above 0)."""
    losses: int
    """On which only the champion was right (a gain below 0)."""
    alpha: float = ALPHA

    @property
    def proved(self) -> bool:
        """Did the purse ever reach `1 / alpha`?"""
        return self.highest >= 1.0 / self.alpha

    def words(self) -> str:
        """The state of the wager in one sentence."""
        told = f"right alone on {self.wins} parts, wrong alone on {self.losses}, of {self.parts} parts with known truth"
        need = f"evidence {self.highest:.3g} of the {1 / self.alpha:.3g} needed"
        return f"{told}; {need}" + ("" if self.proved else ", so that it is not proved yet")


class Wager:
    """The purse, part by part. Not safe to share between threads.

    Args:
        alpha: allowed share of false proofs, in (0, 1).
        margin: proves "not worse by `margin` or more" instead of "better"; in [0, 1), as a rate per part.
    """

    def __init__(self, *, alpha: float = ALPHA, margin: float = 0.0) -> None:
        if not 0 < alpha < 1:
            raise InvalidInput(f"alpha must lie between 0 and 1, not {alpha}")
        if not 0 <= margin < 1:
            raise InvalidInput(f"the margin must be at least 0 and less than 1, not {margin}")
        self.alpha, self.margin = alpha, margin
        self._log_purses = _stakes()[1].copy()
        self._highest = 0.0
        self.parts = self.wins = self.losses = 0

    def see(self, gain: float, *, stands_for: float = 1.0) -> None:
        """Put one part to the wager.

        Args:
            gain: 1 where only the challenger was right, -1 where only the champion was, 0 where they agree; less far
                from 0 for a part that stands for fewer parts (see `weighted`). In [-1, 1], and fixed in scale before
                the part was seen.
            stands_for: how many parts a part of gain 0 stands for that was picked at random among others of gain 0,
                such as 50 where each had a chance of 2 %; at least 1. A factor that is never below 1 may be divided by
                its chance: its mean over the picked and the others stays what it was.
        """
        if not -1.0 <= gain <= 1.0:
            raise InvalidInput(f"a part's gain must lie between -1 and 1, not {gain}")
        if stands_for < 1.0 or (stands_for > 1.0 and gain != 0):
            raise InvalidInput(f"a part of gain {gain} cannot stand for {stands_for} parts")
        self.parts += 1
        self.wins += gain > 0
        self.losses += gain < 0
        # at least -1, so that no stake can lose more than it has
        step = (gain + self.margin) * stands_for / (1.0 - self.margin)
        if step:
            self._log_purses += np.log1p(_stakes()[0] * step)
            self._highest = max(self._highest, self._log_purse())

    def evidence(self) -> Evidence:
        """Where the wager stands."""
        return Evidence(
            e_value=_exp(self._log_purse()),
            highest=_exp(max(self._highest, 0.0)),
            parts=self.parts,
            wins=self.wins,
            losses=self.losses,
            alpha=self.alpha,
        )

    def _log_purse(self) -> float:
        top = float(self._log_purses.max())
        return top + math.log(float(np.exp(self._log_purses - top).sum()))


def wager(gains: Iterable[float], *, alpha: float = ALPHA, margin: float = 0.0) -> Evidence:
    """The evidence of parts in the order in which their truth became known."""
    purse = Wager(alpha=alpha, margin=margin)
    for gain in gains:
        purse.see(gain)
    return purse.evidence()


def gain(truth_is_defective: bool, champion_says_defective: bool, challenger_says_defective: bool) -> int:
    """1: only the challenger was right; -1: only the champion; 0: both or neither."""
    return int(challenger_says_defective == truth_is_defective) - int(champion_says_defective == truth_is_defective)


def weighted(gain: float, share: float, least_share: float) -> float:
    """The gain of a part of which only a random share is looked at by people.

    A part that was picked with the chance `share` stands for `1 / share` parts. Divided by the largest weight there is,
    the gain stays within -1 and 1, and its mean over the picked parts has the sign of the mean over all parts.

    Args:
        share: the chance with which this part was picked, in (0, 1].
        least_share: the smallest chance that any part has, in (0, share].

    Raises:
        InvalidInput: the shares make no sense.
    """
    if not 0 < least_share <= share <= 1:
        raise InvalidInput(f"the shares {least_share} (least) and {share} must obey 0 < least <= share <= 1")
    return gain * least_share / share


def purses_of_disagreements(wins: NDArray[np.bool_]) -> Floats:
    """The purse after every disagreement, for many imaginary comparisons at once.

    Args:
        wins: `comparisons x disagreements`; True where the challenger was right.

    Returns:
        `comparisons x disagreements`: the purse after each; as `Wager`, computed at once.
    """
    stakes, shares = _stakes()
    won = np.cumsum(wins, axis=1, dtype=np.int64)
    number = np.arange(1, wins.shape[1] + 1)
    table = _purse_table(wins.shape[1], stakes, shares)
    return np.asarray(table[number[None, :], won])


def _purse_table(most: int, stakes: Floats, shares: Floats) -> Floats:
    """`[n, w]`: the purse after n disagreements of which w were won; 0 where w > n."""
    table = np.zeros((most + 1, most + 1))
    up, down = np.log1p(stakes), np.log1p(-stakes)
    for n in range(most + 1):
        w = np.arange(n + 1)[:, None]
        table[n, : n + 1] = np.exp(np.clip(shares + w * up + (n - w) * down, -700.0, 700.0)).sum(axis=1)
    return table


def _exp(log_value: float) -> float:
    return math.exp(min(log_value, 700.0))
