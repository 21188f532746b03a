"""What a challenger beside the line costs the line: time to a verdict with and without it, at half load.

    python tests/bench/server_shadow.py [--parts 200] [--size 2048x1536]

One server in this process with the starter model; the challenger is the same network under another name, so that it
costs what a challenger costs. Parts arrive at half of what the line could take, in turns without and with it, so that
what else the machine does falls on both. Aim: the 99th percentile at most 1.05 times that without. Needs free cores;
200 parts of 3 Mpx take about five minutes on two.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from starlette.testclient import TestClient

from qc.ports import Segmentation, Segmenter
from server import auth, registry
from server.access import Role
from server.app import create_app
from server.context import Context
from server.models_in_use import STARTER
from server.settings import Settings
from server.shadow import Shadow, load_on_one_thread

TURNS = 5
CHALLENGER = "sha256:the-same-under-another-name"


@dataclass
class Renamed:
    """A model under another name."""

    model: Segmenter
    model_id: str = CHALLENGER

    @property
    def classes(self):
        return self.model.classes

    @property
    def threshold(self) -> float:
        return self.model.threshold

    @property
    def edge(self) -> float:
        return self.model.edge

    def segment(self, pixels) -> Segmentation:
        return self.model.segment(pixels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=200)
    parser.add_argument("--size", default="2048x1536", help="width x height of the pictures, px")
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), label_studio=False, retrain_cron="", camera_checks=False)
        app = create_app(settings)
        with TestClient(app) as client:
            context: Context = app.state.context
            key, line = _ready(context), _pictures(width, height)
            client.headers["Authorization"] = f"Bearer {key}"
            alone = [_send(client, line, n) for n in range(10)]
            pause = 2.0 * float(np.median(alone))
            print(
                f"{width} x {height} px; one part takes {np.median(alone):.2f} s, so that one comes each {pause:.2f} s"
            )
            without, beside = list[float](), list[float]()
            seen = shed = 0
            for _ in range(TURNS):
                without += _run(client, line, options.parts // TURNS, pause)
                shadow = _challenge(context)
                beside += _run(client, line, options.parts // TURNS, pause)
                seen, shed = seen + shadow.seen, shed + shadow.shed
                _end(context)
            for name, times in (("without", without), ("with", beside)):
                p50, p99 = np.quantile(times, [0.5, 0.99])
                print(f"{name:8s} challenger: p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms")
            ratio = np.quantile(beside, 0.99) / np.quantile(without, 0.99)
            print(f"p99 {ratio:.3f} times; the challenger saw {seen} parts and had no time for {shed}")


def _ready(context: Context) -> str:
    with context.database.write() as session:
        key = auth.create_key(session, "bench", Role.ENGINEER, now=context.now())
        session.commit()
    assert context.champion is not None
    if not context.champion.wait(120):
        raise SystemExit("no model came up within two minutes")
    return key


def _challenge(context: Context) -> Shadow:
    context.parts.pop("shadow").stop()
    with context.database.write() as session:
        registry.add(session, model_id=CHALLENGER, folder="models/none", card={}, now=context.now())
        registry.challenge(session, context.events, CHALLENGER)
        session.commit()
    load = load_on_one_thread("cpu")
    shadow = Shadow(context, find=lambda session: (CHALLENGER, STARTER), load=lambda folder: Renamed(load(folder)))
    context.parts["shadow"] = shadow
    while shadow.state()["state"] != "ok":
        time.sleep(0.1)
    return shadow


def _end(context: Context) -> None:
    context.parts["shadow"].stop()
    with context.database.write() as session:
        registry.reject(session, context.events, CHALLENGER)
        session.commit()


def _pictures(width: int, height: int) -> list[bytes]:
    """A few different sheets; which ones does not matter for time."""
    rng = np.random.default_rng(0)
    sheets = (rng.normal(150, 12, (height, width)).clip(0, 255).astype(np.uint8) for _ in range(4))
    return [bytes(cv2.imencode(".jpg", cv2.GaussianBlur(sheet, (0, 0), 1.0))[1]) for sheet in sheets]


def _send(client: TestClient, pictures: list[bytes], n: int) -> float:
    began = time.perf_counter()
    files = [("image", ("a.jpg", pictures[n % len(pictures)], "image/jpeg"))]
    answer = client.post("/api/v1/inspections", data={"part": f"P-{n}", "station": "bench"}, files=files)
    if answer.status_code != 201:
        raise SystemExit(answer.text)
    return time.perf_counter() - began


def _run(client: TestClient, pictures: list[bytes], parts: int, pause: float) -> list[float]:
    times, due = [], time.perf_counter()
    for n in range(parts):
        time.sleep(max(0.0, due - time.perf_counter()))
        due = max(due + pause, time.perf_counter())
        times.append(_send(client, pictures, n))
    return times


if __name__ == "__main__":
    main()
