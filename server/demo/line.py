"""The demonstration line: makes parts until it is told to stop."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np

from process_opt.simulate import Line
from qc.errors import Conflict, InvalidInput, NotFound, QcError, Unavailable
from server.demo import operators, prepare, way_in
from server.demo.camera import Shot, shoot
from server.demo.client import Fault, Server, Stopped
from server.demo.config import PROCESS, DemoConfig
from server.demo.shopfloor import Passage, passage
from server.demo.truth import Truth

Say = Callable[[str], None]

ENDING_S = 5.0
"""How long the line waits for its people to put down their tools; whoever started it may not wait much longer."""

SUMMARY_EVERY = 10
"""Parts with advice between two lines about the money."""


def run(config: DemoConfig, *, say: Say | None = None, stop: threading.Event | None = None) -> int:
    """Run the line until `config.parts` are made, `stop` is set, or Ctrl-C; 0 when it ended as it should.

    Whatever fails for a while (the server restarts, Label Studio is not up yet) is waited out. A part that was under
    way when the line stopped is made again with the same pictures and the same trigger id: nothing is counted twice.

    Raises:
        Unavailable: the server refuses the key.
    """
    say = say or _say
    stop = stop or threading.Event()
    server = Server(config.url, config.key, stop=stop, say=say)
    truth = Truth(config.folder / "truth")
    helpers: list[threading.Thread] = []
    ready = threading.Event()
    with _until_interrupted(stop):
        try:
            health = server.wait_until_ready()
            say(f"the line starts; {_model(health)}")
            line = prepare.plant(config) if config.process else None
            if line is not None:
                helpers.append(_helper("process", lambda: _prepare(config, line, ready, stop, say), say))
            if config.labels:
                helpers.append(_helper("labeller", lambda: _label(config, truth, stop, say), say))
            _make_parts(config, server, truth, line, ready, say)
        except Stopped:
            pass
        finally:
            stop.set()
            patience = time.monotonic() + ENDING_S
            for helper in helpers:
                helper.join(max(0.0, patience - time.monotonic()))
            server.close()
    say("the line has stopped")
    return 0


def _make_parts(
    config: DemoConfig, server: Server, truth: Truth, line: Line | None, ready: threading.Event, say: Say
) -> None:
    counter = config.folder / f"line-{config.seed}.json"
    number = _next_number(counter)
    last = None if config.parts is None else number + config.parts
    interval = 60.0 / config.parts_per_minute
    advised = 0
    due = time.monotonic()
    while not server.stop.is_set() and (last is None or number < last):
        try:
            advised += make_part(config, server, truth, line if ready.is_set() else None, number, say)
            if advised >= SUMMARY_EVERY:
                advised = 0
                _money(server, say)
        except (Stopped, Unavailable):
            raise
        except QcError as error:
            say(f"part {number}: {error}; the line goes on")
        number += 1
        _keep_number(counter, number)
        due = max(due + interval, time.monotonic() - interval)
        server.stop.wait(max(0.0, due - time.monotonic()))


def make_part(config: DemoConfig, server: Server, truth: Truth, line: Line | None, number: int, say: Say) -> int:
    """Make, photograph and judge part `number`; 1 if the server was asked for advice on its process, else 0.

    Every call may be repeated: the same number gives the same pictures, trigger id and part name.
    """
    name = f"SB{config.seed:02d}-{number:06d}"
    went: Passage | None = None
    if line is not None:
        try:
            went = passage(line, name, number, lambda request: server.recommend(PROCESS, request))
            server.report(PROCESS, [went.outcome])
        except (InvalidInput, NotFound, Conflict, Fault) as error:
            say(f"{name}: {error}; its pictures are taken all the same")
    shot = shoot(config, number, truth)
    inspection = server.inspect(
        shot.pictures,
        part=name,
        station=shot.station,
        product=PROCESS,
        trigger_id=f"demo-{name}",
        process=went.outcome["observed"] if went else None,
    )
    verdict = str(inspection["verdict"])
    rng = np.random.default_rng([config.seed, number, 31])
    word = operators.judge(rng, verdict=verdict, defective=shot.defective, defects=shot.defects)
    said = (inspection.get("decision") or {}).get("verdict")  # before the line was stopped in the middle of this part
    if word is not None and word.verdict != said:
        server.decide(str(inspection["id"]), word.verdict, word.reason)
    say(_sentence(name, shot, verdict, word, went))
    return 1 if went and went.decisions else 0


def _sentence(name: str, shot: Shot, verdict: str, word: operators.Word | None, went: Passage | None) -> str:
    text = f"{name} at {shot.station}: {verdict}"
    if word is not None:
        text += f", the operator says {word.verdict} ({word.reason})"
    if went is not None and went.decisions:
        end = {True: "within specification", False: "out of specification", None: "scrapped"}[went.conforms]
        text += f"; process: {' -> '.join(went.decisions)}, {end}"
    return text


def _money(server: Server, say: Say) -> None:
    summary = server.summary(PROCESS)
    money: dict[str, Any] = summary.get("money") or {}
    if money:
        scrapping, nothing = (float(money.get(f"saved_against_{w}") or 0.0) for w in ("scrapping", "continuing"))
        say(
            f"recommendations so far: {summary.get('recommended')} parts, {scrapping:.0f} {money.get('currency')} more "
            f"than scrapping them, {nothing:.0f} more than doing nothing was expected to bring"
        )


def _prepare(config: DemoConfig, line: Line, ready: threading.Event, stop: threading.Event, say: Say) -> None:
    server = Server(config.url, config.key, stop=stop, say=say)
    try:
        if prepare.make_ready(config, line, server, say):
            ready.set()
    except NotFound as error:
        say(f"no recommendations: {error}")
    finally:
        server.close()


def _label(config: DemoConfig, truth: Truth, stop: threading.Event, say: Say) -> None:
    server = Server(config.url, config.key, stop=stop, say=lambda text: None)
    try:
        studio = way_in.find(config, server)
    finally:
        server.close()
    if studio is None:
        say("nobody labels: the server has no Label Studio, or its token was not given")
        return
    from server.demo.labeller import Labeller  # slow to import, and not needed without Label Studio

    labeller = Labeller(studio.url, studio.token, truth, seed=config.seed, say=say)
    try:
        labeller.work(stop, seconds_per_task=config.seconds_per_label)
    finally:
        labeller.close()


def _helper(name: str, work: Callable[[], None], say: Say) -> threading.Thread:
    def guarded() -> None:
        try:
            work()
        except Stopped:
            pass
        except QcError as error:
            say(f"the {name} gives up: {error}")

    thread = threading.Thread(target=guarded, name=f"demo-{name}", daemon=True)
    thread.start()
    return thread


def _model(health: dict[str, Any]) -> str:
    model = health.get("model") or health.get("champion")
    if isinstance(model, dict):
        model = model.get("id")
    return f"the server inspects with model {str(model)[:19]}" if model else "the server is able to inspect"


def _next_number(counter: os.PathLike[str]) -> int:
    try:
        with open(counter, encoding="utf-8") as file:
            return int(json.load(file)["next"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _keep_number(counter: os.PathLike[str], number: int) -> None:
    beside = f"{os.fspath(counter)}.new"
    with open(beside, "w", encoding="utf-8") as file:
        json.dump({"next": number}, file)
    os.replace(beside, counter)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} line: {text}", flush=True, file=sys.stdout)


@contextmanager
def _until_interrupted(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C and a polite kill set `stop`; a second Ctrl-C ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
