"""What model workers bring: the server's other answers while parts are judged, parts a minute, and memory.

    python tests/bench/model_workers.py [--seconds 40] [--workers 0 2 0 2] [--at-once 2] [--size 1200x900]

A real server with the starter model for each number of workers (0: the model looks in the server's own process), one
after the other, on a data folder of its own. `--at-once` clients send grey JPEGs of scratched sheets without a pause,
so many parts are judged at the same time with workers or without, and one more client asks for /health every 50 ms.
Printed for each: parts a minute, how long a part took, how long /health took, and the memory of the server and its
children (PSS: shared pages count once).
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time

import cv2
import httpx
import numpy as np
from real_server import real_server


def picture(n: int, size: tuple[int, int]) -> bytes:
    """A sheet with noise and a scratch; each is another one."""
    noise = np.random.default_rng(n).normal(170, 4, (size[1], size[0])).clip(0, 255).astype(np.uint8)
    cv2.line(noise, (40 + n % 100, 40), (size[0] // 2, size[1] // 2), 60, 3)
    return bytes(cv2.imencode(".jpg", noise)[1])


def measure(workers: int, at_once: int, seconds: float, size: tuple[int, int]) -> None:
    """One server."""
    both = {"QC_MODEL_WORKERS": str(workers), "QC_INSPECTION_WORKERS": str(at_once)}
    with real_server(QC_CAMERA_CHECKS="false", QC_RUNTIMES="false", **both) as server:
        took, health = load(server.url, server.key, at_once, seconds, size)
        used = server.memory_mb()
    told = [f"{workers} workers: {60 * len(took) / seconds:5.1f} parts a minute, {used:5.0f} MB"]
    for name, values in (("a part", took), ("/health", health)):
        told.append(f"{name} p50 {statistics.median(values):6.1f} p99 {np.percentile(values, 99):6.1f} ms")
    print("   ".join([*told, f"load {os.getloadavg()[0]:.1f}"]), flush=True)


def load(url: str, key: str, clients: int, seconds: float, size: tuple[int, int]) -> tuple[list[float], list[float]]:
    """Milliseconds that each part took, and each question about its health."""
    took, health, over = list[float](), list[float](), threading.Event()

    def send(first: int) -> None:
        n = first
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=120) as client:
            while not over.is_set():
                files, data = {"image": ("a.jpg", picture(n, size))}, {"part": f"P-{n}", "station": "bench"}
                begun = time.perf_counter()
                client.post(f"{url}/inspections", files=files, data=data).raise_for_status()
                took.append(1000 * (time.perf_counter() - begun))
                n += clients

    def ask() -> None:
        with httpx.Client(timeout=60) as client:
            while not over.wait(0.05):
                begun = time.perf_counter()
                client.get(f"{url}/health")
                health.append(1000 * (time.perf_counter() - begun))

    threads = [threading.Thread(target=send, args=(n,)) for n in range(clients)] + [threading.Thread(target=ask)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    over.set()
    for thread in threads:
        thread.join()
    return took, health


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2, 0, 2])
    parser.add_argument("--at-once", type=int, default=2, help="clients, and parts judged at the same time")
    parser.add_argument("--size", default="1200x900", help="pixels of a picture")
    wanted = parser.parse_args()
    width, height = (int(side) for side in wanted.size.split("x"))
    for workers in wanted.workers:
        measure(workers, wanted.at_once, wanted.seconds, (width, height))


if __name__ == "__main__":
    main()
