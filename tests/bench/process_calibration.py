"""Are the chances that are promised right? Against the true chance given the same measurements.

    python tests/bench/process_calibration.py bar linear20 --parts 60 --seeds 2 --keep FOLDER

For every line: fit on a history (kept in FOLDER, so that the next run need not fit), send new parts down the line,
ask at 40, 60 and 80 % of the way and follow what is advised. The true chance is exact where the line is linear in the
part's state (`process_opt/truth.py`). Else it comes from a cloud of imaginary parts that went through the same settings
on the true line and were weighed by the same readings (a particle filter on the simulator itself), then carried out the
plan as written; it is off by some 0.003, so that intervals hold it that are missed by 0.005. A promise is the chance of
the plan. Printed for all asks
and for those that change something: mean promise, mean truth, calibration error over ten bins, how often the 90 %
interval holds the truth; then how far the means and the spreads of the deciding readings are off. What a fit has wrong
it has wrong for all its parts alike, so that one fit's interval holds for nearly all or nearly none of them: how
often it holds takes many fits (`--seeds 12 --parts 5`), and is printed over all of them at the end.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from process_value import LINES, expected_calibration_error
from rich.progress import track
from scipy.special import ndtr

from process_opt.belief import believe
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel, load_model
from process_opt.outlook import look_ahead
from process_opt.recommend import recommend
from process_opt.simulate import Line
from process_opt.truth import is_exact, true_fate

Floats = NDArray[np.float64]

PARTICLES = 6000
NOISE = 0.005
"""By so much a cloud's chance may lie outside an interval that is said to hold it."""
ASKED = (0.4, 0.6, 0.8)


class Cloud:
    """Imaginary parts that share one part's settings and readings."""

    def __init__(self, line: Line, seed: int, size: int = PARTICLES) -> None:
        self.line = line
        self.rng = np.random.default_rng([seed, 97])
        self.x = line.start_sd * self.rng.standard_normal((size, line.centre.size))

    def move(self, k: int, settings: dict[str, float]) -> None:
        """Through step `k` at these settings (`step.setting` in units)."""
        v = np.clip(self.line.settings_from_units(k, settings), -1, 1)[None, :]
        walk = np.full(len(self.x), self.line.drift) if k % 5 == 0 and self.line.drift else None
        self.x = self.line._advance(k, self.x, np.repeat(v, len(self.x), axis=0), self.rng, None, walk)

    def weigh(self, k: int, readings: dict[str, float]) -> None:
        """Keep those that explain the readings of step `k`."""
        truth = self.line.truths[k]
        if not truth.reads or not readings:
            return
        reads = list(truth.reads)
        names = [m.name for m in self.line.process.steps[k].measurements]
        z = (np.array([readings[n] for n in names]) - self.line.centre[reads]) / self.line.unit[reads]
        log = -0.5 * (((z - self.x[:, reads]) / truth.gauge) ** 2).sum(axis=1)
        weight = np.exp(log - log.max())
        places = np.searchsorted(
            np.cumsum(weight / weight.sum()), (self.rng.random() + np.arange(len(self.x))) / len(self.x)
        )
        self.x = self.x[np.minimum(places, len(self.x) - 1)]

    def chance(self, at: int, settings: dict[str, float], run: list[str]) -> tuple[float, Floats, Floats]:
        """The true chance to conform under a plan, and mean and sd of the deciding readings, in units."""
        ahead = Cloud.__new__(Cloud)
        ahead.line, ahead.x, ahead.rng = self.line, self.x, np.random.default_rng(5)
        process = self.line.process
        good = np.ones(len(self.x))
        means, spreads = [], []
        for k in range(at, len(process.steps)):
            step = process.steps[k]
            if not step.optional or step.name in run:
                ahead.move(k, {n: v for n, v in settings.items() if n.startswith(step.name + ".")})
            for m, c, gauge in zip(
                step.measurements, self.line.truths[k].reads, self.line.truths[k].gauge, strict=True
            ):
                if m.name in process.conformance:
                    sd = gauge * self.line.unit[c]
                    y = self.line.centre[c] + self.line.unit[c] * ahead.x[:, c]
                    good *= ndtr((m.upper - y) / sd) - ndtr((m.lower - y) / sd)
                    means.append(y.mean())
                    spreads.append(np.hypot(y.std(), sd))
        return float(good.mean()), np.array(means), np.array(spreads)


@dataclass
class Promise:
    """What was said once, and what is true."""

    decision: str
    share: float
    """Of the way, when it was asked."""
    promised: float
    low: float
    high: float
    true: float
    off: Floats
    """Deciding readings: (predicted - true mean) / true sd."""
    sure: Floats
    """Deciding readings: spread over the draws / true sd."""
    spread: Floats
    """Deciding readings: predicted sd, all in all, / true sd."""
    noise: float
    """By how much `true` may be off."""


def send(line: Line, model: ProcessModel, seed: int, *, exact: bool) -> list[Promise]:
    """One part down the line, asked about and advised; every plan that was written counts."""
    process, part = line.process, line.start(seed)
    cloud = None if exact else Cloud(line, seed)
    asks = {max(1, int(len(process.steps) * share)): share for share in ASKED}
    plan: dict[str, float] = {}
    run: list[str] = []
    out = []
    while (at := part.at) is not None:
        k = part.next
        if k in asks:
            answer = recommend(model, {"part": str(seed), "at": at, "observed": part.observed})
            wanted = answer if answer["decision"] == "correct" else _written(answer)
            out.append(_promise(line, model, cloud, part.observed, k, asks[k], answer, wanted))
            plan, run = wanted["settings"], wanted["run"]
        step = process.steps[k]
        here = {n: v for n, v in plan.items() if n.startswith(at + ".")}
        if step.optional and at not in run:
            part.run_step(at, None)
            continue
        readings = part.run_step(at, here)
        if cloud is not None:
            cloud.move(k, here)
            cloud.weigh(k, readings)
    return out


def _written(answer: dict[str, Any]) -> dict[str, Any]:
    """The plan that `p_conform` is of, where the decision is not to carry one out."""
    kind = [a for a in answer["alternatives"] if a["decision"] == "correct"]
    same = [a for a in kind if abs(a["p_conform"] - answer["p_conform"]) < 1e-9]
    return same[0] if same else {"settings": {}, "run": []}


def _promise(
    line: Line,
    model: ProcessModel,
    cloud: Cloud | None,
    observed: dict[str, float],
    k: int,
    share: float,
    answer: dict[str, Any],
    plan: dict[str, Any],
) -> Promise:
    if cloud is None:
        fate = true_fate(line, observed, k, plan["settings"])
        true, mean, sd = fate.chance, fate.mean, fate.sd
    else:
        true, mean, sd = cloud.chance(k, plan["settings"], plan["run"])
    process, layout = line.process, model.layout
    v = layout.settings(np.array([plan["settings"].get(name, s.nominal) for name, (_, s) in process.settings.items()]))
    run = frozenset(process.place[name] for name in plan["run"])
    ahead = look_ahead(model, believe(model, observed, k), v, run)
    places = [list(process.measurements).index(name) for name in process.conformance]
    scale = layout.scale[layout.coordinate[places]] / sd
    middle = (mean - layout.mean[places]) / layout.scale[layout.coordinate[places]]
    draws = ahead.mean.std(axis=1)
    within = ahead.cov[np.arange(len(places)), np.arange(len(places))].mean(axis=1)
    low, high = answer["p_conform_interval"]
    return Promise(
        answer["decision"], share, answer["p_conform"], low, high, true,
        (ahead.mean.mean(axis=1) - middle) * scale, draws * scale, np.sqrt(within + draws**2) * scale,
        0.0 if cloud is None else NOISE,
    )  # fmt: skip


def report(title: str, promises: list[Promise]) -> None:
    """One line of the table."""
    if not promises:
        return
    said, true = np.array([p.promised for p in promises]), np.array([p.true for p in promises])
    held = np.mean([p.low - p.noise <= p.true <= p.high + p.noise for p in promises])
    off, sure = np.array([p.off for p in promises]), np.array([p.sure for p in promises])
    spread = np.array([p.spread for p in promises])
    print(
        f"{title:34s} {len(promises):4d} promised {said.mean():.3f} true {true.mean():.3f} "
        f"ece {expected_calibration_error(said, true):.3f} 90 % holds {held:.3f}  "
        f"means off {np.sqrt((off**2).mean()):.3f} sd, said {np.sqrt((sure**2).mean()):.3f}, "
        f"spread {np.exp(np.log(spread).mean()):.3f} of the true",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", nargs="+", choices=[*LINES])
    parser.add_argument("--parts", type=int, default=60)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder with fitted models, NAME-SEED")
    args = parser.parse_args()
    for name in args.lines:
        everything: list[Promise] = []
        for seed in range(args.seeds):
            line = LINES[name](seed)
            folder = args.keep / f"{name}-{seed}" if args.keep else None
            table = line.history(args.rows, seed + 1)  # also where drift stands at its end
            if folder is not None and folder.exists():
                model = load_model(folder)
            else:
                model = fit(line.process, parse_history(table, line.process), seed=seed)
                if folder is not None:
                    model.save(folder)
            began, exact = time.perf_counter(), is_exact(line)
            said: list[Promise] = []
            for i in track(range(args.parts), description=f"{name} {seed}", transient=True):
                said += send(line, model, 700_000 + i, exact=exact)
            report(f"{name} {seed}, all", said)
            report(f"{name} {seed}, something changed", [p for p in said if p.decision == "correct"])
            for share in ASKED:
                report(
                    f"{name} {seed}, changed at {share}",
                    [p for p in said if p.decision == "correct" and p.share == share],
                )
            print(f"    {time.perf_counter() - began:.0f} s", flush=True)
            everything += said
        report(f"{name}, {args.seeds} fits", everything)


if __name__ == "__main__":
    main()
