"""How soon a changed camera is noticed on the demonstration line, and how often without a change.

    python tests/bench/server_camera.py [--parts 170] [--false 10000]

Renders the parts of one station (1 s for three views on one core), then changes them: lamp dimmed by 15 %, lens
defocused by 0.8 px, camera moved by 10 px, a speck on the lens (out of focus: a fiftieth of the frame, 12 % darker in
its middle). For false alarms the looks of unchanged parts are drawn again and again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from qc import camera, camera_dirt
from qc.camera import LEARN, LEARN_FIRST, Look, Watch
from qc.camera_dirt import Ground
from server.demo.camera import STATIONS, shoot
from server.demo.config import DemoConfig
from server.demo.truth import Truth

Change = Callable[[np.ndarray], np.ndarray]


def moved(picture: np.ndarray) -> np.ndarray:
    shift = np.array([[1, 0, 10], [0, 1, 0]], np.float32)
    return cv2.warpAffine(picture, shift, picture.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)


def speck(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape
    y, x = np.ogrid[:height, :width]
    away = ((x - 0.37 * width) ** 2 + (y - 0.58 * height) ** 2) / (0.02 * max(height, width)) ** 2
    return (picture * (1 - 0.12 * np.exp(-away / 2))).astype(np.uint8)


CHANGES: dict[str, Change] = {
    "lamp dimmed by 15 %": lambda picture: (picture * 0.85).astype(np.uint8),
    "lens defocused by 0.8 px": lambda picture: cv2.GaussianBlur(picture, (0, 0), 0.8),
    "camera moved by 10 px": moved,
    "speck on the lens": speck,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=170, help="of one station; more than 150")
    parser.add_argument("--false", type=int, default=10_000, help="parts without a change, for each view")
    parser.add_argument(
        "--folder", type=Path, default=Path("/tmp/server-camera-bench"), help="for the truth of the parts"
    )
    options = parser.parse_args()
    config = DemoConfig(url="", key="", home=options.folder)
    shots = [shoot(config, len(STATIONS) * n, Truth(options.folder)).pictures for n in range(options.parts)]
    for view in shots[0]:
        pictures = [cv2.imdecode(np.frombuffer(shot[view], np.uint8), cv2.IMREAD_GRAYSCALE) for shot in shots]
        for name, change in CHANGES.items():
            print(f"{view:6s} {name:26s} {_delay(pictures, change)}", flush=True)
        print(f"{view:6s} {'nothing changed':26s} {_false(pictures, options.false)}")


def _looks(pictures: list[np.ndarray], change: Change | None = None) -> list[tuple[Look, np.ndarray]]:
    """Looks of all pictures; those after the first `LEARN` are changed."""
    reference, found = None, []
    for n, picture in enumerate(pictures):
        seen = change(picture) if change and n >= LEARN else picture
        shapes = camera.edges(seen)
        if reference is None:
            reference = shapes
        column, row = camera.place(reference, shapes)
        if 0 < n < LEARN_FIRST:
            reference = reference + (camera.moved_back(shapes, column, row) - reference) / (n + 1)
        found.append((replace(camera.look(seen), column=column, row=row), camera_dirt.cells(seen)))
    return found


def _delay(pictures: list[np.ndarray], change: Change) -> str:
    watch, ground = Watch(), Ground()
    for n, (seen, cells) in enumerate(_looks(pictures, change)):
        watch, ground = watch.moved(seen), ground.moved(cells)
        spot = ground.spot()
        words = [words for words, _ in watch.alarms().values()] or ([spot.words()] if spot else [])
        if words:
            return f"after {n - LEARN + 1} parts: {'; '.join(words)}"
    return f"not within {len(pictures) - LEARN} parts"


def _false(pictures: list[np.ndarray], number: int) -> str:
    looks = _looks(pictures)
    rng, watch, ground = np.random.default_rng(0), Watch(), Ground()
    alarms = faults = spots = 0
    for seen, cells in looks[:LEARN]:
        watch, ground = watch.moved(seen), ground.moved(cells)
    for n in rng.integers(0, len(looks), number):
        seen, cells = looks[n]
        faults += camera.gross(seen, watch.reference) is not None or ground.gross(cells) is not None
        watch, ground = watch.moved(seen), ground.moved(cells)
        if watch.alarms():
            alarms, watch = alarms + 1, replace(watch, charts={}, means={})
        if ground.spot():
            spots, ground = spots + 1, ground.begun()
    return f"{alarms} alarms, {spots} spots and {faults} faults in {number} parts"


if __name__ == "__main__":
    main()
