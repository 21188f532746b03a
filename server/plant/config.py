"""`QC_HOME/plant.yaml`: which stations a PLC drives, over what, and which cameras they look through.

::

    stations:
      brush-1:
        decide_by_s: 2.0                  # from trigger to result; later is an error, and ng
        recipes: {1: seat-bar, 2: hinge}  # index -> product; left out: every index is the default product
        cameras:
          - {view: top, url: "http://192.168.1.20/snapshot.jpg"}
          - {view: left, folder: /data/left}
          - {view: right, genicam: {producer: /opt/vendor/producer.cti, device: "40123456", trigger: software}}
          - {view: back, aravis: {device: "192.168.1.22", trigger: software}}
          - {view: front, stream: {url: "rtsp://192.168.1.21/main", latency_s: 0.4}}
          - {view: under, usb: {device: /dev/video0, latency_s: 0.1}}
        modbus: {host: 0.0.0.0, port: 502, unit: 1}     # or `opcua: true`
        silent_s: 0                       # the PLC must change its life number this often; 0: it need not
        picture_within_s: 1.0             # a picture comes so soon after its trigger, or never
        picture_early_s: 0.25             # it may come so long before its trigger is heard
    opcua: {host: 0.0.0.0, port: 4840, encrypted: true}     # for the stations that say so
    processes:                            # process values in and recommendations out over Modbus; over OPC UA all can
      seat-bar: {modbus: {port: 5021}, values: [s01-draw.force, s15-inspect.angle, s20-heat.temperature]}

Without the file nothing of this runs.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from qc.errors import InvalidInput
from qc.plain_yaml import parsed
from server.plant import address
from server.policies import check_product

FILE = "plant.yaml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)  # addresses hold passwords


class Trigger(StrEnum):
    """What makes a GenICam camera take a frame."""

    SOFTWARE = "software"
    """The station, when its PLC triggers."""
    HARDWARE = "hardware"
    """A wire; the frame belongs to the PLC's trigger that comes with it."""
    FREE_RUN = "free-run"
    """Nobody: the first frame that arrives after the PLC's trigger is taken."""


class GenICamConfig(_Strict):
    """A GenICam camera, see `server.plant.genicam`."""

    producer: Path
    device: str | None = None
    trigger: Trigger = Trigger.SOFTWARE
    features: dict[str, str | int | float | bool] = {}


class AravisConfig(_Strict):
    """A GigE Vision or USB3 Vision camera without a vendor's producer, see `server.plant.aravis`."""

    device: str | None = None
    """Its address, id, or name as Aravis lists it; left out where there is one."""
    trigger: Trigger = Trigger.SOFTWARE
    features: dict[str, str | int | float | bool] = {}


class StreamConfig(_Strict):
    """A camera that streams, see `server.plant.video`."""

    url: Annotated[str, Field(pattern="^rtsps?://"), AfterValidator(address.check)]
    latency_s: Annotated[float, Field(ge=0, le=30)] = 0.4
    """From taking a frame to its arrival here, at the least."""


class UsbConfig(_Strict):
    """A USB camera (V4L2), see `server.plant.video`."""

    device: Annotated[Path, Field(description="Such as /dev/video0, or better a link below /dev/v4l/by-id.")]
    width: Annotated[int, Field(ge=1)] | None = None
    height: Annotated[int, Field(ge=1)] | None = None
    fps: Annotated[int, Field(ge=1)] | None = None
    latency_s: Annotated[float, Field(ge=0, le=30)] = 0.1


class CameraConfig(_Strict):
    """A camera of a station: exactly one of `folder`, `url`, `genicam`, `aravis`, `stream` and `usb`."""

    view: Annotated[str, Field(max_length=64)] = ""
    folder: Path | None = None
    """Where the camera's software writes one picture for each trigger; a picture is taken out of it."""
    url: Annotated[str, Field(pattern="^https?://"), AfterValidator(address.check)] | None = None
    """Asked for a picture at each trigger."""
    genicam: GenICamConfig | None = None
    aravis: AravisConfig | None = None
    stream: StreamConfig | None = None
    usb: UsbConfig | None = None
    repeats: bool = False
    """True: it may give the very same bytes for two parts, as synthetic pictures do; a sensor has noise and never does.
    For folders, addresses, streams and USB. The look at the camera's health knows frozen pictures, too:
    `QC_CAMERA_CHECKS=false`."""

    @model_validator(mode="after")
    def _one_source(self) -> CameraConfig:
        ways = [self.folder, self.url, self.genicam, self.aravis, self.stream, self.usb]
        if ways.count(None) != len(ways) - 1:
            raise ValueError("a camera has either a folder, or a url, or genicam, or aravis, or stream, or usb")
        return self


class ModbusConfig(_Strict):
    """Where a station listens for its PLC."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 502
    """0: any free one; the log says which."""
    unit: Annotated[int, Field(ge=1, le=247)] = 1
    """The number by which the PLC asks for it; 0 and 255 mean it, too."""


class OpcUaConfig(_Strict):
    """Where all stations that say `opcua: true` are served."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 4840
    encrypted: bool = True
    """False: keys travel in the clear; for a wire that nobody else can reach."""


class StationConfig(_Strict):
    """A station that a PLC drives."""

    decide_by_s: Annotated[float, Field(gt=0, le=3600)]
    recipes: dict[Annotated[int, Field(ge=0, le=65535)], str] = {}
    cameras: Annotated[list[CameraConfig], Field(min_length=1)]
    modbus: ModbusConfig | None = None
    opcua: bool = False
    silent_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    picture_within_s: Annotated[float, Field(ge=0, le=60)] = 1.0
    """A camera's picture comes within so many seconds of its trigger, or never. A later one is not waited for, and
    after whatever went wrong the station is not ready before, so that a late picture never goes to the next part."""
    picture_early_s: Annotated[float, Field(ge=0, le=60)] = 0.25
    """How long before its trigger is heard a picture may lie in a camera's folder; one that lies there for longer
    belongs to no part."""

    @model_validator(mode="after")
    def _names(self) -> StationConfig:
        if (self.modbus is None) == (not self.opcua):
            raise ValueError("a station is driven either over modbus or over opcua: two masters would fight")
        for product in self.recipes.values():
            check_product(product)
        views = [camera.view for camera in self.cameras]
        if len(views) > 1 and (len(set(views)) < len(views) or "" in views):
            raise ValueError("several cameras need a view each, all different")
        return self


class ProcessConfig(_Strict):
    """A process whose values a PLC tells over Modbus, see `server.plant.modbus_process`."""

    modbus: ModbusConfig
    values: Annotated[list[str], Field(min_length=1, max_length=500)]
    """`step.setting` and `step.measurement`, in the order of their registers."""

    @model_validator(mode="after")
    def _names(self) -> ProcessConfig:
        if len(set(self.values)) < len(self.values):
            raise ValueError("a value is there twice")
        return self


class PlantConfig(_Strict):
    """The whole file."""

    stations: dict[Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")], StationConfig] = {}
    opcua: OpcUaConfig = OpcUaConfig()
    processes: dict[str, ProcessConfig] = {}

    @model_validator(mode="after")
    def _ports(self) -> PlantConfig:
        wires = [one.modbus for one in self.stations.values()] + [one.modbus for one in self.processes.values()]
        places = [(wire.host, wire.port) for wire in wires if wire is not None and wire.port]
        if len(set(places)) < len(places):
            raise ValueError("two stations or processes listen on the same host and port; give each its own")
        return self


def read_config(file: Path) -> PlantConfig | None:
    """What the file says; None without it.

    Raises:
        InvalidInput: it says something else; the message names the place in it.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file.name} cannot be read: {error}") from error
    try:
        return PlantConfig.model_validate(parsed(text) or {})
    except yaml.YAMLError as error:  # its own words quote the line, which may hold a password
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise InvalidInput(f"{file.name} is no YAML{where}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"] if step != "[key]") or "the file"
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"{file.name}, {place}: {message}") from error
