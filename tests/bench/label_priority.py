"""How many labels fewer, if what to label is chosen by `labeling.priority` instead of by chance::

    OMP_NUM_THREADS=1 python tests/bench/label_priority.py ../shared/data/magnetic_tile --seeds 5
    OMP_NUM_THREADS=1 python tests/bench/label_priority.py ../shared/data/magnetic_tile --images 120 --upto 60 --seeds 2

The model is a quick stand-in, so that hundreds of trainings take minutes: the encoder's features stay as they are, and
a linear head is learnt on the cells of the images labelled so far. The first batch is drawn by chance, the same for
both; then either chance goes on, or `choose` picks each next batch from what the head says (its uncertainty, the
distance of the most suspicious cells from what is labelled, rare classes), a tenth still by chance.

Reported: recall of defective images of the val split where one in twenty of its clean images raises an alarm, against
labels, averaged over seeds; and how many chosen labels reach the recall of `--upto` random ones.
"""

from __future__ import annotations

import segmentation  # noqa: F401  # isort: skip - first, it lets smp import torchvision beside a CPU torch

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from labeling.priority import Candidate, choose, labelling_seconds, uncertainty
from qc.dataset import IGNORE, DataSet, Sample, open_dataset
from qc.frame import to_8bit
from segmentation.novelty import CELL_PX, STRIDE, Features

FALSE_ALARMS = 0.05
AT_RANDOM = 0.1
"""Share of each chosen batch that is drawn by chance."""
TOP = 3
"""An image's score is the mean over so many of its worst cells: a single one is noise."""
STEPS = 150
CLEAN_CELLS = 150
"""Clean cells of an image that the head learns from at most; all of its defective ones."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An image as the head sees it."""

    name: str
    group: str
    cells: NDArray[np.float32]
    """`n x C` features."""
    classes: NDArray[np.int64]
    """`n`: class id that covers most of the cell's defect, 0 clean, -1 unknown."""
    megapixels: float

    @property
    def defective(self) -> bool:
        return bool((self.classes > 0).any())


def look(sample: Sample, data: DataSet, features: Features) -> Seen:
    grey = to_8bit(sample.pixels())
    rgb = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB) if grey.ndim == 2 else grey
    height, width = rgb.shape[:2]
    below, right = -height % STRIDE, -width % STRIDE
    rgb = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REFLECT_101)
    mask = cv2.copyMakeBorder(sample.labels(data.classes), 0, below, 0, right, cv2.BORDER_CONSTANT, value=IGNORE)
    with torch.inference_mode():
        x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 127.5 - 1.0
        found = features(x.contiguous(memory_format=torch.channels_last))[0].flatten(1).T.numpy()
    blocks = mask.reshape(mask.shape[0] // CELL_PX, CELL_PX, mask.shape[1] // CELL_PX, CELL_PX).swapaxes(1, 2)
    flat = blocks.reshape(-1, CELL_PX * CELL_PX)
    counts = np.stack([(flat == k).sum(axis=1) for k in sorted(data.classes)], axis=1)
    classes = np.where(counts.max(axis=1) > 0, np.array(sorted(data.classes))[counts.argmax(axis=1)], 0)
    classes[(counts.max(axis=1) == 0) & (flat == IGNORE).any(axis=1)] = -1
    known = classes >= 0
    return Seen(sample.name, sample.group, found[known].copy(), classes[known], height * width / 1e6)


def fit(images: Sequence[Seen], ids: Sequence[int], random: np.random.Generator) -> torch.nn.Linear:
    """A linear head, clean and each class; classes weigh the same in sum as clean does."""
    rows, labels = [], []
    for image in images:
        clean = np.flatnonzero(image.classes == 0)
        kept = np.concatenate([np.flatnonzero(image.classes > 0), random.permutation(clean)[:CLEAN_CELLS]])
        rows.append(image.cells[kept])
        labels.append(image.classes[kept])
    x = torch.from_numpy(np.concatenate(rows))
    table = {0: 0} | {class_id: place for place, class_id in enumerate(ids, start=1)}
    y = torch.tensor([table[int(k)] for k in np.concatenate(labels)])
    counts = torch.bincount(y, minlength=len(table)).float()
    weight = torch.where(counts > 0, counts.clamp(min=1).rsqrt(), 0.0)
    head = torch.nn.Linear(x.shape[1], len(table))
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    steps = torch.optim.AdamW(head.parameters(), lr=0.03, weight_decay=0.05)
    for _ in range(STEPS):
        steps.zero_grad()
        loss = F.cross_entropy(head(x), y, weight=weight)
        loss.backward()
        steps.step()
    return head


@dataclass(frozen=True, slots=True)
class Said:
    """What the head says of an image."""

    score: float
    classes: dict[int, float]
    embedding: NDArray[np.float32]


def say(image: Seen, head: torch.nn.Linear, ids: Sequence[int]) -> Said:
    with torch.inference_mode():
        odds = head(torch.from_numpy(image.cells)).softmax(dim=1).numpy()
    doubt = 1.0 - odds[:, 0]
    worst = np.argsort(doubt)[-TOP:]
    classes = {class_id: float(odds[worst, place].mean()) for place, class_id in enumerate(ids, start=1)}
    return Said(float(doubt[worst].mean()), classes, image.cells[worst].mean(axis=0))


def recall(judges: Sequence[Seen], head: torch.nn.Linear, ids: Sequence[int]) -> float:
    scores = np.array([say(image, head, ids).score for image in judges])
    bad = np.array([image.defective for image in judges])
    return float((scores[bad] > np.quantile(scores[~bad], 1.0 - FALSE_ALARMS)).mean())


def pick(pool: Sequence[Seen], known: Sequence[Seen], head: torch.nn.Linear, ids: Sequence[int], n: int, seed: int):
    """The next `n` by their worth."""
    candidates = []
    for image in pool:
        said = say(image, head, ids)
        candidates.append(
            Candidate(
                id=image.name,
                uncertainty=uncertainty([min(said.score, 1.0)]),
                classes={k: min(p, 1.0) for k, p in said.classes.items()},
                embedding=said.embedding.tolist(),
                cost_s=labelling_seconds(1, image.megapixels),
            )
        )
    labelled = {k: sum(int((image.classes == k).any()) for image in known) for k in ids}
    embeddings = [say(image, head, ids).embedding.tolist() for image in known]
    chosen = choose(candidates, count=n, share_at_random=AT_RANDOM, labelled=labelled, known=embeddings, seed=seed)
    return [each.id for each in chosen]


def curve(
    pool: Sequence[Seen], judges: Sequence[Seen], ids: Sequence[int], *, batch: int, upto: int, seed: int, by: str
) -> list[float]:
    """Recall after each batch."""
    random = np.random.default_rng(seed)
    rest = {image.name: image for image in pool}
    names = [pool[k].name for k in random.permutation(len(pool))[:batch]]
    known, found = [], []
    while True:
        known += [rest.pop(name) for name in names]
        head = fit(known, ids, np.random.default_rng(seed))
        found.append(recall(judges, head, ids))
        if len(known) >= upto or not rest:
            return found
        n = min(batch, upto - len(known), len(rest))
        if by == "chance":
            names = random.choice(sorted(rest), n, replace=False).tolist()
        else:
            names = pick(list(rest.values()), known, head, ids, n, seed + len(known))


def needed(labels: Sequence[int], chosen: NDArray[np.float64], goal: float) -> float | None:
    """Labels from which on the chosen curve stays at the goal or above, between two batches by a straight line."""
    below = [k for k, value in enumerate(chosen) if value < goal]
    if not below:
        return float(labels[0])
    k = below[-1]
    if k + 1 == len(chosen):
        return None
    share = (goal - chosen[k]) / (chosen[k + 1] - chosen[k])
    return float(labels[k] + share * (labels[k + 1] - labels[k]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--images", type=int, default=0, help="of train and of val, at most; 0: all")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--upto", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    data = open_dataset(args.dataset)
    features = Features().eval().to(memory_format=torch.channels_last)
    sides = {}
    for split in ("train", "val"):
        samples = [s for s in data.split(split) if s.mask is not None]
        order = np.random.default_rng(0).permutation(len(samples))[: args.images or None]
        sides[split] = [look(samples[k], data, features) for k in order]
    spread = np.concatenate([image.cells for image in sides["train"]]).std(axis=0) + 1e-6
    for image in (*sides["train"], *sides["val"]):
        image.cells[:] = image.cells / spread
    pool, judges = sides["train"], sides["val"]
    bad = sum(image.defective for image in judges)
    print(f"{len(pool)} images to choose from; judged by {bad} defective and {len(judges) - bad} clean ones")
    print(f"features after {time.perf_counter() - started:.0f} s", flush=True)
    ids = sorted(data.classes)
    curves: dict[str, list[list[float]]] = {"chance": [], "worth": []}
    for seed in range(args.seeds):
        for by, found in curves.items():
            found.append(curve(pool, judges, ids, batch=args.batch, upto=args.upto, seed=seed, by=by))
        print(f"seed {seed} after {time.perf_counter() - started:.0f} s", flush=True)
    mean = {by: np.mean(found, axis=0) for by, found in curves.items()}
    labels = [min(args.batch * (k + 1), args.upto, len(pool)) for k in range(len(mean["chance"]))]
    for k, n in enumerate(labels):
        print(f"{n:5d} labels   by chance {mean['chance'][k]:.3f}   by worth {mean['worth'][k]:.3f}")
    goal = float(mean["chance"][-1])
    reached = needed(labels, mean["worth"], goal)
    told = f"{reached:.0f} chosen labels" if reached is not None else f"not within {labels[-1]} chosen labels"
    print(f"recall of {labels[-1]} random labels ({goal:.3f}): {told}")
    print(json.dumps({"labels": labels, "goal": goal, "needed": reached, **{k: v.tolist() for k, v in mean.items()}}))


if __name__ == "__main__":
    main()
