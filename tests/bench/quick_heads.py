"""A class learnt from ten examples on frozen features, beside a model that was trained on all examples of it.

    .venv/bin/python tests/bench/quick_heads.py DATASET --trunk MODEL --full MODEL [--class NAME] [--examples 10]

The head rests on TRUNK, which should never have seen the class (default: the starter model); FULL was trained on the
data set with the class (`qc train DATASET`). Examples are drawn defects of the class on train images, of as many
parts as there are; the others are drawn defects of other classes and what the trunk finds where nothing is drawn.
Image AP is that of the class on val: of the head, by its surest say on the defects that the trunk finds; of a head
that asks every place (`segmentation.places`), learnt from the same pictures and their drawings, mean over several
draws of examples with the worst and the best; of the full model, by its surest defect of that class. Seconds are of
one core, with and without the trunk's look at the pictures that are learnt from.

`--halves` leaves val alone: it learns from the pictures of half of the train captures and judges on the other half, as
a val set of two parts of a class may show it otherwise than all of train. There is no full model for that.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from qc.dataset import DataSet, open_dataset
from qc.features import pooled
from qc.frame import Frame
from qc.geometry import Box
from qc.inspection import inspect
from qc.verdict import Policy

OTHERS_A_FRAME = 3
"""What the trunk finds where nothing is drawn: so many of a frame at most."""


def boxes_of(mask: np.ndarray) -> tuple[np.ndarray, list[Box]]:
    """Connected pieces of a mask: which pixel is of which, and their boxes."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return pieces.astype(np.uint16), [Box(*(int(v) for v in stats[k, :4])) for k in range(1, count)]


def examples(data: DataSet, trunk: Any, wanted: int, number: int, frames: int, seed: int) -> Any:
    """Vectors of the class's examples, and of others, with the part of each."""
    random = np.random.default_rng(seed)
    own: list[tuple[np.ndarray, str]] = []
    others: list[tuple[np.ndarray, str]] = []
    samples = [data.split("train")[k] for k in random.permutation(len(data.split("train")))]
    has = {id(s): bool((s.labels(data.classes) == wanted).any()) for s in samples}
    seen: set[str] = set()
    for sample in [*(s for s in samples if has[id(s)]), *[s for s in samples if not has[id(s)]][:frames]]:
        if has[id(sample)] and (len(own) >= number or sample.part in seen):
            continue
        labels = sample.labels(data.classes)
        found = inspect(Frame(sample.pixels(), "", ""), trunk, Policy(product=""))
        said = trunk.last
        for class_id in data.classes:
            pieces, boxes = boxes_of(labels == class_id)
            for vector in pooled(said.cells, pieces, boxes, cell_px=said.cell_px).defects:
                if vector is not None and class_id == wanted and len(own) < number and sample.part not in seen:
                    own.append((vector, sample.part))
                    seen.add(sample.part)
                elif vector is not None and class_id != wanted:
                    others.append((vector, sample.part))
        free = [k for k, d in enumerate(found.defects) if not _drawn(labels, d.box)]
        assert found.features is not None
        for k in free[:OTHERS_A_FRAME]:
            if found.features.defects[k] is not None:
                others.append((found.features.defects[k], sample.part))
    return own, others


def _drawn(labels: np.ndarray, box: Box) -> bool:
    return bool((labels[box.y : box.bottom, box.x : box.right] > 0).any())


def at_every_place(
    data: DataSet, trunk: Any, class_id: int, arguments: argparse.Namespace, val: list[tuple[np.ndarray, bool]]
) -> tuple[list[float], float, float]:
    """Image APs of several draws of examples; seconds to learn, and with the looks at what it learns from."""
    from segmentation.find import pictures, seen
    from segmentation.heads import average_precision
    from segmentation.places import learn as learn_places

    y = np.array([truth for _, truth in val])
    found, learning, both = [], [], []
    for draw in range(arguments.draws):
        having, lacking = pictures(data, class_id, arguments.examples, arguments.frames, arguments.seed + draw)
        began = time.process_time()
        own = [seen(s, data.classes, trunk, class_id) for s in having]
        others = [seen(s, data.classes, trunk, class_id) for s in lacking]
        looked = time.process_time()
        head = learn_places(own, others)
        learning.append(time.process_time() - looked)
        both.append(time.process_time() - began)
        found.append(average_precision(np.array([head.score(cells) for cells, _ in val]), y))
    return found, float(np.mean(learning)), float(np.mean(both))


def halves(data: DataSet, seed: int) -> DataSet:
    """The train pictures alone: half of their groups to learn from, and half as val, those of rare classes dealt out
    first. By group and not by part: parts of one capture share its light, and a class would be known by that."""
    train = data.split("train")
    shown: dict[str, set[int]] = {}
    for sample in train:
        shown.setdefault(sample.group, set()).update(int(c) for c in np.unique(sample.labels(data.classes)))
    rarest = sorted(data.classes, key=lambda c: sum(c in classes for classes in shown.values()))
    random = np.random.default_rng(seed)
    turn, judged = bool(random.integers(2)), dict[str, bool]()
    for class_id in (*rarest, None):
        left = [group for group in sorted(shown) if group not in judged]
        for group in random.permutation([g for g in left if class_id is None or class_id in shown[g]]):
            judged[str(group)], turn = turn, not turn
    return replace(data, samples=tuple(replace(s, split="val" if judged[s.group] else "train") for s in train))


def main() -> None:
    from segmentation.find import drawn_on
    from segmentation.heads import average_precision, learn
    from segmentation.model import load_segmenter
    from segmentation.predict import Remembering

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    starter = Path(__file__).parents[2] / "segmentation" / "starter"
    parser.add_argument("--trunk", type=Path, default=starter)
    parser.add_argument("--full", type=Path)
    parser.add_argument("--class", dest="name", help="default: each class in turn")
    parser.add_argument("--examples", type=int, default=10)
    parser.add_argument("--frames", type=int, default=60, help="train images without the class that are looked at")
    parser.add_argument("--images", type=int, default=10_000, help="val images, at most")
    parser.add_argument("--draws", type=int, default=3, help="draws of examples for the head that asks every place")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--halves", action="store_true", help="learn from half of the train captures, judge the rest")
    arguments = parser.parse_args()
    data = open_dataset(arguments.dataset)
    if arguments.halves:
        if arguments.full is not None:
            raise SystemExit("the full model has seen the train parts; leave --full out with --halves")
        data = halves(data, arguments.seed)
    trunk = Remembering(replace(load_segmenter(arguments.trunk, threads=1), keep_cells=True))
    full = load_segmenter(arguments.full, threads=1) if arguments.full else None
    val = data.split("val")
    chosen = np.random.default_rng(arguments.seed).permutation(len(val))[: arguments.images]
    looked = []
    for k in chosen:
        sample = val[int(k)]
        found = inspect(Frame(sample.pixels(), "", ""), trunk, Policy(product=""))
        said = trunk.last
        theirs = inspect(Frame(sample.pixels(), "", ""), full, Policy(product="")) if full else None
        assert found.features is not None
        assert said is not None
        assert said.cells is not None
        vectors = [v for v in found.features.defects if v is not None]
        looked.append((sample, vectors, said.cells, theirs))
    print(f"{len(looked)} val images, {len({s.part for s, *_ in looked})} parts")
    print(
        "| class | examples | AP of what is found | of every place | seconds | with looking | AP of the full | share |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for class_id, name in data.classes.items():
        if arguments.name not in (None, name):
            continue
        own, others = examples(data, trunk, class_id, arguments.examples, arguments.frames, arguments.seed)
        if len(own) < 4 or len(others) < 4:
            print(f"| {name} | {len(own)} beside {len(others)} | too few | | | |")
            continue
        both = [*own, *others]
        head = learn(np.stack([v for v, _ in both]), np.arange(len(both)) < len(own), [p for _, p in both])
        y = np.array([drawn_on(sample, data.classes, class_id) is True for sample, *_ in looked])
        ours = [float(head.probability(np.stack(v)).max()) if v else 0.0 for _, v, _, _ in looked]
        judged = [(cells, bool(shows)) for (_, _, cells, _), shows in zip(looked, y, strict=True)]
        places, learning, in_all = at_every_place(data, trunk, class_id, arguments, judged)
        told = f"{average_precision(np.array(ours), y):.3f} | {np.mean(places):.3f}"
        told += f" ({min(places):.3f} to {max(places):.3f})"
        other, part = "-", "-"
        if full is not None:
            best = [max((d.score for d in t.defects if d.class_name == name), default=0.0) for *_, t in looked if t]
            reached = average_precision(np.array(best), y)
            other, part = f"{reached:.3f}", f"{np.mean(places) / max(reached, 1e-9):.2f}"
        print(f"| {name} | {len(own)} | {told} | {learning:.2f} | {in_all:.1f} | {other} | {part} |", flush=True)


if __name__ == "__main__":
    main()
