"""A client of an MQTT broker, as `outbound.yaml` describes it and before anything is told or heard."""

from __future__ import annotations

import ssl

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from qc.errors import Unavailable
from server.outbound.config import MqttConfig


def client_of(config: MqttConfig, *, manual_ack: bool = False) -> paho.Client:
    """Not connected yet; speaks MQTT 5, over TLS where it is wished, and comes back by itself after a loss.

    Args:
        config: address, account, certificate authorities, patience.
        manual_ack: what is heard is acknowledged by whoever hears it.

    Raises:
        Unavailable: the file of certificate authorities cannot be read.
    """
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=config.client_id, protocol=paho.MQTTv5, manual_ack=manual_ack
    )
    if config.user is not None:
        client.username_pw_set(config.user, config.password.get_secret_value() if config.password else None)
    if config.tls:
        try:
            client.tls_set_context(ssl.create_default_context(cafile=config.ca))
        except OSError as error:
            raise Unavailable(f"{config.ca} holds no certificate authorities that can be read") from error
    client.connect_timeout = min(5.0, config.timeout_s)
    client.reconnect_delay_set(min_delay=1, max_delay=max(1, min(60, int(config.longest_pause_s))))
    return client
