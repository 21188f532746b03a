"""What the line says over MQTT: outcomes of parts and requests for recommendations, on the same way as REST's.

A message is acknowledged when what it says is committed, so that the broker hands it over again after a `kill -9`. An
outcome counts once however often it comes. What makes no sense is acknowledged too, as it would never make sense, and
told on `…/qc/refused` with the reason. Who may say what is the broker's to decide: its log-ins and access lists.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable

import structlog
from paho.mqtt import client as paho
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from qc.errors import InvalidInput, QcError, Unavailable
from server import process_intake
from server.context import Context
from server.outbound.config import BrokerConfig
from server.outbound.topics import parse_heard, topic
from server.process_intake import Asked, CameOf

log = structlog.get_logger(__name__)

AGAIN_S = 2.0
"""Between two attempts while the database is away, in seconds."""
MOST_BYTES = 1_000_000
WAITING = 1000
"""Messages in memory at most. The broker hands over but a few that wait for an acknowledgement; more can come only
with QoS 0, for which the sender has accepted that they may be lost."""

_OUTCOMES: TypeAdapter[CameOf | list[CameOf]] = TypeAdapter(CameOf | list[CameOf])
_REQUESTS: TypeAdapter[Asked | list[Asked]] = TypeAdapter(Asked | list[Asked])


class Hearing:
    """Does what comes in, in a thread of its own, in order."""

    def __init__(self, by: str, config: BrokerConfig, context: Context, client: paho.Client) -> None:
        """
        Args:
            by: who it is that says it, in the audit trail.
        """
        self._by, self._config, self._context, self._client = by, config, context, client
        self._what: dict[str, Callable[[str, bytes], None]] = {"outcomes": self._outcomes, "requests": self._requests}
        self._waiting: queue.Queue[paho.MQTTMessage | None] = queue.Queue(WAITING)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"hear {by}", daemon=True)
        self._thread.start()

    def hear(self, message: paho.MQTTMessage) -> None:
        """Take a message; quick."""
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            log.error("too much comes in at once over MQTT; a message with QoS 0 is dropped", topic=message.topic)

    def stop(self) -> None:
        """End; what is not acknowledged comes again."""
        self._stop.set()
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            log.debug("the thread has enough to do, and looks whether to stop after each")
        self._thread.join(timeout=3)

    def _run(self) -> None:
        while not self._stop.is_set():
            message = self._waiting.get()
            if message is None:
                return
            while not self._done(message):
                if self._stop.wait(AGAIN_S):
                    return
            self._client.ack(message.mid, message.qos)

    def _done(self, message: paho.MQTTMessage) -> bool:
        """Do what one message says; False where that must be tried again."""
        found = parse_heard(self._config.topic, message.topic)
        try:
            if found is None or found[1] not in self._what:
                raise InvalidInput(f"{found[1] if found else message.topic} is nothing that is listened to")
            if len(message.payload) > MOST_BYTES:
                raise InvalidInput(f"the message has {len(message.payload)} bytes; at most {MOST_BYTES} are taken")
            self._what[found[1]](found[2], bytes(message.payload))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            self._refuse(message, found, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
        except Unavailable as error:
            log.warning("what came over MQTT must wait", topic=message.topic, why=error.message)
            return False
        except QcError as error:
            self._refuse(message, found, error.message)
        except (SQLAlchemyError, OSError) as error:  # the database is away, the disk is full
            log.error("what came over MQTT could not be kept", topic=message.topic, exc_info=error)
            return False
        except Exception as error:  # a mistake of ours must not hold up what comes after
            log.error("unforeseen", topic=message.topic, exc_info=error)
            self._refuse(message, found, "the server made a mistake; its log has the rest")
        return True

    def _outcomes(self, process: str, payload: bytes) -> None:
        sent = _OUTCOMES.validate_json(payload)
        told = process_intake.take_outcomes(
            self._context, process, sent if isinstance(sent, list) else [sent], by=self._by
        )
        if told.reworked_without_permission:
            log.warning("rework without permission was told", parts=told.reworked_without_permission)

    def _requests(self, process: str, payload: bytes) -> None:
        """The answers go out like those to REST: through the outbox, to the cell of the step."""
        asked = _REQUESTS.validate_json(payload)
        process_intake.advise(self._context, process, asked if isinstance(asked, list) else [asked])

    def _refuse(self, message: paho.MQTTMessage, found: tuple[str, str, str] | None, why: str) -> None:
        log.warning("what came over MQTT is refused", topic=message.topic, why=why)
        cell = found[0] if found else ""
        body = json.dumps({"topic": message.topic, "why": why}, ensure_ascii=False)
        self._client.publish(topic(self._config.topic, cell, "refused", cells={}), body.encode(), qos=1)
