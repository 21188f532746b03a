"""What the advice is worth on the demonstration's plant: parts found outside their limits, followed to the end.

    OMP_NUM_THREADS=2 .venv/bin/python tests/bench/rescue_parts.py --parts 200
    .venv/bin/python tests/bench/rescue_parts.py --parts 200 --url http://127.0.0.1:8000 --key KEY   # over REST

Fits on the history that the demonstration fits on (or asks a running server that has done so), then makes new parts
until so many were found outside their limits by an inspection before the last third of the process. Each of them
goes three ways from there, with the same fate: left alone; scrapped at once; as advised, asked again at every
inspection that finds it outside. Money counts from the first question on. Intervals: 95 %, bootstrap over parts.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from rich.progress import track

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.plant import bar_line
from process_opt.recommend import recommend
from process_opt.simulate import Line
from server.demo.config import PROCESS
from server.demo.prepare import HISTORY_SEED
from server.demo.shopfloor import ASKS, READINGS_AGAIN, limits, read_again

FIRST_PART = 5_000_000
"""Fates from here on: none of them is in the history, nor among the demonstration's parts."""

Ask = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass
class Way:
    """How one part went, from the moment it was first found outside."""

    money: float = 0.0
    end: str = "never outside"
    decisions: list[str] = field(default_factory=list)
    promised: float | None = None
    seconds: list[float] = field(default_factory=list)


def go(line: Line, seed: int, ask: Ask | None) -> Way:
    """One part; asked about only where the process still leaves a third of its steps."""
    process, watched, part, way = line.process, limits(line.process), line.start(seed), Way()
    last = len(process.steps) * 2 // 3
    plan: dict[str, float] = {}
    chosen: set[str] = set()
    outside, stops, spent = False, 0, None
    for number, step in enumerate(process.steps):
        if outside and (number <= last if spent is None else stops < ASKS):
            spent = part.spent if spent is None else spent
            stops += 1
            if ask is not None:
                answer = advised(part, step.name, seed, ask, way)
                if answer["decision"] == "scrap":
                    way.money, way.end = process.scrap - (part.spent - spent), "scrapped"
                    return way
                if answer["decision"] in ("continue", "correct"):
                    plan, chosen, way.promised = answer["settings"], set(answer["run"]), answer["p_conform"]
        outside = False
        settings = {s.name: plan[s.name] for s in step.settings if s.name in plan}
        readings = part.run_step(step.name, settings if not step.optional or step.name in chosen else None)
        if len(readings) > 1:
            outside = any(not watched[n][0] <= value <= watched[n][1] for n, value in readings.items())
    if spent is not None:
        good = part.conforms()
        way.money = (process.value if good else process.escape) - (part.spent - spent)
        way.end = "within specification" if good else "outside"
    return way


def advised(part: Any, at: str, seed: int, ask: Ask, way: Way) -> Mapping[str, Any]:
    """Ask, take the readings that are wished for, ask again; a reading costs what its step costs."""
    answer: Mapping[str, Any] = {}
    for _ in range(READINGS_AGAIN + 1):
        began = time.perf_counter()
        answer = ask({"part": f"R-{seed}", "at": at, "observed": dict(part.observed)})
        way.seconds.append(time.perf_counter() - began)
        way.decisions.append(answer["decision"])
        if answer["decision"] != "measure":
            break
        for reading in answer["measure"]:
            read_again(part, reading)
            part.spent += part.line.process.steps[part.line.process.measurements[reading][0]].cost
    return answer


def mean(values: list[float]) -> str:
    """A mean with its interval."""
    rng, array = np.random.default_rng(0), np.array(values)
    low, high = np.quantile(array[rng.integers(0, len(array), (2000, len(array)))].mean(axis=1), [0.025, 0.975])
    return f"{array.mean():7.2f} ({low:.2f} to {high:.2f})"


def asker(arguments: argparse.Namespace, line: Line) -> Ask:
    """The model in this process, or a running server's."""
    if arguments.url:
        client = httpx.Client(base_url=arguments.url, headers={"Authorization": f"Bearer {arguments.key}"}, timeout=60)
        return lambda request: (
            client.post(f"/api/v1/processes/{PROCESS}/recommendations", json=request).raise_for_status().json()
        )
    began = time.perf_counter()
    history = parse_history(line.history(arguments.rows, HISTORY_SEED), line.process)
    simulated = time.perf_counter() - began
    model = fit(line.process, history, seed=0)
    fitted = time.perf_counter() - began - simulated
    print(f"{arguments.rows} parts simulated in {simulated:.1f} s, fitted in {fitted:.1f} s")
    return lambda request: recommend(model, request)


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=200)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the plant; the demonstration's own is 0")
    parser.add_argument("--url")
    parser.add_argument("--key")
    arguments = parser.parse_args()
    line = bar_line(arguments.seed)
    process = line.process
    ask = asker(arguments, line)
    alone, with_advice, made = [], [], 0
    for _ in track(range(arguments.parts), description="parts outside their limits"):
        while (nothing := go(line, FIRST_PART + made, None)).end == "never outside":
            made += 1
        alone.append(nothing)
        with_advice.append(go(line, FIRST_PART + made, ask))
        made += 1
    money = [w.money for w in with_advice]
    print(f"{arguments.parts} of {made} new parts were found outside their limits; {process.currency} per part:")
    print(f"  as advised         {mean(money)}   {dict(Counter(w.end for w in with_advice))}")
    print(f"  left alone         {mean([w.money for w in alone])}   {dict(Counter(w.end for w in alone))}")
    print(f"  scrapped at once   {process.scrap:7.2f}")
    print(f"  more than alone    {mean([a - b.money for a, b in zip(money, alone, strict=True)])}")
    print(f"  more than scrapped {mean([m - process.scrap for m in money])}")
    good = [w.end == "within specification" for w in with_advice]
    lost = [g for g, w in zip(good, alone, strict=True) if w.end == "outside"]
    print(f"  within specification {np.mean(good):.3f}")
    print(f"  recovered, of {len(lost)} that end outside when left alone: {np.mean(lost):.3f}")
    kept = [(w.promised, g) for w, g in zip(with_advice, good, strict=True) if w.end != "scrapped" and w.promised]
    promised, came = np.mean(kept, axis=0)
    print(f"  last promise {promised:.3f}, kept {came:.3f} ({len(kept)} parts that went on with a plan)")
    print(f"  decisions {dict(Counter(d for w in with_advice for d in w.decisions))}")
    p50, p95, worst = np.quantile([s for w in with_advice for s in w.seconds], [0.5, 0.95, 1.0])
    print(f"  an answer takes p50 {1000 * p50:.0f} ms, p95 {1000 * p95:.0f} ms, at most {1000 * worst:.0f} ms")


if __name__ == "__main__":
    main()
