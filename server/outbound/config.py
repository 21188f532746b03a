"""`QC_HOME/outbound.yaml`: who is told what, over what.

::

    allow: [mes.plant.local, 10.20.0.0/16]    # inner hosts and networks that webhooks may go to
    webhooks:
      mes:
        url: https://mes.plant.local/hooks/qc
        secret: whsec_…                       # shared with the receiver: `qc outbound secret` makes one
        old_secret: whsec_…                   # signs too, while the receiver changes over
        tell: [inspection, alarm]             # left out: everything
    mqtt:
      plant:
        host: broker.plant.local
        topic: acme/ulm/finishing/line-3      # enterprise/site/area/line
        cells: {brush-1: cell-7}              # station or step -> cell; left out: its own name
        user: qc
        password: …
        tls: true
    sparkplug:                                # the same, for hosts that speak Sparkplug B
      scada: {host: broker.plant.local, group: ulm, node: line-3}

Without the file nothing is told and nothing is kept. Secrets of it never leave it: they are in no log and no message.
"""

from __future__ import annotations

import base64
import binascii
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from qc.errors import InvalidInput
from qc.plain_yaml import parsed
from server.outbound.reach import Allowed, allowed_hosts

FILE = "outbound.yaml"

Kind = Literal["inspection", "decision", "call", "part", "alarm", "recommendation"]
KINDS: tuple[Kind, ...] = ("inspection", "decision", "call", "part", "alarm", "recommendation")

PREFIX = "whsec_"

Name = Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class AddressConfig(_Strict):
    """What every address has."""

    tell: tuple[Kind, ...] = KINDS
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """For one attempt, all in all."""
    longest_pause_s: Annotated[float, Field(ge=1, le=3600)] = 300.0
    """Between two attempts; pauses begin at a second and double."""
    alarm_after_s: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    """An address that could not be told anything for so long raises an alarm."""
    keep: Annotated[int, Field(ge=100, le=10_000_000)] = 200_000
    """Messages that wait at most; beyond that the oldest are dropped, counted and told in the alarm. A number, not an
    age: a clock that jumps loses nothing."""
    ca: Path | None = None
    """File of the certificate authorities to trust, PEM; left out: the system's."""


class WebhookConfig(AddressConfig):
    """A receiver of webhooks."""

    url: Annotated[str, Field(max_length=2000)]
    secret: SecretStr
    old_secret: SecretStr | None = None

    @field_validator("secret", "old_secret")
    @classmethod
    def _sound(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            key_of(secret.get_secret_value())
        return secret

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
        except ValueError:
            sound = False
        if not sound or not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError("must be an address such as https://mes.example.com/hooks/qc")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise ValueError("must hold neither user nor password nor a # part; the signature says who sends")
        return url

    @property
    def shown(self) -> str:
        """The address without path and query, which may hold a token."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


class MqttConfig(AddressConfig):
    """How a broker is reached."""

    host: Annotated[str, Field(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """Left out: 1883, with TLS 8883."""
    tls: bool = False
    user: str | None = None
    password: SecretStr | None = None
    client_id: Annotated[str, Field(min_length=1, max_length=128)] = "qc-line"
    """The broker's name for this installation; two that share one throw each other out."""
    cells: dict[str, Annotated[str, Field(pattern=r"^[^+#$/\x00]+$", max_length=64)]] = {}
    """Station or step -> its name in topics; left out: its own."""

    @property
    def at(self) -> int:
        """The port."""
        return self.port or (8883 if self.tls else 1883)

    @property
    def shown(self) -> str:
        """The broker's address."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.at}"


class BrokerConfig(MqttConfig):
    """An MQTT broker that is told JSON."""

    topic: Annotated[str, Field(pattern=r"^[^/+#$\x00][^+#\x00]*[^/+#\x00]$", max_length=200)]
    """ISA-95 names from the enterprise down to the line."""
    hear: bool = True
    """Take outcomes and requests of the line from `…/in/…` too."""


class SparkplugConfig(MqttConfig):
    """An MQTT broker that is told Sparkplug B."""

    client_id: Annotated[str, Field(min_length=1, max_length=128)] = "qc-line-sparkplug"
    group: Annotated[str, Field(pattern=r"^[^+#/\x00]+$", max_length=128)]
    """Sparkplug's group: a site, or an area."""
    node: Annotated[str, Field(pattern=r"^[^+#/\x00]+$", max_length=128)]
    """Sparkplug's edge node: this server."""


Address = WebhookConfig | BrokerConfig | SparkplugConfig


class OutboundConfig(_Strict):
    """The whole file."""

    allow: tuple[str, ...] = ()
    webhooks: dict[Name, WebhookConfig] = {}
    mqtt: dict[Name, BrokerConfig] = {}
    sparkplug: dict[Name, SparkplugConfig] = {}

    @cached_property
    def allowed(self) -> Allowed:
        """Inner hosts that webhooks may go to."""
        return allowed_hosts(self.allow)

    @property
    def addresses(self) -> dict[str, Address]:
        """Everybody who is told something, by name."""
        return {**self.webhooks, **self.mqtt, **self.sparkplug}

    @model_validator(mode="after")
    def _fits(self) -> OutboundConfig:
        names = sorted([*self.webhooks, *self.mqtt, *self.sparkplug])
        if twice := [name for name, next_one in pairwise(names) if name == next_one]:
            raise ValueError(f"{twice[0]} is named twice, as a webhook and as a broker; give each its own name")
        try:
            allowed = allowed_hosts(self.allow)
        except InvalidInput as error:
            raise ValueError(error.message) from error
        for name, hook in self.webhooks.items():
            parts = urlsplit(hook.url)
            if parts.scheme == "http" and not allowed.named(str(parts.hostname)):
                raise ValueError(f"webhooks.{name}: http is for hosts under `allow` only; use https for all others")
        return self


def key_of(secret: str) -> bytes:
    """The key that a `whsec_…` secret stands for.

    Raises:
        ValueError: it is not `whsec_` with 24 to 64 bytes in base64; the message does not repeat it.
    """
    told = f"must be {PREFIX} followed by 24 to 64 bytes in base64; `qc outbound secret` makes one"
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(told) from error
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError(told)
    return key


def read_config(file: Path) -> OutboundConfig | None:
    """What the file says; None without it.

    Raises:
        InvalidInput: it makes no sense; the message names the place in it and never repeats what stands there.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file.name} cannot be read: {type(error).__name__}") from error
    try:
        return OutboundConfig.model_validate(parsed(text) or {})
    except yaml.YAMLError as error:  # its own words quote the line, which may hold a secret
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise InvalidInput(f"{file.name} is no YAML{where}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"] if step != "[key]") or "the file"
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"{file.name}, {place}: {message}") from None
