"""The plant's bus: a real Mosquitto between us and a line that listens and speaks."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path

import pytest
import yaml
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from sqlmodel import select

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.records import Outcome
from process_opt.simulate import linear_line
from server import alarms, process_service
from server.access import Role

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
LINE = "acme/ulm/finishing/line-3"

pytestmark = pytest.mark.skipif(
    MOSQUITTO is None, reason="mosquitto is not installed (Debian package mosquitto), so there is no broker to talk to"
)


def wait_for(true, *, patience=120):
    until = time.monotonic() + patience
    while not (found := true()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    return found


@dataclass
class Broker:
    """Mosquitto, and somebody of the line beside it."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    heard: list[paho.MQTTMessage] = field(default_factory=list)

    def comes(self) -> None:
        access = self.folder / "access"
        access.write_text(f"topic readwrite #\ntopic deny {LINE}/forbidden/#\n")
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nacl_file {access}\nuser root\n"
            f"persistence true\npersistence_location {self.folder}/\nautosave_interval 1\n"
        )
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self.answers)

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def goes(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def client(self, name: str) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
        client.on_message = lambda _, __, message: self.heard.append(message)
        client.on_connect = lambda client, *_: client.subscribe(f"{LINE}/#", qos=1)
        client.reconnect_delay_set(1, 1)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        return client

    def on(self, topic: str) -> list[dict]:
        return [json.loads(m.payload) for m in list(self.heard) if m.topic == f"{LINE}/{topic}"]


class Wire:
    """Between our server and the broker: cut, the broker is away for the server, while the line still listens to it."""

    def __init__(self, to: int, port: int) -> None:
        self.to, self.port = to, port
        self.ends: list[socket.socket] = []
        self.mend()

    def mend(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def cut(self) -> None:
        for end in (self.listener, *self.ends):
            with suppress(OSError):  # the other end may have gone already
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.ends.clear()

    def accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # until it is cut
            while True:
                here = listener.accept()[0]
                there = socket.create_connection(("127.0.0.1", self.to))
                self.ends += [here, there]
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=self.carry, args=pair, daemon=True).start()

    @staticmethod
    def carry(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Broker]:
    bus = Broker(tmp_path_factory.mktemp("broker"), free_port())
    bus.comes()
    yield bus
    bus.goes()


@pytest.fixture(scope="module")
def wire(broker: Broker, free_port: Callable[[], int]) -> Iterator[Wire]:
    between = Wire(broker.port, free_port())
    yield between
    between.cut()


@pytest.fixture(scope="module")
def peer(broker: Broker) -> Iterator[paho.Client]:
    client = broker.client("somebody")
    yield client
    client.disconnect()
    client.loop_stop()


@pytest.fixture
def home(broker: Broker, tmp_path: Path) -> Path:
    return named(broker.port, tmp_path / "home", client_id="the one that hears")


def named(port: int, home: Path, **more: object) -> Path:
    home.mkdir()
    plant = {"host": "127.0.0.1", "port": port, "topic": LINE, "cells": {"S-1": "cell-7"}, "longest_pause_s": 1}
    plant |= more
    (home / "outbound.yaml").write_text(yaml.safe_dump({"mqtt": {"plant": plant}}))
    return home


@pytest.fixture(scope="module")
def line(broker, wire, peer, tmp_path_factory):
    """One server for all tests but the last: to start one takes longer than what they ask of it."""
    spec = util.spec_from_file_location("another_server", Path(__file__).parents[1] / "conftest.py")
    lines = util.module_from_spec(spec)
    sys.modules["another_server"] = lines  # dataclasses look their module up
    spec.loader.exec_module(lines)
    with contextmanager(lines.start)(named(wire.port, tmp_path_factory.mktemp("line") / "home", hear=False)) as line:
        wait_for(lambda: {"online": True} in broker.on("qc/state"))
        yield line
    wait_for(lambda: broker.on("qc/state")[-1] == {"online": False})


def test_the_line_hears_what_happens_on_isa_95_topics_and_sees_states_and_lamps(line, broker):
    shown = line.send(line.picture(dark=9), part="P-1").json()
    with line.context.database.write() as session:
        now = line.context.now()
        figures = {"kind": "camera", "station": "S-1", "what": "level", "message": "dim", "since": now, "now": now}
        alarm = alarms.raise_once(session, line.context.events, **figures, before=[], after=[], figures={})
        session.commit()
    (told,) = wait_for(lambda: broker.on("cell-7/qc/inspection"))
    assert (told["type"], told["data"]["id"]) == ("inspection.judged", shown["id"])
    assert (broker.on("cell-7/qc/state")[-1]["mode"]) == "decide"
    (raised,) = wait_for(lambda: broker.on("cell-7/qc/alarm"))
    assert (raised["type"], raised["data"]["message"]) == ("alarm.raised", "dim")
    wait_for(lambda: (lamps := broker.on("cell-7/qc/andon")) and lamps[-1]["lit"])
    line.post(f"/alarms/{alarm.id}/close", json={"reason": "wiped"})
    wait_for(lambda: not broker.on("cell-7/qc/andon")[-1]["lit"])
    line.post("/stations/S-1/mode", json={"mode": "advise", "limit_a_day": 10, "reason": "careful"})
    wait_for(lambda: broker.on("cell-7/qc/state")[-1]["mode"] == "advise")


def test_a_broker_that_is_away_loses_nothing(line, broker, wire):
    wire.cut()
    for n in range(4):
        line.send(line.picture(mark=n), part=f"P-{n}", station="S-2")
    (plant,) = wait_for(
        lambda: [one for one in line.get("/outbound").json()["items"] if one["failures"] and one["waiting"] == 4]
    )
    assert plant["kind"] == "mqtt"
    assert "broker" in plant["last_error"]
    wire.mend()
    wait_for(lambda: line.get("/outbound").json()["items"][0]["waiting"] == 0)
    told = wait_for(lambda: len(found := broker.on("S-2/qc/inspection")) >= 4 and found)
    assert list(dict.fromkeys(one["data"]["part"] for one in told)) == ["P-0", "P-1", "P-2", "P-3"]


def test_what_the_broker_refuses_is_not_taken_as_told(line, broker):
    line.send(line.picture(mark=1), part="P-1", station="forbidden")
    refused = wait_for(lambda: (one := line.get("/outbound").json()["items"][0])["failures"] and one)
    wait_for(lambda: "Not authorized" in line.get("/outbound").json()["items"][0]["last_error"])
    word = {"message": refused["first_waiting"], "reason": "nobody may hear of it"}
    assert line.post("/outbound/plant/skip", Role.ADMIN, json=word).status_code == 200
    line.send(line.picture(mark=2), part="P-2", station="S-3")
    wait_for(lambda: broker.on("S-3/qc/inspection"))


def test_the_will_tells_that_the_server_died(line, broker):
    assert broker.on("qc/state")[-1] == {"online": True}
    wire = line.context.parts["outbound"].senders["plant"]._carrier._client.socket()
    wire.shutdown(socket.SHUT_RDWR)  # as if the process had died: no good-bye
    wait_for(lambda: {"online": False} in broker.on("qc/state"))
    wait_for(lambda: broker.on("qc/state")[-1] == {"online": True})


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """What is known of a line of two steps."""
    folder = tmp_path_factory.mktemp("process") / "model"
    plant = linear_line(2, seed=3)
    fit(plant.process, parse_history(plant.history(60, seed=4), plant.process)).save(folder)
    return folder


def register(line, model: Path) -> None:
    home, now = line.context.settings.home.resolve(), line.context.now()
    with line.context.database.write() as session:
        found, key = process_service.take_in(home, "bar", model)
        process_service.register(session, "bar", found, key, now=now, report={})
        session.commit()


def test_what_the_line_says_goes_the_way_of_rest_and_nonsense_comes_back(run_line, home, broker, peer, model):
    plant = linear_line(2, seed=3)
    part = plant.start(5)
    first = part.at
    seen = part.run_step(first)
    asked = {"part": "P-5", "at": part.at, "observed": seen}
    came = {"part": "P-5", "disposition": "scrapped", "scrapped_at": first, "observed": seen}
    greeted = len(broker.on("qc/state"))
    with run_line(home) as line:
        register(line, model)
        wait_for(lambda: len(broker.on("qc/state")) > greeted)
        peer.publish(f"{LINE}/cell-1/qc/in/requests/bar", json.dumps(asked), qos=1)
        (advice,) = wait_for(lambda: broker.on(f"{asked['at']}/qc/recommendation"))
        assert (advice["data"]["part"], advice["data"]["process"]) == ("P-5", "bar")
        assert line.get("/processes/bar/recommendations").json()["items"][0]["id"] == advice["data"]["id"]
        for what, body, why in (
            ("outcomes/bar", {**came, "scrapped_at": "nowhere"}, "nowhere"),
            ("outcomes/unknown", came, "no process"),
            ("gossip/bar", came, "listened to"),
            ("requests/bar", {"part": "P-5"}, "at: Field required"),
        ):
            peer.publish(f"{LINE}/cell-1/qc/in/{what}", json.dumps(body), qos=1)
            refused = wait_for(lambda: [r for r in broker.on("cell-1/qc/refused") if why in r["why"]])  # noqa: B023
            assert refused[0]["topic"].endswith(what)
        peer.publish(f"{LINE}/cell-1/qc/in/outcomes/bar", json.dumps([came, came]), qos=1)
        wait_for(lambda: outcomes(line))
    # the server is away; the broker keeps what is said meanwhile
    peer.publish(f"{LINE}/cell-1/qc/in/outcomes/bar", json.dumps({**came, "part": "P-6"}), qos=1).wait_for_publish(10)
    peer.publish(f"{LINE}/cell-1/qc/in/outcomes/bar", json.dumps(came), qos=1).wait_for_publish(10)
    with run_line(home) as line:
        wait_for(lambda: outcomes(line) == ["P-5", "P-6"])


def outcomes(line) -> list[str]:
    with line.context.database.read() as session:
        return sorted(session.exec(select(Outcome.part)))
