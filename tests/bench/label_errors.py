"""Labels spoilt on purpose, found again: our queue beside cleanlab's, from the same models in the same run::

    OMP_NUM_THREADS=1 python tests/bench/label_errors.py ../shared/data/magnetic_tile --folds 3 --minutes 10

    qc render --parts 110 --out /tmp/metal --seed 77
    python tests/bench/label_errors.py /tmp/metal --split all --model segmentation/starter

The labels of the train split are spoilt (10 % of the defects: dropped, added, shifted, merged, renamed). The models
learn from the spoilt labels, each from the parts of the other folds only, `--minutes` each: of the processor, so that
a busy machine changes nothing. Reported, for each queue:

- `defects`: share of the seeded errors met in the first tenth of our questions (one for each drawn defect and each
  predicted blob that nobody drew), by place on the image, and by place and kind;
- `images`: share of the seeded errors on the first tenth of the images. cleanlab ranks images
  (`segmentation.rank.get_label_quality_scores`, both of its methods) and pixels; ours ranks an image by its first
  question. Both get the same answers of the same models, at native resolution.
"""

from __future__ import annotations

import segmentation  # noqa: F401  # isort: skip - first, it lets smp import torchvision beside a CPU torch

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from cleanlab.segmentation.rank import get_label_quality_scores

from labeling.errors import find_errors
from labeling.evidence import shapes
from labeling.questions import Question
from labeling.seed_errors import Seeded, seed_errors
from qc.dataset import Sample, open_dataset
from qc.ports import Segmentation, Segmenter
from segmentation.model import load_segmenter
from server.label_check import cross_check, judge


def softmax(segmenter: Segmenter, seen: Segmentation) -> np.ndarray:
    """`K x H x W` probabilities for cleanlab: the calibrated chance of a defect, shared among classes as voted.

    With one class this is the whole softmax. With several, the class map names the winner; it gets the chance.
    """
    chance = 1.0 / (1.0 + np.exp(-seen.log_odds.astype(np.float32)))
    ids = sorted(segmenter.classes)
    probs = np.full((len(ids) + 1, *chance.shape), 1e-6, np.float32)
    probs[0] = 1.0 - chance
    for k, class_id in enumerate(ids, start=1):
        probs[k][seen.class_id == class_id] = chance[seen.class_id == class_id]
    return probs / probs.sum(axis=0)


def cleanlab_scores(mask: np.ndarray, probs: np.ndarray, classes: Sequence[int]) -> tuple[float, float]:
    """Label quality of one image by both methods of cleanlab; low is suspicious."""
    labels = np.zeros(mask.shape, int)
    for k, class_id in enumerate(sorted(classes), start=1):
        labels[mask == class_id] = k
    found = []
    for method in ("softmin", "num_pixel_issues"):
        extra = {"n_jobs": 1, "verbose": False} if method == "num_pixel_issues" else {"verbose": False}
        scores, _ = get_label_quality_scores(labels[None], probs[None], method=method, **extra)
        found.append(float(scores[0]))
    return found[0], found[1]


def met(seeded: Sequence[Seeded], questions: Sequence[Question], *, kind: bool = False) -> float:
    """Share of the seeded errors that these questions are about."""
    hit = [
        any(q.image == s.image and q.box.touches(s.box) and (not kind or q.kind is s.kind) for q in questions)
        for s in seeded
    ]
    return float(np.mean(hit))


def on_images(seeded: Sequence[Seeded], order: Sequence[str]) -> float:
    """Share of the seeded errors on the first tenth of the images."""
    first = set(order[: round(0.1 * len(order))])
    return float(np.mean([s.image in first for s in seeded]))


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("dataset", type=Path)
    parse.add_argument("--folds", type=int, default=3)
    parse.add_argument("--minutes", type=float, default=6.0)
    parse.add_argument("--share", type=float, default=0.1)
    parse.add_argument("--seed", type=int, default=0)
    parse.add_argument("--threads", type=int, default=1)
    parse.add_argument("--most", type=int, help="so many images only, for a quick try")
    parse.add_argument("--model", type=Path, help="a model that learnt from none of these parts, instead of folds")
    parse.add_argument("--split", default="train", help="train, val, test or all")
    parse.add_argument("--device", default="cpu")
    parse.add_argument("--out", type=Path)
    args = parse.parse_args()
    torch.set_num_threads(args.threads)

    data = open_dataset(args.dataset)
    samples = [s for s in data.samples if s.mask is not None and args.split in ("all", s.split)]
    truth = {s.name: s.labels(data.classes) for s in samples}
    if args.most:
        samples = [samples[k] for k in np.random.default_rng(args.seed).permutation(len(samples))[: args.most]]
        truth = {s.name: truth[s.name] for s in samples}
    masks, seeded = seed_errors(truth, share=args.share, random=np.random.default_rng(args.seed))
    quality: dict[str, tuple[float, float]] = {}

    def look(sample: Sample, segmenter: Segmenter, seen: Segmentation) -> None:
        quality[sample.name] = cleanlab_scores(masks[sample.name], softmax(segmenter, seen), list(data.classes))

    began = time.monotonic()
    if args.model is not None:
        random = np.random.default_rng(args.seed + 1)
        segmenter = load_segmenter(args.model, device=args.device, threads=args.threads)
        library = shapes(list(masks.values()))
        doubts = find_errors(judge(segmenter, samples, masks, library=library, random=random, look=look))
    else:
        doubts = cross_check(
            data,
            samples,
            masks,
            count=args.folds,
            minutes=args.minutes,
            seed=args.seed,
            device=args.device,
            threads=args.threads,
            look=look,
            clock=time.process_time,
            progress=lambda share, words: (
                print(f"{time.monotonic() - began:6.0f} s  {words}", flush=True) if "learns" in words else None
            ),
        )

    first = doubts.questions[: round(0.1 * len(doubts.questions))]
    rest = [s.name for s in samples if s.name not in {q.image for q in doubts.questions}]
    report = {
        "data": data.name,
        "images": len(samples),
        "seeded": {k: sum(s.kind.value == k for s in seeded) for k in sorted({s.kind.value for s in seeded})},
        "questions": len(doubts.questions),
        "not judged": [k.value for k in doubts.unjudged],
        "defects": {"place": met(seeded, first), "place and kind": met(seeded, first, kind=True)},
        "defects by kind": {
            k: met([s for s in seeded if s.kind.value == k], first) for k in sorted({s.kind.value for s in seeded})
        },
        "images, ours": on_images(seeded, [*dict.fromkeys(q.image for q in doubts.questions), *rest]),
        "images, cleanlab softmin": on_images(seeded, sorted(quality, key=lambda n: quality[n][0])),
        "images, cleanlab pixel issues": on_images(seeded, sorted(quality, key=lambda n: quality[n][1])),
        "arguments": {k: str(v) for k, v in vars(args).items()},
    }
    print(json.dumps(report, indent=1))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
