"""What a challenger beside the line costs the line: time to a verdict with and without it, at half load.

    python tests/bench/server_shadow.py [--parts 200] [--size 2048x1536]

One server in this process with the starter model; the challenger is the same network under another name, so that it
costs what a challenger costs. Parts arrive at half of what the line could take. A challenger is measured once, beside
the champion, when it is named (`server.gate_cost`): what the line takes meanwhile is told by itself. Then come turns
without and with it, in changing order, so that what else the machine does falls on both; whole turns are resampled.
Aim: the 99th percentile at most 1.05 times that without. Needs free cores, and a thousand parts before a 99th
percentile says much: `--parts 1000 --size 512x384` takes five minutes on two; 200 parts of 3 Mpx about as long.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from sqlalchemy import func
from sqlmodel import col, select
from starlette.testclient import TestClient

from qc.verdict import Policy
from server import auth, ready_job, registry
from server.access import Role
from server.app import create_app
from server.context import Context
from server.gate_records import Measured
from server.jobs.records import Job, JobState
from server.models_in_use import STARTER
from server.onlooker import Eyes, Opinion, Picture
from server.settings import Settings
from server.shadow import Shadow, load_aside
from server.where import EVERYWHERE

TURNS = 10
MEASURED_MOST = 2000
"""Parts that are sent while the challenger is measured, at most."""
CHALLENGER = "sha256:the-same-under-another-name"


@dataclass
class Renamed:
    """A challenger under another name."""

    eyes: Eyes
    model_id: str = CHALLENGER

    def look(self, pictures: Sequence[Picture], policy: Policy, *, station: str) -> Opinion:
        return self.eyes.look(pictures, policy, station=station)

    def end(self) -> None:
        self.eyes.end()


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
            _settle(context)
            alone = [_send(client, line, n) for n in range(10)]
            pause = 2.0 * float(np.median(alone))
            print(
                f"{width} x {height} px; one part takes {np.median(alone):.2f} s, so that one comes each {pause:.2f} s"
            )
            shadow = _challenge(context)
            measuring = list[float]()
            while not _is_measured(context) and len(measuring) < MEASURED_MOST:
                measuring += _run(client, line, 1, pause)
            if not _is_measured(context):
                print(
                    "it is still being measured, so that the turns tell of that, too: more cores must be free",
                    flush=True,
                )
            _end(context)
            without, beside = list[list[float]](), list[list[float]]()
            seen = shed = 0
            for turn in range(TURNS):
                for challenged in (turn % 2 == 0, turn % 2 == 1):
                    if not challenged:
                        without.append(_run(client, line, options.parts // TURNS, pause))
                        continue
                    shadow = _challenge(context)
                    beside.append(_run(client, line, options.parts // TURNS, pause))
                    seen, shed = seen + shadow.seen, shed + shadow.shed
                    _end(context)
            told = ("without a challenger", without), ("with one", beside), ("while it is measured", [measuring])
            for name, turns in told:
                times = np.concatenate(turns)
                p50, p90, p99 = 1000 * np.quantile(times, [0.5, 0.9, 0.99])
                print(f"{name:20s}: {len(times)} parts, p50 {p50:.0f} ms, p90 {p90:.0f} ms, p99 {p99:.0f} ms")
            for share in (0.5, 0.9, 0.99):
                ratio, (low, high) = _ratio(beside, without, share)
                print(f"p{100 * share:.0f} {ratio:.3f} times ({low:.3f} to {high:.3f} in 90 % of resamples)")
            print(f"the challenger saw {seen} parts and had no time for {shed}")


def _ratio(beside: list[list[float]], without: list[list[float]], share: float) -> tuple[float, tuple[float, float]]:
    """A quantile with a challenger over that without, and how far it moves with the turns."""
    rng = np.random.default_rng(0)

    def ratio(turns: Sequence[int]) -> float:
        mine, other = (np.concatenate([times[n] for n in turns]) for times in (beside, without))
        return float(np.quantile(mine, share) / np.quantile(other, share))

    found = [ratio(rng.integers(TURNS, size=TURNS).tolist()) for _ in range(2000)]
    low, high = np.quantile(found, [0.05, 0.95])
    return ratio(range(TURNS)), (float(low), float(high))


def _ready(context: Context) -> str:
    with context.database.write() as session:
        key = auth.create_key(session, "bench", Role.ENGINEER, now=context.now())
        session.commit()
    assert context.champion is not None
    if not context.champion.wait(120):
        raise SystemExit("no model came up within two minutes")
    return key


def _settle(context: Context) -> None:
    """Wait until the champion was made ready for a faster runtime: that takes a core for a minute, and a part takes a
    third of the time from then on."""
    left = select(func.count()).where(col(Job.kind) == ready_job.KIND, col(Job.state) == JobState.DONE)
    for _ in range(6000):
        with context.database.read() as session:
            if session.exec(left).one() and getattr(context.need_champion().serving(), "runtime", "torch") != "torch":
                return
        time.sleep(0.1)
    raise SystemExit("the champion was not made ready within ten minutes")


def _challenge(context: Context) -> Shadow:
    context.parts.pop("shadow").stop()
    with context.database.write() as session:
        registry.add(session, model_id=CHALLENGER, folder=str(STARTER), card={}, now=context.now())
        registry.challenge(session, context.events, CHALLENGER, by="bench", at=context.now())
        session.commit()
    load = load_aside("cpu", context.settings.folder("logs") / "shadow.log")
    shadow = Shadow(
        context,
        find=lambda session: {EVERYWHERE: (CHALLENGER, STARTER)},
        load=lambda folder, way: Renamed(load(folder, way)),
    )
    context.parts["shadow"] = shadow
    while shadow.state()["state"] != "ok":
        time.sleep(0.1)
    return shadow


def _is_measured(context: Context) -> bool:
    with context.database.read() as session:
        return session.exec(select(Measured)).first() is not None


def _end(context: Context) -> None:
    context.parts["shadow"].stop()
    with context.database.write() as session:
        registry.reject(session, context.events, CHALLENGER, by="bench", at=context.now(), reason="it was measured")
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
    """Seconds to each verdict; returns when the next part would be due, so that runs of one part leave pauses, too."""
    times, due = [], time.perf_counter()
    for n in range(parts):
        times.append(_send(client, pictures, n))
        due = max(due + pause, time.perf_counter())
        time.sleep(max(0.0, due - time.perf_counter()))
    return times


if __name__ == "__main__":
    main()
