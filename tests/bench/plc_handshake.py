"""How long a PLC waits beyond the inspection itself: from the verdict's commit to the result in its registers.

    python tests/bench/plc_handshake.py [--parts 300]

A server with the segmenter that the tests use (dark spots, microseconds) and a PLC in a process of its own, over
Modbus TCP on this machine. Printed: from the trigger's request to the result read by the PLC, the share of it that the
inspection took by its own record (`elapsed_ms`, last byte to verdict), and what is left: wire, handshake, reading the
verdict back, the PLC's polling. Beside it, in the same run: one plain read of the registers, the wire's own time.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import yaml
from rich.progress import track

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/server"))

PLC = """
import sys, time
from pymodbus.client import ModbusTcpClient
client = ModbusTcpClient("127.0.0.1", port=int(sys.argv[1])); assert client.connect()
client.write_coils(0, [False, False])
def level(n): return client.read_discrete_inputs(0, count=8).bits[n]
for _ in sys.stdin:
    while not level(0): pass
    print("ready", flush=True); sys.stdin.readline()
    begun = time.perf_counter(); client.write_coil(0, True)
    while not level(2): pass
    words = client.read_input_registers(0, count=66).registers
    waited = time.perf_counter() - begun
    begun = time.perf_counter(); client.read_input_registers(0, count=66); read = time.perf_counter() - begun
    print(1000 * waited, words[8] << 16 | words[9], 1000 * read, int(level(3)), flush=True)
    client.write_coil(1, True); client.write_coils(0, [False, False])
"""


def go(plc: subprocess.Popen[str]) -> None:
    """Let the PLC take its next step."""
    assert plc.stdin is not None
    plc.stdin.write("\n")
    plc.stdin.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=300)
    wanted = parser.parse_args()
    from conftest import start
    from sqlmodel import select

    from qc.records import Inspection

    with tempfile.TemporaryDirectory() as folder:
        home, camera = Path(folder) / "home", Path(folder) / "camera"
        home.mkdir()
        camera.mkdir()
        station = {"decide_by_s": 5, "cameras": [{"folder": str(camera)}], "modbus": {"port": 0}}
        (home / "plant.yaml").write_text(yaml.safe_dump({"stations": {"bench": station}}))
        served = start(home, log_level="ERROR")
        line = next(served)
        port = str(line.context.parts["plant"].wires["bench"].port)
        plc = subprocess.Popen(
            [sys.executable, "-c", PLC, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert plc.stdin is not None
        assert plc.stdout is not None
        rows = []
        for n in track(range(wanted.parts), "parts"):
            grey = np.full((480, 640), 180, np.uint8)
            grey[n // 256, n % 256] = 200
            beside = camera / ".part.png"
            cv2.imwrite(str(beside), grey)
            go(plc)
            assert plc.stdout.readline() == "ready\n"
            beside.rename(camera / f"{n}.png")
            go(plc)
            rows.append([float(value) for value in plc.stdout.readline().split()])
        plc.stdin.close()
        plc.wait(10)
        with line.context.database.read() as session:
            judged = [row.elapsed_ms or 0.0 for row in session.exec(select(Inspection).order_by(Inspection.id))]
        served.close()
    print(f"{sum(row[3] == 1 for row in rows)} of {len(rows)} parts were ok")
    waited = [row[0] for row in rows]
    beyond = [row[0] - inspected for row, inspected in zip(rows, judged, strict=True)]
    for name, values in (("trigger to result", waited), ("inspection", judged), ("beyond it", beyond)):
        print(f"{name:18} p50 {statistics.median(values):7.2f} ms   p99 {np.percentile(values, 99):7.2f} ms")
    wire = [row[2] for row in rows]
    print(f"{'one plain read':18} p50 {statistics.median(wire):7.2f} ms   p99 {np.percentile(wire, 99):7.2f} ms")
    print(f"beyond the inspection / one plain read, medians: {statistics.median(beyond) / statistics.median(wire):.1f}")


if __name__ == "__main__":
    main()
