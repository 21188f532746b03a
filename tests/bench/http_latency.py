"""From a picture sent to its verdict, over HTTP: a real server with the starter model, at a steady pace.

    python tests/bench/http_latency.py [--minutes 5] [--each 2.0] [--size 4000x3000] [--workers 2]
    python tests/bench/http_latency.py --model MODEL --samples DATASET        # a model of its own, and its surface

The server is as `qc up` makes it; the bench waits until it has chosen its runtime. Then a part of one grey JPEG comes
every `--each` seconds: metal with a scratch, or the data set's surface with a defective picture in it, a little further
on every time. Between the parts the same picture is decoded, and
every tenth time looked at, in this process by the same model in the same runtime, while the server rests. Printed are
p50 and p99 from the first byte sent to the verdict, how many times that is what decoding and the look take alone, and
the memory of the server and its children (PSS), early and late. Aimed at are 0.7 s and 1.5 s at 12 Mpx on two free
cores.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import cv2
import httpx
import numpy as np
from real_server import RealServer, real_server
from rich.progress import track
from surface import surface

from qc.dataset import open_dataset
from qc.ports import Segmenter
from segmentation.render import render_part
from server.models_in_use import STARTER, loader
from server.ready_job import KIND
from server.settings import Settings

SETTLES_S = 1200.0
EARLY = 10
"""Parts after which its memory is looked at first."""
LOOK_EACH = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--each", type=float, default=2.0, help="seconds from one part to the next")
    parser.add_argument("--size", default="4000x3000", help="pixels of a picture")
    parser.add_argument("--workers", type=int, default=1, help="parts looked at at the same time")
    parser.add_argument("--threads", type=int, default=0, help="of one look; 0: as the server does by itself (0)")
    parser.add_argument("--model", type=Path, help="a model folder that serves; the starter model")
    parser.add_argument("--samples", type=Path, help="a data set of whose surface the pictures are")
    wanted = parser.parse_args()
    width, height = (int(side) for side in wanted.size.split("x"))
    if wanted.samples is None:
        sheet = render_part(1, width=width, height=height, views=("top",), defects=("scratch",)).views[0].pixels
    else:
        sheet = surface(open_dataset(wanted.samples), height, width)
    with real_server(QC_INSPECTION_WORKERS=str(wanted.workers), QC_TORCH_THREADS=str(wanted.threads)) as server:
        if wanted.model is not None:
            server.command("model", "add", str(wanted.model), "--promote")
        _settle(server)
        model = loader(Settings(home=server.home, torch_threads=wanted.threads))(wanted.model or Path(STARTER))
        took, alone, memory = _run(server, model, sheet, wanted.minutes, wanted.each)
        health = httpx.get(f"{server.url}/health", headers={"Authorization": f"Bearer {server.key}"}).raise_for_status()
        runtime = health.json()["components"]["model"]["runtime"]
    print(f"{width} x {height} px, {runtime}, one part each {wanted.each:g} s")
    p50, p99 = np.percentile(took, [50, 99])
    print(f"{len(took)} parts: p50 {p50:.2f} s, p99 {p99:.2f} s, longest {max(took):.2f} s")
    bare = float(np.median(alone))
    print(f"decoding and the look alone {bare:.2f} s: the answer takes {p50 / bare:.2f} times that")
    halves = [np.median(half) for half in np.array_split(took, 2)]
    print(f"first half p50 {halves[0]:.2f} s, second {halves[1]:.2f} s; load {os.getloadavg()[0]:.1f}")
    print(f"memory of the server after {EARLY} parts {memory[0]:.0f} MB, at the end {memory[1]:.0f} MB")


def _settle(server: RealServer) -> None:
    """Wait until its runtime is chosen and nothing is done in the background."""
    with httpx.Client(headers={"Authorization": f"Bearer {server.key}"}, timeout=60) as client:
        until = time.monotonic() + SETTLES_S
        while time.monotonic() < until:
            jobs = client.get(f"{server.url}/jobs").raise_for_status().json()["items"]
            chosen = any(job["kind"] == KIND for job in jobs)
            if chosen and all(job["state"] not in ("queued", "running") for job in jobs):
                return
            time.sleep(2)
    raise SystemExit("the server's jobs do not come to an end")


def _run(
    server: RealServer, model: Segmenter, sheet: np.ndarray, minutes: float, each: float
) -> tuple[list[float], list[float], tuple[float, float]]:
    """Seconds of each part, seconds of decoding and the look alone, and memory early and late."""
    took, alone, early = list[float](), list[float](), 0.0
    due = time.monotonic()
    with httpx.Client(headers={"Authorization": f"Bearer {server.key}"}, timeout=120) as client:
        for n in track(range(round(60 * minutes / each)), description="parts"):
            data = bytes(cv2.imencode(".jpg", np.roll(sheet, 7 * n, axis=1))[1])
            if n % LOOK_EACH == 0:
                clock = time.perf_counter()
                model.segment(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
                alone.append(time.perf_counter() - clock)
            due = max(due + each, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            clock = time.perf_counter()
            form = {"part": f"P-{n}", "station": "bench", "trigger_id": str(n)}
            answer = client.post(f"{server.url}/inspections", files={"image": ("a.jpg", data)}, data=form)
            took.append(time.perf_counter() - clock)
            answer.raise_for_status()
            if len(took) == EARLY:
                early = server.memory_mb()
    return took, alone, (early, server.memory_mb())


if __name__ == "__main__":
    main()
