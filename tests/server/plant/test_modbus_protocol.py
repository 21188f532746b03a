"""Modbus as its specification has it, read by a foreign library; and what a client may do to the wire."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client import ModbusTcpClient

from server.plant import modbus_protocol, modbus_wire
from server.plant.config import ModbusConfig
from server.plant.handshake import State, signals
from server.plant.modbus import StationTables
from server.plant.modbus_protocol import HEADER, LONGEST, Problem, header_of
from server.plant.modbus_wire import ModbusWire
from server.plant.station import Shown


class Memory:
    """Tables of 16 bits and 40 registers each, that can be compared."""

    def __init__(self) -> None:
        self.bits = [n % 3 == 0 for n in range(16)]
        self.words = [257 * n for n in range(40)]

    def coils(self) -> Sequence[bool]:
        return self.bits

    discrete_inputs = coils

    def holding_registers(self) -> Sequence[int]:
        return self.words

    input_registers = holding_registers

    def write_coils(self, address: int, values: Sequence[bool]) -> None:
        self.bits[address : address + len(values)] = values

    def write_registers(self, address: int, values: Sequence[int]) -> None:
        self.words[address : address + len(values)] = values


def said(memory: Memory, request: bytes) -> str:
    return modbus_protocol.answer(request, memory).hex()


def test_what_is_asked_and_told_is_as_in_the_specifications_examples():
    memory = Memory()
    assert said(memory, bytes.fromhex("010000000b")) == "010249" + "02", (
        "bits 0, 3, 6, 9, the first in the lowest place"
    )
    assert said(memory, bytes.fromhex("0300010002")) == "0304" + "0101" + "0202"
    assert said(memory, bytes.fromhex("050001ff00")) == "050001ff00"
    assert memory.bits[:2] == [True, True]
    assert said(memory, bytes.fromhex("0600010003")) == "0600010003"
    assert said(memory, bytes.fromhex("0f0003000a02cd01")) == "0f0003000a"
    assert memory.bits[3:13] == [True, False, True, True, False, False, True, True, True, False]
    assert said(memory, bytes.fromhex("100001000204000a0102")) == "1000010002"
    assert memory.words[1:3] == [0x0A, 0x0102]
    memory.words[4] = 0x12
    assert said(memory, bytes.fromhex("16000400f20025")) == "16000400f20025"
    assert memory.words[4] == 0x17, "of the example: 12 hex masked by F2 and 25 is 17"
    assert said(memory, bytes.fromhex("170003000200030001020063")) == "1704" + "0063" + "0017", (
        "written before it is read"
    )


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ("63", Problem.ILLEGAL_FUNCTION),
        ("0500000001", Problem.ILLEGAL_VALUE),  # neither on nor off: no trigger
        ("050000ffff", Problem.ILLEGAL_VALUE),
        ("050010ff00", Problem.ILLEGAL_ADDRESS),
        ("0f000a000a02ffff", Problem.ILLEGAL_ADDRESS),
        ("0f0000000902ff", Problem.ILLEGAL_VALUE),
        ("0f0000000901ff", Problem.ILLEGAL_VALUE),
        ("10002700020400010001", Problem.ILLEGAL_ADDRESS),
        ("1000000002020001", Problem.ILLEGAL_VALUE),
        ("0400000000", Problem.ILLEGAL_VALUE),
        ("04000007d0", Problem.ILLEGAL_VALUE),
        ("0400000029", Problem.ILLEGAL_ADDRESS),
        ("04ffff0001", Problem.ILLEGAL_ADDRESS),
        ("040000", Problem.ILLEGAL_VALUE),
        ("17002800010000000102ffff", Problem.ILLEGAL_ADDRESS),
    ],
)
def test_what_makes_no_sense_has_the_specifications_exception_and_changes_nothing(request_, problem):
    memory = Memory()
    request = bytes.fromhex(request_)
    assert modbus_protocol.answer(request, memory) == bytes([request[0] | 0x80, problem])
    assert vars(memory) == vars(Memory())


functions = st.sampled_from([1, 2, 3, 4, 5, 6, 15, 16, 22, 23]) | st.integers(0, 255)


@given(functions, st.binary(max_size=LONGEST - 1))
def test_whatever_is_sent_has_one_answer_and_no_table_changes_its_size(function, rest):
    memory = Memory()
    told = modbus_protocol.answer(bytes([function]) + rest, memory)
    assert told[0] in (function, function | 0x80)
    assert len(told) <= LONGEST
    if told[0] != function:
        assert vars(memory) == vars(Memory())
    assert (len(memory.bits), len(memory.words)) == (16, 40)
    assert all(isinstance(level, bool) for level in memory.bits)
    assert all(0 <= word <= 0xFFFF for word in memory.words)


class Heard:
    """What a wire tells its station."""

    name = "press"

    def __init__(self) -> None:
        self.inputs, self.times_lost = [], 0

    def heard(self, inputs) -> None:
        if inputs.part == "P-broken":
            raise RuntimeError("a mistake of ours")
        self.inputs.append(inputs)

    def shown(self) -> Shown:
        return Shown(signals(State()), None, 0, 0)

    def lost(self) -> None:
        self.times_lost += 1


@pytest.fixture
def station():
    return Heard()


def wire_of(station, **config) -> ModbusWire:
    return ModbusWire("press", StationTables(station), ModbusConfig(port=0, **config), lost=station.lost)


@pytest.fixture
def wire(station):
    one = wire_of(station, unit=7)
    yield one
    one.stop()


def connected(wire) -> socket.socket:
    return socket.create_connection(("127.0.0.1", wire.port), timeout=30)


def framed(transaction: int, request: bytes, *, unit: int = 7) -> bytes:
    return struct.pack(">HHHB", transaction, 0, len(request) + 1, unit) + request


def answers(client: socket.socket, many: int) -> list[tuple[int, bytes]]:
    with client.makefile("rb") as wire:
        found = []
        for _ in range(many):
            header = header_of(wire.read(HEADER))
            found.append((header.transaction, wire.read(header.size)))
        return found


def until(true) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


NAME, TRIGGER, SIGNALS = (
    bytes.fromhex("10000200010250310a"[:-2]),
    bytes.fromhex("050000ff00"),
    bytes.fromhex("0200000008"),
)


def test_a_client_that_does_not_wait_for_answers_gets_all_of_them_in_order(wire, station):
    fallen = bytes.fromhex("0f000000020100")
    asked = [fallen, NAME, TRIGGER, SIGNALS] * 50
    everything = b"".join(framed(n, request) for n, request in enumerate(asked))
    with connected(wire) as client:
        for place in range(0, len(everything), 97):  # cut anywhere, as a network may
            client.sendall(everything[place : place + 97])
        told = answers(client, len(asked))
    assert [number for number, _ in told] == list(range(len(asked)))
    assert [answer[0] for _, answer in told] == [request[0] for request in asked]
    assert [(i.trigger, i.part) for i in station.inputs[:3]] == [(False, ""), (False, "P1"), (True, "P1")]
    assert len(station.inputs) == 150


def test_who_asks_another_unit_or_meets_a_mistake_of_ours_is_told_and_may_go_on(wire, station):
    broken = b"\x10" + struct.pack(">HHB", 2, 4, 8) + b"P-broken"
    with connected(wire) as client:
        client.sendall(framed(1, TRIGGER, unit=8) + framed(2, broken) + framed(3, NAME) + framed(4, SIGNALS, unit=255))
        told = answers(client, 4)
    assert told[:2] == [(1, bytes([0x85, Problem.NO_SUCH_UNIT])), (2, bytes([0x90, Problem.FAILURE]))]
    assert [answer[0] for _, answer in told[2:]] == [16, 2]
    assert not any(inputs.part == "P-broken" for inputs in station.inputs)


def test_who_does_not_speak_modbus_is_hung_up_on(wire, station):
    with connected(wire) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(1) == b""
    until(lambda: wire.clients == 0)
    assert station.inputs == []


def test_a_crowd_does_not_lock_the_plc_out(wire, monkeypatch):
    monkeypatch.setattr(modbus_wire, "MOST_CLIENTS", 4)
    with connected(wire) as plc:
        crowd = []
        for n in range(10):
            crowd.append(connected(wire))
            plc.sendall(framed(n, SIGNALS))
            assert answers(plc, 1)[0][0] == n
        until(lambda: wire.clients <= 4)
        for one in crowd:
            one.close()


def test_a_client_that_vanishes_without_a_good_bye_counts_as_gone(station, monkeypatch):
    monkeypatch.setattr(modbus_wire, "SILENT_S", 1)
    wire = wire_of(station)
    client = ModbusTcpClient("127.0.0.1", port=wire.port)
    assert client.connect()
    assert not client.read_discrete_inputs(0, count=8).isError()
    try:
        client.socket.setsockopt(socket.IPPROTO_TCP, 19, 1)  # TCP_REPAIR: closed from now on, it says nothing
    except OSError:
        wire.stop()
        pytest.skip("only root may let a connection vanish")
    client.socket.close()
    assert (wire.clients, station.times_lost) == (1, 0)
    until(lambda: station.times_lost == 1)
    assert wire.clients == 0
    wire.stop()
