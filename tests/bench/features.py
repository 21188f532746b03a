"""The feature store: one vector by id, 1,000 at once, 20 nearest of 100,000; what a frame's cells cost; false alarms.

    .venv/bin/python tests/bench/features.py [--vectors 100000] [--model MODEL] [--parts 50000]

Times are medians of wall time on one thread, from memory and from a SQLite database of the product as it is. `--model`
adds what the third output and its pooling cost beside the answer alone (default: the starter model). `--parts` is how
many simulated parts of an unchanged station are watched for false alarms of appearance, and how many after shifts of
several sizes for how soon they are found.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

LENGTH = 152
"""Numbers of a vector of the network that serves."""
SHIFTS = (0.25, 0.5, 1.0)
"""In spreads, of a tenth of the numbers."""
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def median_ms(work: Callable[[], object], times: int = 51) -> float:
    """Median wall time, after a first run that does not count."""
    work()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - began))
    return float(np.median(found))


def store(number: int) -> None:
    """Times of reading and searching."""
    from qc.features import to_bytes
    from qc.records import Inspection
    from server import features, schema
    from server.db import Database, sqlite_url
    from server.features_index import FeatureIndex
    from server.features_records import Feature

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
    print("| what | from memory | from SQLite | aim |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        database = Database(sqlite_url(Path(folder) / "qc.sqlite3"))
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
        with database.read() as session:
            one = median_ms(lambda: features.vector(session, some[0]))
            many = median_ms(lambda: features.vectors(session, some), 21)
        database.close()
    print(f"| one vector by id | {median_ms(lambda: index.vector(some[0]), 501):.4f} ms | {one:.2f} ms | 0.1 ms |")
    print(f"| 1,000 at once | {median_ms(lambda: index.vectors(some)):.2f} ms | {many:.1f} ms | 5 ms |")
    nearest = median_ms(lambda: index.nearest(rows[7], 20, but=keys[7]))
    print(f"| 20 nearest of {number} | {nearest:.1f} ms | - | 20 ms |")
    print(f"{len(found & exact)} of 20 neighbours are those of a plain search in float64", flush=True)


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
    arguments = parser.parse_args()
    store(arguments.vectors)
    cells(arguments.model)
    drift(arguments.parts)


if __name__ == "__main__":
    main()
