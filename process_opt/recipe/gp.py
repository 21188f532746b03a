"""A Gaussian process for one node, with exact slopes, and hyperparameters where their posterior is highest.

The kernel is a sum of what steps of a process do (inputs in the unit cube, `x` own, `p` parents):

- joint: a Matern 5/2 in all inputs (own length scale for each), which can be anything;
- main: a squared exponential in each input by itself: main effects mostly outweigh interactions (Duvenaud 2011,
  additive GPs) and are smooth, and what is not goes to the joint kernel;
- pass: `(p - o)(p' - o)` times a Matern 5/2 in `x`: what comes in is passed on in proportion, by a factor that the
  settings choose; `o`, where nothing is passed on, is learnt too.

Which of them a node needs is found by their amplitudes. Matern 5/2: Rasmussen & Williams 2006, eq. 4.17; marginal
likelihood and its slopes: eq. 5.8 and 5.9.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.optimize import minimize

from process_opt.recipe.network import Prior

Floats = NDArray[np.float64]

ROOT5 = float(np.sqrt(5.0))
LEVEL = 1.0
"""Variance of a node's unknown level, standardised."""
LEAST_NOISE = 1e-9
"""Variance of the error at least assumed, standardised: what keeps the matrix in order in double precision."""
LEAST_LEFT = 1e-13
"""Variance at least left, standardised: below, differences of rounded numbers."""
SHORTEST, LONGEST = 0.01, 30.0
"""Length scales, in widths of the input's range."""
MOST_STEPS = 40
AFRESH = 4
"""Every so many trials the hyperparameters are looked for from everywhere, else only from where they were."""


@dataclass(frozen=True)
class Shape:
    """Which kernels a node has, and where their logarithms lie in `theta`."""

    n: int
    parents: int
    plain: bool = False
    """Only the joint kernel: for what is left over from a known prior."""

    @cached_property
    def main(self) -> bool:
        """Are there main effects beside the joint one?"""
        return self.n > 1 and not self.plain

    @cached_property
    def passes(self) -> bool:
        """Is anything passed on by a factor?"""
        return 0 < self.parents < self.n and not self.plain

    @cached_property
    def slots(self) -> dict[str, slice]:
        """Name to its place in `theta`; amplitudes are variances; logarithms but for the origins."""
        sizes = {"joint": 1, "length": self.n}
        if self.main:
            sizes |= {"main": self.n, "main_length": self.n}
        if self.passes:
            sizes |= {"pass": self.parents, "pass_length": self.n - self.parents, "origin": self.parents}
        sizes["noise"] = 1
        out, at = {}, 0
        for name, size in sizes.items():
            out[name] = slice(at, at + size)
            at += size
        return out

    @property
    def size(self) -> int:
        """How many numbers `theta` has."""
        return int(self.slots["noise"].stop)

    def prior(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation of `theta`, normal: broad, with smooth and nearly exact readings likeliest.

        Length scales grow with the root of the number of inputs, as distances do (Hvarfner et al. 2024).
        """
        mean, sd = np.empty(self.size), np.empty(self.size)
        told = {
            "joint": (np.log(0.05 if self.main else 0.5), 1.5),
            "length": (np.log(0.6 * np.sqrt(self.n)), 1.0),
            "main": (np.log(1.0 / self.n), 1.5),
            "main_length": (np.log(0.6), 1.0),
            "pass": (np.log(0.5), 1.5),
            "pass_length": (np.log(0.6), 1.0),
            "origin": (0.5, 1.0),
            "noise": (np.log(1e-6), 2.0),
        }
        for name, where in self.slots.items():
            mean[where], sd[where] = told[name]
        return mean, sd

    def bounds(self) -> list[tuple[float, float]]:
        """Of `theta`."""
        out = []
        for name, where in self.slots.items():
            if name == "noise":
                one = (np.log(LEAST_NOISE), np.log(0.5))
            elif name == "origin":
                one = (-9.0, 10.0)
            elif name.endswith("length"):
                one = (np.log(SHORTEST), np.log(LONGEST))
            else:
                one = (np.log(1e-6), np.log(1e3))
            out += [one] * (where.stop - where.start)
        return out


def _matern(square: Floats) -> tuple[Floats, Floats]:
    """Kernel of squared distances, and minus its slope: `dk = -half * d(square) / 2`."""
    r = np.sqrt(square)
    r *= ROOT5
    e = np.exp(-r)
    half = (5.0 / 3.0) * (1.0 + r) * e
    return (1.0 + r) * e + square * ((5.0 / 3.0) * e), half


def _smooth(square: Floats) -> tuple[Floats, Floats]:
    """As `_matern`, squared exponential."""
    k = np.exp(-0.5 * square)
    return k, k.copy()


@dataclass
class Fit:
    """Data of one node, ready for its marginal likelihood."""

    shape: Shape
    x: Floats
    """`N x n`, in the unit cube."""
    y: Floats
    """`N`, standardised."""
    fixed: Floats
    """`N`: variance of each value's error where it is known, else NaN."""
    features: Floats
    """`N x R` of the prior."""
    squares: Floats = field(init=False)
    """`n x N x N`: squared differences."""

    def __post_init__(self) -> None:
        self.squares = (self.x.T[:, :, None] - self.x.T[:, None, :]) ** 2
        self.known = (
            LEVEL * np.ones((len(self.y), len(self.y)))
            if not self.features.shape[1]
            else (self.features @ self.features.T)
        )
        self.centre, self.spread = self.shape.prior()

    def covariance(self, theta: Floats) -> tuple[Floats, list[tuple[int, Floats]]]:
        """The matrix of the data with the noise, and its slopes on every number of `theta`."""
        s, slots = self.shape, self.shape.slots
        slopes: list[tuple[int, Floats]] = []
        whole = self.known.copy()
        scaled = self.squares * np.exp(-2 * theta[slots["length"]])[:, None, None]
        k, half = _matern(scaled.sum(axis=0))
        a = np.exp(theta[slots["joint"].start])
        whole += a * k
        slopes.append((slots["joint"].start, a * k))
        half *= a
        slopes += [(slots["length"].start + j, half * scaled[j]) for j in range(s.n)]
        if s.main:
            scaled = self.squares * np.exp(-2 * theta[slots["main_length"]])[:, None, None]
            ks, halves = _smooth(scaled)
            a = np.exp(theta[slots["main"]])[:, None, None]
            ks *= a
            halves *= a * scaled
            whole += ks.sum(axis=0)
            slopes += [(slots["main"].start + j, ks[j]) for j in range(s.n)]
            slopes += [(slots["main_length"].start + j, halves[j]) for j in range(s.n)]
        if s.passes:
            scaled = self.squares[s.parents :] * np.exp(-2 * theta[slots["pass_length"]])[:, None, None]
            k, half = _matern(scaled.sum(axis=0))
            b = np.exp(theta[slots["pass"]])
            p = self.x[:, : s.parents] - theta[slots["origin"]]
            for j in range(s.parents):
                slopes.append((slots["pass"].start + j, b[j] * np.outer(p[:, j], p[:, j]) * k))
                slopes.append((slots["origin"].start + j, -b[j] * (p[:, j, None] + p[:, j]) * k))
            line = (p * b) @ p.T
            whole += line * k
            half *= line
            slopes += [(slots["pass_length"].start + j, half * scaled[j]) for j in range(s.n - s.parents)]
        free = np.isnan(self.fixed)
        noise = np.exp(theta[slots["noise"].start])
        diagonal = np.where(free, noise, np.maximum(self.fixed, LEAST_NOISE))
        whole[np.arange(len(whole)), np.arange(len(whole))] += diagonal
        slopes.append((slots["noise"].start, np.diag(np.where(free, noise, 0.0))))
        return whole, slopes

    def loss(self, theta: Floats) -> tuple[float, Floats]:
        """Minus the log of likelihood times prior, in nats, and its slope."""
        whole, slopes = self.covariance(theta)
        root, info = lapack.dpotrf(whole, lower=1)
        if info:
            return 1e10, np.zeros(len(theta))
        inverse, _ = lapack.dpotri(root, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        alpha = inverse @ self.y
        off = (theta - self.centre) / self.spread
        value = 0.5 * float(self.y @ alpha) + float(np.log(np.diag(root)).sum()) + 0.5 * float(off @ off)
        slope = off / self.spread
        inner = (inverse - np.outer(alpha, alpha)).ravel()
        for i, d in slopes:
            slope[i] += 0.5 * float(inner @ d.ravel())
        return value, slope


@dataclass(frozen=True)
class NodeModel:
    """What is believed of one node. Values in the node's unit, `z` in the units of parents and inputs."""

    shape: Shape
    theta: Floats
    x: Floats
    """`N x n`, in the unit cube."""
    alpha: Floats
    inverse: Floats
    """`N x N`"""
    features: Floats
    """`N x R`"""
    low: Floats
    width: Floats
    """`n`: `x = (z - low) / width`."""
    mean: float
    scale: float
    prior: Prior | None

    def forward(self, z: Floats) -> tuple[Floats, Floats, Any]:
        """Mean and standard deviation at `z` (`M x n`), each `M`, and what `backward` needs."""
        s, slots, t = self.shape, self.shape.slots, self.theta
        x = (z - self.low) / self.width
        gaps = (x.T[:, :, None] - self.x.T[:, None, :]) ** 2  # n x M x N
        square = np.einsum("jmn,j->mn", gaps, np.exp(-2 * t[slots["length"]]))
        k, half = _matern(square)
        a = float(np.exp(t[slots["joint"].start]))
        k *= a
        half *= a
        own: Floats | float = a
        kept: dict[str, Any] = {"x": x, "joint": half}
        if s.main:
            ks, halves = _smooth(gaps * np.exp(-2 * t[slots["main_length"]])[:, None, None])
            amplitude = np.exp(t[slots["main"]])
            k += np.einsum("jmn,j->mn", ks, amplitude)
            halves *= amplitude[:, None, None]
            kept["main"] = halves
            own = own + float(amplitude.sum())
        if s.passes:
            square = np.einsum("jmn,j->mn", gaps[s.parents :], np.exp(-2 * t[slots["pass_length"]]))
            kp, half = _matern(square)
            amplitude = np.exp(t[slots["pass"]])
            p = x[:, : s.parents] - t[slots["origin"]]
            line = (p * amplitude) @ (self.x[:, : s.parents] - t[slots["origin"]]).T
            half *= line
            line *= kp
            k += line
            kept["pass"] = (kp, half, amplitude, p)
            own = own + (amplitude * p * p).sum(axis=1)
        if self.prior is None:
            k += LEVEL
            own = own + LEVEL
            base: Floats | float = self.mean
        else:
            base, features, pull = self.prior(z)
            kept["prior"] = (features, pull)
            features = features / self.scale
            k += features @ self.features.T
            own = own + (features * features).sum(axis=1)
        v = k @ self.inverse
        left = own - np.einsum("mn,mn->m", k, v)
        sd = np.sqrt(np.maximum(left, LEAST_LEFT))
        kept["v"], kept["per_sd"] = v, np.where(left > LEAST_LEFT, 1 / sd, 0.0)
        return base + self.scale * (k @ self.alpha), self.scale * sd, kept

    def backward(self, kept: Any, on_mean: Floats, on_sd: Floats) -> Floats:
        """Slopes on `z`, `M x n`, of a number whose slopes on mean and standard deviation (`M`) are given."""
        s, slots, t = self.shape, self.shape.slots, self.theta
        x, on_mean = kept["x"], on_mean * self.scale
        on_variance = on_sd * (self.scale / 2) * kept["per_sd"]
        pull = on_mean[:, None] * self.alpha - (2 * on_variance)[:, None] * kept["v"]  # on k, M x N
        out = self._through(pull * kept["joint"], x, slice(0, s.n), np.exp(-2 * t[slots["length"]]))
        if s.main:
            for j in range(s.n):
                where = slice(j, j + 1)
                tight = np.exp(-2 * t[slots["main_length"]][where])
                out[:, where] += self._through(pull * kept["main"][j], x, where, tight)
        if s.passes:
            kp, half, amplitude, p = kept["pass"]
            rest = slice(s.parents, s.n)
            out[:, rest] += self._through(pull * half, x, rest, np.exp(-2 * t[slots["pass_length"]]))
            first = slice(0, s.parents)
            known = self.x[:, first] - t[slots["origin"]]
            out[:, first] += amplitude * ((pull * kp) @ known + 2 * on_variance[:, None] * p)
        out /= self.width
        if self.prior is not None:
            features, back = kept["prior"]
            on_features = (pull @ self.features + (2 * on_variance)[:, None] * features / self.scale) / self.scale
            out += back(on_mean / self.scale, on_features)
        return out

    def _through(self, weighted: Floats, x: Floats, where: slice, tight: Floats) -> Floats:
        """The slope of stationary kernels: minus `weighted * (x - x_n) * tight`, summed over the data."""
        return np.asarray((weighted @ self.x[:, where] - weighted.sum(axis=1)[:, None] * x[:, where]) * tight)


def fit_node(
    z: Floats,
    y: Floats,
    variance: Floats,
    *,
    parents: int,
    low: Floats,
    width: Floats,
    prior: Prior | None = None,
    start: Floats | None = None,
) -> NodeModel:
    """The belief about a node from its values.

    Args:
        z: `N x n`, parents first; `N` may be 0 where there is a prior.
        y: `N`.
        variance: `N`, of the error of each value; NaN where it is not known, then one is learnt for all these.
        low, width: `n`, ranges of the inputs; those of parents are taken from what was seen.
        start: `theta` of an earlier fit, from which this one sets out; None: from two places, the better one counts.
    """
    low, width = low.copy(), width.copy()
    shape = Shape(z.shape[1], parents, prior is not None)
    for j in range(parents if len(z) else 0):
        low[j], width[j] = z[:, j].min(), max(float(np.ptp(z[:, j])), 1e-9)
    x = (z - low) / width
    if prior is None:
        mean, scale = float(y.mean()), float(y.std())
        if scale <= 1e-9 * abs(mean) or scale == 0.0:  # the same everywhere so far
            scale = 1e-3 * max(abs(mean), 1.0)
        target: Floats = (y - mean) / scale
        features: Floats = np.zeros((len(y), 0))
    else:
        base, features, _ = prior(z)
        mean, scale = 0.0, prior.scale
        target, features = (y - base) / scale, features / scale
    data = Fit(shape, x, target, variance / scale**2, features)
    centre, _ = shape.prior()
    theta = centre
    if len(y) > 1:
        starts = [centre, _wavy(shape, centre)]
        if start is not None and len(start) == shape.size:
            starts = [start] if len(y) % AFRESH else [start, *starts]
        best = np.inf
        for one in starts:
            found = minimize(
                data.loss, one, jac=True, method="L-BFGS-B", bounds=shape.bounds(), options={"maxiter": MOST_STEPS}
            )
            if found.fun < best:
                best, theta = float(found.fun), found.x
    whole, _ = data.covariance(theta)
    inverse = np.linalg.inv(whole) if len(y) else np.zeros((0, 0))
    return NodeModel(
        shape, theta, x, inverse @ target, (inverse + inverse.T) / 2, features, low, width, mean, scale, prior
    )


def _wavy(shape: Shape, centre: Floats) -> Floats:
    """A second place to set out from: everything changes quickly."""
    out = centre.copy()
    for name, where in shape.slots.items():
        if name.endswith("length"):
            out[where] = np.log(0.1)
    return out
