"""Masks through the real Label Studio and back, pixel for pixel::

    OMP_NUM_THREADS=1 python tests/bench/label_round_trip.py --masks 1000 --seed 31

Starts the installed server in a folder of its own (or takes `--data`, one that was started before). Random masks of
crops of 8 to 1024 px, from one pixel to the whole crop: single pixels, hairlines, blobs, noise, frames along the
border, several classes and "not sure" at once, clean ones. Each is an annotation there, is read as `labeling.collect`
reads it, and compared. Reported: how many came back exact, and the same for the exact polygons that a task begins with
(regions without holes); specks that were left out by mistake would count as not exact.
"""

from __future__ import annotations

import argparse
import json
import socket
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.config import IMAGE, POLYGON
from labeling.convert import from_results, to_results
from labeling.studio import Studio
from labeling.studio_process import StudioProcess
from labeling.taut import exact

CLASSES = {1: "scratch", 2: "dent"}
ENV = Path(__file__).parents[2] / ".venv-label-studio"
Mask = NDArray[np.uint8]

TOGETHER = 20
"""Annotations on one task: they share a request, not a drawing."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def random_mask(rng: np.random.Generator, height: int, width: int) -> tuple[str, Mask]:
    """A mask and the kind it is of."""
    mask = np.zeros((height, width), np.uint8)
    kind = str(rng.choice(["pixel", "whole", "hairlines", "blobs", "noise", "border", "mixed", "clean"]))
    if kind == "pixel":
        mask[rng.integers(height), rng.integers(width)] = rng.choice([1, 2, 255])
    elif kind == "whole":
        mask[:] = rng.choice([1, 2])
    elif kind == "noise":
        place = np.s_[: min(height, 200), : min(width, 200)]
        mask[place] = rng.choice([0, 0, 0, 1, 2], size=mask[place].shape)
    elif kind == "border":
        mask[0], mask[:, -1] = 1, 2
    for _ in range({"hairlines": 4, "blobs": 12, "mixed": 9}.get(kind, 0)):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        value = int(rng.choice([1, 2, 255] if kind == "mixed" else [1, 2]))
        if kind == "hairlines":
            cv2.line(mask, (x, y), (int(rng.integers(width)), int(rng.integers(height))), value, 1)
        else:
            axes = int(rng.integers(1, 40)), int(rng.integers(1, 15))
            cv2.ellipse(mask, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, value, -1)
    return kind, mask


def as_polygons(mask: Mask) -> tuple[list[dict[str, object]], Mask]:
    """The regions that an exact polygon can hold, as a task begins with them, and the mask of just these."""
    height, width = mask.shape
    held, results = np.zeros_like(mask), []
    for class_id, name in CLASSES.items():
        number, labels, stats, _ = cv2.connectedComponentsWithStats((mask == class_id).astype(np.uint8), connectivity=8)
        for k in range(1, min(number, 60)):
            x, y, w, h, _ = (int(v) for v in stats[k])
            region = labels[y : y + h, x : x + w] == k
            ring = exact(region)
            if ring is None:
                continue  # it has a hole, or too many corners
            held[y : y + h, x : x + w][region] = class_id
            corners = (ring + np.array([x, y])) * (100 / width, 100 / height)
            results.append(
                {
                    "id": f"p{len(results)}",
                    "type": "polygonlabels",
                    "from_name": POLYGON,
                    "to_name": IMAGE,
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "value": {"points": corners.tolist(), "closed": True, "polygonlabels": [name]},
                }
            )
    return results, held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--data", type=Path, help="the data folder of a Label Studio that was started before")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        process = StudioProcess(ENV, args.data or Path(folder) / "studio", port=free_port())
        process.start(timeout_s=1200)
        try:
            with Studio(process.url, process.account.token, timeout_s=300) as studio:
                studio.ensure_project(CLASSES, title="Round trip")
                report(studio, rng, args.masks)
        finally:
            process.stop()


def report(studio: Studio, rng: np.random.Generator, masks: int) -> None:
    began = time.perf_counter()
    same_again, total, kinds, polygons = 0, 0, Counter[str](), [0, 0]
    while total < masks:
        height, width = (int(v) for v in rng.integers(8, 1025, 2))
        wanted = [random_mask(rng, height, width) for _ in range(min(TOGETHER, masks - total))]
        drawn = [as_polygons(mask) for _, mask in wanted]
        body = {
            "data": {"image": "/data/none.png"},
            "annotations": [{"result": to_results(mask, CLASSES, most=500)} for _, mask in wanted]
            + [{"result": results} for results, _ in drawn],
        }
        path = f"api/projects/{studio.project}/import"
        (number,) = studio.call("POST", path, params={"return_task_ids": "true"}, json=[body])["task_ids"]
        there = sorted(studio.task(number)["annotations"], key=lambda a: int(a["id"]))
        for annotation, (kind, mask) in zip(there, wanted, strict=False):
            same = (from_results(annotation["result"], CLASSES, height=height, width=width).mask == mask).all()
            same_again += bool(same)
            kinds[kind] += not same
        for annotation, (_, mask) in zip(there[len(wanted) :], drawn, strict=True):
            same = (from_results(annotation["result"], CLASSES, height=height, width=width).mask == mask).all()
            polygons[0] += bool(same)
            polygons[1] += 1
        total += len(wanted)
        print(f"{total} masks after {time.perf_counter() - began:.0f} s, {same_again} exact", flush=True)
    print(f"brush: {same_again} of {total} exact; polygons: {polygons[0]} of {polygons[1]} exact")
    print(f"{time.perf_counter() - began:.0f} s; not exact by kind: {dict(+kinds)}")
    print(json.dumps({"masks": total, "exact": same_again, "polygons": polygons[1], "polygons_exact": polygons[0]}))


if __name__ == "__main__":
    main()
