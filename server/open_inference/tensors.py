"""The protocol's bodies: an inference request to arrays, arrays to an inference response. JSON, binary, or both.

Source: KServe's Open Inference Protocol (`inference_rest.md`) and Triton's binary tensor data extension. In a body with
binary data, the JSON comes first, as long as the header `Inference-Header-Content-Length` says, then the tensors' bytes
in the order of the JSON: little-endian, row-major; an element of BYTES is its length in four bytes, then itself.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput

HEADER_LENGTH = "Inference-Header-Content-Length"

DATATYPES: Mapping[str, str] = {
    "BOOL": "?",
    **{
        f"{kind}{bits}": f"<{letter}{bits // 8}"
        for kind, letter in (("UINT", "u"), ("INT", "i"))
        for bits in (16, 32, 64)
    },
    "UINT8": "u1",
    "INT8": "i1",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BYTES": "O",
}
"""The protocol's datatypes, and numpy's names for them."""

MOST_IN_JSON = 4_000_000
"""Numbers of one answer that are written as JSON: beyond, a text of a hundred megabytes would hold up the server."""

LONGEST_LENGTH = 20
"""Digits of a length that are read. Of very many Python makes no number."""

UNDERSTOOD_NOT = ("classification", "shared_memory_region")
"""Parameters of other servers' extensions that change what is answered; leaving them out would be another answer."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A tensor as a model's metadata name it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """-1: any."""

    def as_json(self) -> dict[str, Any]:
        """In the protocol's words."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class Asked:
    """An inference request that makes sense."""

    id: str | None
    values: NDArray[Any]
    """The one input, in the shape it was sent with."""
    outputs: tuple[tuple[str, bool], ...]
    """Names of what is wanted, in order, and whether as binary data."""


def read(body: bytearray, header_length: str | None, given: Spec, outputs: Sequence[Spec], *, most_json: int) -> Asked:
    """The request for a model with one input.

    Args:
        body: as it came; the values look into it, nothing is copied.
        header_length: what the header `Inference-Header-Content-Length` says, or None without one.
        given: the model's input. A leading 1 of its shape may be left out.
        outputs: the model's outputs.
        most_json: bytes of JSON that are read, at most.

    Raises:
        InvalidInput: it is not what the protocol or the model asks for; the message says which part.
    """
    text, rest = _split(body, header_length, most_json)
    asked = _object(_parse(text), "the request")
    parameters = _object(asked.get("parameters") or {}, "parameters")
    name = asked.get("id")
    if name is not None and not isinstance(name, str):
        raise InvalidInput("id must be a string")
    inputs = asked.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1:
        raise InvalidInput(f"inputs must be a list with one tensor, {given.name}")
    values = _input(_object(inputs[0], "inputs[0]"), given, rest)
    binary = _flag(parameters, "binary_data_output", False)
    return Asked(name, values, _wanted(asked.get("outputs"), outputs, binary))


def _split(body: bytearray, header_length: str | None, most_json: int) -> tuple[memoryview, memoryview | None]:
    """The JSON, and the binary data behind it; None where the request has none."""
    length = len(body)
    if header_length is not None:
        digits = header_length.isascii() and header_length.isdigit() and len(header_length) <= LONGEST_LENGTH
        if not digits or not 0 < int(header_length) <= len(body):
            raise InvalidInput(
                f"{HEADER_LENGTH} must say how many of {len(body)} bytes are JSON, not {header_length[:40]!r}"
            )
        length = int(header_length)
    if length > most_json:
        raise InvalidInput(f"the request has {length} bytes of JSON; at most {most_json} are read: send binary data")
    whole = memoryview(body)
    return whole[:length], None if header_length is None else whole[length:]


def _parse(text: memoryview) -> Any:
    def refuse(word: str) -> NoReturn:
        raise InvalidInput(f"the request holds {word}; only finite numbers are taken")

    try:
        return json.loads(bytes(text), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"the request is no JSON ({error}); binary data behind it need the header {HEADER_LENGTH}"
        ) from error


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} must be a JSON object")
    if unknown := [name for name in UNDERSTOOD_NOT if name in value]:
        raise InvalidInput(f"{where} asks for {unknown[0]}, which is not offered here")
    return value


def _flag(parameters: Mapping[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidInput(f"{name} must be true or false")
    return value


def _input(told: Mapping[str, Any], given: Spec, rest: memoryview | None) -> NDArray[Any]:
    if told.get("name") != given.name:
        raise InvalidInput(f"the input is {given.name}, not {_short(told.get('name'))}")
    datatype = told.get("datatype")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise InvalidInput(f"{given.name}: there is no datatype {_short(datatype)}; it must be {given.datatype}")
    if datatype != given.datatype:
        raise InvalidInput(f"{given.name} must be {given.datatype}, not {datatype}")
    shape = _shape(told.get("shape"), given)
    parameters = _object(told.get("parameters") or {}, f"the parameters of {given.name}")
    if "binary_data_size" in parameters:
        return _from_bytes(told, parameters["binary_data_size"], shape, given, rest)
    if rest:
        raise InvalidInput(f"{len(rest)} bytes of binary data belong to no input; give {given.name} a binary_data_size")
    if "data" not in told:
        raise InvalidInput(f"{given.name} has neither data nor a binary_data_size")
    return _from_json(told["data"], shape, given)


def _shape(told: Any, given: Spec) -> tuple[int, ...]:
    wanted = given.shape
    lengths = told if isinstance(told, list) else []
    fits = lengths != [] and all(isinstance(n, int) and not isinstance(n, bool) and 0 < n < 1 << 63 for n in lengths)
    if fits and wanted[0] == 1 and len(told) == len(wanted) - 1:
        wanted = wanted[1:]
    fits = fits and len(told) == len(wanted) and all(w in (-1, n) for n, w in zip(told, wanted, strict=True))
    if not fits:
        raise InvalidInput(f"the shape of {given.name} must be {list(given.shape)} (-1: any), not {_short(told)}")
    return tuple(told)


def _from_bytes(
    told: Mapping[str, Any], size: Any, shape: tuple[int, ...], given: Spec, rest: memoryview | None
) -> NDArray[Any]:
    if rest is None:
        raise InvalidInput(f"binary data need the header {HEADER_LENGTH}")
    if "data" in told:
        raise InvalidInput(f"{given.name} has both data and a binary_data_size")
    kind = np.dtype(DATATYPES[given.datatype])
    needed = math.prod(shape) * kind.itemsize
    if size != needed or isinstance(size, bool):
        raise InvalidInput(
            f"{given.name} of shape {list(shape)} has {needed} bytes, but binary_data_size says {_short(size)}"
        )
    if len(rest) != needed:
        raise InvalidInput(f"{given.name} has {needed} bytes, but {len(rest)} bytes of binary data were sent")
    return np.frombuffer(rest, kind).reshape(shape)


def _from_json(data: Any, shape: tuple[int, ...], given: Spec) -> NDArray[Any]:
    kind = np.dtype(DATATYPES[given.datatype])
    limits = np.iinfo(kind)
    try:
        values = np.asarray(data)
    except ValueError as error:
        raise InvalidInput(f"the data of {given.name} must be one list, or lists as its shape says") from error
    if values.size != math.prod(shape) or (values.ndim != 1 and values.shape != shape):
        raise InvalidInput(f"{given.name} has {values.size} values of shape {list(values.shape)}, not {list(shape)}")
    if values.dtype.kind not in "iu" or values.min() < limits.min or values.max() > limits.max:
        raise InvalidInput(f"the data of {given.name} must be whole numbers from {limits.min} to {limits.max}")
    return values.astype(kind).reshape(shape)


def _wanted(told: Any, outputs: Sequence[Spec], binary: bool) -> tuple[tuple[str, bool], ...]:
    names = [spec.name for spec in outputs]
    if told is None or told == []:
        return tuple((name, binary) for name in names)
    if not isinstance(told, list):
        raise InvalidInput("outputs must be a list of tensors")
    wanted = []
    for one in told:
        name = _object(one, "an output").get("name")
        if name not in names:
            raise InvalidInput(f"there is no output {_short(name)}; there are {', '.join(names)}")
        parameters = _object(one.get("parameters") or {}, f"the parameters of {name}")
        wanted.append((name, _flag(parameters, "binary_data", binary)))
    if len({name for name, _ in wanted}) < len(wanted):
        raise InvalidInput("an output is asked for twice")
    return tuple(wanted)


def _short(value: Any) -> str:
    return repr(value)[:80]


def write(
    asked: Asked, found: Mapping[str, NDArray[Any]], outputs: Sequence[Spec], *, model: str, version: str
) -> tuple[bytes, dict[str, str]]:
    """The response's body and headers.

    Args:
        asked: the request.
        found: what the model says, by name of the output; BYTES as arrays of `bytes`.
        outputs: the model's outputs.

    Raises:
        InvalidInput: more numbers than are written as JSON.
    """
    datatypes = {spec.name: spec.datatype for spec in outputs}
    told: list[dict[str, Any]] = []
    pieces: list[bytes] = []
    as_text = 0
    for name, binary in asked.outputs:
        values = found[name]
        one: dict[str, Any] = {"name": name, "datatype": datatypes[name], "shape": list(values.shape)}
        if binary:
            pieces.append(_bytes(values, datatypes[name]))
            one["parameters"] = {"binary_data_size": len(pieces[-1])}
        else:
            as_text += values.size
            if as_text > MOST_IN_JSON:
                raise InvalidInput(f"more than {MOST_IN_JSON} numbers are not written as JSON; ask for binary_data")
            one["data"] = (
                [v.decode() for v in values.ravel()] if datatypes[name] == "BYTES" else values.ravel().tolist()
            )
        told.append(one)
    answer: dict[str, Any] = {"model_name": model, "model_version": version}
    if asked.id is not None:
        answer["id"] = asked.id
    text = json.dumps({**answer, "outputs": told}, allow_nan=False).encode()
    if not pieces:
        return text, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(text))}
    return b"".join([text, *pieces]), headers


def _bytes(values: NDArray[Any], datatype: str) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(one)) + one for one in values.ravel())
    return np.ascontiguousarray(values, DATATYPES[datatype]).tobytes()
