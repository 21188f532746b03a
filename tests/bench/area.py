"""Time and memory against area: the same model on frames of 1 to 100 Mpx, each in a process of its own::

    OMP_NUM_THREADS=1 .venv/bin/python tests/bench/area.py [MODEL] --mpx 1 2 5 10 20 50 100

CPU seconds for one frame, after a first frame of 1 Mpx that does not count; the largest memory of the process beyond
what it held before the frame was made, less the frame itself, and less the three bytes a pixel that the answer is made
of. Both curves are fitted: `exponent` is that of area (1 is a straight line), of time and of that rest of memory.

Beside it, if it is there, SAHI: its own slicing, merging (`get_sliced_prediction`, slices of 512 px, overlap 0.2), our
network on its slices. SAHI wants the OpenCV that has windows, which does not live beside the headless one, so that it
is no extra of ours: `pip install --no-deps --target DIR sahi shapely fire termcolor`, then `PYTHONPATH=DIR`.
"""

from __future__ import annotations

import segmentation  # isort: skip - first, it lets smp import torchvision beside a CPU torch

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from qc.defects import find_blobs
from qc.ports import Segmentation
from segmentation.data import rgb
from segmentation.model import load_segmenter
from segmentation.render import render_part
from segmentation.segmenter import FrameSegmenter

SLICE, OVERLAP = 512, 0.2


def frame(mpx: float) -> np.ndarray:
    """A grey frame of rendered metal, three wide by two high."""
    height = int((mpx * 1e6 / 1.5) ** 0.5)
    (view, *_) = render_part(1, width=1536, height=1024, defects=("scratch", "pit")).views
    grey = view.pixels if view.pixels.ndim == 2 else view.pixels[..., 0]
    repeated = np.empty((height, height * 3 // 2), np.uint8)
    for y in range(0, repeated.shape[0], 1024):
        for x in range(0, repeated.shape[1], 1536):
            place = repeated[y : y + 1024, x : x + 1536]
            place[:] = grey[: place.shape[0], : place.shape[1]]
    return repeated


def sahi_looks(eyes: FrameSegmenter) -> Callable[[np.ndarray], object]:
    """SAHI around the same network; defects of a slice are its objects."""
    from sahi.models.base import DetectionModel
    from sahi.predict import get_sliced_prediction
    from sahi.prediction import ObjectPrediction

    class Model(DetectionModel):
        has_mask, num_categories = False, len(eyes.classes)
        category_names = tuple(eyes.classes.values())

        def check_dependencies(self, packages: list[str] | None = None) -> None:
            """None beyond ours."""

        def load_model(self) -> None:
            self.model = eyes

        def perform_inference(self, image: np.ndarray) -> None:
            log_odds, place = eyes.look(np.ascontiguousarray(image))
            ids = np.array(sorted(eyes.classes), np.uint8)
            self._seen = Segmentation(log_odds.astype(np.float16), ids[place])

        def _create_object_prediction_list_from_original_predictions(self, shift_amount_list, full_shape_list) -> None:
            found = [b for b in find_blobs(self._seen, threshold=eyes.threshold, edge=eyes.edge) if b.counts]
            self._object_prediction_list_per_image = [
                [
                    ObjectPrediction(
                        bbox=[b.box.x, b.box.y, b.box.right, b.box.bottom],
                        category_id=b.class_id,
                        category_name=eyes.classes[b.class_id],
                        score=b.score,
                        shift_amount=shift_amount_list[0] if shift_amount_list else [0, 0],
                        full_shape=full_shape_list[0] if full_shape_list else None,
                    )
                    for b in found
                ]
            ]

    model = Model(confidence_threshold=eyes.threshold, device="cpu", category_mapping=None, load_at_init=True)
    return lambda pixels: get_sliced_prediction(
        rgb(pixels),
        model,
        slice_height=SLICE,
        slice_width=SLICE,
        overlap_height_ratio=OVERLAP,
        overlap_width_ratio=OVERLAP,
        perform_standard_pred=False,
        verbose=0,
    )


def memory_bytes(what: str) -> int:
    """`VmRSS`: held now, `VmHWM`: the most so far; of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def one(model: Path, who: str, mpx: float) -> dict[str, float]:
    """One frame, in this process."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    eyes = load_segmenter(model, threads=1)
    look = eyes.segment if who == "ours" else sahi_looks(eyes)
    look(frame(1.0))
    held = memory_bytes("VmRSS")
    pixels = frame(mpx)
    began = time.process_time()
    look(pixels)
    seconds = time.process_time() - began
    answer = 3 * pixels.size if who == "ours" else 0
    rest = memory_bytes("VmHWM") - held - pixels.size - answer
    return {"mpx": pixels.size / 1e6, "seconds": seconds, "rest_gb": rest / 1e9, "frame_gb": pixels.size / 1e9}


def exponent(x: list[float], y: list[float]) -> float:
    """The slope of y against x, both as logarithms."""
    return float(np.polyfit(np.log(x), np.log(np.maximum(y, 1e-6)), 1)[0])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", default=Path(segmentation.__file__).parent / "starter")
    parser.add_argument("--mpx", type=float, nargs="+", default=[1, 2, 5, 10, 20, 50, 100])
    parser.add_argument("--who", nargs="+", choices=("ours", "sahi"), default=["ours", "sahi"])
    parser.add_argument("--one", action="store_true", help="one of each, in this process, as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.model, arguments.who[0], arguments.mpx[0])))
        return
    for who in arguments.who:
        if who == "sahi" and importlib.util.find_spec("sahi") is None:
            print("SAHI is not installed; see the top of this file")
            continue
        print(f"{who}\n{'Mpx':>8}{'CPU s':>10}{'s/Mpx':>8}{'memory beyond frame and answer':>32}")
        rows = []
        for mpx in arguments.mpx:
            command = [sys.executable, __file__, str(arguments.model), "--one", "--who", who, "--mpx", str(mpx)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
            row = json.loads(done.stdout.splitlines()[-1])
            rows.append(row)
            speed = row["seconds"] / row["mpx"]
            print(f"{row['mpx']:8.1f}{row['seconds']:10.2f}{speed:8.3f}{row['rest_gb']:29.2f} GB", flush=True)
        large = [r for r in rows if r["mpx"] >= 4]  # below, a frame is one tile and a tile's memory is not reached
        areas = [r["mpx"] for r in rows]
        print(f"   time: exponent of area {exponent(areas, [r['seconds'] for r in rows]):.3f}", end="")
        if len(large) > 1:
            rest = exponent([r["mpx"] for r in large], [r["rest_gb"] for r in large])
            print(f"; memory, from 4 Mpx on: exponent {rest:.3f}", end="")
        print()


if __name__ == "__main__":
    main()
