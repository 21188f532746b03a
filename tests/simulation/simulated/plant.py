"""A simulated plant: one server that may be killed at any moment, and the fate that does it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from qc import durable
from qc.frame import decode
from server import camera_health, deadlines, inspecting, models_in_use, parts, places, schema
from server.blobs.local import LocalBlobs
from server.cache import open_cache
from server.context import Context
from server.db import Database
from server.events import EventBus
from server.ingest import files, folder
from server.plant import config, memory, sources, station, trail, views
from server.plant.station import Station
from server.policies import Policies
from server.settings import Settings

from .pieces import Model
from .threads import Event, Pool, threading_of, time_of
from .weather import Os, Shutil, Weather, WeatheredDatabase, failing
from .world import Life, World

T = TypeVar("T")

DECIDE_BY_S = {"press": 2.0, "brush": 3.0}
"""Stations that a PLC drives."""
CAMERAS = {"press": 1, "brush": 2}
"""How many cameras each has."""


class Gone(Exception):
    """The server does not answer: it is not there, or died over the request."""


class Stations:
    """The stations of a plant without their wires, which the simulated PLCs replace. A `server.context.Part`."""

    def __init__(self, context: Context, home: Path, world: World) -> None:
        self.stations: dict[str, Station] = {}
        for name, decide_by_s in DECIDE_BY_S.items():
            cameras = [{"view": f"view-{n}", "folder": home / "cameras" / name / str(n)} for n in range(CAMERAS[name])]
            wanted = config.StationConfig.model_validate(
                {"decide_by_s": decide_by_s, "cameras": cameras, "modbus": {"port": 0}}
            )
            looks = [sources.source_of(camera) for camera in wanted.cameras]
            memory = context.settings.folder("plant") / f"{name}.json"
            self.stations[name] = Station(name, wanted, context, looks, memory=memory, now=world.now)

    def state(self) -> dict[str, Any]:
        return {"state": "ok"}

    def stop(self) -> None:
        for one in self.stations.values():
            one.stop()


class Server:
    """The server's process: started, killed and stopped by its plant."""

    def __init__(self, world: World, weather: Weather, home: Path) -> None:
        self.world, self.weather, self.home = world, weather, home
        self.life: Life | None = None
        self.context: Context | None = None
        self.starts = self.kills = 0
        self._waiting: list[Event] = []
        self._databases: list[Database] = []

    @property
    def up(self) -> bool:
        """Does it answer?"""
        return self.life is not None and not self.life.dead and self.context is not None

    def ask(self, function: Callable[[Context], T]) -> T:
        """A request from outside, answered by a thread of the server. Raises Gone, and what the function raises."""
        if not self.up:
            raise Gone
        life, context, answered = self.life, self.context, Event(self.world)
        assert life is not None
        assert context is not None
        told: list[Callable[[], T]] = []

        def work() -> None:
            try:
                result = function(context)
            except Exception as error:
                told.append(partial(_throw, error))
            else:
                told.append(lambda: result)
            answered.set()

        self._waiting.append(answered)
        self.world.spawn(life, "request", work)
        answered.wait()
        self._waiting.remove(answered)
        if not told:
            raise Gone
        return told[0]()

    def start(self) -> None:
        """Start the process; by and by it answers."""
        self.life = Life(f"server {self.starts}")
        self.starts += 1
        self.world.tell("start")
        self.world.spawn(self.life, "main", self._main)

    def kill(self) -> None:
        """kill -9."""
        if self.life is None:
            return
        self.kills += 1
        self.world.tell("kill")
        self.world.kill(self.life)
        self._forget()

    def stop(self) -> None:
        """Ask it to stop in good order, and wait until it has."""
        if self.up:
            with contextlib.suppress(Gone):
                self.ask(parts.stop_all)
            self.world.tell("stopped")
            if self.life is not None:
                self.world.kill(self.life)
            self._forget()

    def close(self) -> None:
        """Let go of everything; the story is over."""
        self.kill()
        for database in self._databases:
            database.close()

    def _forget(self) -> None:
        self.life = self.context = None
        for answered in self._waiting:
            answered.set()
        if self._databases:
            self._databases[-1].close()

    def _main(self) -> None:
        """As `server.app.start` with those parts that need neither a network nor a network's neighbour."""
        world = self.world
        settings = Settings(
            home=self.home,
            label_studio=False,
            camera_checks=False,
            features=False,
            inbox_settle_s=0.3,
            inbox_patience_s=3.0,
            inspection_wait_s=20.0,
            max_waiting=8,
            inspection_workers=1 + world.seed % 2,
            decide_by=DECIDE_BY_S,
        )
        database = WeatheredDatabase(settings.db_url, self.weather)
        self._databases.append(database)
        context = Context(
            settings=settings,
            database=database,
            blobs=LocalBlobs(settings.folder("blobs")),
            events=EventBus(),
            now=world.clock,
            policies=Policies(settings.folder("products"), default=settings.default_product),
            cache=open_cache(settings),
            segmenter=Model(world),
            decode=decode,  # at once, in this process: another one has real time
        )
        while True:  # whoever starts servers starts them again when they fail
            try:
                with database.read() as session:
                    session.connection().exec_driver_sql("SELECT 1")
                break
            except Exception:
                world.sleep(2.0)
        started: tuple[tuple[str, parts.Start], ...] = (
            ("model", parts.start_champion),
            ("plant", lambda context: Stations(context, self.home, world)),
            ("inspector", parts.start_inspector),
            ("folder", parts.start_folder),
        )
        parts.start_all(context, started)
        self.context = context


def _throw(error: Exception) -> Any:
    raise error


def template(home: Path) -> None:
    """A data folder with every table, to be copied for each story."""
    settings = Settings(home=home)
    database = Database(settings.db_url)
    schema.upgrade(database)
    database.close()
    Policies(settings.folder("products"), default=settings.default_product).rules(settings.default_product)


def open_home(template_home: Path, home: Path) -> None:
    """A story's own data folder."""
    shutil.copytree(template_home, home)
    for name, cameras in CAMERAS.items():
        for n in range(cameras):
            (home / "cameras" / name / str(n)).mkdir(parents=True)
    (home / "inbox").mkdir(exist_ok=True)


@contextmanager
def inside(world: World, weather: Weather) -> Iterator[None]:
    """While this holds, the server's modules live in the world: its time, its threads, its disk."""
    threads, time, pool = threading_of(world), time_of(world), partial(Pool, world)
    with ExitStack() as stack:
        for module in (parts, inspecting, places, deadlines, models_in_use, station, trail, folder, camera_health):
            stack.enter_context(patch.object(module, "threading", threads))
        for module in (inspecting, deadlines, station, views, memory, folder, files, sources):
            stack.enter_context(patch.object(module, "time", time))
        for module in (inspecting, station, views):
            stack.enter_context(patch.object(module, "ThreadPoolExecutor", pool))
        for module in (durable, memory):
            stack.enter_context(patch.object(module, "os", Os(weather)))
        stack.enter_context(patch.object(files, "shutil", Shutil(weather)))
        keep = failing(weather, inspecting.keep_thumbnail)
        stack.enter_context(patch.object(inspecting, "keep_thumbnail", keep))
        stack.enter_context(patch.object(folder, "watch", partial(_looks, world)))
        yield


def _looks(world: World, *_: object, stop_event: Event, rust_timeout: int, **__: object) -> Iterator[None]:
    """`watchfiles.watch` that is called at intervals only."""
    while not stop_event.wait(rust_timeout / 1000):
        yield
