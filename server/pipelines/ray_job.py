"""A retraining as a Ray job: each step on whichever machine has room, the training on several; see README.md.

ray job submit --address http://FIRST:8265 -- python -m server.pipelines.ray_job DATASET CHAMPION --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qc.errors import QcError
from server.cluster.parcels import pack, unpacked
from server.retraining_steps import Report, check_data, compare_both, train_challenger


def retrain_over(
    ray: Any,
    dataset: Path,
    champion: Path,
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    workers: int = 1,
    gpus: bool = False,
    report: Report,
) -> dict[str, Any]:
    """Check, train, compare; what is in `out` already is not made again.

    Args:
        ray: the connected module.
        dataset, champion: folders that the machine of this program can read; they are sent to the others.
        out: gets `data-check.json`, `model/` and `comparison.json`.
        minutes, steps, seed: of the training.
        workers, gpus: as `server.cluster.training.train_over` has them.

    Returns:
        The comparison, as `segmentation.challenge.Comparison.as_json` gives it.

    Raises:
        InvalidInput: the data are not fit to train on. Unavailable: machines are lost again and again.
    """
    from server.cluster.training import train_over

    out.mkdir(parents=True, exist_ok=True)
    boxed = {"dataset": [ray.put(pack(dataset))], "champion": [ray.put(pack(champion))]}

    def elsewhere(step: Any, *given: Any) -> Any:
        task = ray.remote(num_cpus=0 if gpus else 1, num_gpus=1 if gpus else 0, max_retries=-1)(step)
        try:
            return ray.get(task.remote(boxed, *given))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, QcError):
                raise error.cause from None
            raise

    def trainer(_: Path, model: Path, *, device: str, start_from: Path, **how: Any) -> None:
        train_over(ray, dataset, model, workers=workers, gpus=device == "cuda", start_from=start_from, **how)

    device = "cuda" if gpus else "cpu"
    check, comparison = out / "data-check.json", out / "comparison.json"
    if not check.is_file():
        report(0.0, "checking the data")
        check.write_text(elsewhere(_check), encoding="utf-8")
    model = train_challenger(
        dataset, champion, out / "model",
        minutes=minutes, steps=steps, device=device, seed=seed, trainer=trainer, report=report,
    )  # fmt: skip
    boxed["challenger"] = [ray.put(pack(model))]
    if not comparison.is_file():
        report(0.9, "comparing the challenger with the champion")
        comparison.write_text(json.dumps(elsewhere(_compare, device)), encoding="utf-8")
    told: dict[str, Any] = json.loads(comparison.read_text(encoding="utf-8"))
    return told


def _here(boxed: dict[str, Any]) -> dict[str, Path]:
    """The folders, unpacked on this machine."""
    import ray
    import torch

    torch.set_num_threads(1)
    return {name: unpacked(ray.get(one[0])) for name, one in boxed.items()}


def _check(boxed: dict[str, Any]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "check.json"
        check_data(_here(boxed)["dataset"], out, report=_silent)
        return out.read_text(encoding="utf-8")


def _compare(boxed: dict[str, Any], device: str) -> dict[str, Any]:
    there = _here(boxed)
    with tempfile.TemporaryDirectory() as folder:
        return compare_both(
            there["dataset"], there["champion"], there["challenger"], Path(folder) / "comparison.json",
            device=device, report=_silent,
        )  # fmt: skip


def _silent(_: float | None, __: str) -> None:
    pass


def main(argv: Sequence[str] | None = None) -> int:
    """The job's entry point; 0: done, and the comparison is printed."""
    from server.cluster.connect import connected

    parser = argparse.ArgumentParser(prog="server.pipelines.ray_job", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("champion", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="longest training; default: until validation stops improving")
    length.add_argument("--steps", type=int, help="exactly so many steps of the training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that train together")
    parser.add_argument("--gpus", action="store_true", help="a GPU for each of them")
    parser.add_argument("--address", default="auto", help="of the cluster; auto, which is right in a Ray job")
    given = parser.parse_args(argv)
    try:
        with connected(given.address) as ray:
            told = retrain_over(
                ray, given.dataset, given.champion, given.out, minutes=given.minutes, steps=given.steps,
                seed=given.seed, workers=given.workers, gpus=given.gpus,
                report=lambda share, words: print(words, file=sys.stderr, flush=True),
            )  # fmt: skip
    except QcError as error:
        print(f"retraining: {error.message}", file=sys.stderr)
        return 1
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
