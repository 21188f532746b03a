"""How many pictures a second are taken in: checked, decoded, stored and queued, before any model looks.

    python tests/bench/ingest.py [--pictures 60] [--threads 4] [--size 4000x3000]

The server's own inspector on a data folder of its own, with a model that finds nothing at once, asked by several
threads for grey JPEGs of metal. Beside it, in the same run, what cannot be done without: the same bytes decoded by as
many threads in this process, and written and flushed to the same disk. Aimed at are 40 pictures of 12 Mpx a second, or
what the disk allows.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from starlette.testclient import TestClient

from qc.ports import Segmentation
from segmentation.render import render_part
from server.app import create_app
from server.context import Context
from server.orders import Order, Picture
from server.settings import Settings


class Blind:
    """A model that finds nothing, at once."""

    model_id = "sha256:blind"
    classes: Mapping[int, str] = {1: "scratch"}
    threshold = edge = 0.5

    def segment(self, pixels: np.ndarray) -> Segmentation:
        shape = pixels.shape[:2]
        return Segmentation(np.broadcast_to(np.float16(-9), shape), np.broadcast_to(np.uint8(1), shape))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--size", default="4000x3000", help="pixels of a picture")
    wanted = parser.parse_args()
    width, height = (int(side) for side in wanted.size.split("x"))
    sheet = render_part(1, width=width, height=height, views=("top",), defects=("scratch",)).views[0].pixels
    pictures = [bytes(cv2.imencode(".jpg", np.roll(sheet, 7 * n, axis=1))[1]) for n in range(wanted.pictures)]
    print(f"{width} x {height} px, {np.mean([len(one) for one in pictures]) / 1e6:.1f} MB each", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        rates = {
            "decoded": _rate(pictures, wanted.threads, _decode),
            "written and flushed": _rate(pictures, wanted.threads, lambda n, data: _write(Path(folder) / f"{n}", data)),
        }
        quiet = {"label_studio": False, "retrain_cron": "", "camera_checks": False}
        settings = Settings(home=Path(folder) / "home", max_waiting=wanted.pictures, **quiet)
        app = create_app(settings, segmenter=Blind())
        with TestClient(app):
            context: Context = app.state.context
            context.need_champion().wait(120)
            inspector = context.need_inspector()

            def take(n: int, data: bytes) -> None:
                inspector.take(
                    Order(f"P-{n}", "bench", [Picture(data, "a.jpg", "")], str(n)), started=time.perf_counter()
                )

            taken = _rate(pictures, wanted.threads, take)
    for name, rate in rates.items():
        print(f"{name:20s} {rate:6.1f} a second")
    least = min(rates.values())
    print(f"{'taken in':20s} {taken:6.1f} a second, {taken / least:.2f} of the slower of these")
    print(f"load {os.getloadavg()[0]:.1f}")


def _rate(pictures: Sequence[bytes], threads: int, work: Callable[[int, bytes], object]) -> float:
    """Pictures a second."""
    with ThreadPoolExecutor(threads) as pool:
        begun = time.perf_counter()
        for _ in pool.map(work, range(len(pictures)), pictures):
            pass
        return len(pictures) / (time.perf_counter() - begun)


def _decode(_: int, data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def _write(file: Path, data: bytes) -> None:
    with file.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


if __name__ == "__main__":
    main()
