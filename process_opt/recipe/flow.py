"""What the whole network will give at a choice of inputs: draws of every node, one after the other, with slopes.

A node's value is `mean(z) + sd(z) e` at its parents' values in the same draw, with the same standard normal `e`
everywhere, so that the objective is a smooth function of the inputs (Astudillo & Frazier 2021, eq. 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from process_opt.recipe.gp import NodeModel, fit_node
from process_opt.recipe.network import FunctionNetwork, Trial
from qc.errors import InvalidInput

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """Draws of a network at `S` places. In each, the objective is normal given its parents; this last chance is left
    open, so that it can be averaged over exactly."""

    values: dict[str, Floats]
    """Node to `S x Q`, or `S x 1` where it is the same in all draws; the objective's is its mean."""
    mean: Floats
    """`S x Q`, of the objective given its parents."""
    sd: Floats
    """`S x Q`; 0 (`1 x 1`) where the objective is a formula."""
    kept: list[Any]


@dataclass(frozen=True)
class Belief:
    """A network and what is believed of its unknown nodes."""

    network: FunctionNetwork
    models: dict[str, NodeModel]

    def normals(self, draws: int, seed: int) -> Floats:
        """`draws x nodes`: quasi-random standard normal numbers, the same for the same seed; `draws` a power of two."""
        sobol = qmc.Sobol(max(len(self.models), 1), scramble=True, rng=np.random.default_rng([seed, 17]))
        return np.asarray(ndtri(np.clip(sobol.random(draws), 1e-9, 1 - 1e-9)))

    def draw(self, x: Floats, normals: Floats) -> Drawn:
        """Every node at `x` (`S x d`, in the unit cube), in `Q` draws."""
        net = self.network
        raw = net.low + net.width * x
        values: dict[str, Floats] = {}
        kept: list[Any] = []
        shared: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[int, Floats]] = {}
        column = 0
        last: Floats = np.zeros((1, 1))
        for node in net.nodes:
            key = (node.parents, node.inputs)
            if key not in shared:
                z = _stack([values[p] for p in node.parents], raw[:, [net.place[i] for i in node.inputs]])
                shared[key] = z.shape[1], z.reshape(-1, z.shape[2])
            rows, flat = shared[key]
            if node.formula is not None:
                value, slope = node.formula(flat)
                values[node.name] = value.reshape(len(x), rows)
                kept.append((rows, slope))
                continue
            mean, sd, back = self.models[node.name].forward(flat)
            e = normals[:, column]
            column += 1
            mean, sd = mean.reshape(len(x), rows), sd.reshape(len(x), rows)
            kept.append((rows, back, e))
            if node.name == net.objective:
                last = np.broadcast_to(sd, (len(x), len(normals)))
                values[node.name] = mean
            else:
                values[node.name] = mean + sd * e
        return Drawn(values, np.broadcast_to(values[net.objective], (len(x), len(normals))), last, kept)

    def slopes(self, drawn: Drawn, on_mean: Floats, on_sd: Floats) -> Floats:
        """Slopes on `x`, `S x d`, of a number whose slopes on the objective's mean and standard deviation (`S x Q`)
        are given."""
        net = self.network
        kept, count = drawn.kept, len(on_mean)
        on: dict[str, Floats] = {net.objective: on_mean}
        out = np.zeros((count, len(net.inputs)))
        for node, stored in zip(reversed(net.nodes), reversed(kept), strict=True):
            here = on.pop(node.name, None)
            if here is None:
                continue
            rows = stored[0]
            if node.formula is not None:
                mine = here.sum(axis=1, keepdims=True) if rows == 1 else here
                z = mine.reshape(-1, 1) * stored[1]()
            else:
                _, back, e = stored
                by_sd = on_sd if node.name == net.objective else here * e
                if rows == 1:
                    here, by_sd = here.sum(axis=1), by_sd.sum(axis=1)
                z = self.models[node.name].backward(back, here.ravel(), by_sd.ravel())
            z = z.reshape(count, rows, -1)
            for j, parent in enumerate(node.parents):
                on[parent] = on[parent] + z[:, :, j] if parent in on else z[:, :, j]
            for j, name in enumerate(node.inputs, start=len(node.parents)):
                out[:, net.place[name]] += z[:, :, j].sum(axis=1)
        return np.asarray(out * net.width)

    def expected(self, x: Floats) -> dict[str, Floats]:
        """Every node at `x` (`S x d`) when all come out as expected, `S`; takes the place of trials still running."""
        drawn = self.draw(x, np.zeros((1, max(len(self.models), 1))))
        return {name: v[:, 0] for name, v in drawn.values.items()}


def _stack(parents: list[Floats], own: Floats) -> Floats:
    """`S x Q x n`: parents' values beside own inputs; `Q` is 1 where no parent differs between draws."""
    rows = max([p.shape[1] for p in parents], default=1)
    out = np.empty((len(own), rows, len(parents) + own.shape[1]))
    for j, p in enumerate(parents):
        out[:, :, j] = p
    out[:, :, len(parents) :] = own[:, None, :]
    return out


def learn(network: FunctionNetwork, trials: list[Trial], start: dict[str, list[float]] | None = None) -> Belief:
    """What trials say about every unknown node.

    A value that was not read is filled in with what its node is expected to give, so that later nodes can be learnt.

    Args:
        start: hyperparameters of an earlier fit, by node.

    Raises:
        InvalidInput: a node without a prior was never read, or a trial does not say what was set.
    """
    x = np.array([network.cube(t.chosen) for t in trials]).reshape(len(trials), len(network.inputs))
    raw = network.low + network.width * x
    values: dict[str, Floats] = {}
    models: dict[str, NodeModel] = {}
    for node in network.nodes:
        own = [network.place[i] for i in node.inputs]
        z = np.column_stack([*(values[p] for p in node.parents), raw[:, own]])
        read = np.array([t.values.get(node.name, np.nan) for t in trials], dtype=float)
        known = np.isfinite(read)
        if node.formula is not None:
            values[node.name] = np.where(known, read, node.formula(z)[0]) if len(z) else read
            continue
        if node.prior is None and not known.any():
            raise InvalidInput(f"node {node.name} was not read in any trial, so nothing is known of it")
        fed = z.copy()
        for i, t in enumerate(trials):
            if node.name in t.inflow:
                fed[i, : len(node.parents)] = t.inflow[node.name]
        error = np.array([t.variance.get(node.name, np.nan) for t in trials], dtype=float)
        model = fit_node(
            fed[known],
            read[known],
            error[known],
            parents=len(node.parents),
            low=np.concatenate([np.zeros(len(node.parents)), network.low[own]]),
            width=np.concatenate([np.ones(len(node.parents)), network.width[own]]),
            prior=node.prior,
            start=np.array(start[node.name]) if start and node.name in start else None,
        )
        models[node.name] = model
        values[node.name] = np.where(known, read, 0.0)
        if not known.all():
            values[node.name][~known] = model.forward(z[~known])[0]
    return Belief(network, models)
