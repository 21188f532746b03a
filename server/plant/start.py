"""Starts the stations and processes that `plant.yaml` names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import structlog

from server.context import Context
from server.plant.config import FILE, PlantConfig, read_config
from server.plant.figures import PlantFigures
from server.plant.memory import forget_part
from server.plant.modbus import StationTables
from server.plant.modbus_process import ProcessTables
from server.plant.modbus_wire import ModbusWire
from server.plant.sources import source_of
from server.plant.station import Station

if TYPE_CHECKING:
    from server.plant.opcua import OpcUaWire

log = structlog.get_logger(__name__)


class Plant:
    """Every station and process with its wire. A `server.context.Part`."""

    def __init__(self, context: Context, config: PlantConfig) -> None:
        self.stations: dict[str, Station] = {}
        self.wires: dict[str, ModbusWire] = {}
        self.processes: dict[str, ProcessTables] = {}
        self.opcua: OpcUaWire | None = None
        folder = context.settings.folder("plant")
        try:
            for name, one in config.stations.items():
                sources = [source_of(camera) for camera in one.cameras]
                memory = folder / f"{name.replace('/', '_')}.json"
                self.stations[name] = Station(name, one, context, sources, memory=memory)
                if one.modbus is not None:
                    station = self.stations[name]
                    self.wires[name] = ModbusWire(name, StationTables(station), one.modbus, lost=station.lost)
            for name, process in config.processes.items():
                self.processes[name] = ProcessTables(context, name, process.values)
                self.wires[process_wire(name)] = ModbusWire(name, self.processes[name], process.modbus)
            if served := {name: self.stations[name] for name, one in config.stations.items() if one.opcua}:
                from server.plant.opcua import OpcUaWire

                self.opcua = OpcUaWire(served, config.opcua, context)
        except BaseException:
            self.stop()
            raise

    def state(self) -> dict[str, Any]:
        """For /health."""
        told: Mapping[str, dict[str, Any]] = {
            name: {**station.state(), **({"connected": self.wires[name].clients} if name in self.wires else {})}
            for name, station in self.stations.items()
        }
        bad = {name: one["message"] for name, one in told.items() if one["state"] != "ok"}
        for name, wire in self.wires.items():
            if wire.problem is not None:
                bad[f"{name}, Modbus"] = wire.problem
        if self.opcua is not None and self.opcua.problem is not None:
            bad["OPC UA"] = self.opcua.problem
        message = {"message": "; ".join(f"{name}: {why}" for name, why in bad.items())} if bad else {}
        return {"state": "degraded" if bad else "ok", **message, "stations": told}

    def stop(self) -> None:
        """End every station and process, then its wire, whatever happens to one: until then its PLC can read."""
        parts: list[Station | ProcessTables | ModbusWire | OpcUaWire] = [
            *self.stations.values(),
            *self.processes.values(),
            *self.wires.values(),
        ]
        if self.opcua is not None:
            parts.append(self.opcua)
        for part in parts:
            try:
                part.stop()
            except Exception as error:  # the others have to be ended, too
                log.error("not ended properly", part=type(part).__name__, exc_info=error)


def forget(context: Context, part: str) -> None:
    """A part was erased: nothing in the stations' files names it any more, also of those that do not run now."""
    plant = context.parts.get("plant")
    stations = plant.stations.values() if isinstance(plant, Plant) else ()
    for station in stations:
        station.forget(part)
    running = {station.memory for station in stations}
    kept = (file for file in context.settings.folder("plant").iterdir() if file.suffix in (".json", ".untold"))
    for memory in sorted({file.with_suffix(".json") for file in kept} - running):
        forget_part(memory, part)


def process_wire(name: str) -> str:
    """What the wire of a process is called: a station may have the process's name."""
    return f"process {name}"


def start(context: Context) -> Plant | None:
    """The plant, or None without a `plant.yaml`. The stations' decide-by times become those of the installation.

    Raises:
        InvalidInput: the file makes no sense.
        Unavailable: an address is taken.
    """
    config = read_config(context.settings.home.resolve() / FILE)
    if config is None:
        return None
    times = {name: station.decide_by_s for name, station in config.stations.items()}
    context.settings = context.settings.model_copy(update={"decide_by": {**context.settings.decide_by, **times}})
    plant = Plant(context, config)
    context.metrics.registry.register(PlantFigures(plant.stations))
    return plant
