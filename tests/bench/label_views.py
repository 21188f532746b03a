"""The same scratch from another angle: labels dropped in one view, found again by carrying over those of the others::

    OMP_NUM_THREADS=1 python tests/bench/label_views.py --seed 21 --parts 40
    OMP_NUM_THREADS=1 python tests/bench/label_views.py --seed 22 --parts 40 --given     # with the true geometry
    OMP_NUM_THREADS=1 python tests/bench/label_views.py --tiles ../shared/data/magnetic_tile --most 20

Rendered parts with known geometry and visibility: the lamp decides which view shows which defect, and by how much the
camera is displaced. Of the defects that at least two views show, `--share` are dropped from one's labels. Reported:

- `registration`: pairs of views registered, error against the truth (median over the frame, and at its worst place),
  how often that is within twice the spread that the registration claims, and how many unrelated pairs are refused;
- `found`: of the dropped labels, how many a question names at all; the best precision at which 90 % of them are
  found; precision and recall among the questions that are likelier than not; and the same without looking at the
  pictures (`labels only`). Defects that a view truly does not show stay in, as many as the light makes.

With `--tiles`: which pairs of a data set's pictures can be registered, and why not.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import yaml

from labeling.carry import Fate
from labeling.conflicts import find_conflicts
from labeling.registration import Refusal, Registration, register
from labeling.visibility import CarriedQuestion, questions
from qc.dataset import open_dataset
from qc.geometry import Box
from segmentation.render import CLASSES, RenderedPart, render_part
from segmentation.render.write import part_seed

Dropped = tuple[str, int, Box]
"""(image, class id, where)"""


def true_matrix(part: RenderedPart, one: int, two: int) -> np.ndarray:
    """From pixels of one view to those of another."""
    matrix = part.views[two].to_frame @ np.linalg.inv(part.views[one].to_frame)
    return matrix / matrix[2, 2]


def errors(found: np.ndarray, truth: np.ndarray, width: int, height: int) -> np.ndarray:
    """Distances in px on a grid over the frame."""
    x, y = np.meshgrid(np.linspace(20, width - 20, 9), np.linspace(20, height - 20, 7))
    points = np.stack([x.ravel(), y.ravel()], axis=1)[None]
    apart = cv2.perspectiveTransform(points, found) - cv2.perspectiveTransform(points, truth)
    return np.hypot(apart[0, :, 0], apart[0, :, 1])


def write(root: Path, parts: Sequence[RenderedPart], share: float, seed: int, given: bool) -> tuple[list[Dropped], int]:
    """The parts as a data set with labels dropped; returns those, and how many might have been."""
    random = np.random.default_rng(seed)
    dropped, could = [], 0
    rows = ["file,split,part,view"]
    planes = {}
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for k, part in enumerate(parts):
        masks = [view.mask.copy() for view in part.views]
        for number in range(len(part.views[0].defects)):
            seen = [n for n, view in enumerate(part.views) if view.defects[number].visible]
            if len(seen) < 2:
                continue
            could += len(seen)
            if random.random() >= share * len(seen):
                continue
            n = int(random.choice(seen))
            defect = part.views[n].defects[number]
            beside = [d.box for d in part.views[n].defects if d.class_id == defect.class_id and d is not defect]
            if defect.box is None or any(b is not None and b.touches(defect.box) for b in beside):
                continue  # erasing one would erase a piece of the other
            place = masks[n][defect.box.y : defect.box.bottom, defect.box.x : defect.box.right]
            place[place == defect.class_id] = 0
            dropped.append((f"p{k:03d}_{part.views[n].name}", defect.class_id, defect.box))
        for view, mask in zip(part.views, masks, strict=True):
            name = f"p{k:03d}_{view.name}"
            cv2.imwrite(str(root / "images" / f"{name}.png"), view.pixels)
            cv2.imwrite(str(root / "masks" / f"{name}.png"), mask)
            rows.append(f"{name}.png,train,p{k:03d},{view.name}")
            planes[name] = np.linalg.inv(view.to_frame).tolist()
    (root / "split.csv").write_text("\n".join(rows) + "\n")
    (root / "dataset.yaml").write_text(yaml.safe_dump({"name": "views", "classes": dict(CLASSES)}))
    if given:
        (root / "views.yaml").write_text(yaml.safe_dump({"images": planes, "spread_px": 0.5}))
    return dropped, could


def scored(asked: Sequence[CarriedQuestion], dropped: Sequence[Dropped]) -> dict[str, object]:
    """What the questions, in their order, find of the dropped labels."""
    found: set[int] = set()
    curve = []
    right = 0
    asked = [q for q in asked if q.fate is Fate.MISSING]
    for count, q in enumerate(asked, start=1):
        hit = {
            k
            for k, (image, class_id, box) in enumerate(dropped)
            if (q.doubted, q.class_id) == (image, class_id) and q.there.touches(box)
        }
        right += bool(hit)
        found |= hit
        curve.append((len(found) / max(len(dropped), 1), right / count, q.certainty))
    likely = [c for c in curve if c[2] > 0.5]
    return {
        "questions": len(asked),
        "named at all": len(found),
        "precision at 90 %": round(max((p for r, p, _ in curve if r >= 0.9), default=0.0), 3),
        "likelier than not": {
            "questions": len(likely),
            "recall": round(likely[-1][0], 3) if likely else 0.0,
            "precision": round(likely[-1][1], 3) if likely else None,
        },
        "sum of chances": round(sum(q.certainty for q in asked), 1),
    }


def rendered(args: argparse.Namespace) -> dict[str, object]:
    """The figure on rendered parts."""
    began = time.monotonic()
    size = {"width": args.width, "height": args.height}
    parts = [render_part(part_seed(args.seed, k), clean=0.0, **size) for k in range(args.parts)]
    shown = [[v.defects[n].visible for v in p.views] for p in parts for n in range(len(p.views[0].defects))]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        dropped, could = write(root, parts, args.share, args.seed, args.given)
        data = open_dataset(root)
        found = find_conflicts(data, data.samples)
    off, refused = [], 0
    for pair in found.pairs:
        if isinstance(pair.answer, Refusal):
            refused += 1
            continue
        part = parts[int(pair.part[1:])]
        one, two = ([v.name for v in part.views].index(name) for name in pair.views)
        e = errors(pair.answer.matrix, true_matrix(part, one, two), args.width, args.height)
        off.append((float(np.median(e)), float(e.max()), pair.answer.spread_px))
    median, most, spread = np.array(off or [(np.nan, np.nan, np.nan)]).T
    strangers = [
        register(parts[k].views[0].pixels, parts[(k + 1) % len(parts)].views[1].pixels)
        for k in range(min(args.strangers, len(parts)))
    ]
    return {
        "parts": len(parts),
        "defects": len(shown),
        "visible in 0, 1, 2, 3 views": [sum(sum(s) == k for s in shown) for k in range(4)],
        "dropped": f"{len(dropped)} of {could}",
        "registration": {
            "said": found.summary(),
            "refused": refused,
            "px, median over the frame": [round(float(q), 2) for q in np.quantile(median, (0.5, 0.9, 1.0))],
            "px, worst place": [round(float(q), 2) for q in np.quantile(most, (0.5, 0.9, 1.0))],
            "worst place within 2 spreads": round(float((most <= 2 * spread).mean()), 2),
            "unrelated parts refused": f"{sum(isinstance(s, Refusal) for s in strangers)} of {len(strangers)}",
        },
        "fates": dict(Counter(c.fate.value for c in found.carried)),
        "found": scored([q for q in found.questions if isinstance(q, CarriedQuestion)], dropped),
        "found, labels only": scored(questions([replace(c, shows=None) for c in found.carried]), dropped),
        "seconds": round(time.monotonic() - began),
        "arguments": {k: str(v) for k, v in vars(args).items()},
    }


def tiles(root: Path, most: int) -> dict[str, object]:
    """Can the pictures of a data set's parts be registered?"""
    data = open_dataset(root)
    marked = {s.part for s in data.samples if s.columns.get("class") not in (None, "Free")}
    parts = sorted(marked or {s.part for s in data.samples})[:most]
    found = find_conflicts(data, [s for s in data.samples if s.part in parts])
    why = Counter(p.answer.why.split(":")[0] for p in found.pairs if isinstance(p.answer, Refusal))
    known = [p.answer for p in found.pairs if isinstance(p.answer, Registration)]
    return {
        "data": data.name,
        "parts": len(parts),
        "said": found.summary(),
        "registered": len(known),
        "why not": dict(why),
        "questions": len(found.questions),
    }


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("--seed", type=int, default=21)
    parse.add_argument("--parts", type=int, default=40)
    parse.add_argument("--share", type=float, default=0.1, help="of the visible defects that are dropped from one view")
    parse.add_argument("--width", type=int, default=1024)
    parse.add_argument("--height", type=int, default=768)
    parse.add_argument("--given", action="store_true", help="the true geometry, instead of registering")
    parse.add_argument("--strangers", type=int, default=8, help="so many pairs of unrelated parts")
    parse.add_argument("--tiles", type=Path, metavar="DATASET")
    parse.add_argument("--most", type=int, default=20, help="so many parts of DATASET")
    args = parse.parse_args()
    cv2.setNumThreads(1)
    print(json.dumps(tiles(args.tiles, args.most) if args.tiles else rendered(args), indent=1))


if __name__ == "__main__":
    main()
