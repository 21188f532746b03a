"""Payloads of Sparkplug B 3.0 as bytes: the few fields of Eclipse Tahu's `sparkplug_b.proto` that we say and hear.

Protocol buffers by hand, as it is two dozen lines: a field is its number and kind in a varint, then a varint, eight
bytes, or a length and so many bytes. The tests read what is written here with Google's own library.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5

# Payload
_TIMESTAMP, _METRICS, _SEQ = 1, 2, 3
# Payload.Metric
_NAME, _METRIC_TIMESTAMP, _DATATYPE, _IS_HISTORICAL, _IS_NULL = 1, 3, 4, 5, 7
_INT, _LONG, _DOUBLE, _BOOLEAN, _STRING = 10, 11, 13, 14, 15

TYPES = {"Int32": 3, "UInt64": 8, "Double": 10, "Boolean": 11, "String": 12}
"""The datatypes of the specification that we use."""

Value = int | float | bool | str | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One value with its name."""

    name: str
    type: str
    """A key of `TYPES`."""
    value: Value
    """None: nothing is known of it yet."""
    at: datetime
    historical: bool = False
    """It was so then; it is not what is now."""


class Garbled(ValueError):
    """Bytes that are no payload."""


def payload(at: datetime, metrics: Sequence[Metric], seq: int | None) -> bytes:
    """A payload; `seq` is 0 to 255, and None in an NDEATH only."""
    parts = [_number(_TIMESTAMP, _ms(at)), *(_bytes(_METRICS, _metric(metric)) for metric in metrics)]
    if seq is not None:
        parts.append(_number(_SEQ, seq))
    return b"".join(parts)


def commands(data: bytes) -> dict[str, bool]:
    """The Boolean metrics of a command; others are of no use to us. Raises Garbled."""
    found = {}
    for number, body in fields(data):
        if number == _METRICS and isinstance(body, bytes):
            said = dict(fields(body))
            name, value = said.get(_NAME), said.get(_BOOLEAN)
            if isinstance(name, bytes) and isinstance(value, int):
                found[name.decode("utf-8", "replace")] = bool(value)
    return found


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message, in order: number, and a whole number or bytes. Raises Garbled."""
    place = 0
    while place < len(data):
        key, place = _read_varint(data, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = _read_varint(data, place)
            yield number, value
            continue
        if kind == BYTES:
            size, place = _read_varint(data, place)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            size = 8 if kind == EIGHT_BYTES else 4
        else:
            raise Garbled(f"there is no kind of field {kind}")
        if place + size > len(data):
            raise Garbled("the payload ends in the middle of a field")
        yield number, data[place : place + size]
        place += size


def _metric(metric: Metric) -> bytes:
    parts = [
        _bytes(_NAME, metric.name.encode()),
        _number(_METRIC_TIMESTAMP, _ms(metric.at)),
        _number(_DATATYPE, TYPES[metric.type]),
    ]
    if metric.historical:
        parts.append(_number(_IS_HISTORICAL, 1))
    value = metric.value
    if value is None:
        parts.append(_number(_IS_NULL, 1))
    elif metric.type == "String":
        parts.append(_bytes(_STRING, str(value).encode()))
    elif metric.type == "Double":
        parts.append(_varint(_DOUBLE << 3 | EIGHT_BYTES) + struct.pack("<d", value))
    elif metric.type == "Boolean":
        parts.append(_number(_BOOLEAN, int(value)))
    else:
        parts.append(_number(_LONG if metric.type == "UInt64" else _INT, int(value)))
    return b"".join(parts)


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | VARINT) + _varint(value)


def _bytes(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    if value < 0:
        raise ValueError(f"{value}: negative numbers are not written")
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise Garbled("the payload ends in the middle of a number")
        value |= (data[place] & 127) << shift
        place += 1
        if data[place - 1] < 128:
            return value, place
    raise Garbled("a number has more than ten bytes")


def _ms(at: datetime) -> int:
    """Milliseconds since 1970, UTC."""
    return int(at.timestamp() * 1000)
