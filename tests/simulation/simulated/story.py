"""One story: a seed decides all of it, who comes, what breaks and when, and in which order threads run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from .actors import Client, Plc, Writer
from .auditor import audit
from .plant import DECIDE_BY_S, Server, inside, open_home
from .record import Record
from .weather import Weather
from .world import Life, World

STORM_S = 45.0
"""How long things go wrong in a story, in virtual seconds; hours that a database is away come on top."""
SETTLE_S = 20.0
"""What a server may need, once nothing is wrong any more, before everything must go right."""
FILE_S = 0.3
"""What it may need besides for each file that waits in the inbox then: the model takes 0.08, one part at a time, beside
what PLCs and clients send. An hour without a database leaves 800 of them."""
CALM_S = 12.0
"""How long everything must go right at the end."""
BACK_S = 10.0
"""How long the server is back at the very end, asked by nobody: in this time it judges what its stop left waiting."""


@dataclass(frozen=True, slots=True)
class Story:
    """What came of a seed."""

    seed: int
    violations: tuple[str, ...]
    hash: str
    """Of everything that happened; the same seed and the same code give the same."""
    virtual_s: float
    triggers: int
    passed: int
    answers: int
    kills: int
    starts: int
    failed_calls: int
    """Calls to disk and database that failed."""


class Fate:
    """Breaks things, one after the other."""

    def __init__(self, world: World, weather: Weather, server: Server) -> None:
        self.world, self.weather, self.server = world, weather, server
        self.until = STORM_S

    def run(self) -> None:
        """Until the storm is over; then mend everything."""
        world, rng = self.world, self.world.rng
        while world.now() < self.until:
            world.sleep(rng.expovariate(1 / 12.0))
            blow = rng.choice((self._kill, self._kill, self._restart, self._full, self._away, self._jump, self._wire))
            world.tell(blow.__name__)
            blow()
        self.weather.clear()
        world.tell("calm")

    def _kill(self) -> None:
        self.server.kill()
        self.world.sleep(self.world.rng.expovariate(1 / 3.0))
        self.server.start()

    def _restart(self) -> None:
        self.server.stop()
        self.world.sleep(self.world.rng.expovariate(1 / 3.0))
        if self.server.life is None:
            self.server.start()

    def _full(self) -> None:
        self.weather.disk_full = True
        self.world.sleep(self.world.rng.expovariate(1 / 5.0))
        self.weather.disk_full = False

    def _away(self) -> None:
        long = self.world.chance(0.03)
        away = 3600.0 if long else self.world.rng.expovariate(1 / 6.0)
        self.weather.database_away = True
        self.world.sleep(away)
        self.weather.database_away = False
        self.until += away

    def _jump(self) -> None:
        self.world.clock_off_s = self.world.rng.choice((-3600.0, -5.0, 0.0, 5.0, 86_400.0))

    def _wire(self) -> None:
        context = self.server.context
        if self.server.up and context is not None and "plant" in context.parts:
            for station in getattr(context.parts["plant"], "stations", {}).values():
                self.world.spawn(self.server.life or Life(""), "wire", station.lost)


def _end(world: World, server: Server) -> None:
    """Stop in good order, and start once more: what waited when the server stopped is judged when it is back."""
    server.stop()
    server.start()
    world.sleep(BACK_S)
    server.stop()


@contextmanager
def quiet() -> Iterator[None]:
    """The server's log is not written: a story has thousands of errors in it."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(*_: object) -> None:
    raise structlog.DropEvent


def tell_story(seed: int, template_home: Path) -> Story:
    """Run a seed's story and audit it."""
    with tempfile.TemporaryDirectory(prefix="story-") as folder, quiet():
        home = Path(folder) / "home"
        open_home(template_home, home)
        world = World(seed)
        weather = Weather(world, flaky=world.rng.choice((0.0, 0.002, 0.01)))
        record = Record(world)
        with inside(world, weather):
            server, outside = Server(world, weather, home), Life("outside")
            world.spawn(outside, "power", server.start)
            fate = Fate(world, weather, server)
            world.spawn(outside, "fate", fate.run)
            for name in DECIDE_BY_S:
                world.spawn(outside, name, Plc(world, server, record, name, outside).run)
            for name in ("hand-1", "hand-2"):
                world.spawn(outside, name, Client(world, server, record, name, outside).run)
            world.spawn(outside, "writer", Writer(world, server, record, "inbox-1").run)
            while not world.calm:
                world.run(world.seconds + 10.0)
            waiting = sum(file.is_file() for file in (home / "inbox").rglob("*.png"))
            world.run(world.seconds + SETTLE_S + FILE_S * waiting)
            record.calm = True
            world.run(world.seconds + CALM_S)
            world.kill(outside)
            ending = Life("ending")
            world.spawn(ending, "end", lambda: _end(world, server))
            world.run(world.seconds + 60.0)
            server.close()
            world.kill(ending)
        audit(record, home)
    return Story(
        seed=seed,
        violations=tuple(record.violations),
        hash=world.story,
        virtual_s=world.seconds,
        triggers=record.triggers,
        passed=sum(told.passed for told in record.told),
        answers=len(record.answers),
        kills=server.kills,
        starts=server.starts,
        failed_calls=weather.failed,
    )
