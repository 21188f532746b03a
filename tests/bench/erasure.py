"""How long the erasure of one part takes beside many others, whether anything is left, and how long the line waits.

    .venv/bin/python tests/bench/erasure.py [--parts 200000]

A server in this process on SQLite (the segmenter of the tests). One part of two pictures with a decision is sent; its
rows and audit entry are copied under other names until there are so many parts. It is erased while small parts are
sent one after the other; then every file of the data folder, the database among them, is searched for its name and
the hashes of its pictures. Aim: under 10 s, and nothing found.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from sqlalchemy import text

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests/server"), str(ROOT / "tests/databases")]

PART = "Smith-4711"
AT_ONCE = 1000


def main() -> None:
    from conftest import start

    from server.access import Role

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=200_000)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        with contextmanager(start)(home, log_level="ERROR") as line:
            told = line.send(line.picture(doubtful=9), line.picture(dark=9, mark=1), part=PART).json()
            word = {"verdict": "ng", "reason": f"{PART} is bent"}
            assert line.post(f"/inspections/{told['id']}/decision", Role.OPERATOR, json=word).status_code == 201
            for first in range(0, options.parts, AT_ONCE):
                with line.context.database.write() as session:
                    copied(session.connection(), told, range(first, min(first + AT_ONCE, options.parts)))
                    session.commit()
            size = (home / "qc.sqlite3").stat().st_size / 1e6
            print(f"{options.parts} parts beside it, a database of {size:.0f} MB", flush=True)
            before = sent(line, threading.Event(), 20)
            done, waited = threading.Event(), list[float]()
            sending = threading.Thread(target=lambda: waited.extend(sent(line, done, None)))
            sending.start()
            began, spent = time.perf_counter(), time.process_time()
            asked = line.post("/erasures", Role.ADMIN, json={"part": PART, "reason": "the customer asked"}).json()
            while line.get(f"/jobs/{asked['id']}").json()["state"] in ("waiting", "running"):
                time.sleep(0.02)
            took, spent = time.perf_counter() - began, time.process_time() - spent
            done.set()
            sending.join()
            result = line.get(f"/jobs/{asked['id']}").json()
            print(f"erased in {took:.2f} s ({spent:.2f} s of this process's processors): {result['state']}")
            for when, times in (("meanwhile", waited), ("before", before)):
                longest, median = 1000 * max(times), 1000 * np.median(times)
                print(f"a part {when}: {longest:.0f} ms at the longest, {median:.0f} in the median of {len(times)}")
        needles = [PART, *(image["sha256"] for image in told["images"])]
        print(f"found afterwards: {left(home, needles) or 'nothing'}")


def sent(line: Any, stop: threading.Event, number: int | None) -> list[float]:
    """Seconds of parts that are sent one after the other: so many, or until `stop`, and two at least."""
    took: list[float] = []
    while len(took) < number if number is not None else (not stop.is_set() or len(took) < 2):
        began = time.perf_counter()
        answer = line.send(line.picture(mark=len(took) % 70), part=f"N-{number}-{len(took)}", station="line")
        took.append(time.perf_counter() - began)
        assert answer.status_code == 201, answer.text
    return took


def copied(connection: Any, told: dict[str, Any], parts: range) -> None:
    """Rows and audit entries of a part again under other names; the chain goes on from its end, so that it verifies."""
    from server.audit import AuditEntry, seal_of

    def rows_of(table: str, condition: str) -> list[dict[str, Any]]:
        found = connection.execute(text(f"SELECT * FROM {table} WHERE {condition}"), {"id": told["id"]})
        return [dict(row) for row in found.mappings()]

    tables = {
        "inspection": rows_of("inspection", "id = :id"),
        "exposure": rows_of("exposure", "inspection_id = :id"),
        "decision": rows_of("decision", "inspection_id = :id"),
    }
    entries = AuditEntry.__table__
    mine = list(connection.execute(entries.select().where(entries.c.subject == told["id"])).mappings())
    last = connection.execute(entries.select().order_by(entries.c.n.desc()).limit(1)).mappings().one()
    number, seal = last["n"], last["seal"]
    names = [PART, told["id"], tables["decision"][0]["id"], *(image["sha256"] for image in told["images"])]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in tables}
    trail = []
    for n in parts:
        other = {name: f"{k}{n:0{len(name) - 1}x}" for k, name in enumerate(names)} | {PART: f"P-{n}"}
        for name, found in tables.items():
            rows[name] += [renamed(row, other) for row in found]
        for one in mine:
            number += 1
            entry = AuditEntry(**renamed(dict(one), other) | {"n": number})
            entry.seal = seal = seal_of(seal, entry)
            trail.append({column.name: getattr(entry, column.name) for column in entries.columns})
    connection.execute(entries.insert(), trail)
    for name, found in rows.items():
        connection.execute(text(f"INSERT INTO {name} ({', '.join(found[0])}) VALUES (:{', :'.join(found[0])})"), found)


def renamed(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """A row with other words in its texts."""
    told = dict(row)
    for old, new in names.items():
        told = {key: value.replace(old, new) if isinstance(value, str) else value for key, value in told.items()}
    return told


def left(home: Path, needles: list[str]) -> list[str]:
    """Files in which one of the words still is, and which."""
    words = [needle.encode() for needle in needles]
    found = []
    for file in sorted(home.rglob("*")):
        if file.is_file():
            content = file.read_bytes()
            found += [
                f"{file.relative_to(home)}: {word.decode()}"
                for word in words
                if word in content or word in str(file).encode()
            ]
    return found


if __name__ == "__main__":
    main()
