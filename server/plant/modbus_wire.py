"""A server of Modbus TCP: tables that clients read and write, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable

import structlog

from qc.errors import Unavailable
from server.plant import modbus_protocol
from server.plant.config import ModbusConfig
from server.plant.modbus_protocol import HEADER, NOT_SIGNIFICANT, Header, Problem, Tables, framed, header_of, refusal

log = structlog.get_logger(__name__)

START_S = 10.0
"""For so long whoever starts it waits for it to listen, in seconds."""
MOST_CLIENTS = 16
"""Connected at the same time; for one more, whoever was silent for the longest time has to go."""
SILENT_S, PROBE_S, PROBES = 5, 2, 3
"""After so many silent seconds it is asked, every so many seconds and so many times, whether a client is still there:
one that lost its power says no good-bye, and would count as connected for ever."""


class ModbusWire:
    """Serves tables to whoever connects."""

    def __init__(
        self, name: str, tables: Tables, config: ModbusConfig, *, lost: Callable[[], None] = lambda: None
    ) -> None:
        """
        Args:
            name: whose tables they are.
            lost: called when nobody is connected any more.

        Raises:
            Unavailable: nobody can listen at the address.
        """
        self._name, self._tables, self._config, self._lost = name, tables, config, lost
        self._clients: OrderedDict[asyncio.StreamWriter, None] = OrderedDict()
        """Whoever said something last stands last."""
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._up = threading.Event()
        self._problem: Exception | None = None
        self.port = 0
        """The port that is listened on."""
        self._thread = threading.Thread(target=self._run, name=f"modbus-{name}", daemon=True)
        self._thread.start()
        if not self._up.wait(START_S):
            raise Unavailable(f"{name}: Modbus has not come up at {config.host}:{config.port} within {START_S:g} s")
        if self._problem is not None:
            raise Unavailable(
                f"{name}: nobody can listen for the PLC at {config.host}:{config.port} ({self._problem})"
            ) from self._problem

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    @property
    def problem(self) -> str | None:
        """Why no PLC can talk to it; None: it listens."""
        return None if self._thread.is_alive() else "nobody listens for the PLC any more; start the server again"

    def stop(self) -> None:
        """Hang up."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:  # said by whoever started the wire, or in the log once it is up
            if self._up.is_set():
                log.error("Modbus has ended", of=self._name, exc_info=error)
            self._problem = error
        finally:
            self._loop.close()
            self._up.set()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._talk, self._config.host, self._config.port)
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            log.info("listening for a PLC", of=self._name, host=self._config.host, port=self.port)
            self._up.set()
            await self._over.wait()
            while self._clients:  # each leaves the list when its talk is over
                for client in self._clients:
                    client.transport.abort()
                await asyncio.sleep(0)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it is gone: its requests one after the other, in the order in which they came."""
        self._let_in(writer)
        try:
            _probe(writer)
            while True:
                header = header_of(await reader.readexactly(HEADER))
                if not header.is_sound:
                    log.warning("a client does not speak Modbus", of=self._name)
                    return
                request = await reader.readexactly(header.size)
                if writer in self._clients:
                    self._clients.move_to_end(writer)
                writer.write(framed(header, self._answer(header, request)))
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass  # it is gone
        finally:
            writer.transport.abort()
            self._clients.pop(writer, None)
            if not self._clients:
                self._lost()

    def _let_in(self, client: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MOST_CLIENTS:
            quiet, _ = self._clients.popitem(last=False)
            quiet.transport.abort()
            log.warning("too many are connected; the most silent one had to go", of=self._name)
        self._clients[client] = None

    def _answer(self, header: Header, request: bytes) -> bytes:
        if header.unit not in (self._config.unit, *NOT_SIGNIFICANT):
            return refusal(request[0], Problem.NO_SUCH_UNIT)
        try:
            return modbus_protocol.answer(request, self._tables)
        except Exception:  # a mistake of ours: this request fails, and the PLC is told so
            log.exception("a request over Modbus failed", of=self._name)
            return refusal(request[0], Problem.FAILURE)


def _probe(client: asyncio.StreamWriter) -> None:
    """Notice when a client vanishes without a good-bye."""
    wire: socket.socket = client.get_extra_info("socket")
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_S)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_S)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
