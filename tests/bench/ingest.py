"""How many pictures a second are taken in: checked, decoded, stored and queued.

    python tests/bench/ingest.py [--pictures 60] [--threads 4] [--size 4000x3000] [--colour] [--camera-checks]

The server's own inspector on a data folder of its own, asked by several threads for JPEGs of metal; the bench begins
when the jobs of a start are done. Twice: while the model is occupied and looks at none of them (taking in alone), and
with a model that finds nothing at once (taking in beside judging and recording). Before it, in the same run, what
cannot be done without: the same bytes decoded by as many threads in this process, and written and flushed to the same
disk. Beside each rate the processor time that a picture takes, in the server and in its limited processes. Aimed at are
40 pictures of 12 Mpx a second, or what the disk allows.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from settled import settle
from starlette.testclient import TestClient

from qc.ports import Segmentation
from segmentation.render import render_part
from server.app import create_app
from server.context import Context
from server.orders import Order, Picture
from server.pauses import kept_short
from server.settings import Settings


class Blind:
    """A model that finds nothing, at once; while it is occupied it looks at nothing."""

    model_id = "sha256:blind"
    classes: Mapping[int, str] = {1: "scratch"}
    threshold = edge = 0.5

    def __init__(self) -> None:
        self.free = threading.Event()

    def segment(self, pixels: np.ndarray) -> Segmentation:
        self.free.wait()
        shape = pixels.shape[:2]
        return Segmentation(np.broadcast_to(np.float16(-9), shape), np.broadcast_to(np.uint8(1), shape))


@dataclass(frozen=True)
class Rate:
    """How fast it went."""

    a_second: float
    own_ms: float
    """Processor time of this process for a picture."""
    children_ms: float
    """Processor time of its children for a picture."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--size", default="4000x3000", help="pixels of a picture")
    parser.add_argument("--colour", action="store_true", help="pictures of three channels")
    parser.add_argument("--camera-checks", action="store_true", help="look at how the camera is, as servers do")
    wanted = parser.parse_args()
    width, height = (int(side) for side in wanted.size.split("x"))
    sheet = render_part(1, width=width, height=height, views=("top",), defects=("scratch",)).views[0].pixels
    if wanted.colour:
        sheet = cv2.cvtColor(sheet, cv2.COLOR_GRAY2BGR)
    pictures = [bytes(cv2.imencode(".jpg", np.roll(sheet, 7 * n, axis=1))[1]) for n in range(2 * wanted.pictures)]
    print(f"{width} x {height} px, {np.mean([len(one) for one in pictures]) / 1e6:.1f} MB each", flush=True)
    occupied, judged = pictures[: wanted.pictures], pictures[wanted.pictures :]
    with tempfile.TemporaryDirectory() as folder:
        rates = {
            "decoded": _rate(occupied, wanted.threads, _decode),
            "written and flushed": _rate(occupied, wanted.threads, lambda n, data: _write(Path(folder) / f"{n}", data)),
        }
        least = min(rate.a_second for rate in rates.values())
        quiet = {"label_studio": False, "retrain_cron": "", "camera_checks": wanted.camera_checks}
        settings = Settings(home=Path(folder) / "home", max_waiting=wanted.pictures, log_level="WARNING", **quiet)
        model = Blind()
        app = create_app(settings, segmenter=model)
        with kept_short(), TestClient(app):
            context: Context = app.state.context
            context.need_champion().wait(120)
            settle(context)
            rates["taken in, model occupied"] = _rate(occupied, wanted.threads, _taking(context, "occupied"))
            model.free.set()
            while context.need_inspector().busy:
                time.sleep(0.05)
            rates["taken in, model at once"] = _rate(judged, wanted.threads, _taking(context, "at once"))
    for name, rate in rates.items():
        print(
            f"{name:26s}{rate.a_second:6.1f} a second, {rate.a_second / least:5.2f} of the slower of the first two; "
            f"processor {rate.own_ms:5.1f} ms each, of limited processes {rate.children_ms:5.1f}"
        )
    print(f"load {os.getloadavg()[0]:.1f}")


def _taking(context: Context, station: str) -> Callable[[int, bytes], object]:
    inspector = context.need_inspector()

    def take(n: int, data: bytes) -> None:
        inspector.take(Order(f"P-{n}", station, [Picture(data, "a.jpg", "")], str(n)), started=time.perf_counter())

    return take


def _rate(pictures: Sequence[bytes], threads: int, work: Callable[[int, bytes], object]) -> Rate:
    with ThreadPoolExecutor(threads) as pool:
        own, children, begun = time.process_time(), _children_s(), time.perf_counter()
        for _ in pool.map(work, range(len(pictures)), pictures):
            pass
        took = time.perf_counter() - begun
        own, children = time.process_time() - own, _children_s() - children
    return Rate(len(pictures) / took, 1000 * own / len(pictures), 1000 * children / len(pictures))


def _children_s() -> float:
    """Processor time that this process's children have taken, in seconds."""
    pids = [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")  # user and system


def _decode(_: int, data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def _write(file: Path, data: bytes) -> None:
    with file.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


if __name__ == "__main__":
    main()
