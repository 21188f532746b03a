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

from collections.abc import Sequence

from server.plant.handshake import Inputs
from server.plant.station import Shown, Station

COILS, HOLDING, DISCRETE, INPUT = 16, 34, 16, 66
"""How many of each there are."""
PART, PART_WORDS = 2, 32
INSPECTION, INSPECTION_WORDS = 16, 18
PART_BACK = 34


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
