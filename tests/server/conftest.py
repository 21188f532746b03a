"""A real server in this process: its own data folder, a segmenter that everybody can predict, a key for each role."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from qc.frame import to_8bit
from qc.ports import Segmentation
from server import auth, first_login, process_service, schema
from server.access import Role
from server.app import create_app
from server.context import Context
from server.database_move import move
from server.db import Database, sqlite_url
from server.decoding.pool import Decoders
from server.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "databases"))
sys.path.insert(0, str(Path(__file__).parent))
import per_home
from ray_machines import Machines


class DarkSpots:
    """Calls what is darker than 60 of 255 a pit, for sure; darker than 100, perhaps."""

    model_id = "sha256:dark-spots"
    classes: Mapping[int, str] = {1: "pit"}
    threshold = edge = 0.5

    def segment(self, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Segmentation:
        grey = to_8bit(pixels)
        grey = grey if grey.ndim == 2 else cv2.cvtColor(grey, cv2.COLOR_RGB2GRAY)
        log_odds = np.where(grey < 60, 5.0, np.where(grey < 100, -1.0, -9.0)).astype(np.float16)
        return Segmentation(log_odds, np.ones(grey.shape, np.uint8))


@dataclass
class Line:
    """A plant with one server; speaks the words of the domain."""

    app: FastAPI
    client: TestClient
    keys: dict[Role, str]

    @staticmethod
    def picture(
        *, dark: int = 0, doubtful: int = 0, mark: int = 0, width: int = 120, height: int = 90, ending: str = ".png"
    ) -> bytes:
        """A grey sheet with a dark square, a doubtful square, or neither; sides in pixels.

        Another `mark` (0 to 70) is another picture of the same sheet, as a camera takes it: no two are equal.
        """
        grey = np.full((height, width), 180, np.uint8)
        grey[0, 0] = 180 + mark
        grey[10 : 10 + dark, 20 : 20 + dark] = 20
        grey[50 : 50 + doubtful, 60 : 60 + doubtful] = 80
        return bytes(cv2.imencode(ending, grey)[1])

    @property
    def context(self) -> Context:
        return self.app.state.context

    @property
    def environment(self) -> dict[str, str]:
        """Of a command that works beside this server."""
        settings = self.context.settings
        return {"QC_HOME": str(settings.home), "QC_DATABASE_URL": settings.db_url}

    def head(self, role: Role = Role.MACHINE) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[role]}"}

    def get(self, path: str, role: Role = Role.ENGINEER, **options):
        return self.client.get(f"/api/v1{path}", headers={**self.head(role), **options.pop("headers", {})}, **options)

    def post(self, path: str, role: Role = Role.ENGINEER, **options):
        return self.client.post(f"/api/v1{path}", headers={**self.head(role), **options.pop("headers", {})}, **options)

    def send(self, *pictures: bytes, part: str = "P-1", station: str = "S-1", names: list[str] | None = None, **fields):
        """POST /inspections as a camera computer does."""
        names = names or [f"{n}.png" for n in range(len(pictures))]
        files = [("image", (name, data)) for name, data in zip(names, pictures, strict=True)]
        return self.post("/inspections", Role.MACHINE, files=files, data={"part": part, "station": station, **fields})


@cache
def shared_decoders() -> Decoders:
    """Two processes that unpack the pictures of every server here; they end with this process."""
    return Decoders(2)


@cache
def begun() -> dict[str, tuple[bytes, int]]:
    """What a server's first start makes before anything else, tables without a part and the first account: every file's
    content and mode.

    Every server here has its own copy: the steps of all migrations and the hashing of a password are twice the work of
    the rest of a start. That they are made is for `test_access.py` and the tests of `tests/contracts` to say.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), label_studio=False)
        with schema.opened(settings) as database, database.write() as session:
            first_login.ensure(session, settings)
        return {file.name: (file.read_bytes(), file.stat().st_mode) for file in Path(folder).iterdir()}


@cache
def tables() -> bytes:
    """A SQLite file with today's tables, and nothing in them."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(sqlite_url(Path(folder) / "qc.sqlite3"))
        schema.upgrade(database)
        database.close()
        return (Path(folder) / "qc.sqlite3").read_bytes()


@cache
def make_templates() -> None:
    """`begun()`'s database and `tables()` as templates of the run's PostgreSQL."""
    for template, content in {"begun": begun()["qc.sqlite3"][0], "tables": tables()}.items():
        per_home.create(template)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "qc.sqlite3").write_bytes(content)
            old, new = Database(sqlite_url(Path(folder) / "qc.sqlite3")), Database(per_home.named(template))
            move(old, new)
            old.close()
            new.close()


def begin(home: Path) -> str:
    """A server's data folder and database as its first start leaves them, made unless they are there.

    Returns:
        The database's address, for the settings: empty where it is SQLite in the folder.
    """
    if (home / "qc.sqlite3").exists():
        return ""
    if home not in _begun:
        home.mkdir(parents=True, exist_ok=True)
        for name, (content, mode) in begun().items():
            if name != "qc.sqlite3" or not per_home.ON_POSTGRESQL:
                (home / name).write_bytes(content)
                (home / name).chmod(mode)
    if not per_home.ON_POSTGRESQL:
        return ""
    _begun.add(home)
    make_templates()
    return per_home.setting(home, "begun")


_begun: set[Path] = set()
"""Data folders that `begin` has made for them."""


def start(home: Path, segmenter: object | None = None, **settings: object) -> Iterator[Line]:
    """A server on a data folder, until the generator is closed."""
    if "database_url" not in settings:
        settings["database_url"] = begin(home)
    chosen = Settings(home=home, label_studio=False, inbox_settle_s=0.2, inbox_patience_s=0.6, **settings)
    app = create_app(chosen, segmenter=segmenter or DarkSpots(), decoders=shared_decoders())
    with TestClient(app) as client:
        context: Context = app.state.context
        keys = {}
        with context.database.write() as session:
            for role in Role:
                keys[role] = auth.create_key(session, f"{role} key", role, now=context.now())
            session.commit()
        assert context.champion is not None
        assert context.champion.wait(120)
        yield Line(app, client, keys)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    yield from start(tmp_path / "home")


@pytest.fixture(scope="session")
def run_line():
    """Starts servers: `with run_line(home, segmenter, setting=…) as line`; the same home again is a restart."""
    return contextmanager(start)


@pytest.fixture(scope="session")
def database_of():
    """Gives the address of a data folder's database, whichever kind these tests are run on."""
    return per_home.address_of


@pytest.fixture
def served(line: Line, model: Path) -> Line:
    """A server that serves the module's process model (`model`, a folder) under the name `bar`."""
    context = line.context
    id, key = process_service.take_in(context.settings.home.resolve(), "bar", model)
    with context.database.write() as session:
        process_service.register(session, "bar", id, key, now=context.now(), report={})
        session.commit()
    return line


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database with today's tables and nothing in them."""
    if per_home.ON_POSTGRESQL:
        make_templates()
    else:
        (tmp_path / "qc.sqlite3").write_bytes(tables())
    found = Database(per_home.address_of(tmp_path, "tables"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    """A Ray cluster of the module's own with one machine at work; skips where Ray is not installed."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install -c constraints-cpu.txt -e '.[ray]'")
    found = Machines(workers=1)
    yield found
    found.close()


@pytest.fixture(scope="module")
def ray(machines: Machines) -> Iterator[object]:
    """The module `ray`, connected to that cluster."""
    from server.cluster.connect import connected

    with connected(machines.address) as module:
        yield module


@pytest.fixture
def away(line):
    """Call it to take the line's database away, and again to bring it back."""
    gone = False

    def refuse(*_: object) -> None:
        if gone:
            raise OperationalError("statement", {}, sqlite3.OperationalError("it is away"))

    event.listen(line.context.database.engine, "before_cursor_execute", refuse)

    def turn() -> None:
        nonlocal gone
        gone = not gone

    return turn
