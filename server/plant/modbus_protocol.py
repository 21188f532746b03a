"""The Modbus application protocol (V1.1b3), server's side, as pure functions: a request's bytes to its answer's.

Here: read coils, discrete inputs, holding and input registers (1 to 4), write one or several coils or registers (5, 6,
15, 16), mask a register (22), write and read registers in one (23). Whatever else is asked, or is not as the
specification has it, gets the exception that the specification names, and changes nothing.

On TCP (Messaging on TCP/IP V1.0b) a request follows a header of seven bytes: transaction, protocol (0), length of what
follows, unit.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

HEADER = 7
"""Bytes before a request on TCP."""
LONGEST = 253
"""Bytes of a request or an answer, at most."""
NOT_SIGNIFICANT = (0, 0xFF)
"""Units by which a client means whoever is at the address."""
ON, OFF = 0xFF00, 0x0000


class Problem(IntEnum):
    """Why a request is not carried out."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    FAILURE = 4
    NO_SUCH_UNIT = 11


class Refused(Exception):
    """A request that is not carried out."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.name)
        self.problem = problem


class Tables(Protocol):
    """What a client reads and writes; each table begins at address 0 and is as it is at the moment of asking."""

    def coils(self) -> Sequence[bool]: ...

    def discrete_inputs(self) -> Sequence[bool]: ...

    def holding_registers(self) -> Sequence[int]: ...

    def input_registers(self) -> Sequence[int]: ...

    def write_coils(self, address: int, values: Sequence[bool]) -> None:
        """Within the table."""

    def write_registers(self, address: int, values: Sequence[int]) -> None:
        """Within the holding registers."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before a request."""

    transaction: int
    protocol: int
    size: int
    """Bytes of the request."""
    unit: int

    @property
    def is_sound(self) -> bool:
        """If not, nobody can say where the next request begins."""
        return self.protocol == 0 and 1 <= self.size <= LONGEST


def header_of(data: bytes) -> Header:
    """The header in `HEADER` bytes."""
    transaction, protocol, length, unit = struct.unpack(">HHHB", data)
    return Header(transaction, protocol, length - 1, unit)


def framed(header: Header, body: bytes) -> bytes:
    """An answer behind the header that its request came with."""
    return struct.pack(">HHHB", header.transaction, 0, len(body) + 1, header.unit) + body


def refusal(function: int, problem: Problem) -> bytes:
    """The answer to a request that is not carried out."""
    return bytes([function & 0x7F | 0x80, problem])


def answer(request: bytes, tables: Tables) -> bytes:
    """Carry out a request of at least one byte; returns its answer."""
    do = _DO.get(request[0])
    try:
        if do is None:
            raise Refused(Problem.ILLEGAL_FUNCTION)
        return request[:1] + do(request[1:], tables)
    except Refused as why:
        return refusal(request[0], why.problem)
    except struct.error:  # shorter or longer than its function has it
        return refusal(request[0], Problem.ILLEGAL_VALUE)


def _read_bits(body: bytes, table: Sequence[bool]) -> bytes:
    address, count = struct.unpack(">HH", body)
    _check(address, count, most=2000, size=len(table))
    packed = sum(bool(level) << n for n, level in enumerate(table[address : address + count]))
    return bytes([-(-count // 8)]) + packed.to_bytes(-(-count // 8), "little")


def _read_registers(body: bytes, table: Sequence[int]) -> bytes:
    address, count = struct.unpack(">HH", body)
    _check(address, count, most=125, size=len(table))
    return bytes([2 * count]) + struct.pack(f">{count}H", *table[address : address + count])


def _write_coil(body: bytes, tables: Tables) -> bytes:
    address, value = struct.unpack(">HH", body)
    if value not in (ON, OFF):
        raise Refused(Problem.ILLEGAL_VALUE)
    _check(address, 1, most=1, size=len(tables.coils()))
    tables.write_coils(address, [value == ON])
    return body


def _write_register(body: bytes, tables: Tables) -> bytes:
    address, value = struct.unpack(">HH", body)
    _check(address, 1, most=1, size=len(tables.holding_registers()))
    tables.write_registers(address, [value])
    return body


def _write_coils(body: bytes, tables: Tables) -> bytes:
    address, count, size = struct.unpack(">HHB", body[:5])
    bits = body[5:]
    if size != -(-count // 8) or len(bits) != size:
        raise Refused(Problem.ILLEGAL_VALUE)
    _check(address, count, most=1968, size=len(tables.coils()))
    tables.write_coils(address, [bool(bits[n // 8] >> n % 8 & 1) for n in range(count)])
    return body[:4]


def _write_registers(body: bytes, tables: Tables) -> bytes:
    address, count, size = struct.unpack(">HHB", body[:5])
    values = _values(count, size, body[5:])
    _check(address, count, most=123, size=len(tables.holding_registers()))
    tables.write_registers(address, values)
    return body[:4]


def _mask_register(body: bytes, tables: Tables) -> bytes:
    address, kept, added = struct.unpack(">HHH", body)
    _check(address, 1, most=1, size=len(tables.holding_registers()))
    tables.write_registers(address, [tables.holding_registers()[address] & kept | added & ~kept & 0xFFFF])
    return body


def _write_and_read_registers(body: bytes, tables: Tables) -> bytes:
    first, read, address, count, size = struct.unpack(">HHHHB", body[:9])
    values = _values(count, size, body[9:])
    _check(address, count, most=121, size=len(tables.holding_registers()))
    _check(first, read, most=125, size=len(tables.holding_registers()))  # before anything is written
    tables.write_registers(address, values)
    return _read_registers(body[:4], tables.holding_registers())


def _values(count: int, size: int, data: bytes) -> tuple[int, ...]:
    if size != 2 * count or len(data) != size:
        raise Refused(Problem.ILLEGAL_VALUE)
    return struct.unpack(f">{count}H", data)


def _check(address: int, count: int, *, most: int, size: int) -> None:
    if not 1 <= count <= most:
        raise Refused(Problem.ILLEGAL_VALUE)
    if address + count > size:
        raise Refused(Problem.ILLEGAL_ADDRESS)


_DO: Mapping[int, Callable[[bytes, Tables], bytes]] = {
    1: lambda body, tables: _read_bits(body, tables.coils()),
    2: lambda body, tables: _read_bits(body, tables.discrete_inputs()),
    3: lambda body, tables: _read_registers(body, tables.holding_registers()),
    4: lambda body, tables: _read_registers(body, tables.input_registers()),
    5: _write_coil,
    6: _write_register,
    15: _write_coils,
    16: _write_registers,
    22: _mask_register,
    23: _write_and_read_registers,
}
"""Function code -> what it does with the bytes behind it."""
