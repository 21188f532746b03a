"""`qc tune` over a cluster: trials are trained on its machines, this program asks and is told."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from qc.progress import Progress
from server.cluster.parcels import pack, unpacked


def tune_over(
    ray: Any,
    dataset: Path,
    out: Path,
    *,
    trials: int,
    budget: Any,
    minutes: float | None = None,
    seed: int = 0,
    at_once: int | None = None,
    gpus: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """As `segmentation.tune.tune`, several trials at once, each on one core (or one GPU) of the cluster.

    A trial whose machine is lost is trained anew elsewhere, with the same seed. With several at once the search knows
    less when it asks, so that other trials come about than one after the other.

    Args:
        ray: the connected module.
        dataset: on this machine; it is sent to the others.
        budget: of one trial (`segmentation.tune.Budget`).
        at_once: trials at the same time; None: as many as the cluster has cores (or GPUs).
    """
    from segmentation.tune import tune

    resources = ray.cluster_resources()
    several = at_once or max(1, int(resources.get("GPU" if gpus else "CPU", 1)))
    parcel = ray.put(pack(dataset))
    remote = ray.remote(num_cpus=1, num_gpus=1 if gpus else 0, max_retries=-1)(_train)
    device = "cuda" if gpus else "cpu"

    def trainer(_: Path, __: Path, *, progress: Progress | None = None, **how: Any) -> Mapping[str, Any]:
        if progress:
            progress(0.0, "on the cluster")
        card: Mapping[str, Any] = ray.get(remote.remote([parcel], how))
        return card

    def search() -> dict[str, Any]:
        return tune(
            dataset, out, trials=trials, budget=budget, minutes=minutes, device=device, seed=seed, trainer=trainer,
            progress=progress,
        )  # fmt: skip

    with ThreadPoolExecutor(min(several, trials)) as pool:
        runs = [pool.submit(search) for _ in range(min(several, trials))]
        for run in runs:
            run.result()
    return search()  # all trials are done: what is left is the report over all of them


def _train(parcel: Any, how: Mapping[str, Any]) -> Mapping[str, Any]:
    """One training on a machine of the cluster; its model is forgotten, its card is what counts."""
    import ray
    import torch

    from segmentation.train import train

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        return train(unpacked(ray.get(parcel[0])), Path(folder) / "model", **how)
