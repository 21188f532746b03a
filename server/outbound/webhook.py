"""Signed webhooks, by the Standard Webhooks specification, version 1.0.

Each attempt carries `webhook-id` (the same for a message at every attempt), `webhook-timestamp` (of the attempt, Unix
seconds) and `webhook-signature`: `v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64; two of them, with a blank
between, while an old secret is still in use. Whoever receives it checks the signature, refuses old timestamps, answers
2xx soon, and works afterwards; an id that it has seen it answers with 2xx again.
"""

from __future__ import annotations

import re
import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpcore
from standardwebhooks import Webhook

from qc.errors import Unavailable
from server.outbound.config import WebhookConfig
from server.outbound.reach import Allowed, CheckedNetwork, NotReachable
from server.outbound.records import OutboundMessage
from server.outbound.sender import Failed, Gone

GONE = 410


class WebhookCarrier:
    """Posts to one receiver. A `server.outbound.sender.Carrier`.

    Every attempt has a connection of its own, so that the address is checked anew; redirects are not followed, proxies
    of the environment are not used, and of the answer nothing but the status and Retry-After is read.
    """

    def __init__(self, config: WebhookConfig, allowed: Allowed) -> None:
        self._config, self._allowed = config, allowed
        secrets = [config.secret, *([config.old_secret] if config.old_secret else [])]
        self._signers = [Webhook(secret.get_secret_value()) for secret in secrets]
        try:
            self._tls = ssl.create_default_context(cafile=config.ca)
        except OSError as error:
            raise Unavailable(f"{config.ca} holds no certificate authorities that can be read") from error

    def send(self, message: OutboundMessage) -> None:
        """Post one message; raises Failed or Gone."""
        status, again = self._post(message)
        if 200 <= status < 300:
            return
        if status == GONE:
            raise Gone("it answered 410, gone: it wants no more")
        if 300 <= status < 400:
            raise Failed(f"it answered {status}, a redirect, which is not followed; put the new address in the file")
        raise Failed(f"it answered {status}", again_s=seconds_asked(again))

    def close(self) -> None:
        """Nothing is held."""

    def _post(self, message: OutboundMessage) -> tuple[int, str]:
        """The status of the answer, and its Retry-After."""
        network = CheckedNetwork(self._allowed, self._config.timeout_s)
        try:
            with (
                httpcore.ConnectionPool(self._tls, max_connections=1, network_backend=network) as pool,
                pool.stream(
                    "POST", self._config.url, headers=self._headers(message), content=message.body.encode()
                ) as answer,
            ):
                asked = next((v for n, v in answer.headers if n.lower() == b"retry-after"), b"")
                return answer.status, asked.decode("latin-1").strip(" \t")
        except NotReachable as error:
            raise Failed(error.message) from error
        except httpcore.TimeoutException as error:
            raise Failed(f"no answer within {self._config.timeout_s:g} s") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise Failed(f"no connection: {error or type(error).__name__}") from error

    def _headers(self, message: OutboundMessage) -> dict[bytes | str, bytes | str]:
        now = int(time.time())
        moment = datetime.fromtimestamp(now, UTC)
        return {
            "Content-Type": "application/json",
            "User-Agent": "qc-line",
            "webhook-id": message.id,
            "webhook-timestamp": str(now),
            "webhook-signature": " ".join(s.sign(message.id, moment, message.body) for s in self._signers),
        }


def seconds_asked(text: str) -> float | None:
    """What a Retry-After header asks for, in seconds: a number, or a date; None where it says nothing sensible."""
    if re.fullmatch("[0-9]+", text):
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
