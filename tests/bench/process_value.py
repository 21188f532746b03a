"""What the advice is worth on imaginary lines whose truth is known, beside scrapping all, doing nothing, and an oracle.

    python tests/bench/process_value.py linear20 linear50 bar --parts 100 --seeds 1

For every line: fit on a history, then send new parts down the line. At `at` (and, closed loop, at each later look)
the advice is
asked for and followed. The oracle is the same planner with the true parameters (linear lines: exact). Captured value is
(ours - best of scrap-all and do-nothing) / (oracle - the same). The chance that was promised is compared with what
came of it. Asked once, parts often hardly earn more than scrapping them, and chance alone takes 60 of them several EUR
a part up or down; so where the true chance is known exactly (`process_opt/truth.py`), `expected` is the same captured
value with what every plan earns on average in place of what came of the part.

On `furnace20` parts come in batches that share the settings of some steps: one decision for the batch is asked for, and
beside it stands `middle`, each part advised by itself and the furnace set to the middle of what they want.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np

from process_opt.batch_plan import Member, decide_batch
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel
from process_opt.plant import bar_line
from process_opt.recommend import recommend
from process_opt.simulate import Line, bent_line, crossed_line, furnace_line, linear_line
from process_opt.state_space import Motion
from process_opt.truth import is_exact, true_fate

FEW = tuple(f"s{k:02d}-op.lever1" for k in range(2, 21, 3))
"""Seven settings in forty that are dithered: of the others nobody can tell what they do."""

LINES = {
    "linear5": lambda s: linear_line(5, s, hidden_look=0.5),
    "linear20": lambda s: linear_line(20, s, hidden_look=0.5),
    "linear20every5": lambda s: linear_line(20, s, every=5, hidden_look=0.5),
    "linear20missing": lambda s: linear_line(20, s, hidden_look=0.5, missing=0.6),
    "linear20few": lambda s: linear_line(20, s, hidden_look=0.5, only=FEW),
    "linear20batch": lambda s: linear_line(20, s, batch_sd=np.full(3, 0.08), drift_sd=0.1),
    "linear50": lambda s: linear_line(50, s, hardness=2.0, hidden_look=0.5),
    "linear50hard": lambda s: linear_line(50, s, hardness=1.4, hidden_look=0.5),
    "linear50tight": lambda s: linear_line(50, s, hidden_look=0.5),
    "linear50every5": lambda s: linear_line(50, s, every=5, hardness=2.0, hidden_look=0.5, scrap_beyond=6.0),
    "bent20": lambda s: bent_line(20, s, hidden_look=0.5),
    "crossed20": lambda s: crossed_line(20, s, hidden_look=0.5),
    "furnace20": lambda s: furnace_line(20, s, hidden_look=0.5),
    "bar": lambda s: bar_line(s),
    "bar_hidden": lambda s: bar_line(s, hidden_look=0.5, missing=0.3),
}


BENT = ("bar", "bent")
BATCH = 12
"""Parts of a batch, where settings are shared."""
NOTHING = 0.005
"""Money a part; what an oracle earns above the better of scrapping and doing nothing, where that is chance alone."""


def oracle_model(line: Line, model: ProcessModel) -> ProcessModel:
    """The model with the line's true, linearised steps; exact on linear lines, also of what nobody measures."""
    layout = model.layout
    hidden = len(line.centre) - layout.d
    layout = replace(
        layout,
        coordinates=(*layout.coordinates, *(f"hidden {i + 1}" for i in range(hidden))),
        scale=np.append(layout.scale, np.ones(hidden)),
    )
    d = layout.d
    settings = list(line.process.settings)
    unit, centre = line.unit[:d] / layout.scale, np.zeros(d)
    motions, draws = [], []
    means = dict(enumerate(layout.mean))
    shift = np.zeros(d)  # readings are centred per step: state (model) = (centre + unit x - mean_step) / scale
    for k, truth in enumerate(line.truths):
        places = list(layout.levers[k])
        half = np.array(
            [
                (line.process.settings[settings[p]][1].high - line.process.settings[settings[p]][1].low) / 2
                for p in places
            ]
        )
        zero, none = np.zeros((1, d)), np.zeros((1, len(places)))
        base = truth.move(zero, none)[0]
        a = np.array([truth.move(np.eye(d)[i : i + 1], none)[0] - base for i in range(d)]).T
        b = np.zeros((d, len(places)))
        for j in range(len(places)):
            up = none.copy()
            up[0, j] = 0.1
            b[:, j] = (truth.move(zero, up)[0] - truth.move(zero, -up)[0]) / 0.2
        new = shift.copy()
        for place, c in layout.reads[k]:
            new[c] = (line.centre[c] - means[place]) / layout.scale[c]
        scaled = np.diag(unit) @ a @ np.diag(1 / unit)
        offset = new - scaled @ shift
        terms = (((), -1), *(((), c) for c in range(d)), *(((j,), -1) for j in range(len(places))))
        weights = np.hstack(
            [offset[:, None], scaled, np.diag(unit) @ b * (layout.stretch[places] / half if places else np.ones(0))]
        )
        noise = np.diag((unit * truth.noise) ** 2 + (unit * line.batch_sd) ** 2 + 1e-9)
        motions.append(Motion(terms, weights, noise, np.ones(len(places))))
        draws.append(np.repeat(weights[:, :, None], 2, axis=2))
        shift = new
    start = (centre + 0.0, np.diag(unit**2 * line.start_variance))
    return replace(model, layout=layout, motions=tuple(motions), draws=tuple(draws), start=start, check={})


def send(line: Line, model: ProcessModel | None, seed: int, asks: list[int]) -> dict[str, float]:
    """One part down the line; money from the first question on. Without a model it is left alone.

    `expected` is the money that its plan earns on average; of a part that is asked about once, on lines where that is
    known.
    """
    process = line.process
    part = line.start(seed)
    for _ in range(asks[0]):
        part.run_step(process.steps[part.next].name)
    spent, seen = part.spent, dict(part.observed)
    plan: dict[str, float] = {}
    run: list[str] = []
    promised, latency, acted = float("nan"), [], False
    while (at := part.at) is not None:
        if model is not None and part.next in asks:
            answer = recommend(model, {"part": str(seed), "at": at, "observed": part.observed})
            latency.append(answer["elapsed_ms"])
            alone = len(asks) == 1 and answer["expected_value"] < answer["value_if_scrapped"]
            if answer["decision"] == "scrap" or alone:  # who will not ask again, scraps: the reason says so
                left = process.scrap - (part.spent - spent)
                return {"money": left, "expected": left, "scrapped": 1, "ms": max(latency)}
            plan, run = answer["settings"], answer["run"]
            if len(latency) == 1:
                promised = answer["p_conform"]
                acted = answer["decision"] == "correct"
        step = process.steps[part.next]
        here = {n: v for n, v in plan.items() if n.startswith(at + ".")}
        part.run_step(at, None if step.optional and at not in run else here)
    good = part.conforms()
    paid = part.spent - spent
    expected = float("nan")
    if len(asks) == 1 and is_exact(line):
        chance = true_fate(line, seen, asks[0], plan).chance
        expected = chance * process.value + (1 - chance) * process.escape - paid
    return {
        "money": (process.value if good else process.escape) - paid,
        "expected": expected,
        "good": float(good),
        "promised": promised,
        "acted": float(acted),
        "ms": max(latency, default=0.0),
    }


def send_batch(
    line: Line, model: ProcessModel | None, charge: int, asks: list[int], *, middle: bool = False
) -> list[float]:
    """The parts of one batch down the line side by side; money of each from the first question on.

    Args:
        model: None: they are left alone.
        middle: each part as it was advised by itself, shared settings at the median of that; else one decision for all.
    """
    process = line.process
    parts = {f"{charge}-{i}": line.start(1000 * charge + i, charge) for i in range(BATCH)}
    for part in parts.values():
        for _ in range(asks[0]):
            part.run_step(process.steps[part.next].name)
    spent = {name: part.spent for name, part in parts.items()}
    money: dict[str, float] = {}
    plans: dict[str, tuple[dict[str, float], list[str]]] = dict.fromkeys(parts, ({}, []))
    for k in range(asks[0], len(process.steps)):
        going = {name: part for name, part in parts.items() if name not in money}
        if model is not None and k in asks and going:
            asked = [
                {"part": name, "at": process.steps[k].name, "batch": "new", "observed": part.observed}
                for name, part in going.items()
            ]
            members = [Member(request, recommend(model, request)) for request in asked]
            told = _in_the_middle(line, members) if middle else decide_batch(model, members)["parts"]
            for one in told:
                chance = one["p_shared"] or 0.0
                as_written = chance * process.value + (1 - chance) * process.escape
                alone = len(asks) == 1 and as_written < process.scrap  # as in `send`
                if one["decision_shared"] == "scrap" or alone:
                    money[one["part"]] = process.scrap - (parts[one["part"]].spent - spent[one["part"]])
                plans[one["part"]] = one["settings_shared"], one["run_shared"]
        set_up = []
        for name, part in going.items():
            if name not in money:
                settings, run = plans[name]
                here = {n: v for n, v in settings.items() if n.startswith(process.steps[k].name + ".")}
                part.run_step(part.at or "", None if process.steps[k].optional and part.at not in run else here)
                levers = process.steps[k].settings
                moved = [s.shared for s in levers if part.observed.get(s.name, s.nominal) != s.nominal]
                set_up += [part] if moved and all(moved) else []
        for part in set_up:  # once for the batch
            part.spent -= process.steps[k].setup_cost * (1 - 1 / len(set_up))
    for name, part in parts.items():
        if name not in money:
            money[name] = (process.value if part.conforms() else process.escape) - (part.spent - spent[name])
    return list(money.values())


def _in_the_middle(line: Line, members: list[Member]) -> list[dict[str, Any]]:
    """Each part as it was advised by itself, but for shared settings, which are at the median of that."""
    shared = {
        name: float(np.median([m.answer["settings"].get(name, setting.nominal) for m in members]))
        for name, (_, setting) in line.process.settings.items()
        if setting.shared
    }
    return [
        {
            "part": m.request["part"],
            "decision_shared": m.decision,
            "settings_shared": m.answer["settings"] | shared,
            "run_shared": m.answer["run"],
            "p_shared": m.answer["p_conform"],
        }
        for m in members
    ]


def captured(ours: float, floor: float, oracle: float) -> str:
    """Share of what the oracle earns above `floor`; a word where that is nothing."""
    return f"{(ours - floor) / (oracle - floor):6.3f}" if oracle - floor > NOTHING else "nothing to gain"


def bench_batches(name: str, seed: int, *, parts: int, rows: int) -> None:
    """One line of the table, of a line where batches share settings."""
    line = LINES[name](seed)
    model = fit(line.process, parse_history(line.history(rows, seed + 1), line.process), seed=seed)
    steps = len(line.process.steps)
    first = max(1, int(steps * 0.4))
    every = [k for k in range(first, steps) if (k - first) % max(1, steps // 10) == 0]
    charges = range(parts // BATCH)
    still = [send_batch(line, None, c, [first]) for c in charges]
    floor = max(float(np.mean(still)), line.process.scrap)
    for way, asks in {"open": [first], "closed": every}.items():
        ways = {"ours": (model, False), "middle": (model, True), "oracle": (oracle_model(line, model), False)}
        money = {
            who: float(np.mean([send_batch(line, m, c, asks, middle=apart) for c in charges]))
            for who, (m, apart) in ways.items()
        }
        share, aside = (captured(money[who], floor, money["oracle"]) for who in ("ours", "middle"))
        print(
            f"{name:16s} {seed:2d} {way:6s} captured {share}, middle {aside}  "
            f"ours {money['ours']:7.2f} middle {money['middle']:7.2f} "
            f"oracle {money['oracle']:7.2f} nothing {np.mean(still):7.2f} scrap {line.process.scrap:5.2f}, "
            f"{len(charges)} batches of {BATCH}",
            flush=True,
        )


def expected_calibration_error(promised: np.ndarray, good: np.ndarray) -> float:
    """Mean distance of promise and outcome over ten equal bins, weighted by how many fall in each."""
    bins = np.minimum((promised * 10).astype(int), 9)
    return float(
        sum(abs(promised[bins == b].mean() - good[bins == b].mean()) * np.mean(bins == b) for b in np.unique(bins))
    )


def bench(name: str, seed: int, *, parts: int, rows: int) -> None:
    """One line of the table."""
    line = LINES[name](seed)
    process = line.process
    began = time.perf_counter()
    model = fit(process, parse_history(line.history(rows, seed + 1), process), seed=seed)
    fitted = time.perf_counter() - began
    oracle = oracle_model(line, model)
    steps = len(process.steps)
    first = max(1, int(steps * 0.4))
    every = [k for k in range(first, steps) if (k - first) % max(1, steps // 10) == 0]
    ways = {"open": [first], "closed": every}
    still = [send(line, None, 10_000 + i, [first]) for i in range(parts)]
    nothing = float(np.mean([s["money"] for s in still]))
    floor = max(nothing, process.scrap)
    for way, asks in ways.items():
        ours = [send(line, model, 10_000 + i, asks) for i in range(parts)]
        if name.startswith(BENT):  # no oracle is exact there: a bound that nobody reaches, every part good for nothing
            ideal = process.value - sum(s.cost for s in process.steps[first:] if not s.optional)
            best = [{"money": ideal, "expected": ideal, "good": 1.0}] * parts
        else:
            best = [send(line, oracle, 10_000 + i, asks) for i in range(parts)]
        mine, top = (float(np.mean([o["money"] for o in them])) for them in (ours, best))
        sure = ""
        if way == "open" and is_exact(line):
            least = max(float(np.mean([s["expected"] for s in still])), process.scrap)
            own, most = (float(np.mean([o["expected"] for o in them])) for them in (ours, best))
            sure = f"expected {captured(own, least, most)} (ours {own:.2f} oracle {most:.2f})  "
        kept = [o for o in ours if "good" in o]
        promised, good = np.array([o["promised"] for o in kept]), np.array([o["good"] for o in kept])
        ece = expected_calibration_error(promised, good) if kept else float("nan")
        wasted = np.mean(["scrapped" in o and b.get("good", 0) == 1 for o, b in zip(ours, best, strict=True)])
        ms = np.quantile([o["ms"] for o in ours], 0.95)
        print(
            f"{name:16s} {seed:2d} {way:6s} captured {captured(mine, floor, top)}  {sure}ours "
            f"{mine:7.2f} oracle {top:7.2f} "
            f"nothing {nothing:7.2f} scrap {process.scrap:5.2f}  promised {promised.mean() if kept else 0:.2f} "
            f"kept {good.mean() if kept else 0:.2f} ece {ece:.3f}  scrapped {1 - len(kept) / parts:.2f} "
            f"(false {wasted:.2f})  "
            f"p95 {ms:.0f} ms  fit {fitted:.0f} s",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lines", nargs="*", default=list(LINES))
    parser.add_argument("--parts", type=int, default=100)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    args = parser.parse_args()
    for name in args.lines:
        for seed in range(args.first, args.first + args.seeds):
            (bench_batches if name.startswith("furnace") else bench)(name, seed, parts=args.parts, rows=args.rows)


if __name__ == "__main__":
    main()
