"""A search for the best inputs of a network, as an Optuna study: asked, told, kept in a file, taken up again.

Trials that still run are taken to come out as expected, so that several may run at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc
from threadpoolctl import ThreadpoolController

from process_opt.recipe.acquire import choose
from process_opt.recipe.flow import Belief, learn
from process_opt.recipe.network import FunctionNetwork, Trial
from qc.errors import Conflict, InvalidInput, NotFound

Floats = NDArray[np.float64]

DRAWS = 64
"""To average the objective over, where its readings are noisy."""


class NetworkSampler(optuna.samplers.BaseSampler):
    """Proposes by expected improvement on the network; by a quasi-random design as long as nothing can be learnt.

    Args:
        first: trials of the design; none are needed where every node has a prior. Default: two for each input, and two.
        present: inputs in use today; they are what is to be improved on even if they were never tried.
    """

    def __init__(
        self,
        network: FunctionNetwork,
        *,
        seed: int = 0,
        first: int | None = None,
        present: dict[str, float] | None = None,
    ) -> None:
        self.network, self.seed, self.present = network, seed, present
        self.last: tuple[Belief, Floats, Floats] | None = None
        """What the last proposal rests on."""
        told = all(n.prior is not None for n in network.unknown)
        self.first = first if first is not None else 0 if told else 2 * (len(network.inputs) + 1)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All inputs."""
        return {i.name: FloatDistribution(i.low, i.high, step=i.step) for i in self.network.inputs}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The inputs of the next trial."""
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(done) < self.first or (not done and any(n.prior is None for n in self.network.unknown)):
            return self.network.units(self._design(trial.number))
        with _blas().limit(limits=1, user_api="blas"):
            belief, tried, worth = self.last = self.state(study, trial.number)
            told = {name: [round(float(t), 4) for t in m.theta] for name, m in belief.models.items()}
            study._storage.set_trial_system_attr(trial._trial_id, "theta", told)
            return self.network.units(choose(belief, tried, worth, _mixed(self.seed, trial.number)).x)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Refuses: the network knows all inputs there are."""
        raise InvalidInput(f"the network has no input {param_name}")

    def state(self, study: optuna.Study, before: int) -> tuple[Belief, Floats, Floats]:
        """The belief with running trials fantasised; the places tried (`N x d`) and the objective there (`N`)."""
        net = self.network
        trials = study.get_trials(deepcopy=False)
        done = [as_trial(t) for t in trials if t.state == TrialState.COMPLETE]
        running = [
            t.params for t in trials if t.state == TrialState.RUNNING and t.number != before and len(t.params) > 0
        ]
        theta = next((t.system_attrs["theta"] for t in reversed(trials) if "theta" in t.system_attrs), None)
        belief = learn(net, done, theta)
        if running:
            places = np.array([net.cube(p) for p in running])
            hoped = belief.expected(places)
            dreams = [Trial(p, {n.name: float(hoped[n.name][i]) for n in net.nodes}) for i, p in enumerate(running)]
            done = [*done, *dreams]
            belief = learn(net, done, {name: list(m.theta) for name, m in belief.models.items()})
        chosen = [t.chosen for t in done]
        if self.present is not None:
            chosen.append(self.present)
        tried = np.array([net.cube(c) for c in chosen])
        exact = not any(t.variance for t in done) and self.present is None
        if exact and all(net.objective in t.values for t in done):
            return belief, tried, np.array([t.values[net.objective] for t in done])
        return belief, tried, mean_objective(belief, tried, self.seed)

    def _design(self, number: int) -> Floats:
        d = len(self.network.inputs)
        if number == 0 and self.present is not None:
            return self.network.cube(self.present)
        sobol = qmc.Sobol(d, scramble=True, rng=np.random.default_rng([self.seed, 5]))
        if number:
            sobol.fast_forward(number)
        return np.asarray(sobol.random(1)[0])


class Search:
    """A study of a network: ask what to try, tell what came of it.

    Args:
        file: where it is kept, one line for each event; several processes may use it. None: in memory only.
        name: of the study within the file.

    Raises:
        InvalidInput: the file cannot be read as a study, or holds one of other inputs.
    """

    def __init__(
        self,
        network: FunctionNetwork,
        *,
        file: Path | None = None,
        name: str = "recipe",
        seed: int = 0,
        first: int | None = None,
        present: dict[str, float] | None = None,
    ) -> None:
        self.network = network
        self.sampler = NetworkSampler(network, seed=seed, first=first, present=present)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = _open(file, name, self.sampler)
        inputs = {i.name: [i.low, i.high] for i in network.inputs}
        known = self.study.user_attrs.get("inputs")
        if known is None:
            self.study.set_user_attr("inputs", inputs)
        elif list(known) != list(inputs):
            raise InvalidInput(
                f"{file} is a study of other inputs ({', '.join(known)}); name another file for {', '.join(inputs)}"
            )

    def ask(self) -> optuna.Trial:
        """The next trial, with its inputs in `params`; it counts as running until it is told."""
        return self.study.ask({i.name: FloatDistribution(i.low, i.high, step=i.step) for i in self.network.inputs})

    def start(self, chosen: dict[str, float]) -> int:
        """Open a trial with inputs that somebody chose, such as those of an earlier proposal; its number.

        Raises:
            InvalidInput: an input is missing, unknown or out of its range.
        """
        ranges = {i.name: FloatDistribution(i.low, i.high, step=i.step) for i in self.network.inputs}
        if set(chosen) != set(ranges):
            raise InvalidInput(f"a trial needs a value for each of {', '.join(ranges)}, and for nothing else")
        for name, value in chosen.items():
            if not ranges[name].low <= value <= ranges[name].high:
                raise InvalidInput(f"{name} may not be moved that far; the history has not seen it")
        mark = {"opened": uuid4().hex}
        made = optuna.trial.create_trial(
            state=TrialState.RUNNING, params=chosen, distributions=dict(ranges), user_attrs=mark
        )
        self.study.add_trial(made)
        return next(t.number for t in self.running() if t.user_attrs.get("opened") == mark["opened"])

    def tell(
        self,
        number: int,
        values: dict[str, float],
        *,
        variance: dict[str, float] | None = None,
        inflow: dict[str, tuple[float, ...]] | None = None,
    ) -> None:
        """What came of trial `number`; see `network.Trial`. The objective must be among the values, also where it is a
        formula. Raises NotFound, Conflict or InvalidInput."""
        trial = self._trial(number)
        if unknown := [v for v in values if v not in {n.name for n in self.network.nodes}]:
            raise InvalidInput(f"trial {number}: {unknown[0]} is no node of the network")
        read = {name: float(v) for name, v in values.items() if np.isfinite(v)}
        if self.network.objective not in read:
            raise InvalidInput(f"trial {number}: {self.network.objective} was not read; without it, call the trial off")
        attrs = {"values": read, "variance": variance or {}, "inflow": {k: list(v) for k, v in (inflow or {}).items()}}
        for key, value in attrs.items():
            self.study._storage.set_trial_user_attr(trial._trial_id, key, value)
        self.study.tell(number, read[self.network.objective])

    def call_off(self, number: int) -> None:
        """Trial `number` will not be run, or nothing could be read of it."""
        self._trial(number)
        self.study.tell(number, state=TrialState.FAIL)

    def running(self) -> list[FrozenTrial]:
        """Trials asked for and not yet told."""
        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def done(self) -> list[FrozenTrial]:
        """Trials told."""
        return self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    def state(self) -> tuple[Belief, Floats, Floats]:
        """What is believed now; the places tried and the objective there."""
        with _blas().limit(limits=1, user_api="blas"):
            return self.sampler.state(self.study, -1)

    def _trial(self, number: int) -> FrozenTrial:
        trials: Sequence[FrozenTrial] = self.study.get_trials(deepcopy=False)
        if not 0 <= number < len(trials):
            raise NotFound(f"the study has no trial {number}; it has {len(trials)}, counted from 0")
        if trials[number].state != TrialState.RUNNING:
            raise Conflict(f"trial {number} was told before ({trials[number].state.name.lower()})")
        return trials[number]


def as_trial(stored: FrozenTrial) -> Trial:
    """What Optuna kept of a finished trial."""
    attrs = stored.user_attrs
    return Trial(
        stored.params,
        attrs.get("values", {}),
        attrs.get("variance", {}),
        {name: tuple(v) for name, v in attrs.get("inflow", {}).items()},
    )


def mean_objective(belief: Belief, x: Floats, seed: int = 0) -> Floats:
    """The objective expected at `x` (`S x d`), `S`."""
    return np.asarray(belief.draw(x, belief.normals(DRAWS, seed)).mean.mean(axis=1))


def _open(file: Path | None, name: str, sampler: NetworkSampler) -> optuna.Study:
    storage: Any = None
    if file is not None:
        file = Path(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            backend = JournalFileBackend(str(file))
            storage = optuna.storages.JournalStorage(backend)
        except Exception as error:  # Optuna raises whatever its parser met
            raise InvalidInput(f"{file} is not a study ({error!r:.80}); name another file") from error
    try:
        return optuna.create_study(
            storage=storage, sampler=sampler, study_name=name, direction="maximize", load_if_exists=True
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{file} is not a study ({error!r:.80}); name another file") from error


def _mixed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


class _Blas:
    @cached_property
    def controller(self) -> ThreadpoolController:
        return ThreadpoolController()


_held = _Blas()


def _blas() -> ThreadpoolController:
    """Holds the matrix libraries to one thread: with matrices of fifty rows, threads on a busy machine cost ten times
    the work."""
    return _held.controller
