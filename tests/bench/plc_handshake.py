"""How long a PLC waits beyond the model's look, and beyond the whole inspection, for the result in its registers.

    python tests/bench/plc_handshake.py [--parts 300] [--look-ms 100] [--pause-ms 0]

A server with the segmenter that the tests use (dark spots), which takes `--look-ms` for a look, and a PLC in a process
of its own that reads `--pause-ms` after its last reading, over Modbus TCP on this machine; the bench begins when the
jobs of a start are done. Printed: from the trigger's
request to the result read by the PLC; the model's look; what is left (wire, picture, decoding, storing as far as it
does not fit beside the look, verdict, its commit, the PLC's polling); the inspection by its own record (`elapsed_ms`,
trigger to verdict), and what is left beyond it. Beside them, in the same run, what nobody can go below: one plain read
of the registers, and one flush of a few bytes to the same disk, as the verdict's commit has to wait for one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import yaml
from rich.progress import track
from settled import settle

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/server"))

PLC = """
import sys, time
from pymodbus.client import ModbusTcpClient
client = ModbusTcpClient("127.0.0.1", port=int(sys.argv[1])); assert client.connect()
client.write_coils(0, [False, False])
def level(n): time.sleep(float(sys.argv[2])); return client.read_discrete_inputs(0, count=8).bits[n]
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


def flush_ms(file: Path) -> float:
    """What the disk takes to keep a few bytes at the end of a file."""
    with file.open("ab") as out:
        out.write(b"a verdict")
        begun = time.perf_counter()
        out.flush()
        os.fdatasync(out.fileno())
    return 1000 * (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=300)
    parser.add_argument("--look-ms", type=float, default=100, help="how long the model takes for a look")
    parser.add_argument("--folder", type=Path, help="where the server's data lies meanwhile; else the system's")
    parser.add_argument("--pause-ms", type=float, default=0, help="between two readings of the PLC")
    wanted = parser.parse_args()
    from conftest import DarkSpots, start
    from sqlmodel import select

    from qc.records import Inspection
    from server.pauses import kept_short

    looked: list[float] = []

    class Slow(DarkSpots):
        """Dark spots, after a while."""

        def segment(self, pixels):  # type: ignore[no-untyped-def]
            begun = time.perf_counter()
            time.sleep(wanted.look_ms / 1000)
            found = super().segment(pixels)
            looked.append(1000 * (time.perf_counter() - begun))
            return found

    with kept_short(), tempfile.TemporaryDirectory(dir=wanted.folder) as folder:
        home, camera = Path(folder) / "home", Path(folder) / "camera"
        home.mkdir()
        camera.mkdir()
        station = {"decide_by_s": 5, "cameras": [{"folder": str(camera)}], "modbus": {"port": 0}}
        (home / "plant.yaml").write_text(yaml.safe_dump({"stations": {"bench": station}}))
        with contextmanager(start)(home, Slow(), log_level="ERROR") as line:
            settle(line.context)
            looked.clear()
            port = str(line.context.parts["plant"].wires["bench"].port)
            plc = subprocess.Popen(
                [sys.executable, "-c", PLC, port, str(wanted.pause_ms / 1000)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert plc.stdin is not None
            assert plc.stdout is not None
            rows, flushes = [], []
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
                flushes.append(flush_ms(Path(folder) / "flushed"))
            plc.stdin.close()
            plc.wait(10)
            with line.context.database.read() as session:
                judged = [row.elapsed_ms or 0.0 for row in session.exec(select(Inspection).order_by(Inspection.id))]
    print(f"{sum(row[3] == 1 for row in rows)} of {len(rows)} parts were ok")
    waited = [row[0] for row in rows]
    besides = [row[0] - look for row, look in zip(rows, looked, strict=True)]
    beyond = [row[0] - inspected for row, inspected in zip(rows, judged, strict=True)]
    wire = [row[2] for row in rows]
    for name, values in (
        ("trigger to result", waited),
        ("the model's look", looked),
        ("beyond the look", besides),
        ("inspection", judged),
        ("beyond it", beyond),
        ("one plain read", wire),
        ("one flush", flushes),
    ):
        print(f"{name:18} p50 {statistics.median(values):7.2f} ms   p99 {np.percentile(values, 99):7.2f} ms")
    print(f"load: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
