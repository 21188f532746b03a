"""Every other system that this installation is connected with, and trying whether it answers.

Trying asks for real, with what is configured, and never sends a part or a verdict anywhere.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpcore
import httpx

from labeling.studio import answers
from qc.errors import NotFound, QcError, Unavailable
from server.blobs.near_and_far import NearAndFar
from server.context import Context
from server.outbound.config import WebhookConfig
from server.outbound.reach import Allowed, CheckedNetwork
from server.outbound.start import Outbound

PATIENCE_S = 8.0
"""How long another system may take to answer a trial."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Another system."""

    name: str
    kind: str
    """database, pictures, label-studio, identity, engine, mlflow, webhook or mqtt."""
    to: str
    """Where it is, without secrets."""
    ask: Callable[[], None]
    """Raises QcError, or httpx's or httpcore's errors, where it does not answer as it should."""


@dataclass(frozen=True, slots=True)
class Tried:
    """How a trial ended."""

    ok: bool
    problem: str
    """Empty where it answered."""
    elapsed_ms: float


def connections(context: Context) -> list[Connection]:
    """Those that are configured, in the order in which a part needs them."""
    settings = context.settings
    found = [
        Connection("database", "database", context.database.dialect, context.database.check),
        Connection("pictures", "pictures", settings.blobs or "QC_HOME/blobs", lambda: _try_blobs(context)),
    ]
    if settings.engine_url:
        ready = f"{settings.engine_url.rstrip('/')}/v2/health/ready"
        found.append(Connection("engine", "engine", settings.engine_url, lambda: _get(ready, key=settings.engine_key)))
    if settings.label_studio:
        found.append(
            Connection("label-studio", "label-studio", settings.studio_url, lambda: _try_studio(settings.studio_url))
        )
    if settings.oidc_issuer:
        about = f"{settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration"
        found.append(Connection("identity", "identity", settings.oidc_issuer, lambda: _get(about)))
    if settings.mlflow:
        health = f"{settings.mlflow.rstrip('/')}/health"
        found.append(Connection("mlflow", "mlflow", settings.mlflow, lambda: _get(health)))
    outbound = context.parts.get("outbound")
    if isinstance(outbound, Outbound):
        allowed = outbound.config.allowed
        for name, config in sorted(outbound.config.addresses.items()):
            if isinstance(config, WebhookConfig):
                address = httpx.URL(config.url)
                host, port, kind = address.host, address.port or (443 if address.scheme == "https" else 80), "webhook"
            else:
                host, port, kind = config.host, config.at, "mqtt"
            found.append(
                Connection(name, kind, config.shown, _reach(host, port, allowed if kind == "webhook" else None))
            )
    return found


def try_one(context: Context, name: str) -> Tried:
    """Ask another system whether it answers; raises NotFound for one that is not configured."""
    one = next((c for c in connections(context) if c.name == name), None)
    if one is None:
        raise NotFound(f"no connection is called {name}")
    began, problem = time.perf_counter(), ""
    try:
        one.ask()
    except QcError as error:
        problem = error.message
    except Exception as error:  # whatever a driver raises is what the person wants to know
        problem = f"{type(error).__name__}: {error}"
    return Tried(ok=not problem, problem=problem, elapsed_ms=round(1000 * (time.perf_counter() - began), 1))


def _get(address: str, *, key: str = "") -> None:
    """Raises Unavailable unless the answer is 200."""
    host = httpx.URL(address).host
    head = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(timeout=PATIENCE_S, trust_env=host not in ("127.0.0.1", "localhost", "::1")) as client:
        status = client.get(address, headers=head).status_code
    if status != 200:
        raise Unavailable(f"it answered {status}")


def _try_studio(url: str) -> None:
    if not answers(url, patience_s=PATIENCE_S):
        raise Unavailable("Label Studio does not answer")


def _try_blobs(context: Context) -> None:
    """Write, read and remove some bytes, where the pictures lie in the end."""
    key, data = f"trials/{secrets.token_hex(8)}", secrets.token_bytes(64)
    if isinstance(context.blobs, NearAndFar):
        far = context.blobs.far
        far.put(key, data, sha256=hashlib.sha256(data).hexdigest())
        read, _ = far.get(key)
        far.delete(key)
    else:
        context.blobs.put(key, data)
        read = context.blobs.get(key)
        context.blobs.delete(key)
    if read != data:
        raise Unavailable("what was written came back different")


def _reach(host: str, port: int, allowed: Allowed | None) -> Callable[[], None]:
    """Open a connection and end it; where `allowed` says which addresses may be told, to those only."""

    def ask() -> None:
        network = CheckedNetwork(allowed, PATIENCE_S) if allowed is not None else httpcore.SyncBackend()
        network.connect_tcp(host, port, timeout=PATIENCE_S).close()

    return ask
