"""Labels spoilt on purpose, found again: our queue beside cleanlab's, from the same models in the same run::

    OMP_NUM_THREADS=1 python tests/bench/label_errors.py ../shared/data/ksdd --network light --minutes 1.5 --seeds 5 \\
        --out /tmp/errors-ksdd.json
    OMP_NUM_THREADS=1 python tests/bench/label_errors.py ../shared/data/magnetic_tile --minutes 7 --out /tmp/errors.json

    qc render --parts 110 --out /tmp/metal --seed 77
    python tests/bench/label_errors.py /tmp/metal --split all --model segmentation/starter --out /tmp/errors-metal.json

The labels of the train split are spoilt (10 % of the defects: dropped, added, shifted, merged, renamed, in turn). The
models learn from the spoilt labels, each from the parts of the other folds only, `--minutes` each: of the processor, so
that a busy machine changes nothing. A set of 25 defects has room for two errors only: each of the `--seeds` spoils
others, begins with another kind, and learns anew; what is found is counted over all of them. Reported, for each queue:

- `defects`: seeded errors met in the first tenth of our questions (one for each drawn defect and each predicted blob
  that nobody drew), by place on the image, and by place and kind. A model may predict far more blobs than there are
  defects, which makes that tenth long: `short` counts among the first questions alone, two for each seeded error;
- `images`: seeded errors on the first tenth of the images. cleanlab ranks images
  (`segmentation.rank.get_label_quality_scores`, both of its methods) and pixels; ours ranks an image by its first
  question. Both get the same answers of the same models, at native resolution.

What is done stands in --out, and models that learn in a folder beside it: the same command goes on after a kill.
"""

from __future__ import annotations

import segmentation  # noqa: F401  # isort: skip - first, it lets smp import torchvision beside a CPU torch

import argparse
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cleanlab.segmentation.rank import get_label_quality_scores

from labeling.errors import find_errors
from labeling.evidence import shapes
from labeling.questions import Kind, Question
from labeling.seed_errors import Seeded, seed_errors
from qc.dataset import DataSet, Sample, open_dataset
from qc.ports import Segmentation, Segmenter
from segmentation.config import NETWORKS
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


def met(seeded: Sequence[Seeded], questions: Sequence[Question], *, kind: bool = False) -> int:
    """How many of the seeded errors these questions are about."""
    return sum(
        any(q.image == s.image and q.box.touches(s.box) and (not kind or q.kind is s.kind) for q in questions)
        for s in seeded
    )


def on_images(seeded: Sequence[Seeded], order: Sequence[str]) -> int:
    """How many of the seeded errors are on the first tenth of the images."""
    first = set(order[: round(0.1 * len(order))])
    return sum(s.image in first for s in seeded)


class Remembered:
    """A model that looks at each picture once, whatever is asked of it for how many seeds; 3 bytes a pixel."""

    def __init__(self, model: Segmenter) -> None:
        self._model, self._answers = model, dict[bytes, Segmentation]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def segment(self, pixels: np.ndarray) -> Segmentation:
        key = hashlib.sha256(np.ascontiguousarray(pixels)).digest()
        if key not in self._answers:
            self._answers[key] = self._model.segment(pixels)
        return self._answers[key]


class Told:
    """Prints how far it is, twice a minute and whenever another model begins."""

    def __init__(self, seed: int) -> None:
        self._seed, self._began, self._at, self._stage = seed, time.monotonic(), -math.inf, ""

    def __call__(self, share: float, words: str) -> None:
        now, stage = time.monotonic(), words.split(":")[0]
        if now - self._at >= 30 or stage != self._stage:
            self._at, self._stage = now, stage
            print(f"seed {self._seed}  {now - self._began:6.0f} s  {100 * share:3.0f} %  {words}", flush=True)


def one_seed(
    data: DataSet, samples: Sequence[Sample], chosen: argparse.Namespace, seed: int, model: Segmenter | None
) -> dict[str, Any]:
    """Spoil, question, count; `chosen` are the command's arguments, `model` judges instead of those of the folds."""
    truth = {s.name: s.labels(data.classes) for s in samples}
    turn = [*Kind][2 * seed % len(Kind) :] + [*Kind][: 2 * seed % len(Kind)]
    masks, seeded = seed_errors(truth, share=chosen.share, random=np.random.default_rng(seed), kinds=turn)
    quality: dict[str, tuple[float, float]] = {}

    def look(sample: Sample, segmenter: Segmenter, seen: Segmentation) -> None:
        quality[sample.name] = cleanlab_scores(masks[sample.name], softmax(segmenter, seen), list(data.classes))

    began = time.process_time()
    if model is not None:
        random = np.random.default_rng(seed + 1)
        library = shapes(list(masks.values()))
        doubts = find_errors(judge(model, samples, masks, library=library, random=random, look=look))
    else:
        keep = chosen.out.with_name(f"{chosen.out.name}.{seed}.partial")
        doubts = cross_check(
            data,
            samples,
            masks,
            count=chosen.folds,
            minutes=chosen.minutes,
            seed=seed,
            network=None if chosen.network == "pretrained" else NETWORKS[chosen.network],
            device=chosen.device,
            threads=chosen.threads,
            keep=keep,
            look=look,
            clock=time.process_time,
            progress=Told(seed),
        )
    first = doubts.questions[: round(0.1 * len(doubts.questions))]
    short = doubts.questions[: 2 * len(seeded)]
    rest = [s.name for s in samples if s.name not in {q.image for q in doubts.questions}]
    kinds = sorted({s.kind.value for s in seeded})
    place = [next((k for k, q in enumerate(doubts.questions, 1) if met([s], [q])), None) for s in seeded]
    return {
        "seeded": len(seeded),
        "by kind": {k: sum(s.kind.value == k for s in seeded) for k in kinds},
        "questions": len(doubts.questions),
        "not judged": [k.value for k in doubts.unjudged],
        "defects, place": met(seeded, first),
        "defects, place and kind": met(seeded, first, kind=True),
        "defects, short": met(seeded, short),
        "found by kind": {k: met([s for s in seeded if s.kind.value == k], first) for k in kinds},
        "first asked about": [[s.kind.value, s.image, k] for s, k in zip(seeded, place, strict=True)],
        "images, ours": on_images(seeded, [*dict.fromkeys(q.image for q in doubts.questions), *rest]),
        "images, cleanlab softmin": on_images(seeded, sorted(quality, key=lambda n: quality[n][0])),
        "images, cleanlab pixel issues": on_images(seeded, sorted(quality, key=lambda n: quality[n][1])),
        "processor seconds since it was last begun": round(time.process_time() - began),
    }


def together(results: Sequence[dict[str, Any]]) -> list[str]:
    """The counts of all seeds, in lines of words."""
    total = sum(r["seeded"] for r in results)
    lines = [f"{total} seeded errors, {[r['questions'] for r in results]} questions"]
    for name in [n for n in results[0] if n.startswith(("defects", "images"))]:
        found = sum(r[name] for r in results)
        lines.append(f"{name:>30}  {found} of {total} ({found / total:.2f})")
    for kind in sorted({k for r in results for k in r["by kind"]}):
        found = sum(r["found by kind"].get(kind, 0) for r in results)
        lines.append(f"{kind:>30}  {found} of {sum(r['by kind'].get(kind, 0) for r in results)}")
    return lines


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("dataset", type=Path)
    parse.add_argument("--folds", type=int, default=3)
    parse.add_argument("--minutes", type=float, default=6.0)
    parse.add_argument("--network", choices=sorted(NETWORKS), default="pretrained")
    parse.add_argument("--share", type=float, default=0.1)
    parse.add_argument("--seeds", type=int, default=1)
    parse.add_argument("--threads", type=int, default=1)
    parse.add_argument("--most", type=int, help="so many images only, for a quick try")
    parse.add_argument("--model", type=Path, help="a model that learnt from none of these parts, instead of folds")
    parse.add_argument("--split", default="train", help="train, val, test or all")
    parse.add_argument("--device", default="cpu")
    parse.add_argument("--out", type=Path, required=True, help="JSON; what stands there is not done again")
    chosen = parse.parse_args()
    torch.set_num_threads(chosen.threads)

    data = open_dataset(chosen.dataset)
    samples = [s for s in data.samples if s.mask is not None and chosen.split in ("all", s.split)]
    if chosen.most:
        samples = [samples[k] for k in np.random.default_rng(0).permutation(len(samples))[: chosen.most]]
    about = {k: str(v) for k, v in vars(chosen).items() if k not in ("out", "seeds")}
    done: dict[str, Any] = json.loads(chosen.out.read_text()) if chosen.out.exists() else {"arguments": about}
    if done["arguments"] != about:
        raise SystemExit(f"{chosen.out} was begun with {done['arguments']}; choose another --out")
    model = None
    if chosen.model is not None:
        model = Remembered(load_segmenter(chosen.model, device=chosen.device, threads=chosen.threads))
    for seed in range(chosen.seeds):
        if str(seed) in done:
            continue
        done[str(seed)] = one_seed(data, samples, chosen, seed, model)
        working = chosen.out.with_name(f".{chosen.out.name}")
        working.write_text(json.dumps(done, indent=1) + "\n")
        os.replace(working, chosen.out)
        shutil.rmtree(chosen.out.with_name(f"{chosen.out.name}.{seed}.partial"), ignore_errors=True)
        print(f"seed {seed}", json.dumps(done[str(seed)]), flush=True)
    print(f"{data.name}, {len(samples)} images, {chosen.seeds} seeds")
    print("\n".join(together([done[str(seed)] for seed in range(chosen.seeds)])))


if __name__ == "__main__":
    main()
