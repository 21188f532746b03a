"""A server that is none of ours as the engine: MLServer, with its own reading of the protocol.

It has an environment of its own, which is not part of the set-up (400 MB): python3 -m venv .venv-mlserver &&
.venv-mlserver/bin/pip install mlserver onnxruntime
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from qc.records import Inspection
from server.remote_engine.engine import Engine
from server.remote_engine.wire import Wire

HERE = Path(__file__).parent
MLSERVER = HERE.parents[2] / ".venv-mlserver/bin/mlserver"
NAME = "champion-network"


@pytest.fixture(scope="module")
def mlserver(dark, tmp_path_factory, free_port, until) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """It, with the champion's network; its address and its process."""
    if not MLSERVER.is_file():
        pytest.skip("MLServer is not installed: python3 -m venv .venv-mlserver, then pip install mlserver onnxruntime")
    folder = tmp_path_factory.mktemp("mlserver")
    shutil.copy(dark / "model.onnx", folder)
    ports = {"http_port": free_port(), "grpc_port": free_port(), "metrics_endpoint": None}
    chosen = {"host": "127.0.0.1", "parallel_workers": 0, **ports}
    (folder / "settings.json").write_text(json.dumps(chosen))
    planes = {"log_odds": "FP32", "class_place": "UINT8"}
    model = {
        "name": NAME,
        "implementation": "mlserver_network.Network",
        "parameters": {"uri": "model.onnx", "version": "1"},
        "inputs": [{"name": "picture", "datatype": "UINT8", "shape": [1, -1, -1, 3]}],
        "outputs": [{"name": name, "datatype": kind, "shape": [-1, -1]} for name, kind in planes.items()],
    }
    (folder / "model-settings.json").write_text(json.dumps(model))
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PATH": f"{MLSERVER.parent}:{os.environ['PATH']}"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([MLSERVER, "start", folder], cwd=folder, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{ports['http_port']}"

    def ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return httpx.get(f"{url}/v2/models/{NAME}/ready", timeout=30).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(ready)
        yield url, process
    finally:
        process.kill()
        process.wait()


def test_it_is_compared_asked_in_json_and_done_without_once_it_is_gone(
    run_line, mlserver, champion, pictures, tmp_path, until
):
    url, process = mlserver
    with run_line(tmp_path / "home", champion, camera_checks=False, features=False) as line:

        def sent(mark: int) -> tuple[dict, str]:
            told = line.send(line.picture(dark=12, mark=mark)).json()
            with line.context.database.read() as session:
                return told, session.get_one(Inspection, told["id"]).runtime

        alone, _ = sent(1)
        wire = Wire(url, NAME)
        engine = Engine(line.context, wire, model=NAME, patience_s=1000.0, samples=lambda _: pictures)
        line.context.engine = line.context.parts["engine"] = engine
        until(lambda: engine.state()["answers"] == "remote")
        proof = engine.state()["compared"]
        assert (proof["images"], proof["verdicts_that_differ"], proof["mask_pixels_that_differ"]) == (2, 0, 0)
        told, runtime = sent(1)
        assert runtime.startswith(f"remote {NAME}")
        assert (told["verdict"], told["score"]) == (alone["verdict"], alone["score"]) == ("ng", alone["score"])

        process.kill()
        process.wait()
        told, runtime = sent(2)
        assert (told["verdict"], runtime.startswith("onnx ")) == ("ng", True)
        assert engine.state()["answers"] == "local"
        line.context.parts.pop("engine").stop()
        line.context.engine = None
