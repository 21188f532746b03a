"""A PLC, as a program of its own: runs its cycle over Modbus TCP and prints what it read, one JSON line for each part.

    python plc.py PORT SCENARIO_JSON

A scenario: {"parts": [{"part", "recipe", "copy": [[from, to], …], "stop_after": "trigger" | null}], "again": bool}
"""

import json
import shutil
import sys
import time

from pymodbus.client import ModbusTcpClient

PATIENCE_S = 60.0
NAMES = ("ready", "busy", "results_ready", "ok", "ng", "review", "error", "old")


def words_of(text):
    data = text.encode("ascii").ljust(64, b"\0")
    return [data[n] << 8 | data[n + 1] for n in range(0, 64, 2)]


def text_of(words):
    return b"".join(word.to_bytes(2, "big") for word in words).split(b"\0")[0].decode("ascii")


def levels(client):
    return dict(zip(NAMES, client.read_discrete_inputs(0, count=8).bits, strict=True))


def until(client, name):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if levels(client)[name]:
            return
        time.sleep(0.002)
    raise SystemExit(f"{name} did not rise: {levels(client)}")


def result(client):
    words = client.read_input_registers(0, count=66).registers
    return {
        **levels(client),
        "code": words[1],
        "number": words[2] << 16 | words[3],
        "since": words[4] << 16 | words[5],
        "score": words[6] / 10_000,
        "defects": words[7],
        "elapsed_ms": words[8] << 16 | words[9],
        "seen": words[11] << 16 | words[12],
        "inspection": text_of(words[16:34]),
        "part": text_of(words[34:66]),
    }


def main():
    scenario = json.loads(sys.argv[2])
    client = ModbusTcpClient("127.0.0.1", port=int(sys.argv[1]))
    assert client.connect()
    print(json.dumps({"at first": result(client)}), flush=True)
    client.write_coils(0, [False, False])
    for one in scenario["parts"]:
        if not one.get("in_haste"):
            until(client, "ready")
        client.write_registers(0, [one.get("recipe", 1), 0, *words_of(one["part"])])
        for source, to in one.get("copy", []):
            shutil.copy(source, to)
        client.write_coil(0, True)
        if one.get("stop_after") == "trigger":
            print(json.dumps({"stopped": one["part"]}), flush=True)
            return
        if one.get("twice"):
            client.write_coil(0, False)
            client.write_coil(0, True)
        until(client, "results_ready")
        print(json.dumps(result(client)), flush=True)
        client.write_coil(1, True)
        client.write_coils(0, [False, False])
    client.close()


if __name__ == "__main__":
    main()
