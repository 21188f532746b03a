"""Function networks: best value after 25 and 50 evaluations, beside BoTorch's EI on one black box, and chance.

    python tests/bench/recipe.py dropwave ackley6 alpine6 --seeds 10

Problems of Astudillo & Frazier 2021 (maxima 1, 0, 490.35). For each seed all start from the same 2(d + 1) random points
(torch.rand seeded with the seed); evaluations are counted after them. Ours goes through Optuna's ask and tell; BoTorch
takes its defaults (SingleTaskGP on standardised values, LogExpectedImprovement, 10 restarts from 512 places). Seconds
are of a decision: fitting and choosing, on one core, as processor time. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import optuna
import torch
from botorch.acquisition import LogExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Standardize
from botorch.optim import optimize_acqf
from gpytorch.mlls import ExactMarginalLogLikelihood
from numpy.typing import NDArray

from process_opt.recipe.network import FunctionNetwork, Input, Node
from process_opt.recipe.study import Search

Floats = NDArray[np.float64]
LOOKS = (0, 10, 25, 50)


@dataclass(frozen=True)
class Problem:
    """A network and what it really does: `d` numbers in the unit cube to every node."""

    network: FunctionNetwork
    run: Callable[[Floats], dict[str, float]]

    def value(self, x: Floats) -> float:
        """The objective."""
        return self.run(x)[self.network.objective]


def dropwave() -> Problem:
    """Two nodes, two inputs."""

    def run(x: Floats) -> dict[str, float]:
        r = float(np.linalg.norm(10.24 * x - 5.12))
        return {"r": r, "f": (1 + np.cos(12 * r)) / (2 + 0.5 * r * r)}

    inputs = ("x0", "x1")
    return Problem(_network(inputs, (Node("r", (), inputs), Node("f", ("r",))), "f"), run)


def ackley6() -> Problem:
    """Three nodes, six inputs."""

    def run(x: Floats) -> dict[str, float]:
        z = 4 * x - 2
        s, c = float((z * z).mean()), float(np.cos(2 * np.pi * z).mean())
        return {"s": s, "c": c, "f": 20 * np.exp(-0.2 * np.sqrt(s)) + np.exp(c) - 20 - np.e}

    inputs = tuple(f"x{i}" for i in range(6))
    return Problem(_network(inputs, (Node("s", (), inputs), Node("c", (), inputs), Node("f", ("s", "c"))), "f"), run)


def alpine6() -> Problem:
    """A chain of six nodes, one input each."""

    def run(x: Floats) -> dict[str, float]:
        f, out = 1.0, {}
        for i, z in enumerate(10 * x):
            f = float(np.sqrt(z) * np.sin(z) * f)
            out[f"f{i}"] = f
        return out

    inputs = tuple(f"x{i}" for i in range(6))
    nodes = tuple(Node(f"f{i}", (f"f{i - 1}",) if i else (), (inputs[i],)) for i in range(6))
    return Problem(_network(inputs, nodes, "f5"), run)


def _network(inputs: tuple[str, ...], nodes: tuple[Node, ...], objective: str) -> FunctionNetwork:
    return FunctionNetwork(tuple(Input(n, 0.0, 1.0) for n in inputs), nodes, objective)


PROBLEMS = {"dropwave": dropwave, "ackley6": ackley6, "alpine6": alpine6}


def ours(problem: Problem, design: Floats, evaluations: int, seed: int) -> tuple[list[float], float]:
    """Best value after each evaluation, and seconds for a decision."""
    net = problem.network
    search = Search(net, seed=seed, first=0)
    space = search.sampler.infer_relative_search_space(search.study, None)  # type: ignore[arg-type]
    for x in design:
        search.study.add_trial(
            optuna.create_trial(
                params=net.units(x),
                distributions=space,
                value=problem.value(x),
                user_attrs={"values": problem.run(x)},
            )
        )
    best, spent = [max(problem.value(x) for x in design)], 0.0
    for _ in range(evaluations):
        begin = time.process_time()
        trial = search.ask()
        spent += time.process_time() - begin
        values = problem.run(net.cube(trial.params))
        search.tell(trial.number, values)
        best.append(max(best[-1], values[net.objective]))
    return best, spent / max(evaluations, 1)


def botorch(problem: Problem, design: Floats, evaluations: int, seed: int) -> tuple[list[float], float]:
    """The same by expected improvement on the objective alone."""
    torch.manual_seed(seed + 1000)
    x = torch.tensor(design, dtype=torch.double)
    y = torch.tensor([[problem.value(one)] for one in design], dtype=torch.double)
    bounds = torch.stack([torch.zeros(x.shape[1]), torch.ones(x.shape[1])]).double()
    best, spent = [float(y.max())], 0.0
    for _ in range(evaluations):
        begin = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its optimiser, that a restart did not converge
            model = SingleTaskGP(x, y, outcome_transform=Standardize(m=1))
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
            new, _ = optimize_acqf(
                LogExpectedImprovement(model, best_f=y.max()), bounds, q=1, num_restarts=10, raw_samples=512
            )
        spent += time.process_time() - begin
        x = torch.cat([x, new])
        y = torch.cat([y, torch.tensor([[problem.value(new[0].numpy())]], dtype=torch.double)])
        best.append(float(y.max()))
    return best, spent / max(evaluations, 1)


def chance(problem: Problem, design: Floats, evaluations: int, seed: int) -> tuple[list[float], float]:
    """The same by random points."""
    rng = np.random.default_rng(seed)
    best = [max(problem.value(x) for x in design)]
    for _ in range(evaluations):
        best.append(max(best[-1], problem.value(rng.random(design.shape[1]))))
    return best, 0.0


METHODS = {"ours": ours, "botorch": botorch, "random": chance}


def main() -> None:
    """Every problem, every method, every seed; means with the worst and the best seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", default=list(PROBLEMS), choices=[*PROBLEMS, []], metavar="PROBLEM")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--evaluations", type=int, default=50)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.problems:
        problem = PROBLEMS[name]()
        d = len(problem.network.inputs)
        for method in args.methods:
            runs, seconds = [], []
            for seed in range(args.first, args.first + args.seeds):
                torch.manual_seed(seed)
                design = torch.rand(2 * (d + 1), d).double().numpy()
                best, spent = METHODS[method](problem, design, args.evaluations, seed)
                runs.append(best)
                seconds.append(spent)
                print(f"  {name} {method} seed {seed}: " + _at(np.array([best])), flush=True)
            print(f"{name} {method}, {args.seeds} seeds: {_at(np.array(runs))}; {np.mean(seconds):.3f} s a decision")


def _at(runs: Floats) -> str:
    looks = [k for k in LOOKS if k < runs.shape[1]]
    if len(runs) == 1:
        return ", ".join(f"{k}: {runs[0, k]:.4g}" for k in looks)
    return ", ".join(f"{k}: {runs[:, k].mean():.4g} ({runs[:, k].min():.4g} to {runs[:, k].max():.4g})" for k in looks)


if __name__ == "__main__":
    main()
