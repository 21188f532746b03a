"""An archive looked at by 1, 2 and 4 workers of a Ray cluster whose compute is given, and one that loses a machine::

    .venv/bin/python tests/bench/cluster_scaling.py --seconds 0.5 --pictures 40

Each worker spends --seconds on a picture without using a core, so that what is measured is what the cluster adds, not
how many cores this computer has. Pictures a second are counted from when every worker has answered once, beside one
worker in the same run. Then four machines with one worker each, of which one is killed in the middle: pictures lost
and doubled, and how long the rate stayed below nine tenths of what three machines gave at the least.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np

warnings.simplefilter("ignore")
from ray.cluster_utils import Cluster  # noqa: E402

from segmentation.plan import STARTER  # noqa: E402
from server.cluster.connect import connected  # noqa: E402
from server.cluster.looking import look_over  # noqa: E402

MACHINES = 4


class Given:
    """So many seconds for a picture; says who took them, and when they were over: answers travel in bundles."""

    cells = False

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def make(self, segmenter: Any, name: str, data: bytes) -> dict[str, bytes]:
        time.sleep(self.seconds)
        return {"worker": str(os.getpid()).encode(), "when": str(time.time()).encode()}


def times(
    ray: Any, addresses: list[str], seconds: float, workers: int, each: Any = None
) -> list[tuple[float, str, str]]:
    """When each picture was done, by whom, and which it was."""
    found = []
    for address, problem, made in look_over(ray, STARTER, addresses, Given(seconds), workers=workers):
        if problem:
            raise RuntimeError(problem)
        found.append((float(made["when"]), made["worker"].decode(), address))
        if each:
            each(len(found))
    return sorted(found)


def rate(done: list[tuple[float, str, str]], workers: int) -> float:
    """Pictures a second, from when all workers had answered until the first of them had nothing left to do."""
    firsts: dict[str, float] = {}
    lasts: dict[str, float] = {}
    for when, worker, _ in done:
        firsts.setdefault(worker, when)
        lasts[worker] = when
    if len(firsts) < workers:
        return float("nan")
    begin, end = max(firsts.values()), min(lasts.values())
    return sum(begin < when <= end for when, *_ in done) / (end - begin) if end > begin else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="that a worker is given for a picture")
    parser.add_argument("--pictures", type=int, default=40, help="for each worker")
    chosen = parser.parse_args()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80_000_000})
    for _ in range(MACHINES):
        cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    with tempfile.TemporaryDirectory() as folder, connected(cluster.address) as ray:
        addresses = []
        for number in range(chosen.pictures * MACHINES):
            path = Path(folder) / f"{number}.png"
            cv2.imwrite(str(path), np.zeros((8, 8), np.uint8))
            addresses.append(str(path))
        alone = float("nan")
        for workers in (1, 2, 4):
            found = rate(times(ray, addresses[: chosen.pictures * workers], chosen.seconds, workers), workers)
            alone = found if workers == 1 else alone
            print(
                f"{workers} workers: {found:.2f} pictures a second, {found / alone / workers:.2f} of linear", flush=True
            )

        killed: list[float] = []

        def kill_in_the_middle(done: int) -> None:
            if not killed and done >= len(addresses) // 3:
                killed.append(time.time())
                cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

        done = times(ray, addresses, chosen.seconds, MACHINES, kill_in_the_middle)
        seen = [address for *_, address in done]
        wanted = 0.9 * (MACHINES - 1) * alone
        window = 8 * chosen.seconds
        after = [when for when, *_ in done if when > killed[0]]
        back = next(
            (t - killed[0] for t in after if sum(t - window < w <= t for w in after) / window >= wanted), float("nan")
        )
        lost, doubled = len(set(addresses) - set(seen)), len(seen) - len(set(seen))
        print(f"a machine of {MACHINES} killed: {lost} lost, {doubled} doubled, rate back after {back:.1f} s")
    cluster.shutdown()


if __name__ == "__main__":
    main()
