"""`QC_HOME/codes.yaml`: at which stations a code on the part gives its name. Read at start.

::

    stations:
      brush-1:
        kinds: [datamatrix, qr]           # or micro-qr; fewer are found faster
        view: top                         # the view that shows the code; left out: any may
        box: [3000, 200, 800, 800]        # x, y, width, height in px; left out: everywhere, which takes far longer
        serial: 'SN-(\\d{8}-\\d{4})'        # the whole text must fit; the group is the part's name; left out: all of it
        over_file_name: false             # true: files in the inbox are named by the code, not by their file name

A part whose name comes with its picture (REST, a PLC, a file) keeps that name, and nothing is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import structlog
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from qc.errors import InvalidInput, QcError, Unavailable
from qc.frame import Frame
from qc.plain_yaml import parsed
from server.codes import CodeRules, serial_of
from server.context import Context

log = structlog.get_logger(__name__)

FILE = "codes.yaml"


class StationCodes(BaseModel):
    """A station whose parts are marked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kinds: Annotated[list[Literal["datamatrix", "qr", "micro-qr"]], Field(min_length=1)] = ["datamatrix", "qr"]
    view: Annotated[str, Field(max_length=64)] | None = None
    box: tuple[int, int, int, int] | None = None
    serial: str | None = None
    over_file_name: bool = False

    @field_validator("box")
    @classmethod
    def _inside(cls, box: tuple[int, int, int, int] | None) -> tuple[int, int, int, int] | None:
        if box is not None and (min(box[:2]) < 0 or min(box[2:]) < 1):
            raise ValueError("a box is x, y, width, height in pixels; x and y at least 0, width and height at least 1")
        return box

    @field_validator("serial")
    @classmethod
    def _pattern(cls, serial: str | None) -> str | None:
        try:
            re.compile(serial or "")
        except re.error as error:
            raise ValueError(f"{serial!r} is no regular expression: {error}") from error
        return serial

    @property
    def rules(self) -> CodeRules:
        """As the reader wants them."""
        pattern = None if self.serial is None else re.compile(self.serial)
        return CodeRules(tuple(self.kinds), self.view, self.box, pattern)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    stations: dict[Annotated[str, Field(min_length=1, max_length=64)], StationCodes] = {}


class Codes:
    """Names parts by their codes. A `server.context.Part`."""

    def __init__(self, stations: Mapping[str, StationCodes], problem: str | None = None) -> None:
        """
        Args:
            stations: what the file says.
            problem: why the file makes no sense; no part without a name is taken then.
        """
        self._stations, self._problem = stations, problem
        self._read = self._unread = 0

    def reads(self, station: str) -> bool:
        """Does a code name the station's parts?

        Raises:
            Unavailable: the file makes no sense, so that nobody can say.
        """
        if self._problem is not None:
            raise Unavailable(f"{self._problem}; correct it and start the server again, or send the part's name")
        return station in self._stations

    def over_file_name(self, station: str) -> bool:
        """Does the code count, and not the name of a file in the inbox? Raises as `reads`."""
        return self.reads(station) and self._stations[station].over_file_name

    def name_of(self, station: str, frames: Sequence[Frame]) -> str:
        """The part's name: its serial number, by the codes in its pictures at a station that reads them.

        Raises:
            Unreadable: no code says which part it is, or two say different things.
        """
        try:
            serial = serial_of(frames, self._stations[station].rules, station=station)
        except InvalidInput:
            self._unread += 1
            raise
        self._read += 1
        return serial

    def state(self) -> dict[str, Any]:
        """For /health."""
        told = {"stations": sorted(self._stations), "read": self._read, "unreadable": self._unread}
        return {"state": "failed", "message": self._problem, **told} if self._problem else {"state": "ok", **told}

    def stop(self) -> None:
        """Nothing runs."""


def read_codes(file: Path) -> Mapping[str, StationCodes]:
    """What the file says of each station; nothing without it.

    Raises:
        InvalidInput: it says something else; the message names the place in it.
    """
    try:
        return _File.model_validate(parsed(file.read_text(encoding="utf-8")) or {}).stations
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file.name} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{file.name} is no YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"] if step != "[key]") or "the file"
        raise InvalidInput(f"{file.name}, {place}: {first['msg'].removeprefix('Value error, ')}") from error


def start(context: Context) -> Codes | None:
    """Names parts by their codes where `codes.yaml` says so; None without one."""
    file = context.settings.home.resolve() / FILE
    try:
        stations = read_codes(file)
    except QcError as error:
        log.error("codes on parts", problem=error.message)
        return Codes({}, error.message)
    return Codes(stations) if stations else None


def codes_at(context: Context, station: str) -> Codes | None:
    """What names the station's parts by their codes; None where nothing does.

    Raises:
        Unavailable: the file makes no sense, so that nobody can say.
    """
    part = context.parts.get("codes")
    if part is None:
        return None
    if not isinstance(part, Codes):
        raise Unavailable("the reader of codes on parts could not start; /health says why. Send a part's name")
    return part if part.reads(station) else None
