"""Sparkplug B 3.0: the server is an edge node, each station or step a device of it, for hosts that speak nothing else.

=========================================  =====================================================================
`spBv1.0/<group>/NBIRTH/<node>`            on every connection, and when a host asks for it: all metrics of the node
`spBv1.0/<group>/NDEATH/<node>`            the broker says it when we are gone (last will); we say it when we stop
`spBv1.0/<group>/DBIRTH/<node>/<device>`   all metrics of a device: after NBIRTH, or with its first message
`spBv1.0/<group>/DDATA/<node>/<device>`    what happened at a station; `NDATA` what belongs to none
`spBv1.0/<group>/NCMD/<node>`              heard: `Node Control/Rebirth`
=========================================  =====================================================================

The metrics stand in `METRICS`; `<Kind>/Message` is the whole message as plain MQTT tells it, with its id. The
specification wants QoS 0, which nobody acknowledges. So that a message counts as told only when the broker has it,
the command topic is subscribed to once more after it: a broker does what a client sends in order, and that is answered.
What was lost with a connection is told again, and marked historical when it is older than `HISTORICAL_S`.

Not here: DCMD and other commands, aliases, templates, waiting for a primary host (`STATE`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from paho.mqtt import client as paho
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from server.context import Context
from server.outbound.broker import client_of
from server.outbound.config import SparkplugConfig
from server.outbound.records import OutboundMessage
from server.outbound.sender import Failed
from server.outbound.sparkplug_payload import Garbled, Metric, Value, commands, payload
from server.outbound.topics import named

log = structlog.get_logger(__name__)

HISTORICAL_S = 10.0
"""What happened longer ago is no news any more, but history."""
KEEPALIVE_S = 30
REBIRTH = "Node Control/Rebirth"

METRICS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "inspection": {
        "Id": ("String", "id"),
        "Part": ("String", "part"),
        "Verdict": ("String", "verdict"),
        "Score": ("Double", "score"),
        "ElapsedMs": ("Double", "elapsed_ms"),
    },
    "decision": {"Part": ("String", "part"), "Verdict": ("String", "verdict")},
    "call": {"Part": ("String", "part"), "State": ("String", "state"), "Verdict": ("String", "verdict")},
    "part": {"Part": ("String", "part"), "Verdict": ("String", "verdict")},
    "alarm": {"Kind": ("String", "kind"), "Text": ("String", "message"), "Closed": ("Boolean", "closed_at")},
    "recommendation": {
        "Part": ("String", "part"),
        "Decision": ("String", "decision"),
        "PConform": ("Double", "p_conform"),
    },
}
"""Kind of message -> metric -> its type, and where in the message's data it stands."""


class SparkplugCarrier:
    """A broker. A `server.outbound.sender.Carrier`."""

    def __init__(
        self, config: SparkplugConfig, context: Context, *, memory: Path, connected: Callable[[], None] = lambda: None
    ) -> None:
        """
        Args:
            memory: file that keeps the number of births and deaths over a restart.
            connected: called when the broker is there (again).
        """
        self._config, self._context, self._memory, self._connected = config, context, memory, connected
        self._why = "there is no connection to the broker yet"
        self._lock = threading.Lock()
        """Holds the order of what is published, as `seq` numbers it."""
        self._alive = False
        """The NBIRTH of this connection is out."""
        self._seq = 0
        self._birth = _read_number(memory)
        """`bdSeq` of the connection at hand."""
        self._spent = True
        """A broker may have heard that number."""
        self._last: dict[str, dict[str, Metric]] = {"": {}}
        """Device -> metric -> what was last said of it; "" is the node."""
        self._born: set[str] = set()
        self._answers: set[int] = set()
        self._answered = threading.Condition()
        self._client = self._make()
        self._client.connect_async(config.host, config.at, keepalive=KEEPALIVE_S, clean_start=True)
        self._client.loop_start()

    def send(self, message: OutboundMessage) -> None:
        """Tell the broker one message; raises Failed."""
        device = named(message.cell, self._config.cells)
        metrics = metrics_of(message, now=self._context.now())
        with self._lock:
            if not self._alive:
                raise Failed(self._why)
            if device and device not in self._born:
                self._last.setdefault(device, {})
                self._bear(device)
            self._publish("DDATA" if device else "NDATA", device, metrics)
            code, mid = self._client.subscribe(self._topic("NCMD"), options=_again())
        with self._answered:
            done = code == paho.MQTT_ERR_SUCCESS and self._answered.wait_for(
                lambda: mid in self._answers or not self._alive, self._config.timeout_s
            )
            if not done or mid not in self._answers:
                raise Failed(f"the broker did not take it within {self._config.timeout_s:g} s")
            self._answers.clear()
        if metrics and not metrics[0].historical:
            self._last[device].update({metric.name: metric for metric in metrics})

    def close(self) -> None:
        """Say good-bye: a client that disconnects itself has no last will."""
        with self._lock:
            if self._alive:
                self._client.publish(self._topic("NDEATH"), self._death(), qos=1).wait_for_publish(1.0)
            self._alive = False
        self._client.disconnect()
        self._client.loop_stop()

    def _bear_all(self) -> None:
        """NBIRTH, and DBIRTH of every device that is known."""
        with self._lock:
            self._seq, self._born = 0, set()
            now = self._context.now()
            own = [self._birth_metric(now), Metric(REBIRTH, "Boolean", False, now)]
            self._publish("NBIRTH", "", own + self._all_metrics("", ("part", "alarm"), now))
            for device in sorted(self._last.keys() - {""}):
                self._bear(device)
            self._alive = True

    def _bear(self, device: str) -> None:
        kinds = tuple(METRICS)
        self._publish("DBIRTH", device, self._all_metrics(device, kinds, self._context.now()))
        self._born.add(device)

    def _all_metrics(self, device: str, kinds: tuple[str, ...], now: datetime) -> list[Metric]:
        known, found = self._last[device], []
        for kind in kinds:
            for name, type in [(name, type) for name, (type, _) in METRICS[kind].items()] + [("Message", "String")]:
                full = f"{kind.capitalize()}/{name}"
                found.append(known.get(full, Metric(full, type, None, now)))
        return found

    def _publish(self, what: str, device: str, metrics: list[Metric]) -> None:
        body = payload(self._context.now(), metrics, self._seq)
        self._client.publish(self._topic(what, device), body, qos=0)
        self._seq = (self._seq + 1) % 256

    def _birth_metric(self, now: datetime) -> Metric:
        return Metric("bdSeq", "UInt64", self._birth, now)

    def _death(self) -> bytes:
        now = self._context.now()
        return payload(now, [self._birth_metric(now)], None)

    def _topic(self, what: str, device: str = "") -> str:
        parts = ["spBv1.0", self._config.group, what, self._config.node, *([device] if device else [])]
        return "/".join(parts)

    def _make(self) -> paho.Client:
        client = client_of(self._config)
        client.on_pre_connect = self._on_pre_connect
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _on_pre_connect(self, client: paho.Client, _: Any) -> None:
        """The will of this connection, with a number of its own that its birth repeats."""
        self._alive = False
        self._birth, self._spent = (self._birth + self._spent) % 256, True
        self._memory.write_text(str(self._birth), encoding="ascii")
        client.will_set(self._topic("NDEATH"), self._death(), qos=1)

    def _on_connect(self, client: paho.Client, _: Any, __: Any, code: ReasonCode, ___: Any) -> None:
        if code.is_failure:
            self._why = f"the broker refuses us: {code}"
            log.warning("a broker refuses us", host=self._config.host, why=str(code))
            return
        client.subscribe(self._topic("NCMD"), options=_again())
        self._bear_all()
        log.info("a broker is there", host=self._config.host)
        self._connected()

    def _on_connect_fail(self, *_: Any) -> None:
        self._spent = False  # not even a wire to the broker
        self._why = f"no connection to the broker at {self._config.shown}"

    def _on_disconnect(self, _: paho.Client, __: Any, ___: Any, code: ReasonCode, ____: Any) -> None:
        self._why = f"the connection to the broker at {self._config.shown} was lost: {code}"
        with self._answered:
            self._alive = False
            self._answered.notify_all()

    def _on_subscribe(self, _: paho.Client, __: Any, mid: int, codes: list[ReasonCode], ___: Any) -> None:
        with self._answered:
            self._answers.add(mid)
            self._answered.notify_all()

    def _on_message(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        try:
            asked = commands(bytes(message.payload))
        except Garbled as error:
            log.warning("a Sparkplug command makes no sense", problem=str(error))
            return
        if asked.get(REBIRTH):
            log.info("a Sparkplug host asks for a rebirth", host=self._config.host)
            self._bear_all()


def metrics_of(message: OutboundMessage, *, now: datetime) -> list[Metric]:
    """A message as metrics."""
    data = json.loads(message.body)["data"]
    historical = now - message.at > timedelta(seconds=HISTORICAL_S)
    kind = message.kind.capitalize()
    found = [
        Metric(f"{kind}/{name}", type, _value(type, data.get(key)), message.at, historical)
        for name, (type, key) in METRICS[message.kind].items()
    ]
    return [*found, Metric(f"{kind}/Message", "String", message.body, message.at, historical)]


def _value(type: str, said: Any) -> Value:
    if type == "Boolean":
        return said is not None
    if said is None:
        return None
    return float(said) if type == "Double" else str(said)


def _again() -> SubscribeOptions:
    return SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)


def _read_number(memory: Path) -> int:
    """The `bdSeq` of the last connection; -1 before the first, which is then 0."""
    try:
        return int(memory.read_text(encoding="ascii")) % 256
    except (FileNotFoundError, ValueError):
        return -1
