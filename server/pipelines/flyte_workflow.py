"""A retraining as a Flyte workflow: check, train, compare, each a task in a container of its own; see README.md.

pyflyte run server/pipelines/flyte_workflow.py retraining --dataset DATASET --champion CHAMPION --minutes 10
pyflyte run --remote --image IMAGE server/pipelines/flyte_workflow.py retraining …        # on a Flyte cluster
"""

import json
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from flytekit import Resources, task, workflow
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile

from server.retraining_steps import check_data, compare_both, train_challenger

RETRIES = 3
"""Of each step: every one may be repeated, and is, when its machine is lost."""


class Retrained(NamedTuple):
    """What comes out."""

    model: FlyteDirectory
    """The challenger; `qc model add` takes it in."""
    checked: str
    """What was found in the data."""
    comparison: FlyteFile
    """`segmentation.challenge.Comparison` as JSON: `promote`, `reason` and the figures."""


def _report(_: float | None, words: str) -> None:
    print(words, flush=True)


def _place() -> Path:
    """Where a task writes what Flyte then takes away."""
    return Path(tempfile.mkdtemp(prefix="qc-flyte-"))


@task(retries=RETRIES, requests=Resources(cpu="1", mem="4Gi"))
def check(dataset: FlyteDirectory) -> str:
    """Is the data fit to train on? Ends the workflow where it is not."""
    return check_data(Path(dataset.download()), _place() / "data-check.json", report=_report)


@task(retries=RETRIES, requests=Resources(cpu="4", mem="12Gi"))
def train(
    dataset: FlyteDirectory, champion: FlyteDirectory, checked: str, minutes: float, steps: int, seed: int, device: str
) -> FlyteDirectory:
    """Train on from the champion. `minutes`, `steps`: 0 for no such limit; `checked` says that the data are fit."""
    model = train_challenger(
        Path(dataset.download()),
        Path(champion.download()),
        _place() / "model",
        minutes=minutes or None,
        steps=steps or None,
        device=device,
        seed=seed,
        report=_report,
    )
    return FlyteDirectory(str(model))


@task(retries=RETRIES, requests=Resources(cpu="1", mem="8Gi"))
def compare(dataset: FlyteDirectory, champion: FlyteDirectory, challenger: FlyteDirectory, device: str) -> FlyteFile:
    """Who is better on parts neither was trained on, and why."""
    out = _place() / "comparison.json"
    data, first, second = (Path(folder.download()) for folder in (dataset, champion, challenger))
    told = compare_both(data, first, second, out, device=device, report=_report)
    _report(None, json.dumps({"promote": told["promote"], "reason": told["reason"]}))
    return FlyteFile(os.fspath(out))


@workflow
def retraining(
    dataset: FlyteDirectory,
    champion: FlyteDirectory,
    minutes: float = 10.0,
    steps: int = 0,
    seed: int = 0,
    device: str = "cpu",
) -> Retrained:
    """A frozen data set and the champion become a challenger, and a comparison that says whether it may serve."""
    checked = check(dataset=dataset)
    model = train(
        dataset=dataset, champion=champion, checked=checked, minutes=minutes, steps=steps, seed=seed, device=device
    )
    comparison = compare(dataset=dataset, champion=champion, challenger=model, device=device)
    return Retrained(model, checked, comparison)
