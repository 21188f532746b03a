"""A process as a network of functions: every node is observed, one of them is what we want large."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput

Floats = NDArray[np.float64]

Formula = Callable[[Floats], tuple[Floats, Callable[[], Floats]]]
"""A node that is known: from `M x n` (parents first, then own inputs) to values `M`, and if asked slopes `M x n`."""


class Prior(Protocol):
    """What is known of a node before any trial: a mean, and how surely, as features whose weights are standard normal.

    The node is `mean + features @ N(0, 1) +` what the trials show to be different.
    """

    scale: float
    """Standard deviation of what may be different, in the node's unit."""

    def __call__(self, z: Floats) -> tuple[Floats, Floats, Callable[[Floats, Floats], Floats]]:
        """Mean `M`, features `M x R`, and from the slopes of some number on both (`M`, `M x R`) those on `z`."""


@dataclass(frozen=True, slots=True)
class Input:
    """Something to choose, in its unit."""

    name: str
    low: float
    high: float
    step: float | None = None
    """Only `low + i step` can be set; None: anything in `[low, high]`."""

    def snapped(self, value: float) -> float:
        """The nearest value that can be set."""
        if self.step is not None:
            value = self.low + round((value - self.low) / self.step) * self.step
        return min(max(value, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Node:
    """A quantity that is read off in every trial, as an unknown function of its parents and its own inputs."""

    name: str
    parents: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    formula: Formula | None = None
    """Known: it is used as it is."""
    prior: Prior | None = None


@dataclass(frozen=True)
class FunctionNetwork:
    """Nodes in an order in which each comes after its parents. The `objective` is to be made large.

    Raises:
        InvalidInput: a name is unknown or taken twice, a range is empty, or an input is used by no node.
    """

    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    objective: str

    def __post_init__(self) -> None:
        names = [i.name for i in self.inputs]
        if len(set(names)) < len(names):
            raise InvalidInput("two inputs of the network have the same name")
        for i in self.inputs:
            if not (math.isfinite(i.low) and math.isfinite(i.high) and i.low < i.high):
                raise InvalidInput(f"input {i.name} must have low below high, not {i.low} and {i.high}")
            if i.step is not None and not 0 < i.step <= i.high - i.low:
                raise InvalidInput(f"input {i.name}: step {i.step} must be above 0 and within its range")
        seen: set[str] = set()
        for node in self.nodes:
            if node.name in seen:
                raise InvalidInput(f"two nodes of the network are called {node.name}")
            if unknown := [p for p in node.parents if p not in seen]:
                raise InvalidInput(f"node {node.name} has the parent {unknown[0]}, which is no earlier node")
            if unknown := [i for i in node.inputs if i not in names]:
                raise InvalidInput(f"node {node.name} has the input {unknown[0]}, which the network does not list")
            if not node.parents and not node.inputs:
                raise InvalidInput(f"node {node.name} has neither parents nor inputs")
            seen.add(node.name)
        if self.objective not in seen:
            raise InvalidInput(f"the objective {self.objective} is not a node")
        used = {i for node in self.nodes for i in node.inputs}
        if idle := [n for n in names if n not in used]:
            raise InvalidInput(f"input {idle[0]} acts on no node; leave it out")

    @cached_property
    def low(self) -> Floats:
        """`d`"""
        return np.array([i.low for i in self.inputs])

    @cached_property
    def width(self) -> Floats:
        """`d`"""
        return np.array([i.high - i.low for i in self.inputs])

    @cached_property
    def place(self) -> dict[str, int]:
        """Name of an input to its place."""
        return {i.name: j for j, i in enumerate(self.inputs)}

    @property
    def unknown(self) -> tuple[Node, ...]:
        """The nodes that must be learnt."""
        return tuple(n for n in self.nodes if n.formula is None)

    def units(self, x: Floats) -> dict[str, float]:
        """A point of the unit cube (`d`) as what is to be set."""
        raw = self.low + self.width * x
        return {i.name: float(i.snapped(float(v))) for i, v in zip(self.inputs, raw, strict=True)}

    def cube(self, chosen: Mapping[str, float]) -> Floats:
        """What was set as a point of the unit cube, `d`; raises InvalidInput where one is missing."""
        if missing := [i.name for i in self.inputs if i.name not in chosen]:
            raise InvalidInput(f"the trial does not say what {missing[0]} was set to")
        return np.array([(float(chosen[i.name]) - i.low) / (i.high - i.low) for i in self.inputs])


@dataclass(frozen=True)
class Trial:
    """What came of one trial."""

    chosen: Mapping[str, float]
    """Input to value."""
    values: Mapping[str, float]
    """Node to value; a node that is missing or not finite was not read."""
    variance: Mapping[str, float] = field(default_factory=dict)
    """Of the error of a node's value, in its unit squared; a node that is missing: not known, learnt."""
    inflow: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Values of a node's parents among those pieces on which the node was read, where that differs from `values`."""
