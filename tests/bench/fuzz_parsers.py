"""What strangers send, read by our own parsers, guided by the code it reaches (atheris): only the mistakes they name.

    python -m venv DIR && DIR/bin/pip install atheris
    PYTHONPATH=.venv/lib/python3.11/site-packages:. DIR/bin/python tests/bench/fuzz_parsers.py WHAT -max_total_time=600

WHAT: modbus, sparkplug, roles, retry, tensors, picture. All that follows goes to libFuzzer. It goes on until its time
is over, or ends with 77 and a traceback at the first exception that the parser does not name, and keeps the input in a
file `crash-…` of the folder it runs in; a parser that takes 2 GB ends it, too.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris
import cv2
import numpy as np

with atheris.instrument_imports(include=["server", "qc"]):
    from qc.errors import QcError
    from qc.frame import decode
    from server.oidc import role_of, roles_in
    from server.open_inference import tensors
    from server.outbound import sparkplug_payload
    from server.outbound.webhook import seconds_asked
    from server.plant import modbus_protocol


class Registers:
    """A PLC's tables, in memory."""

    def __init__(self) -> None:
        self._coils, self._holding = [False] * 16, [0] * 34

    def coils(self) -> list[bool]:
        return self._coils

    def discrete_inputs(self) -> list[bool]:
        return self._coils

    def holding_registers(self) -> list[int]:
        return self._holding

    def input_registers(self) -> list[int]:
        return [0] * 66

    def write_coils(self, address: int, values: list[bool]) -> None:
        self._coils[address : address + len(values)] = values
        assert len(self._coils) == 16

    def write_registers(self, address: int, values: list[int]) -> None:
        assert all(0 <= value <= 0xFFFF for value in values)
        self._holding[address : address + len(values)] = values
        assert len(self._holding) == 34


TABLES = Registers()
GIVEN = tensors.Spec("input", "UINT8", (-1, -1, 3))
TOLD = (tensors.Spec("score", "FP32", (1,)), tensors.Spec("verdict", "BYTES", (1,)))


def modbus(data: bytes) -> None:
    if data:
        said = modbus_protocol.answer(data, TABLES)
        assert said[0] & 0x7F == data[0] & 0x7F
        assert len(said) <= 253, "longer than a frame may be"


def sparkplug(data: bytes) -> None:
    with contextlib.suppress(sparkplug_payload.Garbled):
        sparkplug_payload.commands(data)


def roles(data: bytes) -> None:
    try:
        claims = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(claims, dict):
        role_of(roles_in(claims, "realm.roles"), {})


def retry(data: bytes) -> None:
    again = seconds_asked(data.decode("latin-1"))
    assert again is None or again >= 0


def inference(data: bytes) -> None:
    first = int.from_bytes(data[:2], "big")
    length = str(first & 0x7FFF) if first & 0x8000 else None
    with contextlib.suppress(QcError):
        tensors.read(bytearray(data[2:]), length, GIVEN, TOLD, most_json=1_000_000)


def picture(data: bytes) -> None:
    with contextlib.suppress(QcError):
        decode(data)


WHAT: dict[str, Callable[[bytes], None]] = {
    "modbus": modbus,
    "sparkplug": sparkplug,
    "roles": roles,
    "retry": retry,
    "tensors": inference,
    "picture": picture,
}


def seeds() -> dict[str, list[bytes]]:
    """What makes sense, for those that chance would not find a way into."""
    window = {"name": "input", "datatype": "UINT8", "shape": [1, 2, 3], "data": [0, 1, 2, 3, 4, 255]}
    wanted = {"id": "a", "inputs": [window], "outputs": [{"name": "score", "parameters": {"binary_data": True}}]}
    binary = {"inputs": [{**window, "data": None, "parameters": {"binary_data_size": 6}}]}
    told, header = json.dumps(wanted).encode(), json.dumps(binary).encode()
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    kinds = (".png", ".jpg", ".bmp", ".tif")
    return {
        "tensors": [b"\0\0" + told, (0x8000 | len(header)).to_bytes(2, "big") + header + bytes(6)],
        "picture": [cv2.imencode(kind, pixels)[1].tobytes() for kind in kinds for pixels in (grey, grey.astype("u2"))],
        "roles": [b'{"realm": {"roles": ["admin", 1]}}', b'{"realm.roles": "admin"}'],
        "retry": [b"7", b"Wed, 21 Oct 2015 07:28:00 GMT"],
    }


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in WHAT:
        raise SystemExit(f"name one of {', '.join(WHAT)}")
    with tempfile.TemporaryDirectory() as begun:
        for n, seed in enumerate(seeds().get(sys.argv[1], [])):
            Path(begun, str(n)).write_bytes(seed)
        atheris.Setup([sys.argv[0], *sys.argv[2:], begun], WHAT[sys.argv[1]])
        atheris.Fuzz()
