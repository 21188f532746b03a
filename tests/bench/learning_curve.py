"""What few labels give, and what defects drawn into clean pictures add to them::

    OMP_NUM_THREADS=1 python tests/bench/learning_curve.py ../shared/data/ksdd --defects 0 8 16 24 --minutes 12 \\
        --describe tests/bench/ksdd_cracks.yaml --out /tmp/curve.json

For each number N the model learns from N labelled defects of the train split (whole parts, drawn by lot; 8 are among
the 16) and from all clean train pictures; once as they are, and once with the described defects drawn into these
clean pictures beside them. Same minutes of the processor (or --steps), same seed, one after the other; all judged on
the same val pictures. Those also settle calibration, threshold and where outlines end, in all arms, so recall flatters
a little. With --recipe the strong recipe (`strong_recipe.py`) learns from the same labels for as long as the first arm
took.
Without --describe there is nothing drawn. Results are kept in --out as they come; the same command goes on.
"""

from __future__ import annotations

import segmentation  # noqa: F401  # isort: skip - first, it lets smp import torchvision beside a CPU torch

import argparse
import csv
import json
import os
import tempfile
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from qc.dataset import IGNORE, DataSet, Sample, open_dataset
from qc.errors import InvalidInput
from segmentation.render import draw_into, read_description

FIGURES = ("image_ap", "defect_recall_at_0.1", "defect_recall_at_1", "mean_iou")
RECIPE = "strong recipe"
ARMS = ("labels", "labels and drawn", RECIPE)

JOIN_PX = 8
"""Pieces of a drawn outline that lie closer than this are one defect: people lift the brush."""


def defects_on(sample: Sample, data: DataSet) -> int:
    """How many defects somebody drew on this picture."""
    mask = sample.labels(data.classes)
    drawn = ((mask > 0) & (mask != IGNORE)).astype(np.uint8)
    return int(cv2.connectedComponents(cv2.dilate(drawn, np.ones((JOIN_PX + 1, JOIN_PX + 1), np.uint8)))[0]) - 1


def choose(data: DataSet, wanted: int, seed: int) -> tuple[list[Sample], int]:
    """Train pictures with `wanted` defects together, part after part in an order drawn by lot, and how many they are.

    A picture that would bring more than are still wanted is passed over. Fewer come back where there are no more.
    """
    of_part: dict[str, list[Sample]] = {}
    for sample in data.split("train"):
        of_part.setdefault(sample.part, []).append(sample)
    chosen, count = list[Sample](), 0
    for number in np.random.default_rng(seed).permutation(len(of_part)):
        for sample in of_part[sorted(of_part)[number]]:
            here = defects_on(sample, data)
            if here and count + here <= wanted:
                chosen.append(sample)
                count += here
    return chosen, count


def clean(data: DataSet) -> list[Sample]:
    """Train pictures on which nobody drew a defect."""
    return [s for s in data.split("train") if not defects_on(s, data)]


def assemble(out: Path, data: DataSet, samples: Iterable[Sample], *, name: str) -> Path:
    """A data set of these pictures, which stay where they are."""
    rows = []
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True)
    for sample in samples:
        assert sample.mask is not None
        (out / "images" / sample.image.name).symlink_to(sample.image.resolve())
        (out / "masks" / sample.mask.name).symlink_to(sample.mask.resolve())
        rows.append([sample.image.name, sample.split, sample.part, sample.view, sample.group])
    with (out / "split.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "split", "part", "view", "group"], *rows])
    about = {"name": name, "classes": dict(data.classes), **({"mm_per_px": data.mm_per_px} if data.mm_per_px else {})}
    (out / "dataset.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
    return out


def drawn_pictures(
    work: Path, data: DataSet, description: Path, *, copies: int, seed: int, most: int | None = None
) -> list[Sample]:
    """The described defects in clean train pictures, at most so many; raises InvalidInput for a foreign class."""
    names = [d.name for d in read_description(description, mm_per_px=data.mm_per_px).defects]
    if foreign := set(names) - set(data.classes.values()):
        raise InvalidInput(f"{data.name} has no class {min(foreign)}; it has {', '.join(data.classes.values())}")
    pictures = clean(data)
    if most is not None:
        pictures = some(pictures, -(-most // copies), seed)
    source = assemble(work / "clean", data, pictures, name=f"clean of {data.name}")
    draw_into(source, description, work / "drawn", copies=copies, seed=seed)
    return [s for s in open_dataset(work / "drawn").samples if s.columns["drawn"]][:most]


def some(samples: Sequence[Sample], most: int, seed: int) -> list[Sample]:
    """At most so many of them, by lot."""
    order = np.random.default_rng([seed, 1]).permutation(len(samples))[:most]
    return [samples[int(number)] for number in sorted(order)]


def run(dataset: Path, *, minutes: float | None, steps: int | None, seed: int) -> dict[str, Any]:
    """Train, judge on val, forget the model."""
    from segmentation.evaluate import evaluate
    from segmentation.model import load_segmenter
    from segmentation.train import train

    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        card = train(dataset, Path(folder) / "model", minutes=minutes, steps=steps, seed=seed, clock=time.process_time)
        seconds = round(time.process_time() - began, 1)
        report = evaluate(load_segmenter(Path(folder) / "model"), open_dataset(dataset), split="val")
    return {"steps": card["training"]["steps"], "seconds": seconds, **{name: report[name] for name in FIGURES}}


def run_recipe(dataset: Path, *, minutes: float, seed: int) -> dict[str, Any]:
    """The strong recipe, as `run`."""
    from strong_recipe import train_recipe

    from segmentation.evaluate import evaluate

    began = time.process_time()
    data = open_dataset(dataset)
    recipe = train_recipe(data, minutes=minutes, seed=seed)
    seconds = round(time.process_time() - began, 1)
    report = evaluate(recipe, data, split="val")
    return {"seconds": seconds, **{name: report[name] for name in FIGURES}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument(
        "--defects", type=int, nargs="+", default=[8, 16, 32, 64], metavar="N", help="0: drawn ones only"
    )
    limit = parser.add_mutually_exclusive_group(required=True)
    limit.add_argument("--minutes", type=float, help="of the processor, for each training")
    limit.add_argument("--steps", type=int, help="of each training")
    parser.add_argument("--describe", type=Path, metavar="YAML", help="what to draw, as for qc render --defects")
    parser.add_argument("--copies", type=int, default=1, help="drawn pictures for each clean one (1)")
    parser.add_argument(
        "--per-label",
        type=float,
        default=4.0,
        help="at most so many drawn pictures for each labelled one, so that the real ones are not drowned (4)",
    )
    parser.add_argument("--recipe", action="store_true", help="the strong recipe beside it")
    parser.add_argument("--seeds", type=int, default=1, help="repeat with other parts, pictures and weights (1)")
    parser.add_argument("--out", type=Path, required=True, help="JSON; what stands there is not done again")
    chosen = parser.parse_args()
    data = open_dataset(chosen.dataset)
    done: dict[str, Any] = json.loads(chosen.out.read_text()) if chosen.out.exists() else {}
    about = f"{data.name}, " + (f"{chosen.steps} steps" if chosen.steps else f"{chosen.minutes:g} minutes")
    drawing = ""
    if chosen.describe:
        drawing = f" ({chosen.describe.name}, copies {chosen.copies}, {chosen.per_label:g} per label)"
    for seed in range(chosen.seeds):
        for wanted in chosen.defects:
            for arm in ARMS:
                key = f"{about}, seed {seed}, {wanted} defects, {arm}" + drawing * (arm == ARMS[1])
                asked = {ARMS[0]: bool(wanted), ARMS[1]: bool(chosen.describe), RECIPE: wanted and chosen.recipe}
                if key in done or not asked[arm]:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    work = Path(folder)
                    real, count = choose(data, wanted, seed)
                    added = list[Sample]()
                    if arm == ARMS[1]:
                        most = round(chosen.per_label * len(real)) or None
                        added = drawn_pictures(work, data, chosen.describe, copies=chosen.copies, seed=seed, most=most)
                    pictures = [*clean(data), *real, *added, *data.split("val")]
                    root = assemble(work / "set", data, pictures, name=data.name)
                    made = {"defects": count, "labelled": len(real), "drawn": len(added)}
                    if arm == RECIPE:
                        took = done[f"{about}, seed {seed}, {wanted} defects, {ARMS[0]}"]["seconds"]
                        done[key] = {**made, **run_recipe(root, minutes=chosen.minutes or took / 60, seed=seed)}
                    else:
                        done[key] = {**made, **run(root, minutes=chosen.minutes, steps=chosen.steps, seed=seed)}
                working = chosen.out.with_name(f".{chosen.out.name}.{os.getpid()}")
                working.write_text(json.dumps(done, indent=1) + "\n")
                os.replace(working, chosen.out)
                print(f"{key}: {done[key]}", flush=True)
    table(done, about, drawing, chosen.defects, chosen.seeds)


def table(done: dict[str, Any], about: str, drawing: str, numbers: Sequence[int], seeds: int) -> None:
    """Means over the seeds, with the interval of the first seed's val parts, and the ratio to the recipe."""
    print(f"\n{about}, val\n{'defects':>8}  {'figure':22}" + "".join(f"{arm:>24}" for arm in ARMS) + f"{'ratio':>8}")
    for wanted in numbers:
        for figure in FIGURES:
            cells, means = [], {}
            for arm in ARMS:
                keys = [
                    f"{about}, seed {s}, {wanted} defects, {arm}" + drawing * (arm == ARMS[1]) for s in range(seeds)
                ]
                found = [done[key][figure] for key in keys if key in done and done[key][figure]["value"] is not None]
                if found:
                    means[arm] = float(np.mean([f["value"] for f in found]))
                cells.append(f"{means[arm]:.3f} ({found[0]['low']}-{found[0]['high']})" if found else "-")
            ours, theirs = means.get(ARMS[0]), means.get(RECIPE)
            ratio = f"{ours / theirs:.2f}" if theirs and ours is not None else "-"
            print(f"{wanted:8}  {figure:22}" + "".join(f"{cell:>24}" for cell in cells) + f"{ratio:>8}")


if __name__ == "__main__":
    main()
