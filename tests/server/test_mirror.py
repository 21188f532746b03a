"""The registry of models, mirrored to a real MLflow server."""

import hashlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlmodel import select

from segmentation.model import read_card
from server import registry
from server.jobs.records import Job, JobState
from server.mirror_job import KIND
from server.mirror_mlflow import MODEL_TAG, NotReached, mirror, told
from server.models_in_use import STARTER

MLFLOW = Path(__file__).parents[2] / ".venv-mlflow/bin/mlflow"
NAME = "line one"


def wait_for(true, *, patience=90, every=0.2):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(every)


@contextmanager
def serving(folder: Path, port: int):
    if not MLFLOW.is_file():
        pytest.skip("MLflow is not installed (.venv-mlflow is missing); `make test` sets it up")
    folder.mkdir(parents=True, exist_ok=True)
    where = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    command = [str(MLFLOW), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *where]
    quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=quiet, start_new_session=True)
    try:

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as said:
                    return said.status == 200
            except OSError:
                return False

        wait_for(answers)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 9)
        process.wait()


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory, free_port):
    with serving(tmp_path_factory.mktemp("mlflow"), free_port()) as address:
        yield address


def end_the_pause(context):
    """After a failure a job waits for seconds; the test need not."""
    with context.database.write() as session:
        for job in session.exec(select(Job).where(Job.kind == KIND, Job.state == JobState.WAITING)):
            job.not_before = context.now()
            session.add(job)
        session.commit()


def client_of(address):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=address, registry_uri=address)


def entry(model_id, folder, **changes):
    told = {"id": model_id, "folder": str(folder), "created_ms": 1_790_000_000_000, "alias": None}
    told |= {"state": "candidate", "figures": {}, "decision": None, "parent": None, "serves": []}
    return {**told, **changes}


def test_mlflow_shows_every_model_with_its_lineage_and_follows_the_aliases(mlflow, tmp_path):
    first, second = (shutil.copytree(STARTER, tmp_path / name) for name in ("first", "second"))
    (second / "part_views.json").write_text("{}")
    card = read_card(STARTER)
    models = [
        entry("sha256:aaa", first, alias="champion", state="serving", figures=card["figures"], serves=["bar at S-7"]),
        entry("sha256:bbb", second, alias="challenger", parent="sha256:aaa", decision={"accepted": True}),
    ]
    asked = {"address": mlflow, "name": NAME, "models": models}
    assert mirror(asked, lambda share, words: None) == {"entered": 2, "models": 2}

    client = client_of(mlflow)
    champion = client.get_model_version_by_alias(NAME, "champion")
    run = client.get_run(champion.run_id)
    assert champion.tags[MODEL_TAG] == run.data.tags[MODEL_TAG] == "sha256:aaa"
    assert champion.tags["qc.serves"] == "bar at S-7"
    assert run.data.params["steps"] == str(card["training"]["steps"])
    figures = {name: v for name, v in told(card["figures"]) if isinstance(v, int | float)}
    assert figures
    assert run.data.metrics == pytest.approx(figures)
    challenger = client.get_model_version_by_alias(NAME, "challenger")
    assert client.get_run(challenger.run_id).data.tags["qc.parent"] == "sha256:aaa"
    assert json.loads(challenger.tags["qc.decision"]) == {"accepted": True}

    copied = Path(client.download_artifacts(champion.run_id, "model", str(tmp_path)))
    sha = hashlib.sha256((copied / "weights.safetensors").read_bytes()).hexdigest()
    assert sha == card["weights"]["sha256"]
    assert {p.name for p in copied.iterdir()} == {"model.json", "weights.safetensors"}  # no pictures of parts
    other = Path(client.download_artifacts(challenger.run_id, "model/part_views.json", str(tmp_path / "other")))
    assert other.read_text() == "{}"

    models[0] |= {"alias": None, "state": "retired", "serves": []}
    models[1] |= {"alias": "champion", "state": "serving"}
    assert mirror(asked, lambda share, words: None)["entered"] == 0
    assert client.get_model_version_by_alias(NAME, "champion").tags[MODEL_TAG] == "sha256:bbb"
    assert set(client.get_registered_model(NAME).aliases) == {"champion"}
    assert client.get_model_version(NAME, champion.version).tags["qc.state"] == "retired"
    assert client.get_model_version(NAME, champion.version).tags["qc.serves"] == ""


def test_a_mirroring_that_was_killed_in_the_middle_is_gone_on_with(mlflow, tmp_path):
    folder = shutil.copytree(STARTER, tmp_path / "model")
    asked = {"address": mlflow, "name": "killed", "models": [entry("sha256:ccc", folder, alias="champion")]}
    (folder / "weights.safetensors").rename(tmp_path / "aside")  # it ends between the run and the version
    with pytest.raises(Exception, match="weights"):
        mirror(asked, lambda share, words: None)
    (tmp_path / "aside").rename(folder / "weights.safetensors")
    assert mirror(asked, lambda share, words: None)["entered"] == 1
    client = client_of(mlflow)
    runs = client.search_runs([client.get_experiment_by_name("killed").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert len(client.search_model_versions("name = 'killed'")) == 1


def test_a_server_that_is_away_is_named_and_not_waited_for_long(tmp_path, free_port):
    began = time.monotonic()
    asked = {"address": f"http://127.0.0.1:{free_port()}", "name": NAME, "models": []}
    with pytest.raises(NotReached, match="MLflow at"):
        mirror(asked, lambda share, words: None)
    assert time.monotonic() - began < 60


def test_what_mlflow_missed_while_it_was_away_it_is_told_when_it_is_back(run_line, tmp_path, free_port):
    port = free_port()
    with run_line(tmp_path / "home", mlflow=f"http://127.0.0.1:{port}", mlflow_name=NAME) as line:
        context = line.context
        home = context.settings.home.resolve()
        key = registry.keep(home, STARTER, read_card(STARTER)["id"])
        with context.database.write() as session:
            row = registry.add(session, model_id="sha256:new", folder=key, card=read_card(STARTER), now=context.now())
            registry.challenge(session, context.events, row.id, by="test", at=context.now())
            session.commit()

        def health():
            return line.get("/health").json()["components"]["mirror"]["state"]

        wait_for(lambda: health() == "degraded")
        with serving(tmp_path / "mlflow", port) as address:
            end_the_pause(context)
            wait_for(lambda: health() == "ok")
            assert client_of(address).get_model_version_by_alias(NAME, "challenger").tags[MODEL_TAG] == "sha256:new"
            with context.database.write() as session:
                registry.promote(
                    session, context.events, "sha256:new", by="anna", at=context.now(), reason="it is better"
                )
                session.commit()
            client = client_of(address)
            wait_for(lambda: "champion" in client.get_registered_model(NAME).aliases)


def test_nothing_is_mirrored_where_no_server_is_named(line):
    assert "mirror" not in line.get("/health").json()["components"]
