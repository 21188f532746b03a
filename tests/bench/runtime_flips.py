"""Verdicts that differ between a model in torch and the same model in every other runtime, on all val images of sets::

    OMP_NUM_THREADS=1 .venv/bin/python tests/bench/runtime_flips.py ksdd magnetic_tile=MODEL bsdata --minutes 9

Of a set without a model beside it one is learnt first, for so many minutes. 8-bit ranges are read from the images of
train, as the server does. The gate (`segmentation.ready`) refuses a runtime with one verdict that differs; what serves
differs nowhere. Sets are folders, or names of those in `../shared/data`.
"""

from __future__ import annotations

import segmentation  # isort: skip # noqa: F401 - first, it lets timm import torchvision beside a CPU torch

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from qc.dataset import open_dataset
from segmentation.ready import make_ready
from segmentation.runtimes import RUNTIMES
from segmentation.samples import MOST_LEARNT, some_of
from segmentation.train import train

DATA = Path(__file__).parents[2] / "../shared/data"


def flips(dataset: Path, model: Path | None, *, minutes: float, most: int | None) -> list[dict[str, Any]]:
    """A row for each runtime: images compared, verdicts that differ, CPU seconds a megapixel, why it was refused."""
    data = open_dataset(dataset)
    frames, learnt = data.split("val"), some_of(data.split("train"), MOST_LEARNT)
    if most is not None:
        frames = some_of(frames, most)
    with tempfile.TemporaryDirectory() as working:
        folder = model or Path(working) / "model"
        if model is None:
            train(dataset, folder, minutes=minutes)
        tried = make_ready(folder, Path(working) / "ready", samples=frames, learnt=learnt, runtimes=RUNTIMES)["tried"]
    return [{"dataset": data.name, **row} for row in tried]


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("sets", nargs="+", metavar="DATASET[=MODEL]")
    parse.add_argument("--minutes", type=float, default=3.0, help="of training, where no model is given; 3")
    parse.add_argument("--most", type=int, help="val images of a set, evenly over all; all")
    parse.add_argument("--out", type=Path, metavar="FILE", help="also write the rows as JSON")
    args = parse.parse_args()
    rows = []
    print(f"{'data set':18} {'runtime':14} {'images':>6} {'differ':>6} {'s/Mpx':>6}  serves")
    for given in args.sets:
        name, _, model = given.partition("=")
        folder = Path(name) if Path(name).is_dir() else DATA / name
        for row in flips(folder, Path(model) if model else None, minutes=args.minutes, most=args.most):
            rows.append(row)
            compared = row.get("parity", {})
            told = "yes" if row["accepted"] else row["why"]
            print(
                f"{row['dataset'][:18]:18} {row['runtime']:14} {compared.get('images', ''):>6} "
                f"{compared.get('verdicts_that_differ', ''):>6} {row.get('cpu_seconds_per_mpx', ''):>6}  {told}",
                flush=True,
            )
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
