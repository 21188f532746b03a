"""The feature store: one vector by id, 1,000 at once, 20 nearest of 100,000; what a frame's cells cost; false alarms.

    .venv/bin/python tests/bench/features.py [--vectors 100000] [--model MODEL] [--parts 50000] [--only store]

Times are medians of wall time on one thread, and of its processor time behind it, from memory, from a SQLite database
of the product as it is, and from a PostgreSQL of its own where one is installed (there the server's own time is not in
the processor time). From a database each look is for other vectors than the one before. `--model`
adds what the third output and its pooling cost beside the answer alone (default: the starter model). `--parts` is how
many simulated parts of an unchanged station are watched for false alarms of appearance, and how many after shifts of
several sizes for how soon they are found.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))
from postgres_server import NotHere, postgres

LENGTH = 152
"""Numbers of a vector of the network that serves."""
SHIFTS = (0.25, 0.5, 1.0)
"""In spreads, of a tenth of the numbers."""
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def median_ms(work: Callable[[], object], times: int = 51) -> tuple[float, float]:
    """Median wall and processor time, after a first run that does not count."""
    work()
    found = []
    for _ in range(times):
        began, spent = time.perf_counter(), time.thread_time()
        work()
        found.append((time.perf_counter() - began, time.thread_time() - spent))
    wall, cpu = 1000 * np.median(found, axis=0)
    return float(wall), float(cpu)


def told(times: tuple[float, float] | None) -> str:
    """Both times of one look."""
    return "-" if times is None else f"{times[0]:.3g} ms ({times[1]:.3g})"


def store(number: int) -> None:
    """Times of reading and searching."""
    from server.db import sqlite_url
    from server.features_index import FeatureIndex

    random = np.random.default_rng(0)
    rows = random.normal(size=(number, LENGTH)).astype(np.float32)
    keys = [(f"01a1{n:08d}", 0, 0) for n in range(number)]
    index = FeatureIndex()
    began = time.perf_counter()
    index.add(keys, rows)
    print(f"{number} vectors of {LENGTH} taken into memory in {time.perf_counter() - began:.2f} s")
    some = [keys[k] for k in random.choice(number, 1000, replace=False)]
    exact = set(np.argsort(-_cosine(rows, rows[7]))[:21].tolist()) - {7}
    found = {int(near.key[0][4:]) for near in index.nearest(rows[7], 20, but=keys[7])}
    memory = median_ms(lambda: index.vector(some[0]), 501), median_ms(lambda: index.vectors(some))
    with tempfile.TemporaryDirectory() as folder:
        lite = from_database(sqlite_url(Path(folder) / "qc.sqlite3"), keys, rows)
    gres: tuple[tuple[float, float] | None, ...] = None, None
    try:
        with postgres("fsync=off") as url:
            gres = from_database(url, keys, rows)
    except NotHere as why:
        print(why)
    print("| what | from memory | from SQLite | from PostgreSQL | aim |\n|---|---|---|---|---|")
    for place, (what, aim) in enumerate((("one vector by id", "0.1 ms"), ("1,000 at once", "5 ms"))):
        print(f"| {what} | {told(memory[place])} | {told(lite[place])} | {told(gres[place])} | {aim} |")
    nearest = median_ms(lambda: index.nearest(rows[7], 20, but=keys[7]))
    print(f"| 20 nearest of {number} | {told(nearest)} | - | - | 20 ms |")
    print(f"{len(found & exact)} of 20 neighbours are those of a plain search in float64", flush=True)


def from_database(url: str, keys: list[tuple[str, int, int]], rows: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Times of one vector, and of a thousand, from a database that holds these."""
    from qc.features import to_bytes
    from qc.records import Inspection
    from server import features, schema
    from server.db import Database
    from server.features_records import Feature

    random = np.random.default_rng(1)
    database = Database(url)
    schema.upgrade(database)
    with database.write() as session:
        parts = [{"id": k[0], "part": k[0], "station": "s", "received_at": NOW} for k in keys]
        plain = {"product": "", "progress": "DONE", "process_values": {}}
        session.connection().execute(Inspection.__table__.insert(), [p | plain for p in parts])
        what = {"encoder": "sha256:e", "runtime": "torch", "station": "s", "product": "", "at": NOW, "kind": "pit"}
        vectors = [
            {"inspection_id": k[0], "n": 0, "defect": 0, "score": 0.9, "label": None, "vector": to_bytes(v)} | what
            for k, v in zip(keys, rows, strict=True)
        ]
        session.connection().execute(Feature.__table__.insert(), vectors)
        session.commit()
    if database.dialect == "postgresql":
        with database.write_connection() as connection, connection.begin():
            connection.exec_driver_sql("ANALYZE feature")  # as it does by itself within a minute
    singles = iter([keys[int(k)] for k in random.integers(len(keys), size=60)])
    many = iter([[keys[k] for k in random.choice(len(keys), 1000, replace=False)] for _ in range(30)])
    with database.read() as session:
        one = median_ms(lambda: features.vector(session, next(singles)), 51)
        thousand = median_ms(lambda: features.vectors(session, next(many), encoder="sha256:e"), 25)
    database.close()
    return one, thousand


def _cosine(rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
    mean, scale = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    unit = (rows - mean) / scale
    one = (asked - mean) / scale
    return (unit @ one) / (np.linalg.norm(unit, axis=1) * np.linalg.norm(one))


def cells(folder: Path) -> None:
    """What the cells cost beside the answer alone, in CPU time, interleaved."""
    from qc.frame import Frame
    from qc.inspection import inspect
    from qc.verdict import Policy
    from segmentation.model import load_segmenter

    plain = load_segmenter(folder, threads=1)
    telling = replace(plain, keep_cells=True)
    frame = Frame(np.random.default_rng(0).integers(90, 160, (1200, 1200), np.uint8), "", "")
    spent: dict[str, list[float]] = {"without": [], "with": []}
    for round_ in range(6):
        for name, eyes in (("without", plain), ("with", telling)):
            began = time.process_time()
            inspect(frame, eyes, Policy(product=""))
            if round_:
                spent[name].append(time.process_time() - began)
    without, with_ = (float(np.median(spent[name])) for name in ("without", "with"))
    print(
        f"a frame of 1.44 Mpx: {without:.2f} CPU s without vectors, {with_:.2f} with ({with_ / without - 1:+.1%})",
        flush=True,
    )


def drift(parts: int) -> None:
    """False alarms of an unchanged station, and parts until shifts are found."""
    from qc.drift import LEARN, Appearance

    random = np.random.default_rng(1)
    mixing = random.normal(size=(LENGTH, LENGTH)) / np.sqrt(LENGTH)

    def part(moved: float = 0.0) -> np.ndarray:
        row = random.standard_t(5, LENGTH) @ mixing
        row[: LENGTH // 10] += moved
        return row.astype(np.float32)

    alarms, watched, begun = 0, Appearance(), time.perf_counter()
    for number in range(parts):
        if number % 2000 == 0:  # another station, which learns anew: a lucky or unlucky start shall not decide
            watched = Appearance()
        watched = watched.moved(part())
        if watched.shifted is not None:
            alarms, watched = alarms + 1, watched.begun()
    seconds = time.perf_counter() - begun
    share = f"{1e6 * seconds / max(parts, 1):.0f} us a part"
    print(f"{alarms} false alarms in {parts} parts ({share}); promised: 1 in 20,000 at most", flush=True)
    for moved in SHIFTS:
        delays = []
        for _ in range(12):
            watched = Appearance()
            for _ in range(LEARN + 10):
                watched = watched.moved(part())
            delay = 0
            while watched.shifted is None and delay < 300:
                delay, watched = delay + 1, watched.moved(part(moved))
            delays.append(delay)
        words = f"{np.median(delays):.0f} parts in the median, {max(delays)} at most"
        print(f"a shift of {moved} spreads in a tenth of the numbers is found after {words}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--model", type=Path, default=Path(__file__).parents[2] / "segmentation" / "starter")
    parser.add_argument("--parts", type=int, default=50_000)
    parser.add_argument("--only", choices=["store"], help="only what the stores take")
    arguments = parser.parse_args()
    store(arguments.vectors)
    if arguments.only:
        return
    cells(arguments.model)
    drift(arguments.parts)


if __name__ == "__main__":
    main()
