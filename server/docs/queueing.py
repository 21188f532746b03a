"""The busiest hour of a plant in virtual time: do the cores that `qc plan` names suffice, and how long do parts wait?

Parts come to each station at random (a Poisson process: worse than a line with its beat), one core looks at a part from
its first pixel to its last, and who came first is looked at first. Time is a number, so that hours of a thousand
stations take seconds. What it leaves out: decoding, the database and the network, and computers that fail.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput
from server.docs.planning import Plant, needs

COMPUTER = 8
"""Cores of one computer, where a plant has several computers with a queue each."""

PARTS = 20_000
"""Simulated at least: the time that 99 of 100 parts stay below is then known to some percent."""


@dataclass(frozen=True, slots=True)
class Waits:
    """How an hour went."""

    cores: int
    busy: float
    """Share of the time that the cores worked."""
    mean_s: float
    p95_s: float
    p99_s: float
    """Seconds that a part waits before a core takes it: mean, and what 95 and 99 of 100 parts stay below."""


def busiest_hour(plant: Plant, stations: int, *, computer: int | None = None, seed: int = 0) -> Waits:
    """Simulate the busiest hour of stations that each make what `plant` says, on the cores that `qc plan` names.

    Args:
        plant: of one station.
        stations: how many, at least 1.
        computer: cores of each computer, where every computer has a queue of its own and its share of the stations;
            None: one queue before all cores (a cluster).
        seed: of the arrivals.

    Raises:
        InvalidInput: no station, or as `needs`.
    """
    if stations < 1:
        raise InvalidInput(f"a plant has at least one station, not {stations}")
    told = needs(plant)
    cores = math.ceil(told.cores * stations)
    computers = 1 if computer is None else min(stations, math.ceil(cores / computer))
    each = math.ceil(cores / computers)
    a_second = plant.parts_a_day * plant.peak / (plant.hours * 3600)
    rng, waits, busy = np.random.default_rng(seed), list[NDArray[np.float64]](), list[float]()
    for number in range(computers):
        own = len(range(number, stations, computers))
        parts = max(PARTS // computers, round(3600 * own * a_second))
        arrivals = np.cumsum(rng.exponential(1 / (own * a_second), parts))
        waits.append(waiting(arrivals, told.part_s, each))
        busy.append(parts * told.part_s / (each * float(arrivals[-1])))
    every = np.concatenate(waits)
    p95, p99 = np.quantile(every, (0.95, 0.99))
    return Waits(each * computers, float(np.mean(busy)), float(every.mean()), float(p95), float(p99))


def waiting(arrivals: NDArray[np.float64], service_s: float, servers: int) -> NDArray[np.float64]:
    """Seconds that each part waits: first come, first served, by whichever server is free first.

    Args:
        arrivals: moments in seconds, rising.
        service_s: that each part takes.
        servers: how many.
    """
    free = [0.0] * servers
    waits = np.empty(len(arrivals))
    for number, at in enumerate(arrivals.tolist()):
        start = max(at, free[0])
        waits[number] = start - at
        heapq.heapreplace(free, start + service_s)
    return waits
