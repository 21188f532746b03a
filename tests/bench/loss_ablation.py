"""Which loss should be the default? The same run for each of them, several seeds, judged on held-back parts.

    OMP_NUM_THREADS=1 .venv/bin/python tests/bench/loss_ablation.py ../shared/data/ksdd --minutes 10 --out ksdd.json

Every loss gets the same network, crops, seeds and processor minutes (a slow loss pays for itself with fewer steps), or
the same steps with --steps. A run that is done is kept in --out at once; the same command again continues with the
next.
Beside the mean over the seeds stands the difference to the first loss with its standard error, paired by seed; choosing
takes a difference that is large beside it, on more than one data set.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from qc.dataset import open_dataset
from segmentation.config import TrainConfig
from segmentation.evaluate import evaluate
from segmentation.model import load_segmenter
from segmentation.train import train

LOSSES = (
    "instance_focal + dice",  # the default: what the others are compared with
    "focal + dice",
    "focal",
    "focal + instance_dice",
    "any_defect + dice",
    "focal + focal_tversky",
    "unified_focal",
    "focal + lovasz",
    "focal + dice + 0.5 centre_line",
    "generalised_ce + dice",
    "symmetric_ce + dice",
)
FIGURES = ("image_ap", "defect_recall_at_0.1", "defect_recall_at_1", "pixel_f1", "mean_iou")


def run(dataset: Path, config: TrainConfig, *, seed: int, minutes: float | None, steps: int | None) -> dict[str, Any]:
    """Train, judge on val, forget the model."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        began = time.process_time()
        model = Path(folder) / "model"
        card = train(dataset, model, minutes=minutes, steps=steps, seed=seed, config=config, clock=time.process_time)
        seconds = time.process_time() - began
        report = evaluate(load_segmenter(model), open_dataset(dataset), split="val")
    figures = {name: report[name]["value"] for name in FIGURES}
    return {"steps": card["training"]["steps"], "seconds": round(seconds, 1), **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    limit = parser.add_mutually_exclusive_group(required=True)
    limit.add_argument("--minutes", type=float)
    limit.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--bands", type=int, nargs="+", default=[0], help="widths of the ignored band to try, px")
    parser.add_argument("--losses", nargs="+", default=LOSSES, metavar="LOSS")
    chosen = parser.parse_args()
    done: dict[str, Any] = json.loads(chosen.out.read_text()) if chosen.out.exists() else {}
    configs = {
        f"{loss}, band {band}": TrainConfig(loss=loss, ignore_band_px=band)
        for band in chosen.bands
        for loss in chosen.losses
    }
    limits = f"{chosen.minutes} minutes" if chosen.minutes else f"{chosen.steps} steps"
    for seed in range(chosen.seeds):
        for name, config in configs.items():
            key = f"{chosen.dataset.name}, {limits}, seed {seed}: {name}"
            if key not in done:
                done[key] = run(chosen.dataset, config, seed=seed, minutes=chosen.minutes, steps=chosen.steps)
                working = chosen.out.with_name(f".{chosen.out.name}.{os.getpid()}")
                working.write_text(json.dumps(done, indent=1) + "\n")
                os.replace(working, chosen.out)
            print(f"{key}: {done[key]}", flush=True)
    table(done, list(configs), f"{chosen.dataset.name}, {limits}, seed ", chosen.seeds)


def table(done: dict[str, Any], names: list[str], prefix: str, seeds: int) -> None:
    """Mean over the seeds, and the difference to the first, paired by seed, with its standard error."""
    print(f"\n{'':40}" + "".join(f"{figure:>30}" for figure in FIGURES))
    first = None
    for name in names:
        values = np.array(
            [[done[f"{prefix}{s}: {name}"][f] for f in FIGURES] for s in range(seeds)], dtype=np.float64
        )  # seeds x figures; null becomes NaN
        first = values if first is None else first
        gap = values - first
        error = gap.std(axis=0, ddof=1) / np.sqrt(seeds) if seeds > 1 else np.full(len(FIGURES), np.nan)
        cells = (f"{m:.3f} ({g:+.3f} ± {e:.3f})" for m, g, e in zip(values.mean(0), gap.mean(0), error, strict=True))
        print(f"{name:40}" + "".join(f"{cell:>30}" for cell in cells))


if __name__ == "__main__":
    main()
