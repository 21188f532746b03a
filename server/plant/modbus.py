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
| holding register (3, 6, 16), written by the PLC | 0 | recipe |
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
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import cast

import structlog
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from qc.errors import Unavailable
from server.plant.config import ModbusConfig
from server.plant.handshake import Inputs
from server.plant.station import Shown, Station

log = structlog.get_logger(__name__)

COILS, HOLDING, DISCRETE, INPUT = 16, 34, 16, 66
"""How many of each there are; bits are padded to whole words."""
PART, PART_WORDS = 2, 32
INSPECTION, INSPECTION_WORDS = 16, 18
PART_BACK = 34

READ_DISCRETE, READ_INPUT = 2, 4
WRITE_COILS, WRITE_HOLDING = (5, 15), (6, 16, 22, 23)

START_S = 10.0
"""For so long whoever starts it waits for it to listen, in seconds."""


class ModbusWire:
    """Serves one station over Modbus TCP, in a thread with an event loop of its own."""

    def __init__(self, station: Station, config: ModbusConfig) -> None:
        """Raises Unavailable where nobody can listen at the address."""
        self._station, self._config = station, config
        self._coils = [True] * COILS
        self._holding = [0] * HOLDING
        self._clients = 0
        self._beat = 0
        self._server: ModbusTcpServer | None = None
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._problem: Exception | None = None
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
    def port(self) -> int:
        """The port that is listened on."""
        assert self._server is not None
        listening = cast(asyncio.Server, self._server.transport)
        return int(listening.sockets[0].getsockname()[1])

    @property
    def clients(self) -> int:
        """How many are connected."""
        return self._clients

    @property
    def problem(self) -> str | None:
        """Why no PLC can talk to it; None: it listens."""
        return None if self._thread.is_alive() else "nobody listens for the PLC any more; start the server again"

    def stop(self) -> None:
        """Hang up."""
        if self._server is not None and self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._hang_up(self._server), self._loop).result(5)
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
        device = SimDevice(
            self._config.unit,
            (
                [SimData(0, values=[True] * COILS, datatype=DataType.BITS)],
                [SimData(0, values=[False] * DISCRETE, datatype=DataType.BITS)],
                [SimData(0, count=HOLDING, datatype=DataType.REGISTERS)],
                [SimData(0, count=INPUT, datatype=DataType.REGISTERS)],
            ),
            action=self._accessed,
        )
        self._server = ModbusTcpServer(
            device, address=(self._config.host, self._config.port), trace_connect=self._connected
        )
        try:
            await self._server.serve_forever(background=True)
        except (RuntimeError, OSError) as error:
            self._problem, self._server = error, None
            return
        log.info("listening for a PLC", station=self._station.name, host=self._config.host, port=self.port)
        self._up.set()
        await self._server.serving

    @staticmethod
    async def _hang_up(server: ModbusTcpServer) -> None:
        await server.shutdown()  # type: ignore[no-untyped-call]

    def _connected(self, yes: bool) -> None:
        self._clients += 1 if yes else -1
        if not self._clients:
            self._station.lost()

    async def _accessed(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Called for each request before it is carried out: what is read is filled in, what is written is heard."""
        if values is not None and function in WRITE_COILS:
            self._coils[address : address + len(values)] = [bool(value) for value in values]
            self._hear()
        elif values is not None and function in WRITE_HOLDING:
            self._holding[address : address + len(values)] = [int(value) for value in values]
            self._hear()
        elif function == READ_DISCRETE:
            registers[0] = discrete(self._station.shown())
        elif function == READ_INPUT:
            self._beat = (self._beat + 1) & 0xFFFF
            registers[:INPUT] = input_registers(self._station.shown(), self._beat)
        return None

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


def discrete(shown: Shown) -> int:
    """The discrete inputs as one word, address 0 in the lowest bit."""
    s = shown.signals
    levels = (s.ready, s.busy, s.results_ready, s.ok, s.ng, s.review, s.error, s.old)
    return sum(level << n for n, level in enumerate(levels))


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
