"""`qc tune`: a search over losses, sampling and network, judged on the data set's validation parts (Optuna).

One trial is one training run as `qc train` makes it, first for a quarter of its budget; a trial that is then behind the
middle of the others is given up. The first trial is the default, so that what is found is measured beside it. The
threshold of a defect needs no search: every run settles it exactly, on the same validation parts.

Everything is kept in `OUT/study.db`: the same command goes on after an interruption, and several at once, on one data
set and OUT, share the work. A run that died is noticed by its lock, which the system drops with the process, and
its trial is tried again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from qc.dataset import open_dataset
from qc.durable import write_whole
from qc.errors import Conflict, InvalidInput
from qc.page import document, table
from qc.progress import Progress, within
from qc.svg import Axis, Line, chart
from segmentation.config import BEGINNINGS, NETWORKS, NetworkConfig, TrainConfig, as_json
from segmentation.device import on_device
from segmentation.plan import make_plan
from segmentation.samples import content_of
from segmentation.train import train

Trainer = Callable[..., Mapping[str, Any]]

SEARCHED = (
    *("crop_px", "loss", "instance_power", "focal_gamma", "ignore_band_px", "defect_share", "hard_share"),
    *("begin", "frozen_stages", "learning_rate", "encoder_rate"),
)
"""Settings of `TrainConfig` that are searched under their own names; `instance_power` where the loss has it."""

FIRST_RUNG = 0.25
"""Share of a trial's budget after which it may be given up: enough for rates and losses to show their worth."""

LOSSES = (
    "instance_focal + dice",
    "focal + dice",
    "focal + instance_dice",
    "focal + focal_tversky",
    "unified_focal",
    "focal + lovasz",
    "focal + dice + 0.5 centre_line",
    "generalised_ce + dice",
)

FIGURES = ("defect_recall_at_0.1", "defect_recall_at_1", "image_ap", "mean_iou")
"""What a trial is worth: their mean, as champion and challenger are compared."""

CHANNELS = {
    "pretrained": {3: (32, 24), 4: (48, 32, 24), 5: (64, 48, 32, 24)},
    "light": {3: (24, 16), 4: (48, 24, 16), 5: (64, 48, 24, 16)},
}
"""The decoder of each network and depth at width 1."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one trial may take: minutes or steps."""

    minutes: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise InvalidInput("a trial's budget is either minutes or steps")
        if (self.minutes or self.steps or 0) <= 0:
            raise InvalidInput(f"a trial's budget must be positive, not {self.minutes or self.steps}")

    def part(self, share: float) -> Budget:
        """A share of it, at least one step."""
        if self.steps is not None:
            return Budget(steps=max(1, round(self.steps * share)))
        return Budget(minutes=cast(float, self.minutes) * share)


def tune(
    dataset: Path,
    out: Path,
    *,
    trials: int,
    budget: Budget,
    minutes: float | None = None,
    device: str = "cpu",
    seed: int = 0,
    trainer: Trainer | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Search, and write `out/best.json` (for `qc train --config`), `out/report.json` and `out/report.html`.

    Args:
        dataset: with labelled `val` parts, or parts are held back as in `qc train`.
        trials: how many there shall be in the study, given-up ones and those of other processes included.
        budget: of one trial.
        minutes: no trial is begun that would not end within so many.
        seed: of the search; every trial trains with the same seed, so that they differ by their choices alone.
        trainer: what trains, elsewhere perhaps; called as `train` is, and raises what that raises. None: `train`.

    Returns:
        What stands in `out/report.json`.

    Raises:
        InvalidInput: nothing to learn from, or no trial at all. Conflict: `out` holds the study of another data set.
    """
    if trials < 1:
        raise InvalidInput(f"a search needs at least 1 trial, not {trials}")
    began = time.monotonic()
    device = on_device(device)
    study = _open_study(dataset, out, budget, device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        default = make_plan(open_dataset(dataset), seed=seed).network
    with _alone(out):
        _retry_the_dead(study, out)
        if not study.trials:
            study.enqueue_trial(as_parameters(TrainConfig(), default), user_attrs={"default": True})
    longest = 60.0 * (budget.minutes or 0.0) * (1 + FIRST_RUNG)
    while minutes is None or time.monotonic() - began + longest <= 60.0 * minutes:
        with ExitStack() as held:
            trial = _take(study, out, trials, held)
            if trial is None:
                break
            trial_began = time.monotonic()
            # Seeded by its number: the same search again asks the same, and parallel ones do not ask the same twice.
            study.sampler = optuna.samplers.TPESampler(seed=seed * 100_003 + trial.number, constant_liar=True)
            told = _part_of(progress, study, trial.number, trials)
            _one_trial(study, trial, dataset, out, budget, device, seed, trainer or train, told)
            longest = max(longest, time.monotonic() - trial_began)
    report = _report(study)
    write_whole(out / "report.json", json.dumps(report, indent=1) + "\n")
    write_whole(out / "report.html", _page(report))
    if report["best"] is None:
        raise InvalidInput(
            f"no trial came to its end; give more time, and see {out / 'report.json'} for what went wrong"
        )
    write_whole(out / "best.json", json.dumps(report["best"], indent=1) + "\n")
    if progress:
        progress(1.0, f"best {report['best']['value']:.3f}")
    return report


def suggest(trial: optuna.Trial) -> tuple[TrainConfig, NetworkConfig]:
    """The choices of a trial."""
    crop = trial.suggest_categorical("crop_px", [128, 192, 256, 384])
    kind = trial.suggest_categorical("network", list(NETWORKS))
    depth = trial.suggest_categorical("depth", [3, 4, 5])
    width = trial.suggest_categorical("width", [0.5, 1.0, 1.5, 2.0])
    loss = trial.suggest_categorical("loss", LOSSES)
    weighs = "instance_focal" in loss
    power = trial.suggest_float("instance_power", 0.0, 1.0) if weighs else TrainConfig().instance_power
    config = TrainConfig(
        crop_px=crop,
        batch=max(2, round(8 * (256 / crop) ** 2)),  # as many pixels a step whatever the crop
        loss=loss,
        instance_power=power,
        focal_gamma=trial.suggest_float("focal_gamma", 1.0, 4.0),
        ignore_band_px=trial.suggest_int("ignore_band_px", 0, 2),
        defect_share=trial.suggest_float("defect_share", 0.2, 0.9),
        hard_share=trial.suggest_float("hard_share", 0.0, 0.6),
        begin=trial.suggest_categorical("begin", BEGINNINGS),
        frozen_stages=trial.suggest_int("frozen_stages", 0, 4),
        learning_rate=trial.suggest_float("learning_rate", 5e-4, 6e-3, log=True),
        encoder_rate=trial.suggest_float("encoder_rate", 0.1, 1.0, log=True),
    )
    channels = tuple(max(8, round(c * width / 8) * 8) for c in CHANNELS[kind][depth])
    return config, replace(NETWORKS[kind], depth=depth, decoder_channels=channels)


def as_parameters(config: TrainConfig, network: NetworkConfig) -> dict[str, Any]:
    """The inverse of `suggest` for configurations that it can make, such as the default."""
    kind = next(name for name, known in NETWORKS.items() if known.encoder == network.encoder)
    return {**{n: getattr(config, n) for n in SEARCHED}, "network": kind, "depth": network.depth, "width": 1.0}


def _take(study: optuna.Study, out: Path, trials: int, held: ExitStack) -> optuna.Trial | None:
    """The next trial, its lock held; None when there are enough."""
    with _alone(out):
        if _finished(study) >= trials:
            return None
        trial = study.ask()
        held.enter_context(_held(out, trial.number))
        return trial


def _one_trial(
    study: optuna.Study,
    trial: optuna.Trial,
    dataset: Path,
    out: Path,
    budget: Budget,
    device: str,
    seed: int,
    trainer: Trainer,
    progress: Progress | None,
) -> None:
    """A quarter, a look, the whole; the study is told what came of it, whatever came."""
    folder = out / "trials" / str(trial.number)
    try:
        config, network = suggest(trial)
        trial.set_user_attr("config", {"train": as_json(config), "network": as_json(network)})
        value = 0.0
        for rung, (share, start, size) in enumerate(((FIRST_RUNG, 0.0, 0.2), (1.0, 0.2, 0.8))):
            part = budget.part(share)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # what the data set lacks is said once, by the plan
                card = trainer(
                    dataset,
                    folder / str(rung),
                    minutes=part.minutes,
                    steps=part.steps,
                    device=device,
                    seed=seed,
                    config=config,
                    network=network,
                    progress=within(progress, start, size),
                )
            value = worth(card["figures"])
            trial.report(value, rung)
            if rung == 0 and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                return
        trial.set_user_attr("figures", {name: card["figures"][name] for name in FIGURES})
        trial.set_user_attr("seconds", card["training"]["seconds"])
        study.tell(trial, value)
    except (InvalidInput, MemoryError, RuntimeError) as error:  # a choice that this machine cannot hold
        trial.set_user_attr("error", str(error)[:500])
        study.tell(trial, state=TrialState.FAIL)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def worth(figures: Mapping[str, Any]) -> float:
    """The mean of `FIGURES` that are known, in [0, 1]."""
    known = [figures[name]["value"] for name in FIGURES if figures[name]["value"] is not None]
    return float(np.mean(known)) if known else 0.0


def _open_study(dataset: Path, out: Path, budget: Budget, device: str) -> optuna.Study:
    out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Optuna looks whether its tables are there and then creates them: two processes that begin together both would.
    with _alone(out):
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{(out / 'study.db').resolve()}", engine_kwargs={"connect_args": {"timeout": 60}}
        )
        study = optuna.create_study(
            study_name="tune",
            storage=storage,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
            load_if_exists=True,
        )
    about = {"dataset": _identity(dataset), "minutes": budget.minutes, "steps": budget.steps, "device": device}
    if study.user_attrs.get("about", about) != about:
        raise Conflict(
            f"{out} holds a search on another data set, budget or device ({study.user_attrs['about']}); "
            "its trials cannot be compared with new ones; choose another --out"
        )
    study.set_user_attr("about", about)
    return study


def _identity(dataset: Path) -> str:
    """Of a data set: names, splits, classes, mix, and the content of pictures and labels."""
    data = open_dataset(dataset)
    rows = [[s.image.name, s.split, s.part, s.group, *content_of(s)] for s in data.samples]
    text = json.dumps([data.name, sorted(data.classes.items()), rows, data.mixing.id if data.mixing else None])
    return f"{data.name} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _finished(study: optuna.Study) -> int:
    """Trials that are done, given up or failed, and those that run elsewhere; not those whose process died."""
    died = study.user_attrs.get("died", [])
    return sum(t.state != TrialState.WAITING and t.number not in died for t in study.get_trials(deepcopy=False))


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Only one process at a time opens the study, takes a trial or looks for dead ones."""
    with (out / "study.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _held(out: Path, number: int) -> Iterator[bool]:
    """Hold the lock of a trial; False where another living process holds it."""
    folder = out / "running"
    folder.mkdir(exist_ok=True)
    path = folder / f"{number}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
        path.unlink(missing_ok=True)


def _retry_the_dead(study: optuna.Study, out: Path) -> None:
    """Trials whose process is gone are told as failed and put up again with the same choices."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        with _held(out, trial.number) as ours:
            if ours:
                study.tell(trial.number, state=TrialState.FAIL)
                study.set_user_attr("died", [*study.user_attrs.get("died", []), trial.number])
                shutil.rmtree(out / "trials" / str(trial.number), ignore_errors=True)
                is_default = {"default": True} if trial.user_attrs.get("default") else {}
                study.enqueue_trial(trial.params, user_attrs=is_default)


def _part_of(progress: Progress | None, study: optuna.Study, done: int, trials: int) -> Progress | None:
    if progress is None:
        return None
    known = [t.value for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if t.value is not None]
    best = f", best {max(known):.3f}" if known else ""
    return lambda share, words: progress((done + share) / trials, f"trial {done + 1} of {trials}{best}: {words}")


def _report(study: optuna.Study) -> dict[str, Any]:
    """All trials, the default's value, the best, and what mattered."""
    all_trials = study.get_trials(deepcopy=False)
    complete = [t for t in all_trials if t.state == TrialState.COMPLETE]
    best = max(complete, key=lambda t: t.value or 0.0, default=None)
    default = next((t.value for t in complete if t.user_attrs.get("default")), None)
    return {
        "about": study.user_attrs["about"],
        "value": "mean of " + ", ".join(FIGURES) + " on the validation parts",
        "note": "the best of many on the same parts flatters itself; judge it once on test parts with qc evaluate",
        "default": default,
        "best": None if best is None else {"trial": best.number, "value": best.value, **best.user_attrs["config"]},
        "importance": _importance(study, complete),
        "trials": [_as_row(t) for t in all_trials],
    }


def _as_row(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value,
        "choices": trial.params,
        "after_a_quarter": trial.intermediate_values.get(0),
        **{name: trial.user_attrs[name] for name in ("figures", "seconds", "error") if name in trial.user_attrs},
    }


def _importance(study: optuna.Study, complete: list[FrozenTrial]) -> dict[str, float] | None:
    """How much each choice tells good trials from others (PED-ANOVA, Watanabe et al. 2023); None below 10 trials."""
    if len(complete) < 10 or len({t.value for t in complete}) < 2:
        return None
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    return {k: round(v, 4) for k, v in optuna.importance.get_param_importances(study, evaluator=evaluator).items()}


def _page(report: Mapping[str, Any]) -> str:
    """One HTML page: values over trials, the best, all trials."""
    done = [(float(t["trial"]), t["value"]) for t in report["trials"] if t["value"] is not None]
    best_so_far = [(x, max(v for y, v in done if y <= x)) for x, _ in done]
    last = max([1.0, *(x for x, _ in done)])
    drawn = chart(
        "Value of the trials and the best so far",
        Axis("trial", 0.0, last),
        Axis("value", 0.0, 1.0),
        [Line(done, "second"), Line(best_so_far)],
    )
    rows = [
        (t["trial"], t["state"], "–" if t["value"] is None else f"{t['value']:.4f}", json.dumps(t["choices"]))
        for t in sorted(report["trials"], key=lambda t: -(t["value"] or -1))
    ]
    body = (
        f"<h1>Search on {escape(report['about']['dataset'])}</h1><p>{report['value']}; {report['note']}.</p>"
        f'<figure style="max-width:560px">{drawn}</figure>'
        f"<h2>Best</h2><pre>{escape(json.dumps(report['best'], indent=1))}</pre>"
        "<h2>Trials</h2>" + table(("trial", "state", "value", "choices"), rows)
    )
    return document("Search", body)
