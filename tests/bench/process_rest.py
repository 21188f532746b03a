"""How long a recommendation takes over REST, from the request to the answer: 50 steps, a server of its own.

    python tests/bench/process_rest.py --line linear50 --parts 60

The line is fitted (or `--model FOLDER` is taken), registered with a real server in a process of its own, and parts are
asked about at 20, 40, 60 and 80 % of their way, one after the other, each with the plan it was given before. Printed:
the median and the 95 % quantile of a request as the sender sees it, of the server's own account of it (`elapsed_ms`),
and the processor time that the server spent on it, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
from process_value import LINES

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.simulate import Line

QC = str(Path(sys.executable).parent / "qc")
ASKED = (0.2, 0.4, 0.6, 0.8)
PATIENCE_S = 180


@contextmanager
def serving(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A server in `home`; its address, and its process."""
    around = {**os.environ, "QC_HOME": str(home), "PORT": "0", "QC_LABEL_STUDIO": "false", "QC_RUNTIMES": "false"}
    with (home / "log.txt").open("w+b") as log:
        child = subprocess.Popen([QC, "up"], env=around, stdout=log, stderr=subprocess.STDOUT)
        try:
            until = time.monotonic() + PATIENCE_S
            while not (found := re.search(r"http://[\w.]+:\d+", (home / "log.txt").read_text(errors="replace"))):
                if child.poll() is not None or time.monotonic() > until:
                    raise SystemExit((home / "log.txt").read_text(errors="replace")[-2000:])
                time.sleep(0.2)
            yield found[0], psutil.Process(child.pid)
        finally:
            child.terminate()
            child.wait(30)


def qc(home: Path, *words: str) -> str:
    """What `qc` prints."""
    around = {**os.environ, "QC_HOME": str(home)}
    return subprocess.run([QC, *words], env=around, check=True, capture_output=True, text=True).stdout


def used(process: psutil.Process) -> float:
    """Seconds of processor of a process and what it started."""
    everyone = [process, *process.children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in everyone)


def ask(line: Line, address: str, key: str, seed: int, times: list[tuple[float, float]], tried: int) -> None:
    """One part down the line; what each request took, in ms, is added to `times`."""
    part, process = line.start(seed), line.process
    asks = {max(1, int(len(process.steps) * share)) for share in ASKED}
    plan: dict[str, float] = {}
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        client.get("/api/v1/health")  # the connection stands, as a machine's does
        while (at := part.at) is not None:
            if part.next in asks:
                body = {"part": f"P-{tried}", "at": at, "observed": part.observed}
                began = time.perf_counter()
                answer = client.post("/api/v1/processes/line/recommendations", json=body)
                took = (time.perf_counter() - began) * 1000
                answer.raise_for_status()
                told = answer.json()
                times.append((took, told["elapsed_ms"]))
                plan = told["settings"]
            step = process.steps[part.next]
            part.run_step(at, None if step.optional else {n: v for n, v in plan.items() if n.startswith(at + ".")})


def main() -> None:
    """Fit, serve, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--line", choices=[*LINES], default="linear50")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--parts", type=int, default=60)
    parser.add_argument("--model", type=Path, help="a fitted model of the line, seed 0; else one is fitted")
    args = parser.parse_args()
    line = LINES[args.line](0)
    with tempfile.TemporaryDirectory() as folder:
        home, model = Path(folder) / "home", args.model
        home.mkdir()
        if model is None:
            model = Path(folder) / "model"
            fit(line.process, parse_history(line.history(args.rows, 1), line.process), seed=0).save(model)
        with serving(home) as (address, server):
            key = qc(home, "key", "create", "--role", "machine").splitlines()[-1]
            qc(home, "process", "register", "line", str(model))
            ask(line, address, key, 1, [], -1)  # the first part loads the model
            times: list[tuple[float, float]] = []
            before = used(server)
            for i in range(args.parts):
                ask(line, address, key, 100 + i, times, i)
            spent = (used(server) - before) * 1000 / len(times)
    for what, column in zip(("over REST", "elapsed_ms"), np.array(times).T, strict=True):
        p50, p95 = np.quantile(column, [0.5, 0.95])
        print(f"{len(times)} requests, {what}: median {p50:.0f} ms, p95 {p95:.0f} ms, most {column.max():.0f} ms")
    print(f"processor time of the server: {spent:.0f} ms a request (all its threads, whatever else it does included)")


if __name__ == "__main__":
    main()
