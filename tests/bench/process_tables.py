"""Predictions on two real tables, of rows never seen: the process model beside boosting and a Gaussian process.

    python tests/bench/process_tables.py --data ../shared/data [--seeds 3]

Fitted on the rows of split `train`, judged on `val`. What each is asked is a distribution, so each is judged by its log
score (nats a row, higher is better), by its calibration and by the error of its middle. Rows are shuffled: their order
is not that of time (the plates are sorted by kind), and the process model follows drift to the end of a history.

chem_yield: 27 successive steps of a pharmaceutical process; materials and settings known, the yield asked for. For the
process model every column is a setting, nine steps of five (the table does not say which column is of which step), the
materials a step before them. steel_plates: is the fault one of the six named ones, from 27 figures of an inspection?
For the process model that is a count (0 or 1) at the last step. It is one table, not a process of several steps.

Boosting: scikit-learn's histogram trees. For the yield: quantiles (5 % to 95 % in nineteen models), a piecewise even
density between them with exponential ends; and, as in NGBoost, a normal distribution whose mean and spread are both
boosted (the spread on out-of-fold residuals). For the fault: its class probability. Gaussian process: one length for
each column, noise learnt; for the fault one on 0 and 1 of 700 rows, its chance from a logistic curve on the other rows.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor  # type: ignore[import-untyped]
from sklearn.gaussian_process import GaussianProcessRegressor  # type: ignore[import-untyped]
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.model_selection import cross_val_predict  # type: ignore[import-untyped]

from process_opt.belief import believe
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel
from process_opt.outlook import Outlook, look_ahead, probabilities
from process_opt.process import parse_process

Floats = NDArray[np.float64]

LEVELS = np.arange(0.05, 0.951, 0.05)
A_STEP = 5
"""Columns of one step."""


def tables(data: Path, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to learn from and rows to be judged by, shuffled."""
    table = pd.read_csv(data / name / "data.csv").merge(pd.read_csv(data / name / "split.csv"), on="row")
    table = table.sample(frac=1.0, random_state=0)
    return tuple(table[table["split"] == s].drop(columns=["row", "split"]) for s in ("train", "val"))  # type: ignore[return-value]


def learn(x: pd.DataFrame, y: Floats, reading: dict[str, Any], groups: list[list[str]]) -> ProcessModel:
    """A process of steps of settings, at the end of which `y` is read."""
    steps: list[dict[str, Any]] = []
    renamed = {}
    for k, columns in enumerate(groups):
        settings = {}
        for column in columns:
            values = x[column].dropna()
            low, high = float(values.min()), float(values.max())
            far = 3 * (high - low) + 1e-6  # rows to come may lie beyond what was seen
            settings[column] = {"low": low - far, "high": high + far, "nominal": float(values.median())}
            renamed[column] = f"s{k:02d}.{column}"
        steps.append({"name": f"s{k:02d}", "settings": settings})
    steps[-1]["measurements"] = {"y": reading}
    content = {
        "name": "table",
        "part": {"value": 1.0, "scrap": 0.0, "escape": -1.0},
        "conformance": [f"{steps[-1]['name']}.y"],
        "steps": steps,
    }
    process = parse_process(content)
    table = x[list(renamed)].rename(columns=renamed).copy()
    table[f"{steps[-1]['name']}.y"] = y
    table["part"], table["disposition"] = [f"R{i}" for i in range(len(x))], "finished"
    return fit(process, parse_history(table, process))


def outlooks(model: ProcessModel, x: pd.DataFrame) -> list[Outlook]:
    """The end of every row, gaps taken as usual values."""
    out = []
    names = list(model.process.settings)
    for _, row in x.iterrows():
        v = model.layout.settings(np.array([float(row[n.split(".", 1)[1]]) for n in names]))
        ahead = look_ahead(model, believe(model, {}, 0), np.where(np.isfinite(v), v, 0.0), frozenset())
        unknown = [j for j in np.flatnonzero(~np.isfinite(v))]
        for j in unknown:
            k = model.process.settings[names[j]][0]
            place = model.layout.levers[k].index(j)
            ahead.cov[0, 0] += ahead.gain[0, j] ** 2 * model.motions[k].unknown[place]
        out.append(ahead)
    return out


def judge_numbers(title: str, y: Floats, log: Floats, cdf: Floats, middle: Floats, seconds: float) -> None:
    """One line of the table for the yield."""
    held = np.mean((cdf > 0.05) & (cdf < 0.95))
    order = np.sort(cdf)
    even = np.abs(order - (np.arange(cdf.size) + 0.5) / cdf.size).mean()
    rmse = np.sqrt(np.mean((y - middle) ** 2))
    print(
        f"  {title:26s} log score {log.mean():7.3f} ± {log.std() / np.sqrt(log.size):.3f}  90 % holds {held:.3f}  "
        f"off even {even:.3f}  rmse {rmse:.3f}  {seconds:5.1f} s",
        flush=True,
    )


def judge_chances(title: str, y: NDArray[np.bool_], chance: Floats, seconds: float) -> None:
    """One line of the table for the fault."""
    p = np.clip(chance, 1e-6, 1 - 1e-6)
    log = np.where(y, np.log(p), np.log(1 - p))
    bins = np.minimum((p * 10).astype(int), 9)
    ece = sum(
        abs(p[bins == b].mean() - y[bins == b].mean()) * (bins == b).mean() for b in range(10) if (bins == b).any()
    )
    wrong = np.mean((p > 0.5) != y)
    print(
        f"  {title:26s} log score {log.mean():7.3f} ± {log.std() / np.sqrt(log.size):.3f}  ece {ece:.3f}  "
        f"wrong {wrong:.3f}  {seconds:5.1f} s",
        flush=True,
    )


def from_quantiles(y: Floats, q: Floats) -> tuple[Floats, Floats, Floats]:
    """Log density and distribution function at `y` (`N`) of quantiles `q` (`N x len(LEVELS)`), and the median."""
    q = np.maximum.accumulate(np.sort(q, axis=1) + 1e-6 * np.arange(q.shape[1]), axis=1)
    log, cdf = np.empty(y.size), np.empty(y.size)
    for i, (at, own) in enumerate(zip(y, q, strict=True)):
        gaps = np.maximum(np.diff(own), 1e-3 * (own[-1] - own[0]) + 1e-9)
        tail = max(float(gaps.mean()), 1e-9)
        if at < own[0]:
            log[i] = np.log(LEVELS[0] / tail) - (own[0] - at) / tail
            cdf[i] = LEVELS[0] * np.exp(-(own[0] - at) / tail)
        elif at >= own[-1]:
            log[i] = np.log((1 - LEVELS[-1]) / tail) - (at - own[-1]) / tail
            cdf[i] = 1 - (1 - LEVELS[-1]) * np.exp(-(at - own[-1]) / tail)
        else:
            b = int(np.searchsorted(own, at, side="right")) - 1
            step = LEVELS[b + 1] - LEVELS[b]
            log[i] = np.log(step / gaps[b])
            cdf[i] = LEVELS[b] + step * min((at - own[b]) / gaps[b], 1.0)
    return log, cdf, q[:, len(LEVELS) // 2]


def trees(seed: int, **options: Any) -> HistGradientBoostingRegressor:
    """Small ones, for a hundred rows."""
    return HistGradientBoostingRegressor(
        max_iter=80, learning_rate=0.08, max_leaf_nodes=8, min_samples_leaf=8, random_state=seed, **options
    )


def chem_yield(data: Path, seeds: int) -> None:
    """The yield of 27 steps."""
    train, val = tables(data, "process_chem_yield")
    x, y = train.drop(columns="yield"), train["yield"].to_numpy(dtype=float)
    xv, yv = val.drop(columns="yield"), val["yield"].to_numpy(dtype=float)
    print(f"chem_yield: {len(x)} rows to learn from, {len(xv)} to be judged by, {x.shape[1]} columns")
    log = norm.logpdf(yv, y.mean(), y.std(ddof=1))
    judge_numbers("the average", yv, log, norm.cdf(yv, y.mean(), y.std(ddof=1)), np.full(yv.size, y.mean()), 0.0)
    usable = [c for c in x.columns if x[c].nunique() > 1]
    materials = [c for c in usable if c.startswith("bio")]
    rest = [c for c in usable if not c.startswith("bio")]
    groups = [materials, *(rest[i : i + A_STEP] for i in range(0, len(rest), A_STEP))]
    began = time.perf_counter()
    model = learn(x, y, {"lower": float(np.median(y))}, groups)  # a limit that decides nothing here
    scale = float(model.layout.scale[0])
    density, cdf, middle = [], [], []
    for ahead, at in zip(outlooks(model, xv), yv, strict=True):
        mean = ahead.mean[0] * scale + model.layout.mean[0]
        sd = np.sqrt(ahead.cov[0, 0]) * scale
        density.append(logsumexp(norm.logpdf(at, mean, sd)) - np.log(mean.size))
        cdf.append(norm.cdf(at, mean, sd).mean())
        middle.append(mean.mean())
    seconds = time.perf_counter() - began
    judge_numbers("process model", yv, np.array(density), np.array(cdf), np.array(middle), seconds)
    for seed in range(seeds):
        began = time.perf_counter()
        q = np.column_stack([trees(seed, loss="quantile", quantile=level).fit(x, y).predict(xv) for level in LEVELS])
        judge_numbers(f"boosted quantiles, {seed}", yv, *from_quantiles(yv, q), time.perf_counter() - began)
        began = time.perf_counter()
        out = cross_val_predict(trees(seed), x, y, cv=5)
        spread = trees(seed).fit(x, np.log((y - out) ** 2 + 1e-3 * y.var()))
        mean = trees(seed).fit(x, y).predict(xv)
        lift = float(
            np.mean((y - out) ** 2 / np.exp(cross_val_predict(trees(seed), x, np.log((y - out) ** 2 + 1e-3), cv=5)))
        )
        sd = np.sqrt(np.exp(spread.predict(xv)) * lift)
        judge_numbers(
            f"boosted normal, {seed}", yv, norm.logpdf(yv, mean, sd), norm.cdf(yv, mean, sd), mean,
            time.perf_counter() - began,
        )  # fmt: skip
    began = time.perf_counter()
    mean, sd = gaussian_process(x, y, xv)
    judge_numbers(
        "Gaussian process", yv, norm.logpdf(yv, mean, sd), norm.cdf(yv, mean, sd), mean, time.perf_counter() - began
    )


def gaussian_process(x: pd.DataFrame, y: Floats, xv: pd.DataFrame) -> tuple[Floats, Floats]:
    """Mean and spread of the rows to be judged."""
    middle, wide = x.median(), x.std().replace(0.0, 1.0)
    a, b = ((part.fillna(middle) - middle) / wide for part in (x, xv))
    kernel = ConstantKernel(1.0) * RBF(np.full(a.shape[1], np.sqrt(a.shape[1])), (1e-1, 1e4)) + WhiteKernel(0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lengths of columns that do nothing run into their bounds
        found = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(a.to_numpy(), y)
    mean, sd = found.predict(b.to_numpy(), return_std=True)
    return np.asarray(mean), np.asarray(sd)


def steel_plates(data: Path, seeds: int) -> None:
    """Is the fault a named one?"""
    train, val = tables(data, "process_steel_plates_faults")
    drop = ["failure.type", "target"]
    x, y = train.drop(columns=drop), train["target"].to_numpy(dtype=float)
    xv, yv = val.drop(columns=drop), val["target"].to_numpy(dtype=float) > 0.5
    print(f"steel_plates: {len(x)} rows to learn from, {len(xv)} to be judged by, {x.shape[1]} columns")
    judge_chances("the average", yv, np.full(yv.size, y.mean()), 0.0)
    began = time.perf_counter()
    columns = list(x.columns)
    groups = [columns[i : i + A_STEP] for i in range(0, len(columns), A_STEP)]
    model = learn(x, y, {"kind": "count", "upper": 0}, groups)
    chance = 1 - np.array([float(probabilities(ahead).mean()) for ahead in outlooks(model, xv)])
    judge_chances("process model", yv, chance, time.perf_counter() - began)
    for seed in range(seeds):
        began = time.perf_counter()
        trees = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.06, early_stopping=True, random_state=seed)
        judge_chances(
            f"boosted classes, {seed}", yv, trees.fit(x, y > 0.5).predict_proba(xv)[:, 1], time.perf_counter() - began
        )
    began = time.perf_counter()
    rows = np.random.default_rng(0).permutation(len(x))
    few, rest = rows[:700], rows[700:]
    mean, sd = gaussian_process(x.iloc[few], y[few], pd.concat([x.iloc[rest], xv]))
    z = np.column_stack([mean - 0.5, (mean - 0.5) / sd])
    probit = LogisticRegression().fit(z[: rest.size], y[rest] > 0.5)
    judge_chances("Gaussian process", yv, probit.predict_proba(z[rest.size :])[:, 1], time.perf_counter() - began)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "../shared/data")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", choices=["chem_yield", "steel_plates"])
    args = parser.parse_args()
    if args.only != "steel_plates":
        chem_yield(args.data, args.seeds)
    if args.only != "chem_yield":
        steel_plates(args.data, args.seeds)


if __name__ == "__main__":
    main()
