"""How many labels fewer, if what to label is chosen by `labeling.priority` instead of by chance::

    OMP_NUM_THREADS=1 python tests/bench/label_priority.py ../shared/data/magnetic_tile --steps 200 --seeds 3 \\
        --out /tmp/priority.json
    python tests/bench/label_priority.py ../shared/data/magnetic_tile --network light --out /tmp/p.json
    python tests/bench/label_priority.py ../shared/data/magnetic_tile --memory --seeds 2        # no training, minutes

The product's own training, `--steps` each, from the images labelled so far. The first `--first` images are drawn by
chance, the same for both; then chance goes on to `--upto`, and beside it `choose` picks `--batch` after `--batch` up to
half of that, a tenth of each still by chance, from what the model of the round before says of the images that nobody
labelled: likely defects of classes that labels lack, doubt, how unlike the labelled ones the surest place looks to its
encoder, and what a memory of the clean ones among those labelled (`qc novelty`) has not seen. Printed with every round:
how many of the labelled images show a defect.

All models are judged on the val split, which also settles their thresholds. Reported for each number of labels: image
AP, recall of defects at 0.1 and 1 false alarms an image, mean IoU; means over the seeds, and the difference of the
chosen half to all of chance's with its standard error. With --network light a training takes a quarter of the time,
100 processor seconds there; its encoder says nothing of looks, as in the product. What is done stays in --out, and
models and trainings of a seed that is not in a folder beside it: the same command goes on after a kill.

With --memory nothing learns: of `--upto` further images, those that the memory of the clean ones among the first finds
strangest, and how many of them show a defect beside how many of all.
"""

from __future__ import annotations

import segmentation  # noqa: F401  # isort: skip - first, it lets smp import torchvision beside a CPU torch

import argparse
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from learning_curve import assemble, defects_on
from numpy.typing import NDArray
from tqdm import tqdm

from labeling.priority import CLEAN, Candidate, choose, labelling_seconds, uncertainty
from qc.dataset import IGNORE, DataSet, Sample, open_dataset
from segmentation.config import NETWORKS, NetworkConfig
from segmentation.evaluate import evaluate
from segmentation.model import load_segmenter
from segmentation.novelty import Novelty, distances, remember
from segmentation.segmenter import FrameSegmenter
from segmentation.train import train

FIGURES = ("image_ap", "defect_recall_at_0.1", "defect_recall_at_1", "mean_iou")
AT_RANDOM = 0.1
"""Share of each chosen batch that is drawn by chance."""


def say(segmenter: FrameSegmenter, sample: Sample) -> tuple[float, int, NDArray[np.float32] | None]:
    """Score of an image, the class and the encoder's cell of its surest place; none of the light network."""
    seen = segmenter.segment(sample.pixels())
    y, x = np.unravel_index(int(seen.log_odds.argmax()), seen.log_odds.shape)
    score = seen.score if seen.score is not None else float(1 / (1 + np.exp(-float(seen.log_odds[y, x]))))
    cell = None if seen.cells is None else seen.cells[:, y // seen.cell_px, x // seen.cell_px].astype(np.float32)
    return score, int(seen.class_id[y, x]), cell


def clean(samples: Sequence[Sample], data: DataSet) -> dict[str, list[Callable[[], NDArray[Any]]]]:
    """Frames on which people drew nothing, by part."""
    found: dict[str, list[Callable[[], NDArray[Any]]]] = {}
    for sample in samples:
        if defects_on(sample, data) == 0:
            found.setdefault(sample.part, []).append(sample.pixels)
    return found


def strange(memory: Novelty, sample: Sample, threshold: float) -> float:
    """The score of what the memory has not seen, as a model that has it says it; 0 where it knows all."""
    highest = max(float(odds.max()) for _, odds in memory.log_odds(sample.pixels(), threshold=threshold))
    return float(1 / (1 + np.exp(-highest)))


def pick(data: DataSet, known: Sequence[Sample], model: Path, n: int, seed: int) -> list[Sample]:
    """The next `n` by their worth."""
    segmenter = replace(load_segmenter(model), keep_cells=True)
    memory = remember(clean(known, data), seed=seed)
    labelled_names = {sample.name for sample in known}
    pool = {s.name: s for s in data.split("train") if s.mask is not None and s.name not in labelled_names}
    candidates = []
    for sample in tqdm(pool.values(), desc="looking", leave=False, disable=None):
        score, class_id, cell = say(segmenter, sample)
        candidates.append(
            Candidate(
                id=sample.name,
                uncertainty=uncertainty([score]),
                classes={class_id: score},
                embedding=None if cell is None else cell.tolist(),
                novelty=strange(memory, sample, segmenter.threshold),
                cost_s=labelling_seconds(1, sample.pixels().size / 1e6),
            )
        )
    looks = [say(segmenter, sample)[2] for sample in known]
    embeddings = [cell.tolist() for cell in looks if cell is not None]
    labels = [np.unique(sample.labels(data.classes)) for sample in known]
    labelled = {k: sum(int(k in each) for each in labels) for k in data.classes if k != IGNORE}
    labelled[CLEAN] = sum(not set(each.tolist()) - {0, IGNORE} for each in labels)
    chosen = choose(candidates, count=n, share_at_random=AT_RANDOM, labelled=labelled, known=embeddings, seed=seed)
    return [pool[each.id] for each in chosen]


def learn(
    data: DataSet, known: Sequence[Sample], model: Path, *, steps: int, seed: int, network: NetworkConfig | None
) -> dict[str, Any]:
    """Train on what is labelled, unless that is done, and judge on val."""
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        root = assemble(Path(folder) / "set", data, [*known, *data.split("val")], name=data.name)
        if not model.exists():
            train(root, model, steps=steps, seed=seed, network=network)
        report = evaluate(load_segmenter(model), open_dataset(root), split="val")
    seconds = round(time.process_time() - began)
    defective = sum(defects_on(sample, data) > 0 for sample in known)
    return {"seconds": seconds, "defective": defective, **{name: report[name]["value"] for name in FIGURES}}


def one_seed(data: DataSet, done: dict[str, Any], keep: Any, chosen: argparse.Namespace, seed: int) -> None:
    """Chance and choice, from the same first images."""
    names = {s.name: s for s in data.split("train") if s.mask is not None}
    order = [sorted(names)[k] for k in np.random.default_rng(seed).permutation(len(names))]
    first = named(chosen, seed)
    folder = chosen.out.with_name(f"{chosen.out.name}.models") / first
    folder.mkdir(parents=True, exist_ok=True)
    network = None if chosen.network == "pretrained" else NETWORKS[chosen.network]

    def reach(by: str, known: Sequence[str]) -> Path:
        key = f"{first}, {by}, {len(known)}"
        model = folder / f"{by} {len(known)}"
        if key not in done or (by == "worth" and not model.exists()):  # a next round needs the model
            known_samples = [names[name] for name in known]
            figures = learn(data, known_samples, model, steps=chosen.steps, seed=seed, network=network)
            keep(key, {**figures, "names": list(known)})
        return model

    for n in (chosen.upto // 2, chosen.upto):
        reach("chance", order[:n])
    known = order[: chosen.first]
    while f"{first}, worth, {chosen.upto // 2}" not in done:
        model = reach("worth", known)
        if n := min(chosen.batch, chosen.upto // 2 - len(known)):
            known = known + [s.name for s in pick(data, [names[k] for k in known], model, n, seed + len(known))]
    shutil.rmtree(folder)


def by_memory(data: DataSet, chosen: argparse.Namespace, seed: int) -> str:
    """Of the strangest `--batch` of `--upto` images, how many show a defect, in words."""
    names = {s.name: s for s in data.split("train") if s.mask is not None}
    order = [names[sorted(names)[k]] for k in np.random.default_rng(seed).permutation(len(names))]
    frames = clean(order[: chosen.first], data)
    memory, pool = remember(frames, seed=seed), order[chosen.first : chosen.first + chosen.upto]
    far = [max(float(d.max()) for _, d in distances(s.pixels(), memory.bank, memory.spread)) for s in pool]
    shows = np.array([defects_on(s, data) > 0 for s in pool])
    first = shows[np.argsort(far)[::-1][: chosen.batch]]
    return (
        f"seed {seed}: {sum(map(len, frames.values()))} clean of {chosen.first} remembered; {int(first.sum())} of the "
        f"{len(first)} strangest show a defect ({first.mean():.2f}), {int(shows.sum())} of all "
        f"{len(shows)} ({shows.mean():.2f})"
    )


def named(chosen: argparse.Namespace, seed: int) -> str:
    """What a result is of."""
    return f"{'' if chosen.network == 'pretrained' else chosen.network + ', '}{chosen.steps} steps, seed {seed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--network", choices=sorted(NETWORKS), default="pretrained")
    parser.add_argument("--first", type=int, default=40)
    parser.add_argument("--batch", type=int, default=30)
    parser.add_argument("--upto", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="only what a memory of clean images finds, no training")
    parser.add_argument("--out", type=Path, help="JSON; what stands there is not done again")
    chosen = parser.parse_args()
    if chosen.out is None and not chosen.memory:
        parser.error("--out is needed, but for --memory")
    if not 0 < chosen.first <= chosen.upto // 2:
        parser.error("--first must be at most half of --upto")
    data = open_dataset(chosen.dataset)
    if chosen.memory:
        for seed in range(chosen.seeds):
            print(by_memory(data, chosen, seed), flush=True)
        return
    done: dict[str, Any] = json.loads(chosen.out.read_text()) if chosen.out.exists() else {}

    def keep(key: str, figures: dict[str, Any]) -> None:
        done[key] = figures
        working = chosen.out.with_name(f".{chosen.out.name}.{os.getpid()}")
        working.write_text(json.dumps(done, indent=1) + "\n")
        os.replace(working, chosen.out)
        print(key, {name: value for name, value in figures.items() if name != "names"}, flush=True)

    for seed in range(chosen.seeds):
        one_seed(data, done, keep, chosen, seed)
    half = chosen.upto // 2
    arms = {f"{by}, {n}": (by, n) for by, n in (("chance", half), ("chance", chosen.upto), ("worth", half))}
    for name in FIGURES:
        value = {
            arm: np.array([done[f"{named(chosen, s)}, {by}, {n}"][name] for s in range(chosen.seeds)])
            for arm, (by, n) in arms.items()
        }
        apart = value[f"worth, {half}"] - value[f"chance, {chosen.upto}"]
        spread = apart.std(ddof=1) / np.sqrt(len(apart)) if len(apart) > 1 else float("nan")
        means = "   ".join(f"{arm}: {each.mean():.3f}" for arm, each in value.items())
        print(f"{name:>22}   {means}   {half} chosen less {chosen.upto} by chance {apart.mean():+.3f} ± {spread:.3f}")


if __name__ == "__main__":
    main()
