"""Makes the starter models from nothing but this repository: `python -m segmentation.starter_recipe [--network NAME]`.

Renders imaginary metal parts, draws hair-thin scratches (`starter_marks.yaml`) into the clean ones, trains on both,
writes `segmentation/starter/`, `segmentation/light_starter/` for the light network, or what every first look begins
from (`first_look_starter.safetensors`). Costs an hour on one core. It knows scratches from 4 px of length on, dents and
pits (the light one: scratches and pits) on brushed, machined and coated metal, well enough that a new installation
finds something on its first day, and every training begins from it (`TrainConfig.begin`); it is meant to be replaced by
a model trained on the user's own parts.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
PARTS = 160
"""Three views each: enough that a run of a quarter of an hour sees every one of them a few times."""

FIRST_LOOK, FIRST_LOOK_STEPS = "first-look", 3000

SEED = 20260

MARKS = Path(__file__).with_name("starter_marks.yaml")


@dataclass(frozen=True, slots=True)
class Course:
    """How one of the networks learns."""

    folder: str
    steps: int
    learning_rate: float


COURSES = {
    "pretrained": Course("starter", steps=1600, learning_rate=2e-3),
    "light": Course("light_starter", steps=6000, learning_rate=4e-3),  # cheap steps, and nothing to begin from
}


def make(out: Path, *, network: str = "pretrained", steps: int, parts: int = PARTS, seed: int = SEED) -> None:
    """Render, draw, train, write the model folder `out`; weights are stored in half precision (2 MB, or 42 kB)."""
    from segmentation.config import NETWORKS, TrainConfig
    from segmentation.train import train

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        data = pictures(Path(folder), parts=parts, seed=seed)
        rate = COURSES[network].learning_rate
        config = TrainConfig(begin="imagenet", frozen_stages=0, learning_rate=rate)
        kind = None if network == "pretrained" else NETWORKS[network]  # None: the depth follows from the defects
        train(data, out, steps=steps, seed=seed, config=config, network=kind, half=True, progress=_tell)


def make_first_look(out: Path, *, steps: int = FIRST_LOOK_STEPS, parts: int = PARTS, seed: int = SEED) -> None:
    """What first looks begin from: learnt from nothing, on the same pictures, into the file `out`."""
    from qc.dataset import open_dataset
    from segmentation.first_look_network import save
    from segmentation.first_look_training import learn

    with tempfile.TemporaryDirectory() as folder:
        data = open_dataset(pictures(Path(folder), parts=parts, seed=seed))
        save(learn(data.split("train"), data.classes, begin=None, steps=steps, seed=seed, progress=_tell), out)


def pictures(folder: Path, *, parts: int, seed: int) -> Path:
    """A data set of rendered parts, and of its clean pictures once more with fine marks drawn into them."""
    from segmentation.render import draw_into
    from segmentation.render.write import render_dataset, write_table

    rendered, drawn = folder / "rendered", folder / "starter"
    render_dataset(rendered, parts, seed=seed)
    draw_into(rendered, MARKS, drawn, seed=seed)
    tables = [list(csv.DictReader((root / "split.csv").open(encoding="utf-8"))) for root in (rendered, drawn)]
    there = {row["file"] for row in tables[1]}
    left = [row for row in tables[0] if row["file"] not in there]
    for row in left:
        for kind in ("images", "masks"):
            os.rename(rendered / kind / row["file"], drawn / kind / row["file"])
    write_table(drawn, ("file", "split", "part", "view", "group"), [*tables[1], *left])
    return drawn


def _tell(share: float, words: str) -> None:
    print(f"\r{100 * share:3.0f} %  {words:60.60}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=[*COURSES, FIRST_LOOK], default="pretrained")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--parts", type=int, default=PARTS)
    chosen = parser.parse_args()
    if chosen.network == FIRST_LOOK:
        from segmentation.first_look_training import STARTER

        make_first_look(chosen.out or STARTER, steps=chosen.steps or FIRST_LOOK_STEPS, parts=chosen.parts)
    else:
        course = COURSES[chosen.network]
        out, steps = chosen.out or FOLDER / course.folder, chosen.steps or course.steps
        make(out, network=chosen.network, steps=steps, parts=chosen.parts)
