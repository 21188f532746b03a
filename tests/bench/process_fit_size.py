"""How long a fit takes and how much memory it needs, against the number of parts.

    python tests/bench/process_fit_size.py 10000 100000 [--steps 50] [--csv] [--keep FOLDER]

For every size: a history of a linear line of so many steps is written to a .parquet or .csv file (piece by piece, not
counted), then read, checked and fitted by `qc process fit` in a process of its own. Printed: wall, processor seconds,
the peak of its memory, and how large the file and the table in memory are. Aim: 10,000 parts of 50 steps in 60 s;
1,000,000 parts in 10 min and 8 GiB.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from process_opt.process import as_yaml
from process_opt.simulate import linear_line

PIECE = 20_000
"""Parts drawn at once."""
ROOT = Path(__file__).parents[2]


def write(folder: Path, parts: int, steps: int, kind: str) -> tuple[Path, Path, int]:
    """The process, its history, and how many columns that has."""
    line = linear_line(steps, 0, every=5, hidden_look=0.3)
    process, history = folder / f"line-{steps}.yaml", folder / f"history-{steps}-{parts}.{kind}"
    process.write_text(as_yaml(line.process), encoding="utf-8")
    fixed = 5  # part, batch, disposition, scrapped_at, assignment
    columns = fixed + len(line.process.settings) + len(line.process.measurements)
    if history.exists():
        return process, history, columns
    writer: pq.ParquetWriter | None = None
    for first in range(0, parts, PIECE):
        piece: pd.DataFrame = line.history(min(PIECE, parts - first), first // PIECE)
        if kind == "csv":
            piece.to_csv(history, index=False, mode="a", header=first == 0)
            continue
        table = pa.Table.from_pandas(piece, preserve_index=False)
        writer = writer or pq.ParquetWriter(history, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return process, history, columns


def measure(process: Path, history: Path, out: Path, limit_s: float) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak memory in GiB of one fit."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "server", "process", "fit", str(process), str(history), "--out", str(out)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, env=environment, timeout=limit_s, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, used, after.ru_maxrss / 2**20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", type=int, help="in rising order: the peak is that of the largest so far")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--csv", action="store_true", help="the history as .csv")
    parser.add_argument("--keep", type=Path, help="folder for the histories")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for one fit")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for parts in args.parts:
            process, history, columns = write(folder, parts, args.steps, "csv" if args.csv else "parquet")
            wall, used, peak = measure(process, history, Path(temporary) / "model", args.limit)
            print(
                f"{parts:9d} parts x {args.steps} steps, {columns} columns: {wall:6.1f} s, {used:6.1f} s of processor, "
                f"peak {peak:.2f} GiB; file {history.stat().st_size / 2**30:.2f} GiB, "
                f"numbers {parts * columns * 8 / 2**30:.2f} GiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
