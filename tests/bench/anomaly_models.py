"""Ours beside PatchCore and SuperSimpleNet of anomalib, same parts, same minutes, same metrics, one after the other::

    OMP_NUM_THREADS=2 python tests/bench/anomaly_models.py ../shared/data/ksdd --minutes 20 --env /tmp/anomalib

`--env` is a folder for anomalib's own environment, made there if it is missing (2 GB). Its default encoder, a
Wide-ResNet50, can only be fetched from a hub; both models therefore get the ImageNet weights of the encoder that ours
has, which come in a package. They see pictures of one size: the median of the data set's, at most `--mpx` (0.15 is
232 x 640, at which SuperSimpleNet's paper sees surface defects). PatchCore learns from the clean train pictures;
SuperSimpleNet from the masks too, which its module can and anomalib's own trainer cannot yet.

They know one class, "defective", so that is what all three are asked for: answers are brought to native size, for each
of the three the threshold on its pixels is the one with the highest IoU on val, and `segmentation.metrics` does the
rest. The score of an image is the model's own.
"""

from __future__ import annotations

import segmentation  # isort: skip - first, it lets smp import torchvision beside a CPU torch

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch

from qc.dataset import IGNORE, DataSet, Sample, open_dataset
from qc.defects import frame_score
from qc.ports import Segmentation
from segmentation.data import rgb
from segmentation.matching import facts
from segmentation.metrics import report
from segmentation.model import load_segmenter
from segmentation.networks import imagenet_weights
from segmentation.train import train

WORKER = Path(__file__).with_name("anomaly_worker.py")
ROOT = Path(segmentation.__file__).parents[1]
ANOMALIB = "anomalib==2.7.0"
ENCODER = "tf_efficientnet_lite0"
DEFECT = {1: "defect"}
FIGURES = (
    "image_ap",
    "image_auroc",
    "part_ap",
    "defect_recall_at_0.1",
    "defect_recall_at_1",
    "pixel_f1",
)
STEP = 32
"""Sides are multiples of it, px: the stride of the encoder."""

SUREST = 1 - np.logspace(-0.5, -6, 300)
"""Thresholds that are tried, as quantiles of all pixels: from a third of them down to a millionth."""

Answer = tuple[np.ndarray, float]
"""Of a frame: how defective each pixel is, `H x W`, and the frame itself; on any scale, higher is worse."""


def environment(folder: Path) -> Path:
    """anomalib's Python, installed if it is not there; raises CalledProcessError if that fails."""
    python = folder / "bin" / "python"
    if not python.is_file() or subprocess.run([python, "-c", "import anomalib"], capture_output=True).returncode:
        print(f"installing {ANOMALIB} into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pins = ROOT / "constraints-cpu.txt"
        subprocess.run([python, "-m", "pip", "install", "-q", "-c", pins, ANOMALIB], check=True)
    return python


def common_size(samples: Iterable[Sample], mpx: float) -> tuple[int, int]:
    """Height and width: the median of the pictures', smaller where that is more than `mpx`."""
    sides = np.median([s.pixels().shape[:2] for s in samples], axis=0)
    sides *= min(1.0, (1e6 * mpx / sides.prod()) ** 0.5)
    height, width = (max(STEP, round(side / STEP) * STEP) for side in sides)
    return height, width


def hand_over(folder: Path, data: DataSet, mpx: float) -> None:
    """All that the worker needs."""
    learn, val = data.split("train"), data.split("val")
    height, width = common_size(learn, mpx)
    print(f"anomalib sees {width} x {height} px", flush=True)

    def small(pixels: np.ndarray) -> np.ndarray:
        return cv2.resize(rgb(pixels), (width, height), interpolation=cv2.INTER_AREA)

    def mask(sample: Sample) -> np.ndarray:
        drawn = sample.labels(data.classes)
        drawn = ((drawn > 0) & (drawn != IGNORE)).astype(np.float32)
        return cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA) > 0  # no thin defect is lost

    images = np.stack([small(s.pixels()) for s in learn])
    np.savez(folder / "train.npz", images=images, masks=np.stack([mask(s) for s in learn]).astype(np.uint8))
    np.savez(folder / "val.npz", images=np.stack([small(s.pixels()) for s in val]))
    wanted = smp.encoders.get_encoder(f"tu-{ENCODER}", depth=5, weights=None).model.state_dict()
    torch.save(imagenet_weights(ENCODER, wanted), folder / "weights.pt")
    shutil.copy(ROOT / "segmentation" / "torchvision_cpu.py", folder)


def theirs(python: Path, who: str, folder: Path, minutes: float, seed: int, val: list[Sample]) -> Iterator[Answer]:
    """Train in the other environment; then its answers at native size."""
    subprocess.run([python, WORKER, who, folder, str(minutes), str(seed)], check=True)
    found = np.load(folder / f"{who}.npz")
    for sample, seen, score in zip(val, found["maps"], found["scores"], strict=True):
        height, width = sample.pixels().shape[:2]
        yield cv2.resize(seen, (width, height), interpolation=cv2.INTER_LINEAR), float(score)


def ours(dataset: Path, minutes: float, seed: int, val: list[Sample], keep: Path) -> Iterator[Answer]:
    """Train here, and look."""
    train(dataset, keep, minutes=minutes, seed=seed)
    eyes = load_segmenter(keep)
    for sample in val:
        seen = eyes.segment(sample.pixels())
        yield seen.log_odds.astype(np.float32), frame_score(seen)


def judged(answers: Iterable[Answer], data: DataSet) -> dict[str, Any]:
    """The figures of one model's answers to val."""
    seen, truths, scores = [], [], []
    for (odds, score), sample in zip(answers, data.split("val"), strict=True):
        drawn = sample.labels(data.classes)
        truths.append(np.where((drawn > 0) & (drawn != IGNORE), 1, drawn).astype(np.uint8))
        seen.append(odds)
        scores.append(score)
    level, spread = best_level(seen, truths)
    found = []
    for odds, truth, score, sample in zip(seen, truths, scores, data.split("val"), strict=True):
        about_level = np.clip((odds - level) / spread, -30, 30).astype(np.float16)
        answer = Segmentation(about_level, np.ones(truth.shape, np.uint8))
        compared = facts(answer, truth, DEFECT, threshold=0.5, edge=0.5, image=sample.image.name, part=sample.part)
        found.append(replace(compared, score=score))
    return report(found, DEFECT)


def best_level(seen: list[np.ndarray], truths: list[np.ndarray]) -> tuple[float, float]:
    """The level of highest IoU with what is drawn, and a unit for what lies around it.

    The unit is a tenth of the way from the usual pixel to that level: what is half as far out as a defect would be is
    then listed as doubtful, and false alarms can be counted far below the level too.
    """
    known = np.concatenate([odds[truth != IGNORE] for odds, truth in zip(seen, truths, strict=True)])
    drawn = np.concatenate([truth[truth != IGNORE] == 1 for truth in truths])
    levels = np.unique(np.quantile(known, SUREST))
    hits, alarms = (len(p) - np.searchsorted(np.sort(p), levels) for p in (known[drawn], known[~drawn]))
    iou = hits / np.maximum(drawn.sum() + alarms, 1)
    best = float(levels[int(iou.argmax())])
    return best, max((best - float(np.median(known))) / 10, 1e-6)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--env", type=Path, required=True, help="folder of anomalib's own environment")
    parser.add_argument("--mpx", type=float, default=0.15, help="what anomalib's models see of a picture, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--who", nargs="+", default=["ours", "patchcore", "supersimplenet"])
    parser.add_argument("--out", type=Path, help="write the reports here as JSON")
    args = parser.parse_args()
    data = open_dataset(args.dataset)
    val = data.split("val")
    reports = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        others = [who for who in args.who if who != "ours"]
        if others:
            python = environment(args.env)
            hand_over(folder, data, args.mpx)
        for who in args.who:
            answers = (
                ours(args.dataset, args.minutes, args.seed, val, folder / "model")
                if who == "ours"
                else theirs(python, who, folder, args.minutes, args.seed, val)
            )
            reports[who] = judged(answers, data)
    print(f"\n{data.name}, val, {args.minutes:g} minutes each, all classes as one\n{'':24}", end="")
    print("".join(f"{who:>26}" for who in reports))
    rows = {n: [r[n] for r in reports.values()] for n in FIGURES}
    rows["IoU"] = [r["classes"]["defect"]["iou"] for r in reports.values()]
    for name, values in rows.items():
        print(f"{name:24}" + "".join(f"{'{value} ({low}-{high})'.format(**v):>26}" for v in values))
    if args.out:
        args.out.write_text(json.dumps(reports, indent=1) + "\n")


if __name__ == "__main__":
    main()
