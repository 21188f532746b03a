"""Running the server: one process, one port, one data folder, until Ctrl-C."""

from __future__ import annotations

import fcntl
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from labeling.studio_process import account
from qc.errors import Conflict, InvalidInput, Unavailable
from server import first_login, logs, memory, pauses, tracing
from server.app import create_app
from server.context import Context
from server.settings import Settings

PATIENCE_S = 10
"""Seconds that requests in progress get when the server stops; a received part is judged after the next start."""


class _Server(uvicorn.Server):
    """uvicorn, which says when it is up and sends event listeners home when it stops."""

    def __init__(self, config: uvicorn.Config, context: Context) -> None:
        super().__init__(config)
        self._context = context

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(greeting(self._context), flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._context.events.close()  # otherwise the open event streams would be waited for
        super().handle_exit(sig, frame)


def serve(settings: Settings, *, demonstration: bool = False) -> int:
    """Serve until a signal ends it; returns the exit status.

    Raises:
        Conflict: another server uses the same data folder.
        InvalidInput: the certificate or its key makes no sense, or what traces need is not installed.
        Unavailable: the port is taken.
    """
    _check_certificate(settings)
    short, back = pauses.kept_short(), memory.given_back()
    with alone(settings), _listening(settings) as listening, tracing.exporting(settings), short, back:
        settings = settings.model_copy(update={"port": listening.getsockname()[1]})
        logs.configure(settings)
        app = create_app(settings, demonstration=demonstration)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=PATIENCE_S,
            ssl_certfile=settings.tls_certificate,
            ssl_keyfile=settings.tls_key,
        )
        server = _Server(config, app.state.context)
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
        return 0 if server.started else 1


def greeting(context: Context) -> str:
    """Where to look and how to log in."""
    settings = context.settings
    lines = ["", f"  Look here      {settings.url}"]
    if first := first_login.read(settings):
        lines.append(f"  Log in as      {first[0]}  password {first[1]}  (kept in {first_login.file(settings)})")
    else:
        lines.append("  Log in with your account (qc user add makes one, qc user password changes a password)")
    if settings.label_studio:
        lines.append(f"  Label Studio   {settings.studio_url}")
        if not settings.label_studio_url:  # our own; somebody else's has accounts of its own
            file = settings.folder("label-studio") / "account.json"
            lines.append(f"                 as {account(file).email}, password in {file}")
    if "demonstration" in context.parts:
        lines.append("  The demonstration line starts as soon as the model is loaded.")
    return "\n".join([*lines, "  Ctrl-C ends it.", ""])


def _check_certificate(settings: Settings) -> None:
    """Say what is wrong with it before anything is started; raises InvalidInput."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None:
        if key is not None:
            raise InvalidInput("QC_TLS_KEY is set without QC_TLS_CERTIFICATE; set both, or neither")
        return
    for name, file in (("QC_TLS_CERTIFICATE", certificate), ("QC_TLS_KEY", key)):
        if file is not None and not file.is_file():
            raise InvalidInput(f"{name}: there is no file {file}")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password=lambda: b"")
    except (ssl.SSLError, OSError) as error:
        raise InvalidInput(
            f"the certificate {certificate} cannot be used with {key or 'the key in it'} ({error}): both must be PEM, "
            "belong together, and the key must have no password"
        ) from error


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold the data folder; a second server on it would judge parts twice."""
    with (settings.folder(".") / "server.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(
                f"another server already runs on {settings.home.resolve()}; stop it, or set QC_HOME to another folder"
            ) from error
        yield


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((settings.host, settings.port))
        except OSError as error:
            raise Unavailable(
                f"port {settings.port} of {settings.host} cannot be used ({error.strerror}); choose another with PORT=…"
            ) from error
        yield listening
