"""Starts the senders of `outbound.yaml`, and lets every transaction that has something to tell keep it."""

from __future__ import annotations

from typing import Any

import structlog
from sqlmodel import Session

from qc.errors import Unavailable
from server.context import Context
from server.events import Event
from server.outbound import outbox
from server.outbound.config import FILE, KINDS, Address, OutboundConfig, SparkplugConfig, WebhookConfig, read_config
from server.outbound.messages import message_of
from server.outbound.sender import Carrier, Sender
from server.outbound.webhook import WebhookCarrier

log = structlog.get_logger(__name__)


class Outbound:
    """Everybody who is told something. A `server.context.Part`."""

    def __init__(self, context: Context, config: OutboundConfig) -> None:
        self.config = config
        self._context = context
        self.senders: dict[str, Sender] = {}
        with context.database.write() as session:
            outbox.sweep(session)
            session.commit()
        try:
            for name, address in config.addresses.items():
                self.senders[name] = Sender(name, address, self._carrier(name, address), context)
        except BaseException:
            self.stop()
            raise
        context.events.keep(self._keep)
        for kind in KINDS:
            context.events.call(kind, self._wake)
        for sender in self.senders.values():
            sender.start()

    def state(self) -> dict[str, Any]:
        """For /health."""
        shown = {name: sender.shown() for name, sender in self.senders.items()}
        bad = {name: one.message for name, one in shown.items() if one.state in ("away", "off")}
        message = {"message": "; ".join(f"{name}: {why}" for name, why in bad.items())} if bad else {}
        told = {name: one.state for name, one in shown.items()}
        return {"state": "degraded" if bad else "ok", **message, "addresses": told}

    def stop(self) -> None:
        """End every sender; what waits is told after the next start."""
        for sender in self.senders.values():
            sender.ask_to_stop()  # all at once, so that waiting for one is waiting for all
        for sender in self.senders.values():
            sender.stop()

    def _carrier(self, name: str, address: Address) -> Carrier:
        if isinstance(address, WebhookConfig):
            return WebhookCarrier(address, self.config.allowed)
        try:
            from server.outbound.mqtt import MqttCarrier
            from server.outbound.sparkplug import SparkplugCarrier
        except ModuleNotFoundError as error:
            raise Unavailable(f"{name} needs MQTT, which is not installed: pip install 'qc-line[plant]'") from error
        if isinstance(address, SparkplugConfig):
            memory = self._context.settings.folder("outbound") / f"{name}.bdseq"
            return SparkplugCarrier(address, self._context, memory=memory, connected=lambda: self._connected(name))
        return MqttCarrier(name, address, self._context, connected=lambda: self._connected(name))

    def _connected(self, name: str) -> None:
        if name in self.senders:
            self.senders[name].try_now()

    def _keep(self, session: Session, event: Event) -> None:
        """In the transaction of what happened: keep it for everybody who is told that."""
        if event.kind not in KINDS:
            return
        names = [name for name, sender in self.senders.items() if event.kind in sender.config.tell and not sender.off]
        if names:
            outbox.add(session, message_of(self._context, session, event), names)

    def _wake(self, event: Event) -> None:
        for sender in self.senders.values():
            sender.wake()


def start(context: Context) -> Outbound | None:
    """The senders, or None without an `outbound.yaml`.

    Raises:
        InvalidInput: the file makes no sense.
        Unavailable: a file that it names cannot be read.
    """
    config = read_config(context.settings.home.resolve() / FILE)
    return None if config is None or not config.addresses else Outbound(context, config)
