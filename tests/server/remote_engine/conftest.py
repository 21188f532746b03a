"""A network that everybody can predict, as a real ONNX file, and another server that computes it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import onnx
import per_home
import pytest
import uvicorn
from onnx import TensorProto, helper

from segmentation.looking import open_look
from segmentation.segmenter import FrameSegmenter, from_card
from server import auth, schema
from server.access import Role
from server.clock import now
from server.db import Database
from server.settings import Settings

HERE = Path(__file__).parent


def write_model(folder: Path, *, name: str = "dark", dark: float = 100.0, steepness: float = 0.125) -> Path:
    """A model folder: what is darker than `dark` of 255 is a defect, for sure when much darker."""
    folder.mkdir(parents=True)
    numbers = {"dark": np.float32(dark), "steepness": np.float32(steepness), "nothing": np.float32(0)}
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["picture"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["real", "channel"], ["frames"], keepdims=0),
            helper.make_node("Squeeze", ["frames", "first"], ["grey"]),
            helper.make_node("Sub", ["dark", "grey"], ["darker"]),
            helper.make_node("Mul", ["darker", "steepness"], ["log_odds"]),
            helper.make_node("Mul", ["grey", "nothing"], ["zeros"]),
            helper.make_node("Cast", ["zeros"], ["class_place"], to=TensorProto.UINT8),
        ],
        "dark",
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, [1, "height", "width", 3])],
        [
            helper.make_tensor_value_info("log_odds", TensorProto.FLOAT, ["height", "width"]),
            helper.make_tensor_value_info("class_place", TensorProto.UINT8, ["height", "width"]),
        ],
        [
            *(helper.make_tensor(n, TensorProto.FLOAT, [], [float(v)]) for n, v in numbers.items()),
            helper.make_tensor("channel", TensorProto.INT64, [1], [3]),
            helper.make_tensor("first", TensorProto.INT64, [1], [0]),
        ],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), folder / "model.onnx"
    )
    card = {
        "id": f"sha256:{name}",
        "classes": {"1": "pit"},
        "reach_px": 40,
        "network": {},
        "calibration": {"scale": 1.0, "offset": 0.0},
        "threshold": 0.5,
    }
    (folder / "model.json").write_text(json.dumps(card))
    return folder


def read_model(folder: Path) -> FrameSegmenter:
    """It, at work in this process."""
    return from_card(
        json.loads((folder / "model.json").read_text()), open_look("onnx", folder, threads=1), runtime="onnx"
    )


@pytest.fixture(scope="session")
def dark(tmp_path_factory) -> Path:
    """The model folder."""
    return write_model(tmp_path_factory.mktemp("dark") / "model")


@pytest.fixture(scope="session")
def champion(dark) -> FrameSegmenter:
    """The model at work on this machine."""
    return read_model(dark)


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    """A clean sheet and one with a pit."""
    clean = np.full((140, 180, 3), 180, np.uint8)
    pit = clean.copy()
    pit[20:34, 30:44] = 20
    return [clean, pit]


@pytest.fixture(scope="session")
def model_of():
    """Writes other models: `model_of(folder, dark=…)`, at work in this process."""
    return lambda folder, **how: read_model(write_model(folder, **how))


def wait_until(what: Callable[[], bool], seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def until():
    """Waits until something is true."""
    return wait_until


@contextmanager
def listen(app, port: int = 0) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def listening():
    """An app at a real port of this process: `with listening(app, port) as url`."""
    return listen


class OtherServer:
    """A process of our own server, at the same port whenever it runs."""

    def __init__(self, home: Path, model: Path, *, seconds: float) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        self.url, self._log = f"http://127.0.0.1:{port}", home.parent / "other.log"
        self._command = [sys.executable, str(HERE / "other_server.py"), str(model), str(seconds)]
        self._environment = {
            **os.environ,
            **{"QC_HOME": str(home), "PORT": str(port), "QC_LABEL_STUDIO": "false", "QC_CAMERA_CHECKS": "false"},
            **per_home.environment(home),
        }
        settings = Settings(home=home, database_url=per_home.setting(home))
        settings.folder(".")
        database = Database(settings.db_url)
        schema.upgrade(database)
        with database.write() as session:
            self.key = auth.create_key(session, "line", Role.MACHINE, now=now())
            session.commit()
        database.close()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it, unless it runs; returns once it can be asked."""
        if self._process is None or self._process.poll() is not None:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)
        wait_until(self._is_ready)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            return httpx.get(f"{self.url}/v2/health/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """As a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def other(dark, tmp_path_factory) -> Iterator[OtherServer]:
    """It, not started yet."""
    server = OtherServer(tmp_path_factory.mktemp("other") / "home", dark, seconds=0.1)
    yield server
    server.kill()
