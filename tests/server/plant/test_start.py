"""Wires that do not come up are told, and one part that cannot be ended keeps no other one running."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from qc.errors import Unavailable
from server.plant import modbus_wire
from server.plant.config import ModbusConfig, PlantConfig
from server.plant.modbus import StationTables
from server.plant.start import Plant
from server.settings import Settings


class Ended:
    """Something to end, which may refuse."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble, self.is_over = trouble, False

    def stop(self) -> None:
        self.is_over = True
        if self.trouble is not None:
            raise self.trouble


def test_one_part_that_cannot_be_ended_keeps_no_other_one_running(tmp_path):
    plant = Plant(SimpleNamespace(settings=Settings(home=tmp_path)), PlantConfig())
    plant.stations = {"a": Ended(OSError("the disk is gone")), "b": Ended()}
    plant.wires = {"a": Ended(TimeoutError()), "b": Ended()}
    plant.opcua = Ended()
    plant.stop()
    parts = [*plant.stations.values(), *plant.wires.values(), plant.opcua]
    assert [part.is_over for part in parts] == [True] * 5


def test_a_wire_that_does_not_come_up_is_told(monkeypatch):
    over = threading.Event()

    async def hang(*_):
        await asyncio.to_thread(over.wait, 60)
        raise OSError("at last")

    monkeypatch.setattr(modbus_wire, "START_S", 0.05)
    monkeypatch.setattr(modbus_wire.asyncio, "start_server", hang)
    with pytest.raises(Unavailable, match="has not come up"):
        modbus_wire.ModbusWire("press", StationTables(None), ModbusConfig(port=0))
    over.set()


def test_a_wire_that_ends_before_it_listens_is_told_whatever_the_reason(monkeypatch):
    async def fail(*_):
        raise ValueError("no such table")

    monkeypatch.setattr(modbus_wire.asyncio, "start_server", fail)
    with pytest.raises(Unavailable, match="no such table"):
        modbus_wire.ModbusWire("press", StationTables(None), ModbusConfig(port=0))
