"""MQTT: one connection to a broker. Tells what waits, keeps states up to date, and hears what the line says.

Everything goes out with QoS 1, one message at a time in the order of the outbox, and counts as told when the broker has
acknowledged it. States (is the server there, each station's mode, each cell's andon) are retained and told as they are
now, not from the outbox: an old state is of no use to anybody.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import structlog
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from sqlmodel import select

from qc.records import Inspection
from server import alarms, modes
from server.context import Context
from server.events import Event
from server.outbound.broker import client_of
from server.outbound.config import BrokerConfig
from server.outbound.hearing import Hearing
from server.outbound.messages import cell_of_alarm
from server.outbound.records import OutboundMessage
from server.outbound.sender import Failed
from server.outbound.topics import heard, topic

log = structlog.get_logger(__name__)

KEPT_S = 7 * 24 * 3600
"""How long the broker keeps what the line says while the server is away, in seconds."""
AT_ONCE = 20
"""Messages of the line that the broker hands over before the first of them is done."""
KEEPALIVE_S = 30
ANSWERS = 1000
"""Acknowledgements remembered: of states nobody waits for one. Packet numbers come back after 65,535."""


class MqttCarrier:
    """A broker. A `server.outbound.sender.Carrier`."""

    def __init__(
        self, name: str, config: BrokerConfig, context: Context, *, connected: Callable[[], None] = lambda: None
    ) -> None:
        """
        Args:
            connected: called when the broker is there (again).
        """
        self._config, self._context, self._connected = config, context, connected
        self._why = "there is no connection to the broker yet"
        self._answers: dict[int, ReasonCode] = {}
        self._answered = threading.Condition()
        self._sent: tuple[int, list[int]] | None = None
        """Of the message at hand: its number, and the packets whose acknowledgement is missing."""
        self._born: set[str] = set()
        self._closing = False
        self._client = self._make()
        self._hearing = Hearing(f"mqtt {name}", config, context, self._client) if config.hear else None
        context.events.call("station", self._mode_changed)
        self._client.connect_async(
            config.host, config.at, keepalive=KEEPALIVE_S, clean_start=False, properties=_connecting()
        )
        self._client.loop_start()

    def send(self, message: OutboundMessage) -> None:
        """Tell the broker one message; raises Failed."""
        if not self._client.is_connected():
            raise Failed(self._why)
        assert message.n is not None, "it came out of the database"
        if self._sent is None or self._sent[0] != message.n:
            self._sent = (message.n, self._publish_all(message))
        # after a lost connection the client sends again by itself what was not acknowledged; here it is waited for
        self._wait(self._sent[1])
        self._sent = None

    def close(self) -> None:
        """Say good-bye, so that nobody takes it for an accident, and end."""
        self._closing = True
        if self._client.is_connected():
            self._client.publish(self._topic("", "state"), _state(False), qos=1, retain=True).wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()
        if self._hearing is not None:
            self._hearing.stop()

    def _publish_all(self, message: OutboundMessage) -> list[int]:
        if message.cell and message.kind in ("inspection", "decision") and message.cell not in self._born:
            self._bear(message.cell)
        mids = [self._publish(self._topic(message.cell, message.kind), message.body)]
        if message.kind == "alarm":
            mids.append(self._light(message.cell))
        return mids

    def _publish(self, name: str, body: str, *, retain: bool = False) -> int:
        return self._client.publish(name, body.encode(), qos=1, retain=retain).mid

    def _wait(self, mids: list[int]) -> None:
        with self._answered:
            done = self._answered.wait_for(lambda: all(mid in self._answers for mid in mids), self._config.timeout_s)
            if not done:
                raise Failed(f"the broker did not acknowledge it within {self._config.timeout_s:g} s")
            refusals = [code for mid in mids if (code := self._answers.pop(mid)).is_failure]
        if refusals:
            self._sent = None
            raise Failed(f"the broker refused it: {refusals[0]}")

    def _light(self, cell: str) -> int:
        """The andon of a cell, as it is now."""
        with self._context.database.read() as session:
            lit = [one for one in alarms.open_ones(session) if cell_of_alarm(one.kind, one.station) == cell]
        shown = [{"id": a.id, "kind": a.kind, "message": a.message, "since": a.since.isoformat()} for a in lit]
        body = json.dumps({"lit": bool(lit), "alarms": shown}, ensure_ascii=False)
        return self._publish(self._topic(cell, "andon"), body, retain=True)

    def _bear(self, station: str, mode: str | None = None) -> None:
        """The state of a station."""
        if mode is None:
            with self._context.database.read() as session:
                mode = str(modes.mode_of(session, station))
        body = json.dumps({"station": station, "mode": mode, "at": self._context.now().isoformat()})
        self._publish(self._topic(station, "state"), body, retain=True)
        self._born.add(station)

    def _greet(self) -> None:
        """The broker is there: tell all states anew."""
        try:
            with self._context.database.read() as session:
                stations = list(session.exec(select(Inspection.station).distinct()))
                lit = {cell_of_alarm(one.kind, one.station) for one in alarms.open_ones(session)}
            for station in stations:
                self._bear(station)
            for cell in lit | set(stations):
                self._light(cell)
        except Exception as error:  # a database that is away: stations are born with their next part
            log.warning("states could not be told", exc_info=error)
        self._publish(self._topic("", "state"), _state(True), retain=True)
        self._connected()

    def _mode_changed(self, event: Event) -> None:
        if self._client.is_connected():
            self._bear(str(event.data["id"]), str(event.data["mode"]))

    def _topic(self, cell: str, *what: str) -> str:
        return topic(self._config.topic, cell, *what, cells=self._config.cells)

    def _make(self) -> paho.Client:
        client = client_of(self._config, manual_ack=True)
        client.will_set(self._topic("", "state"), _state(False), qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: paho.Client, _: Any, __: Any, code: ReasonCode, ___: Any) -> None:
        if code.is_failure:
            self._why = f"the broker refuses us: {code}"
            log.warning("a broker refuses us", host=self._config.host, why=str(code))
            return
        log.info("a broker is there", host=self._config.host)
        if self._hearing is not None:
            client.subscribe(heard(self._config.topic), qos=1)
        threading.Thread(target=self._greet, name="greet the broker", daemon=True).start()

    def _on_connect_fail(self, *_: Any) -> None:
        self._why = f"no connection to the broker at {self._config.shown}"

    def _on_disconnect(self, _: paho.Client, __: Any, ___: Any, code: ReasonCode, ____: Any) -> None:
        if not self._closing:
            self._why = f"the connection to the broker at {self._config.shown} was lost: {code}"
            log.warning("a broker is away", host=self._config.host, why=str(code))

    def _on_publish(self, _: paho.Client, __: Any, mid: int, code: ReasonCode, ___: Any) -> None:
        with self._answered:
            self._answers[mid] = code
            if len(self._answers) > ANSWERS:
                del self._answers[next(iter(self._answers))]
            self._answered.notify_all()

    def _on_message(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        if self._hearing is not None:
            self._hearing.hear(message)


def _connecting() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = KEPT_S
    properties.ReceiveMaximum = AT_ONCE
    return properties


def _state(online: bool) -> str:
    return json.dumps({"online": online})
