"""Which step made a part what it is: how often the first guess is right, on lines measured at every fifth step only.

    python tests/bench/process_cause.py linear20every5 linear50every5 --parts 200

One step goes wrong, and the finished part is no good for it: a setting stands at its limit and the log says so, or the
state shifts by a whole tolerance in some direction and nothing says so. It is asked at the next look. Beside ours
(`process_opt.causes`, fitted on 10,000 rows): the same question to the line's true parameters, and naming the step of
the look. `stretch` is the share in which ours names one of the steps since the look before: of a shift in any
direction that is all that readings can tell, and which of the five it was is a guess.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from process_value import LINES, oracle_model

from process_opt.causes import causes
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel
from process_opt.simulate import Line, Part


def looks_of(line: Line) -> list[int]:
    """Places of the steps that measure."""
    return [k for k, step in enumerate(line.process.steps) if step.measurements]


def run(line: Line, seed: int, wrong: int, kind: str, until: int) -> Part:
    """A part through the steps up to `until`, with step `wrong` gone wrong; `kind` is empty: as it would be without."""
    rng = np.random.default_rng([seed, 3])
    part = line.start(seed)
    right = line.truths[wrong]
    if kind == "shift":
        direction = rng.standard_normal(len(line.centre))
        size = tolerance(line) * direction / np.linalg.norm(direction)
        line.truths[wrong] = replace(right, fault=(1.0, size))
    try:
        for k, step in enumerate(line.process.steps[: until + 1]):
            settings = {s.name: s.nominal + 0.1 * (s.high - s.low) / 2 * rng.standard_normal() for s in step.settings}
            if k == wrong:
                chosen, high = step.settings[int(rng.integers(len(step.settings)))], rng.random() < 0.5
                if kind == "setting":
                    settings[chosen.name] = chosen.high if high else chosen.low
            part.run_step(step.name, settings)
    finally:
        line.truths[wrong] = right
    return part


def spoilt(line: Line, seed: int, kind: str, parts: int) -> Iterator[tuple[int, int]]:
    """`parts` parts that are no good at the end because one step went wrong, and would have been good: number, step."""
    end, looks, found, i = len(line.process.steps) - 1, looks_of(line), 0, 0
    while found < parts:
        wrong = int(np.random.default_rng([seed, i]).integers(0, looks[-2] + 1))
        if run(line, 20_000 + i, wrong, "", end).conforms() and not run(line, 20_000 + i, wrong, kind, end).conforms():
            found += 1
            yield i, wrong
        i += 1


def tolerance(line: Line) -> float:
    """The width of the narrowest limits, in the state's units."""
    known = line.process.measurements
    widths = []
    for name in line.process.conformance:
        k, measurement = known[name]
        place = line.truths[k].reads[[m.name for m in line.process.steps[k].measurements].index(name)]
        widths.append((measurement.upper - measurement.lower) / line.unit[place])
    return float(min(widths))


def first_guess(model: ProcessModel) -> Callable[[Part, int], str]:
    """The step that the model names first."""

    def guess(part: Part, at: int) -> str:
        named, _ = causes(model, part.observed, at)
        return named[0]["step"] if named else ""

    return guess


def bench(name: str, seed: int, *, parts: int, rows: int) -> None:
    """Two lines of the table."""
    line = LINES[name](seed)
    process = line.process
    model = fit(process, parse_history(line.history(rows, seed + 1), process), seed=seed)
    asked = {"ours": first_guess(model), "truth": first_guess(oracle_model(line, model))}
    looks = looks_of(line)
    for kind in ("setting", "shift"):
        right = dict.fromkeys([*asked, "last", "stretch"], 0)
        for i, wrong in spoilt(line, seed, kind, parts):
            until = next(k for k in looks if k >= wrong)
            part = run(line, 20_000 + i, wrong, kind, until)
            said = {who: guess(part, until + 1) for who, guess in asked.items()}
            for who, step in said.items():
                right[who] += step == process.steps[wrong].name
            right["last"] += until == wrong
            since = max((k for k in looks if k < until), default=-1)
            right["stretch"] += said["ours"] in [s.name for s in process.steps[since + 1 : until + 1]]
        told = "  ".join(f"{who} {count / parts:.2f}" for who, count in right.items())
        print(f"{name:16s} {seed:2d} {kind:8s} {told}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lines", nargs="*", default=["linear20every5", "linear50every5"])
    parser.add_argument("--parts", type=int, default=200)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    for name in arguments.lines:
        for seed in range(arguments.seeds):
            bench(name, seed, parts=arguments.parts, rows=arguments.rows)


if __name__ == "__main__":
    main()
