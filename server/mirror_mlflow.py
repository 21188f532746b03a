"""Makes an MLflow server's registry equal to ours; runs in a process of its own, which alone imports MLflow.

Each model is a run (its training as parameters, its figures as metrics, card and weights as artefacts) and a version of
one registered model, tagged with our id; aliases are moved to where ours are. All of it may be done again after a crash
at any point: what is there already is found by the tag. Nothing is read back into the registry.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qc.errors import InvalidInput, QcError
from server.jobs.child import Report

MODEL_TAG = "qc.model"
"""Of runs and versions: the model's id here."""

FILES = ("model.json", "weights.safetensors")
"""What is passed on of a model's folder. Its `samples/` are customers' pictures and stay here."""

PERHAPS = ("novelty.safetensors", "first_look.safetensors", "part_views.json")
"""The same, of models that have them: without them the folder is another model."""

LONGEST_TAG = 5000
"""Characters that MLflow takes in a tag of a version."""

LONGEST_PARAMETER = 500

ATTEMPTS, PATIENCE_S = "1", "10"
"""The job is tried again by our own queue, so MLflow's client need not wait minutes for a server that is away."""


class NotReached(QcError):
    """The MLflow server does not answer; the job is tried again."""


def mirror(arguments: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Bring everything over that is not there, and put tags and aliases right.

    Args:
        arguments: `address` of the server; `name` of the registered model; `models`, oldest first: of each `id`,
            `folder`, `created_ms`, `alias`, `state`, `figures`, `decision`, `parent` and `serves` (the products and
            stations that it was assigned to).
        report: told how far it is.

    Returns:
        How many models were `entered` now, of how many.

    Raises:
        InvalidInput: MLflow's client is not installed. NotReached: the server does not answer.
    """
    os.environ |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",  # a factory's server tells nobody anything
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": ATTEMPTS,
        "MLFLOW_HTTP_REQUEST_TIMEOUT": PATIENCE_S,
        "GIT_PYTHON_REFRESH": "quiet",
    }
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise InvalidInput("the MLflow client is missing; install qc-line[mlflow], or unset QC_MLFLOW") from error
    client = MlflowClient(tracking_uri=arguments["address"], registry_uri=arguments["address"])
    try:
        return _mirror(client, arguments["name"], arguments["models"], report)
    except MlflowException as error:
        raise NotReached(f"MLflow at {arguments['address']}: {error}") from error


def _mirror(client: Any, name: str, models: list[dict[str, Any]], report: Report) -> dict[str, Any]:
    experiment = client.get_experiment_by_name(name)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(
            name, description="The models of this installation; a mirror, changed there only"
        )
    there = {version.tags.get(MODEL_TAG): version for version in _pages(client, name)}
    entered = 0
    for number, model in enumerate(models):
        report(number / len(models), f"model {model['id'][7:19]}")
        if model["id"] not in there:
            there[model["id"]] = _enter(client, experiment_id, name, model)
            entered += 1
        _tag(client, name, there[model["id"]], model)
    aliases = {m["alias"]: there[m["id"]].version for m in models if m["alias"]}
    now = client.get_registered_model(name).aliases
    for alias in now.keys() - aliases.keys():
        client.delete_registered_model_alias(name, alias)
    for alias, version in aliases.items():
        if str(now.get(alias)) != str(version):
            client.set_registered_model_alias(name, alias, version)
    return {"entered": entered, "models": len(models)}


def _pages(client: Any, name: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _enter(client: Any, experiment_id: str, name: str, model: Mapping[str, Any]) -> Any:
    """The model's run, made or gone on with, and its version."""
    card = json.loads((Path(model["folder"]) / FILES[0]).read_text(encoding="utf-8"))
    same = client.search_runs([experiment_id], filter_string=f"tags.`{MODEL_TAG}` = '{model['id']}'", max_results=1)
    run = same[0] if same else _begin(client, experiment_id, model, card)
    if run.info.status != "FINISHED":
        for key, value in told(card.get("training", {})):
            client.log_param(run.info.run_id, key, str(value)[:LONGEST_PARAMETER])
        for key, value in told(model["figures"]):
            if isinstance(value, int | float) and math.isfinite(value):
                client.log_metric(run.info.run_id, key, float(value))
        folder = Path(model["folder"])
        for file in (*FILES, *(name for name in PERHAPS if (folder / name).is_file())):
            client.log_artifact(run.info.run_id, str(folder / file), "model")
        client.set_terminated(run.info.run_id, "FINISHED", end_time=model["created_ms"])
    return client.create_model_version(
        name, source=f"{run.info.artifact_uri}/model", run_id=run.info.run_id, tags={MODEL_TAG: model["id"]}
    )


def _begin(client: Any, experiment_id: str, model: Mapping[str, Any], card: Mapping[str, Any]) -> Any:
    lineage = {
        MODEL_TAG: model["id"],
        "qc.parent": model["parent"] or "",
        "qc.dataset": str(card.get("dataset", {}).get("name", "")),
        "qc.weights_sha256": str(card.get("weights", {}).get("sha256", "")),
        "qc.versions": json.dumps(card.get("versions", {})),
    }
    return client.create_run(
        experiment_id, start_time=model["created_ms"], tags=lineage, run_name=model["id"].removeprefix("sha256:")[:12]
    )


def _tag(client: Any, name: str, version: Any, model: Mapping[str, Any]) -> None:
    wanted = {
        "qc.state": model["state"],
        "qc.serves": ", ".join(model["serves"]),
        "qc.decision": json.dumps(model["decision"])[:LONGEST_TAG] if model["decision"] else "",
    }
    for key, value in wanted.items():
        if version.tags.get(key, "") != value:
            client.set_model_version_tag(name, version.version, key, value)


def told(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Numbers and words in nested JSON by their path, in names that MLflow takes."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from told(value, f"{name}/{key}" if name else str(key))
    elif isinstance(values, bool | int | float | str) and name:
        yield re.sub(r"[^\w/ .:-]", "_", name, flags=re.ASCII), values
