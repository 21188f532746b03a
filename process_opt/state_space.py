"""The latent state of a part from step to step: what a step does and what a look tells, many parts (or draws) at once.

The state `x` (`d`) changes at step `k` by `x' = A(v) x + b(v) + w`, `w ~ N(0, Q)`: linear in the state, but the
settings `v` may
act by themselves, squared, with each other, and by changing what the state does (`A(v) = A + sum_j v_j A_j`). Given the
settings this is linear and Gaussian, so the Kalman filter is exact. Arrays carry the many (`N`) on the last axis.

Settings are evidence too: on rows where people chose them, `v_j = a + L x + M y + e` with `y` the last readings they
could see;
the part that `x` explains beyond `y` is what people saw and did not write down. Ignoring it biases the effect of the
settings.

Where a step's physics is known (`law.py`), some coordinates follow the formula instead,
`x' = f(x, v, c) + A(v) x + b(v) + w`, with the linear part near nothing: only what the formula leaves over is learnt.
`f` is taken by its tangent at what is believed of each part.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from process_opt.counted import truncated
from process_opt.law import Law, Local

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MANY_STATES = 6
"""Characteristics beyond which small matrices are no longer small."""

Term = tuple[tuple[int, ...], int]
"""A feature: levers multiplied with each other (by place within the step), and the coordinate it multiplies, or -1;
`((), -2 - j)` is constant `j` of the step's formula, in prior standard deviations from its prior mean."""


@dataclass(frozen=True)
class Motion:
    """What one step does. `F` features; the first are 1, then the `d` coordinates, then those of the settings."""

    terms: tuple[Term, ...]
    weights: Floats
    """`d x F`."""
    noise: Floats
    """`d x d`, covariance of what happens by chance."""
    unknown: Floats
    """`p`: variance of each setting, for parts on which it was not recorded."""
    law: Law | None = None
    """The step's formula; `weights` then hold what it leaves over, and its unknown constants."""
    late: tuple[int, ...] = ()
    """Places of settings of earlier steps that come to light here (`skips.py`); to terms they are further settings of
    this step, after its own, and `p` counts them."""

    @cached_property
    def joint(self) -> bool:
        """Does what happens to the state differ from part to part?"""
        return self.law is not None or any(levers and c >= 0 for levers, c in self.terms)

    def acting(self, levers: tuple[int, ...]) -> list[int]:
        """Places of all `p` settings that act here: the step's own (`Layout.levers`), then those that come late."""
        return [*levers, *self.late]

    @cached_property
    def columns(self) -> list[int]:
        """Places of the formula's unknown constants among the features."""
        return [f for f, (_, c) in enumerate(self.terms) if c <= -2]

    @cached_property
    def pinned(self) -> Bools:
        """`d x F`: weights that mean nothing and stay 0: a constant is for one characteristic only."""
        out = np.zeros(self.weights.shape, dtype=bool)
        out[:, self.columns] = True
        if self.law is not None:
            out[list(self.law.owners), self.columns] = False
        return out

    def local(
        self, x: Floats, v: Floats, weights: Floats | None = None, *, settings: bool = False, constants: bool = False
    ) -> Local:
        """The formula at states `x` (`d x N`) and settings `v`, with the constants of `weights` (`d x F x N`)."""
        assert self.law is not None
        w = self.weights[:, :, None] if weights is None else weights
        return self.law.local(x, v, w[list(self.law.owners), self.columns], settings=settings, constants=constants)

    def move(self, v: Floats, x: Floats) -> Floats:
        """`d x N`: the state after the step, without chance, from states `x`."""
        a, b = self.map(v, at=x)
        return np.asarray(np.einsum("ijn,jn->in", a, x) + b)

    def design(self, v: Floats) -> Floats:
        """`F x N`: what multiplies 1 or a coordinate, for `v` (`p x N`)."""
        out = np.ones((len(self.terms), v.shape[1]))
        for f, (levers, _) in enumerate(self.terms):
            for j in levers:
                out[f] *= v[j]
        return out

    def map(self, v: Floats, weights: Floats | None = None, at: Floats | None = None) -> tuple[Floats, Floats]:
        """`A` (`d x d x N`) and `b` (`d x N`) for settings `v` (`p x N`).

        Args:
            weights: `d x F x N` for different weights in each column; ours by default.
            at: `d x N`, states around which a formula is taken by its tangent; the usual state by default.
        """
        w = self.weights[:, :, None] if weights is None else weights
        d, n = w.shape[0], max(v.shape[1], w.shape[2])
        b = np.zeros((d, n)) + w[:, 0]
        a = w[:, 1 : d + 1] if w.shape[2] == n else np.repeat(w[:, 1 : d + 1], n, axis=2)
        if len(self.terms) > d + 1 and v.any():
            g = self.design(v)
            a = a.copy() if self.joint else a
            for f, (levers, c) in enumerate(self.terms):
                if not levers:
                    continue
                if c < 0:
                    b += w[:, f] * g[f]
                else:
                    a[:, c] += w[:, f] * g[f]
        if self.law is not None:
            x = np.zeros((d, 1)) if at is None else at
            local = self.local(x, v, w)
            a = a.copy()
            a[self.law.rows] += local.by_state
            b[self.law.rows] += local.value - np.einsum("rdn,dn->rn", local.by_state, np.broadcast_to(x, (d, n)))
        return a, b

    def unsure(self, known: Bools, v: Floats, x: Floats) -> Floats:
        """`d x d x N`: the variance that not knowing a setting adds; `known` and `v` are `p x N`, `x` is `d x N`."""
        d, n = self.weights.shape[0], x.shape[1]
        out = np.zeros((d, d, n))
        acts: dict[int, Floats] = {}
        for f, (levers, c) in enumerate(self.terms):
            if len(levers) == 1 and c < 0:
                acts[levers[0]] = np.repeat(self.weights[:, f : f + 1], n, axis=1)
        if self.law is not None:
            slopes = self.local(x, v, settings=True).by_setting
            for j, w in acts.items():
                if j < slopes.shape[1]:
                    w[self.law.rows] += slopes[:, j]
        for j, w in acts.items():
            out += w[:, None] * w[None, :] * np.where(known[j], 0.0, self.unknown[j])
        return out


@dataclass(frozen=True)
class Habit:
    """How people set one lever: `v = a + seen @ x + logged @ y + e`."""

    constant: float
    seen: Floats
    """`d`: response to the true state beyond what was logged."""
    logged: Floats
    """`d`: response to the last logged readings."""
    noise: float
    """Variance of `e`."""


@dataclass
class Seen:
    """What people last saw of `N` parts, as far as it is on record."""

    values: Floats
    """`d x N`, standardised; NaN where nothing is on record."""
    error: Floats
    """`d`: variance of the gauge that read it last."""
    ever: Bools
    """`d`: was it to be read before?"""

    @staticmethod
    def nothing(d: int, n: int) -> Seen:
        """Before the first step."""
        return Seen(np.full((d, n), np.nan), np.zeros(d), np.zeros(d, dtype=bool))

    def read(self, c: int, y: Floats, error: float, skipped: Bools | None, unlogged: bool) -> None:
        """Coordinate `c` was read as `y` (`N`, NaN where it is not on record).

        Args:
            skipped: as in `smoother.Records`, of this step; where a step was skipped the reading before counts on.
            unlogged: a reading that is not on record was seen all the same; else none was taken.
        """
        old = self.values[c]
        if unlogged:
            old = np.where(skipped, old, np.nan) if skipped is not None else np.full(old.shape, np.nan)
        self.values[c] = np.where(np.isfinite(y), y, old)
        self.error[c], self.ever[c] = error, True

    def told(self) -> Bools:
        """`d x N`: is it on record?"""
        return np.asarray(np.isfinite(self.values), dtype=bool)

    def answered(self, habit: Habit) -> tuple[Floats, Floats, Floats]:
        """How a setting answers: what the record says of it (`N`), its response to the true state (`d x N`; a reading
        that is not on record is the state and the gauge's error), and the variance that such errors add (`N`)."""
        told = self.told()
        unsaid = np.where(told, 0.0, habit.logged[:, None])
        known = habit.constant + habit.logged @ np.where(told, self.values, 0.0)
        return known, habit.seen[:, None] + unsaid, self.error @ unsaid**2


def look(
    m: Floats, p: Floats, h: Floats, innovation: Floats, noise: Floats | float, use: Bools
) -> tuple[Floats, Floats]:
    """Take in one scalar look `h @ x + e` at the state; also returns its predicted variance through `innovation`'s
    shape.

    Args:
        m, p: mean `d x N` and covariance `d x d x N`; changed in place.
        h: `d`, or `d x N`.
        innovation: `N`, look minus what was expected of it.
        noise: variance of `e`.
        use: `N`, false where there is no look.

    Returns:
        The predicted variance `N`, and the log likelihood of each column (0 where unused).
    """
    nonzero = np.flatnonzero(h) if h.ndim == 1 else np.zeros(0)
    if h.ndim == 2:
        ph = np.einsum("ijn,jn->in", p, h)
        s = np.einsum("in,in->n", h, ph) + noise
    elif nonzero.size == 1:
        c = int(nonzero[0])
        ph = p[:, c] * h[c]
        s = h[c] * ph[c] + noise
    else:
        ph = np.einsum("ijn,j->in", p, h)
        s = np.einsum("i,in->n", h, ph) + noise
    weight = np.where(use, 1.0 / s, 0.0)
    r = np.where(use, innovation, 0.0)
    gain = ph * weight
    m += gain * r
    p -= gain[:, None] * ph[None, :]
    return s, np.where(use, -0.5 * (r * r * weight + np.log(2 * np.pi * s)), 0.0)


def look_at_wish(
    m: Floats,
    p: Floats,
    h: Floats,
    middle: Floats,
    value: Floats,
    pressed: NDArray[np.int8],
    noise: Floats,
    use: Bools,
) -> Floats:
    """Take in how people set a lever, where some of them went to the machine's limit and may have wished for more
    (Tobin 1958): the wish is `h @ x + e` around `middle` (`N`), and the belief after it a normal one with its moments.

    Args:
        m, p, use: as in `look`; h: `d x N`.
        value: `N`, the settings; `pressed` (`N`): -1 and 1 where it is the lower or upper limit.
        noise: `N`, variance of `e`.

    Returns:
        `N`, the log likelihood (0 where unused).
    """
    ph = np.einsum("ijn,jn->in", p, h)
    s = np.einsum("in,in->n", h, ph) + noise
    wish, open_, told = _wish(value, pressed, middle, s, use)
    gain = np.where(use, ph / s, 0.0)
    m += gain * np.where(use, wish - middle, 0.0)
    p -= gain[:, None] * (ph * (1.0 - open_))[None, :]
    return np.where(use, told, 0.0)


def wished(
    value: Floats, pressed: NDArray[np.int8], middle: Floats, variance: Floats | float, use: Bools
) -> tuple[Floats, Floats]:
    """`N` each: what people who chose `value` wished for, and which share of `variance` their wish still has; the
    value itself, and nothing, where it is not the machine's limit."""
    if not pressed[use].any():
        return np.where(use, value, 0.0), np.zeros(value.size)
    wish, open_, _ = _wish(value, pressed, middle, variance, use)
    return np.where(use, wish, 0.0), open_


def _wish(
    value: Floats, pressed: NDArray[np.int8], middle: Floats, variance: Floats | float, use: Bools
) -> tuple[Floats, Floats, Floats]:
    sd = np.sqrt(variance) + np.zeros(value.size)
    at = np.where(use, value - middle, 0.0) / sd
    mean, left, told = truncated(np.where(pressed < 0, -np.inf, at), np.where(pressed > 0, np.inf, at))
    limit = pressed != 0
    return middle + sd * np.where(limit, mean, at), np.where(limit, left, 0.0), np.where(limit, told, told - np.log(sd))


def predict(m: Floats, p: Floats, a: Floats, b: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Mean and covariance after a step; `noise` is `d x d x N` or `d x d x 1`."""
    mean = np.einsum("ijn,jn->in", a, m) + b if a.shape[2] == m.shape[1] else np.einsum("ij,jn->in", a[:, :, 0], m) + b
    cov = sandwich(a, p) + noise
    return mean, cov


def sandwich(a: Floats, p: Floats) -> Floats:
    """`A P A'` for each of the many; plain matrix products where `A` is shared."""
    d, n = p.shape[0], p.shape[2]
    if a.shape[2] == 1:
        half = (a[:, :, 0] @ p.reshape(d, d * n)).reshape(d, d, n).transpose(1, 0, 2)
        return (a[:, :, 0] @ np.ascontiguousarray(half).reshape(d, d * n)).reshape(d, d, n)
    if d > MANY_STATES:
        left, middle = _many_first(a), _many_first(p)
        return _many_last(left @ middle @ left.transpose(0, 2, 1))
    return times(np.einsum("ijn,jkn->ikn", a, p), a)


def times(a: Floats, b: Floats) -> Floats:
    """`A B'` for each of the many, `d x d x N`."""
    if len(a) > MANY_STATES:
        return _many_last(_many_first(a) @ _many_first(b).transpose(0, 2, 1))
    return np.asarray(np.einsum("ijn,kjn->ikn", a, b))


def _many_first(a: Floats) -> Floats:
    """`N x d x d`, each matrix by itself in memory, for the library of matrix products: beyond `MANY_STATES` twice as
    fast as element by element over the many, with both copies."""
    return np.ascontiguousarray(a.transpose(2, 0, 1))


def _many_last(a: Floats) -> Floats:
    return np.ascontiguousarray(a.transpose(1, 2, 0))


def solve_each(p: Floats, b: Floats) -> Floats:
    """`P^-1 B` for each of the many: `p` is `d x d x N`, symmetric and positive definite, `b` is `d x m x N`.

    By Cholesky, all of the many at once: several times as fast as one small matrix after the other.
    """
    d = len(p)
    if d > MANY_STATES or p.shape[2] == 1:
        return np.ascontiguousarray(np.linalg.solve(p.transpose(2, 0, 1), b.transpose(2, 0, 1)).transpose(1, 2, 0))
    root = np.zeros_like(p)
    x = np.empty_like(b)
    for j in range(d):
        root[j, j] = np.sqrt(p[j, j] - (root[j, :j] ** 2).sum(axis=0))
        for i in range(j + 1, d):
            root[i, j] = (p[i, j] - (root[i, :j] * root[j, :j]).sum(axis=0)) / root[j, j]
        x[j] = (b[j] - (root[j, :j, None] * x[:j]).sum(axis=0)) / root[j, j]
    for j in reversed(range(d)):
        x[j] = (x[j] - (root[j + 1 :, j, None] * x[j + 1 :]).sum(axis=0)) / root[j, j]
    return x
