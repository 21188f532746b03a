"""Kinds of workers behind one address: what computes there, on which machines, how many; who gets the next window."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qc.errors import InvalidInput
from server.cluster.eyes import BEST, RUNTIMES

WRITTEN = re.compile(r"([a-z]+):(\d+)-(\d+)((?:,(?:cores|gpus)=\d+(?:\.\d+)?|,on=[\w-]+)*)")
NEW_SHARE = 0.1
"""How much the last window counts in a kind's pace: a minute's load shows after ten windows, one slow one hardly."""
NODE_LABEL = "ray.io/node-id"
"""The label by which Ray itself tells its nodes apart."""
A_LITTLE = 0.001
"""Of a machine's resource, for each worker: it says where they may run, not how many fit."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Workers that are alike."""

    runtime: str = BEST
    """One of `server.cluster.eyes.RUNTIMES`; where workers are given a GPU that PyTorch can use, that computes."""
    least: int = 1
    most: int = 8
    """Workers at least and at most; between, Ray follows the number of windows that wait."""
    cores: float = 1.0
    gpus: float = 0.0
    """What each worker is given."""
    on: str = ""
    """Resource of the machines on which they may run (`ray start --resources='{"openvino": 1}'`); empty: any, but see
    `selector`."""

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise InvalidInput(f"the runtime on a cluster is one of {RUNTIMES}, not {self.runtime!r}")
        if not 1 <= self.least <= self.most:
            raise InvalidInput(f"workers are from at least 1 to at least as many, not {self.least} to {self.most}")

    @property
    def resources(self) -> dict[str, float]:
        """For Ray."""
        return {self.on: A_LITTLE} if self.on else {}


def parse_kind(text: str) -> Kind:
    """`openvino:1-4,cores=1,on=cpu-boxes` as a value; raises InvalidInput."""
    found = WRITTEN.fullmatch(text)
    if found is None:
        raise InvalidInput(
            f"{text!r} is no kind of worker: write RUNTIME:LEAST-MOST, then ,cores=N ,gpus=N ,on=RESOURCE"
        )
    runtime, least, most, more = found.groups()
    told = dict(one.split("=") for one in more.split(",")[1:])
    cores, gpus = (float(told.get(name, usual)) for name, usual in (("cores", 1), ("gpus", 0)))
    return Kind(runtime, int(least), int(most), cores, gpus, told.get("on", ""))


def usual_kinds(nodes: Sequence[Mapping[str, Any]], alike: Kind) -> list[Kind]:
    """What a cluster is served by when nobody says: `alike`; beside it, where machines have GPUs, a worker for each of
    them; that alone, where no other machine has a core.

    Args:
        nodes: as `ray.nodes()` tells of them.
    """
    gpus = sum(int(_has(node, "GPU")) for node in nodes)
    if not gpus:
        return [alike]
    others = any(_has(node, "CPU") for node in nodes if not _has(node, "GPU"))
    return [Kind(alike.runtime, 1, gpus, alike.cores, 1.0), *([alike] if others else [])]


def selector(kind: Kind, kinds: Sequence[Kind], nodes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Ray's label selector of a kind's machines: beside workers that are given a GPU, those that need none stay away
    from the machines that have one, as their cores feed it; unless told where, or where no other machine has a core.
    """
    if kind.gpus or kind.on or not any(each.gpus for each in kinds):
        return {}
    with_gpu = sorted(str(node["NodeID"]) for node in nodes if _has(node, "GPU"))
    others = any(_has(node, "CPU") for node in nodes if not _has(node, "GPU"))
    return {NODE_LABEL: f"!in({','.join(with_gpu)})"} if with_gpu and others else {}


def _has(node: Mapping[str, Any], resource: str) -> float:
    """How much of it a machine has; a lost one has nothing."""
    return float(node["Resources"].get(resource, 0.0)) if node["Alive"] else 0.0


class Shares:
    """Who gets the next window: the kind that is expected to be done with it first. For one thread."""

    def __init__(self, kinds: int) -> None:
        self._waiting = [0] * kinds
        self._pace_s = [0.0] * kinds
        """Between two answers of a kind while it has windows; 0 until it has answered one."""

    def next(self, but: Collection[int] = ()) -> int | None:
        """The kind's place; None where all of them are in `but`."""
        free = [n for n in range(len(self._waiting)) if n not in but]
        return min(free, key=lambda n: ((self._waiting[n] + 1) * self._pace_s[n], self._waiting[n]), default=None)

    @contextmanager
    def at_work(self, n: int) -> Iterator[None]:
        """Kind `n` has a window meanwhile; what raises tells nothing of its pace."""
        self._waiting[n] += 1
        beside, began = self._waiting[n], time.perf_counter()
        try:
            yield
            took_s = (time.perf_counter() - began) / beside
            known = self._pace_s[n]
            self._pace_s[n] = known + NEW_SHARE * (took_s - known) if known else took_s
        finally:
            self._waiting[n] -= 1
