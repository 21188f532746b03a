"""Modbus TCP: the PLC is the client, every station a server with one register map.

| kind (function codes) | address | what |
|---|---|---|
| coil (1, 5, 15), written by the PLC | 0 | trigger |
| | 1 | acknowledge |
| discrete input (2), read by the PLC | 0 | ready |
| | 1 | busy |
| | 2 | results ready |
| | 3 | ok |
| | 4 | ng |
| | 5 | review (ng is set, too) |
| | 6 | error (ng is set, too) |
| | 7 | old: the result was acknowledged, or is from before a restart |
| holding register (3, 6, 16, 22, 23), written by the PLC | 0 | recipe |
| | 1 | life: any number that changes |
| | 2 to 33 | name of the part: ASCII, two characters a register, the first in the high byte; a zero ends it |
| input register (4), read by the PLC | 0 | heartbeat: one more at each reading |
| | 1 | error code (`handshake.Fault`) |
| | 2, 3 | number of the trigger that the result answers, high word first |
| | 4, 5 | first trigger that it answers: another one where the PLC overran it |
| | 6 | score, 0 to 10000 |
| | 7 | defects that count, at most 65535 |
| | 8, 9 | milliseconds from trigger to result |
| | 10 | recipe as heard |
| | 11, 12 | triggers seen so far |
| | 16 to 33 | id of the inspection, ASCII, two characters a register |
| | 34 to 65 | name of the part as inspected |

Recipe and name are read when trigger rises: write them before it. Coils read as set until the PLC has written them.
Requests of one client are carried out in the order in which they were sent, also where it does not wait for answers.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import OrderedDict
from collections.abc import Sequence

import structlog

from qc.errors import Unavailable
from server.plant import modbus_protocol
from server.plant.config import ModbusConfig
from server.plant.handshake import Inputs
from server.plant.modbus_protocol import HEADER, NOT_SIGNIFICANT, Header, Problem, framed, header_of, refusal
from server.plant.station import Shown, Station

log = structlog.get_logger(__name__)

COILS, HOLDING, DISCRETE, INPUT = 16, 34, 16, 66
"""How many of each there are."""
PART, PART_WORDS = 2, 32
INSPECTION, INSPECTION_WORDS = 16, 18
PART_BACK = 34

START_S = 10.0
"""For so long whoever starts it waits for it to listen, in seconds."""
MOST_CLIENTS = 16
"""Connected at the same time; for one more, whoever was silent for the longest time has to go."""
SILENT_S, PROBE_S, PROBES = 5, 2, 3
"""After so many silent seconds it is asked, every so many seconds and so many times, whether a client is still there:
one that lost its power says no good-bye, and would count as connected for ever."""


class ModbusWire:
    """Serves one station over Modbus TCP, in a thread with an event loop of its own."""

    def __init__(self, station: Station, config: ModbusConfig) -> None:
        """Raises Unavailable where nobody can listen at the address."""
        self._station, self._config = station, config
        self._tables = StationTables(station)
        self._clients: OrderedDict[asyncio.StreamWriter, None] = OrderedDict()
        """Whoever said something last stands last."""
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._up = threading.Event()
        self._problem: Exception | None = None
        self.port = 0
        """The port that is listened on."""
        self._thread = threading.Thread(target=self._run, name=f"modbus-{station.name}", daemon=True)
        self._thread.start()
        if not self._up.wait(START_S):
            raise Unavailable(
                f"{station.name}: Modbus has not come up at {config.host}:{config.port} within {START_S:g} s"
            )
        if self._problem is not None:
            raise Unavailable(
                f"{station.name}: nobody can listen for the PLC at {config.host}:{config.port} ({self._problem})"
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
                log.error("Modbus has ended", station=self._station.name, exc_info=error)
            self._problem = error
        finally:
            self._loop.close()
            self._up.set()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._talk, self._config.host, self._config.port)
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            log.info("listening for a PLC", station=self._station.name, host=self._config.host, port=self.port)
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
                    log.warning("a client does not speak Modbus", station=self._station.name)
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
                self._station.lost()

    def _let_in(self, client: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MOST_CLIENTS:
            quiet, _ = self._clients.popitem(last=False)
            quiet.transport.abort()
            log.warning("too many are connected; the most silent one had to go", station=self._station.name)
        self._clients[client] = None

    def _answer(self, header: Header, request: bytes) -> bytes:
        if header.unit not in (self._config.unit, *NOT_SIGNIFICANT):
            return refusal(request[0], Problem.NO_SUCH_UNIT)
        try:
            return modbus_protocol.answer(request, self._tables)
        except Exception:  # a mistake of ours: this request fails, and the PLC is told so
            log.exception("a request over Modbus failed", station=self._station.name)
            return refusal(request[0], Problem.FAILURE)


class StationTables:
    """One station's tables: what is read is made at that moment, what is written is heard. `modbus_protocol.Tables`."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._coils = [True] * COILS
        self._holding = [0] * HOLDING
        self._beat = 0

    def coils(self) -> Sequence[bool]:
        """As the PLC wrote them, set until then."""
        return self._coils

    def discrete_inputs(self) -> Sequence[bool]:
        """The station's signals."""
        return discrete_inputs(self._station.shown())

    def holding_registers(self) -> Sequence[int]:
        """As the PLC wrote them."""
        return self._holding

    def input_registers(self) -> Sequence[int]:
        """The station's result, with a beat that is another one at each reading."""
        self._beat = (self._beat + 1) & 0xFFFF
        return input_registers(self._station.shown(), self._beat)

    def write_coils(self, address: int, values: Sequence[bool]) -> None:
        """The PLC's signals."""
        self._coils[address : address + len(values)] = values
        self._hear()

    def write_registers(self, address: int, values: Sequence[int]) -> None:
        """The PLC's recipe, name of the part, and sign of life."""
        self._holding[address : address + len(values)] = values
        self._hear()

    def _hear(self) -> None:
        self._station.heard(
            Inputs(
                trigger=self._coils[0],
                acknowledge=self._coils[1],
                recipe=self._holding[0],
                part=text_of(self._holding[PART : PART + PART_WORDS]),
                life=self._holding[1],
            )
        )


def _probe(client: asyncio.StreamWriter) -> None:
    """Notice when a client vanishes without a good-bye."""
    wire: socket.socket = client.get_extra_info("socket")
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_S)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_S)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)


def discrete_inputs(shown: Shown) -> list[bool]:
    """All discrete inputs."""
    s = shown.signals
    levels = [s.ready, s.busy, s.results_ready, s.ok, s.ng, s.review, s.error, s.old]
    return levels + [False] * (DISCRETE - len(levels))


def input_registers(shown: Shown, beat: int) -> list[int]:
    """All input registers, 16 bits each."""
    words = [0] * INPUT
    words[0], words[10] = beat, shown.recipe
    words[11:13] = _long(shown.number)
    reply = shown.reply
    if reply is not None:
        words[1] = int(reply.fault)
        words[2:4], words[4:6] = _long(reply.number), _long(reply.since)
        words[6], words[7] = round(10_000 * reply.score), min(reply.defects, 0xFFFF)
        words[8:10] = _long(round(reply.elapsed_ms))
        words[INSPECTION : INSPECTION + INSPECTION_WORDS] = words_of(reply.inspection, INSPECTION_WORDS)
        words[PART_BACK : PART_BACK + PART_WORDS] = words_of(reply.part, PART_WORDS)
    return words


def words_of(text: str, count: int) -> list[int]:
    """ASCII text in `count` registers, two characters each, filled with zeros; what does not fit is cut."""
    data = text.encode("ascii", "replace")[: 2 * count].ljust(2 * count, b"\0")
    return [data[n] << 8 | data[n + 1] for n in range(0, 2 * count, 2)]


def text_of(words: Sequence[int]) -> str:
    """The text in registers, up to the first zero; bytes beyond ASCII stay visible, so that they can be refused."""
    data = b"".join(word.to_bytes(2, "big") for word in words)
    return data.split(b"\0")[0].decode("latin-1").strip()


def _long(number: int) -> list[int]:
    return [number >> 16 & 0xFFFF, number & 0xFFFF]
