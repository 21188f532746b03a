"""Our `qc train` beside the strong recipe, same data set, same processor minutes, one after the other::

    OMP_NUM_THREADS=1 python tests/bench/strong_recipe.py ../shared/data/ksdd --minutes 12

Time is the processor's, so that other work on the machine takes nothing from either.

The strong recipe is what an experienced person puts together in an afternoon: smp.Unet on tu-tf_efficientnet_lite0
with ImageNet weights, random native 256 px crops, flips and quarter turns, focal + Dice, AdamW with a one-cycle
schedule, MONAI's sliding window (gaussian, overlap 0.5), threshold by the same rule as ours. Both are measured by
`segmentation.evaluate`.
"""

from __future__ import annotations

import segmentation  # noqa: F401  # isort: skip - first, it lets smp import torchvision beside a CPU torch

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import albumentations as A
import numpy as np
import segmentation_models_pytorch as smp
import torch
from monai.inferers import sliding_window_inference

from qc.dataset import IGNORE, DataSet, open_dataset
from qc.ports import Segmentation
from segmentation.data import cut, rgb
from segmentation.evaluate import evaluate
from segmentation.losses import dice_loss, focal_loss
from segmentation.model import load_segmenter
from segmentation.networks import imagenet_weights
from segmentation.operating_point import settle
from segmentation.train import train

CROP, BATCH = 256, 8
FIGURES = (
    "image_ap",
    "image_auroc",
    "part_ap",
    "defect_recall_at_0.1",
    "defect_recall_at_1",
    "pixel_f1",
    "mean_iou",
)


def log_odds_of_any(logits: np.ndarray) -> np.ndarray:
    """`K x H x W` logits -> `H x W` log(p / (1 - p)), p the softmax probability of all defect classes together."""
    return np.logaddexp.reduce(logits[1:], axis=0) - logits[0]


class Recipe:
    """The strong recipe's network as a `qc.ports.Segmenter`."""

    def __init__(self, net: torch.nn.Module, dataset: DataSet) -> None:
        self._net, self.classes, self.model_id = net.eval(), dict(dataset.classes), "strong recipe"
        self.threshold = self.edge = 0.5
        self._ids = np.array(sorted(self.classes), np.uint8)

    def segment(self, pixels: np.ndarray) -> Segmentation:
        x = torch.from_numpy(rgb(pixels)).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            logits = sliding_window_inference(x, (CROP, CROP), 4, self._net, overlap=0.5, mode="gaussian")[0].numpy()
        return Segmentation(log_odds_of_any(logits).astype(np.float16), self._ids[logits[1:].argmax(0)])


def train_recipe(
    dataset: DataSet, *, minutes: float, seed: int = 0, progress: Callable[[float, str], None] | None = None
) -> Recipe:
    """Train until so many processor minutes are used up, what the choice of the threshold needs included."""
    clock = time.process_time
    began = clock()
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    classes = len(dataset.classes) + 1
    net = smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None, classes=classes)
    wanted = net.encoder.model.state_dict()
    net.encoder.model.load_state_dict(imagenet_weights("tf_efficientnet_lite0", wanted))
    net = net.to(memory_format=torch.channels_last)
    samples, val = dataset.split("train"), dataset.split("val")
    pictures = [(rgb(s.pixels()), s.labels(dataset.classes)) for s in samples]
    change = A.Compose([A.D4(p=1.0), A.RandomBrightnessContrast(p=0.5)])
    recipe = Recipe(net, dataset)
    once = clock()
    recipe.segment(val[0].pixels())
    reserve = min(1.3 * (clock() - once) * len(val), 0.25 * 60 * minutes)
    end = began + 60 * minutes - reserve
    start, step = clock(), 0
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    while (now := clock()) < end:
        share = (now - start) / (end - start)
        rate = share / 0.1 if share < 0.1 else 0.5 + 0.5 * math.cos(math.pi * (share - 0.1) / 0.9)
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * max(rate, 1e-3)
        crops, masks = zip(*(one_crop(random, pictures, change) for _ in range(BATCH)), strict=True)
        x = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1
        target = torch.from_numpy(np.stack(masks)).long()
        logits = net.train()(x)
        loss = focal_loss(logits, target) + dice_loss(logits, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        if progress:
            progress(share, f"step {step}")
    net.eval()
    answers = []
    order = np.random.default_rng(0).permutation(len(val))
    for number in order:
        if clock() > began + 60 * minutes:
            break
        answers.append((recipe.segment(val[number].pixels()), val[number].labels(dataset.classes)))
    recipe.threshold, recipe.edge = settle(answers, dataset.classes)
    print(f"strong recipe: {step} steps, threshold {recipe.threshold}, {clock() - began:.0f} s")
    return recipe


def one_crop(random: np.random.Generator, pictures: list, change: A.Compose) -> tuple[np.ndarray, np.ndarray]:
    """Any picture, any place."""
    pixels, mask = pictures[int(random.integers(len(pictures)))]
    height, width = mask.shape
    x, y = (int(random.integers(0, max(1, side - CROP + 1))) for side in (width, height))
    crop, drawn = cut(pixels, mask, x, y, CROP)
    assert drawn.max() <= IGNORE
    changed = change(image=crop, mask=drawn)
    return changed["image"], changed["mask"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--minutes", type=float, default=12.0, help="of the processor, each (12)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write both reports here as JSON")
    parser.add_argument("--keep", type=Path, help="keep our model in this folder")
    chosen = parser.parse_args()
    dataset = open_dataset(chosen.dataset)
    reports = {}
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        model = chosen.keep or Path(folder) / "model"
        card = train(chosen.dataset, model, minutes=chosen.minutes, seed=chosen.seed, clock=time.process_time)
        took = time.process_time() - began
        print(f"ours: {card['training']['steps']} steps, threshold {card['threshold']}, {took:.0f} s")
        reports["ours"] = evaluate(load_segmenter(model), dataset, split="val")
    reports["strong recipe"] = evaluate(
        train_recipe(dataset, minutes=chosen.minutes, seed=chosen.seed), dataset, split="val"
    )
    print(f"\n{dataset.name}, val, {chosen.minutes:g} processor minutes each")
    print(f"{'':24}{'ours':>24}{'strong recipe':>26}{'ratio':>8}")
    rows = {n: [reports[who][n] for who in reports] for n in FIGURES}
    rows |= {f"IoU {c}": [reports[who]["classes"][c]["iou"] for who in reports] for c in reports["ours"]["classes"]}
    for name, values in rows.items():
        texts = [f"{v['value']} ({v['low']}-{v['high']})" for v in values]
        a, b = (v["value"] for v in values)
        print(f"{name:24}{texts[0]:>24}{texts[1]:>26}{f'{a / b:.2f}' if a is not None and b else '-':>8}")
    if chosen.out:
        chosen.out.write_text(json.dumps(reports, indent=1) + "\n")


if __name__ == "__main__":
    main()
