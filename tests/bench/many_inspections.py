"""How long pages and API queries take beside millions of inspections in a real PostgreSQL.

    python tests/bench/many_inspections.py 1000000 [--times 40] [--only WORD,WORD] [--plans]

Fills an empty PostgreSQL of its own (Debian's programs, thrown away afterwards; 10 million take about 20 GB): a year
of 20 stations, 4 % of the parts not ok, pictures, defects, looks of cameras, decisions, label tasks, alarms, the audit
trail and its like; a challenger's verdicts, vectors, calls and recommendations (`beside_inspections.py`). Then a real
server on it (in this process, the segmenter of the tests) is asked what its pages ask and what other programs ask, each
some times with other stations, parts and cursors; every second meanwhile one part is inspected, and one is advised and
its outcome told. Printed, one line a query: median, 95th percentile and the longest, in ms, and the mean processor time
of server and database, which other work on the machine does not change; aim: 100 ms for the 95th. With --plans what
each query makes PostgreSQL read is printed, too: every scan of `MANY` rows or more. What reads as many rows however
many there are takes as long beside ten times as many.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from sqlalchemy import Connection, Engine, create_engine, event, text

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests/bench"), str(ROOT / "tests/server"), str(ROOT / "tests/contracts")]
import beside_inspections as beside  # noqa: E402

STATIONS = 20
YEAR_S = 365 * 86400
MANY = 1000
"""Rows read by one scan that --plans tells of."""

ID = "substr({h},1,8)||'-'||substr({h},9,4)||'-7000-8000-'||lpad(to_hex({n}),12,'0')"
"""As `qc.records.new_id` makes them: sorted by time."""


NOW = int(time.time())
"""Of every table, so that a part's id is the same in each; of a database that was filled before, as it was then."""


def identifier(number: str = "n", *, age: str = "age") -> str:
    """SQL of an id of the moment `age` seconds ago."""
    stamp = f"lpad(to_hex((({NOW} - {age}) * 1000)::bigint), 12, '0')"
    return ID.format(h=stamp, n=f"({number})::bigint")


STATION = f"'station-'||lpad((n % {STATIONS})::text, 2, '0')"
"""SQL of a part's station."""


def every(parts: int) -> str:
    """SQL of all parts: `n`, and how many seconds ago each was inspected."""
    return f"(SELECT n, {YEAR_S} * (1 - n / {parts + 1}.0) AS age FROM generate_series(1, {parts}) n) p"


def filling(parts: int) -> list[tuple[str, str]]:
    """(what, SQL) in the order in which it is run. Of part n everything follows from n."""
    series = every(parts)
    newest = min(parts, 200_000)
    lately = f"(SELECT * FROM {series} WHERE n > {parts - newest}) q"
    verdict = "(CASE WHEN n % 50 = 0 THEN 'NG' WHEN n % 50 = 25 THEN 'REVIEW' ELSE 'OK' END)::verdict"
    station = STATION
    at = f"to_timestamp({NOW}) - make_interval(secs => age)"
    defects = (
        """CASE WHEN n % 25 = 0 THEN '[{"class":"scratch","class_id":1,"score":0.9,"bbox":[10,20,50,10],"""
        """"length_px":52.0,"width_px":3.0,"area_px":140,"length_mm":null,"width_mm":null,"area_mm2":null,"""
        """"counts":true,"outline":[[[10,20],[60,20],[60,30],[10,30]]]}]' ELSE '[]' END::json"""
    )
    return [
        (
            "inspections",
            f"""INSERT INTO inspection (id, part, station, trigger_id, product, progress, verdict, score, model,
            elapsed_ms,             received_at, process_values, mode,
            policy, runtime)
            SELECT {identifier()}, 'P-'||n, {station}, 'T-'||n, 'default', 'DONE', {verdict},
            CASE WHEN n % 25 = 0 THEN 0.9 ELSE 0.01 END, 'sha256:dark-spots', 180, {at}, '{{}}', 'decide', '', 'torch'
            FROM {series}""",
        ),
        (
            "pictures",
            f"""INSERT INTO exposure (inspection_id, n, view, name, format, width, height, sha256, original_key, score,
            verdict, defects)
            SELECT {identifier()}, 0, 'top', n||'.jpg', 'JPEG', 4096, 3072, md5(n::text)||md5((n+1)::text),
            'originals/'||md5(n::text), 0.1, {verdict}, {defects} FROM {series}""",
        ),
        (
            "looks of cameras",
            f"""INSERT INTO cameralook (inspection_id, n, key, station, view, at, fingerprint, level, sharpness, fault,
            message)
            SELECT {identifier()}, 0, 'camera-'||(n % {STATIONS}), {station}, 'top', {at}, 'f'||n, 120, 3.0,
            CASE WHEN n % 5000 = 0 THEN 'black' ELSE '' END, '' FROM {series}""",
        ),
        (
            "decisions",
            f"""INSERT INTO decision (id, inspection_id, verdict, reason, by, at)
            SELECT {identifier("n + 1", age="age - 20")}, {identifier()},
            (CASE WHEN n % 3 = 0 THEN 'OK' ELSE 'NG' END)::verdict, '', 'anna', {at} FROM {series} WHERE n % 25 = 0""",
        ),
        (
            "label tasks",
            f"""INSERT INTO labeltask (id, inspection_id, n, part, station, view, reason, urgency, crop_x, crop_y,
            crop_width, crop_height, chance, people, golden_classes, settled_classes, grounds, state, opened_at,
            closed_at)
            SELECT {identifier()}, {identifier()}, 0, 'P-'||n, {station}, 'top',
            (CASE WHEN n % 400 = 0 THEN 'SAMPLE' ELSE 'REVIEW' END)::reason, n % 1000 / 1000.0, 0, 0, 512, 512,
            CASE WHEN n % 400 = 0 THEN 0.0025 ELSE 1 END, 1,
            '{{}}', '{{}}', '{{}}', (CASE WHEN n > {parts} - 20000 THEN 'OPEN' ELSE 'DONE' END)::taskstate, {at}, {at}
            FROM {series} WHERE n % 100 = 0""",
        ),
        (
            "labels",
            f"""INSERT INTO annotation (id, label_task_id, studio_project, studio_annotation_id, updated_at, by,
            mask_key, classes, specks, drawn, received_at, superseded, deleted)
            SELECT {identifier("n + 2", age="age - 90")}, {identifier()}, '1', n, {at}, 'eva@plant', 'none', '{{}}', 0,
            (CASE WHEN n % 4000 = 0 THEN '{{"scratch":1}}' ELSE '{{}}' END)::json, {at}, false, false
            FROM {series} WHERE n % 100 = 0 AND n <= {parts} - 20000""",
        ),
        (
            "audit trail",
            f"""INSERT INTO auditentry (n, at, kind, subject, by, body, seal)
            SELECT n, {at}, 'verdict', {identifier()}, 'server', '{{"part":"P-'||n||'","verdict":"ok"}}',
            md5(n::text)||md5(n::text) FROM {series}""",
        ),
        (
            "alarms",
            f"""INSERT INTO alarm (id, kind, station, what, message, since, raised_at, before, after, figures,
            closed_at, closed_by, reason)
            SELECT {identifier()}, 'camera', {station}, 'top level', 'darker than usual', {at}, {at}, '[]',
            '[]', '{{}}', CASE WHEN n % 100000 = 0 THEN NULL ELSE {at} END, '', '' FROM {series} WHERE n % 1000 = 0""",
        ),
        (
            "jobs",
            f"""INSERT INTO job (id, kind, arguments, again, state, attempts, max_attempts, not_before, message,
            created_at, finished_at)
            SELECT {identifier()}, 'labels', '{{}}', false, 'done', 1, 5, {at}, '', {at}, {at} FROM {lately}
            WHERE n % 10 = 1""",
        ),
    ]


def is_filled(url: str) -> bool:
    """Whether an earlier run has filled it."""
    engine = create_engine(url)
    with engine.connect() as connection:
        return connection.execute(text("SELECT to_regclass('inspection')")).scalar() is not None


def filled_at(url: str, parts: int) -> int:
    """`NOW` of the run that filled it, by the id of its newest part."""
    with create_engine(url).connect() as connection:
        newest = text("SELECT id FROM inspection WHERE part = :part")
        stamp = connection.execute(newest, {"part": f"P-{parts}"}).scalar_one().replace("-", "")[:12]
    return round(int(stamp, 16) / 1000 + YEAR_S / (parts + 1))


def fill(url: str, parts: int) -> None:
    """Every table, with the time it took. References are not looked at row by row: they are right by construction."""
    from server import schema
    from server.db import Database

    database = Database(url)
    schema.upgrade(database)
    for what, sql in filling(parts):
        began = time.perf_counter()
        table = sql.split()[2]
        with database.engine.begin() as connection:
            connection.execute(text("SET session_replication_role = replica"))
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            again = without_indexes(connection, table)
            rows = connection.exec_driver_sql(sql.replace("%", "%%")).rowcount
            for statement in again:
                connection.exec_driver_sql(statement.replace("%", "%%"))
        print(f"{rows:>12,} {what} in {time.perf_counter() - began:.0f} s", flush=True)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        began = time.perf_counter()
        connection.execute(text("VACUUM (ANALYZE)"))
        (size,) = connection.execute(text("SELECT pg_database_size(current_database())")).one()
    print(f"{size / 1e9:.1f} GB; statistics in {time.perf_counter() - began:.0f} s", flush=True)
    database.close()


def without_indexes(connection: Connection, table: str) -> list[str]:
    """Drop a table's indexes and unique constraints, all but the primary key's; the SQL that makes them again, which
    takes a fraction of the time that keeping them up to date for each row would."""
    unique = text(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = :t ::regclass AND contype = 'u'"
    )
    index = text(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = :t AND NOT EXISTS "
        "(SELECT 1 FROM pg_constraint WHERE conname = indexname AND contype = 'p')"
    )
    again = []
    for name, told in connection.execute(unique, {"t": table}).all():
        connection.exec_driver_sql(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        again.append(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {told}')
    for name, told in connection.execute(index, {"t": table}).all():
        connection.exec_driver_sql(f'DROP INDEX "{name}"')
        again.append(told)
    return again


def fill_beside(line: Any, parts: int) -> None:
    """What there is beside the inspections, in a database that this run has filled, while its server runs."""
    began, made = time.perf_counter(), {}
    with line.context.database.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        champion = connection.execute(text("SELECT id FROM modelversion WHERE alias = 'champion'")).scalar_one()
        told = (parts, identifier, every(parts))
        made["verdicts of a challenger"] = beside.challenge(connection, champion, *told)
        made["vectors"], made["suggestions"] = beside.see(connection, "sha256:dark-spots", *told, STATION)
        made["calls"] = beside.call(connection, *told, STATION)
        made["recommendations"], made["outcomes"] = beside.advise(connection, *told)
    with line.context.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
    words = ", ".join(f"{count:,} {what}" for what, count in made.items())
    print(f"{words} in {time.perf_counter() - began:.0f} s", flush=True)


def queries(
    parts: int, rng: random.Random, ids: list[str], defective: list[str], batches: list[str]
) -> dict[str, Callable[[], str]]:
    """What is asked, by its name: an address, other each time.

    Args:
        ids: of inspections.
        defective: ids of inspections with a defect of which a vector is kept.
        batches: names of batches of `beside.PROCESS`.
    """
    process = f"/processes/{beside.PROCESS}"

    def station() -> str:
        return f"station-{rng.randrange(STATIONS):02}"

    def moment(days: float) -> str:
        at = datetime.now(UTC) - timedelta(days=rng.random() * days)
        return at.isoformat(timespec="seconds").replace("+00:00", "Z")

    def seen() -> str:
        return rng.choice(ids)

    return {
        "newest inspections": lambda: "/inspections?limit=50",
        "older page": lambda: f"/inspections?limit=50&cursor={seen()}",
        "of a station": lambda: f"/inspections?limit=50&station={station()}",
        "of a station, older page": lambda: f"/inspections?limit=50&station={station()}&cursor={seen()}",
        "of a station that never was": lambda: f"/inspections?limit=50&station=none-{rng.random()}",
        "not ok": lambda: "/inspections?limit=50&verdict=ng",
        "not ok, older page": lambda: f"/inspections?limit=50&verdict=ng&cursor={seen()}",
        "in doubt at a station": lambda: f"/inspections?limit=50&verdict=review&station={station()}",
        "of a part": lambda: f"/inspections?part=P-{rng.randrange(1, parts)}",
        "looked for": lambda: f"/search?q=P-{rng.randrange(1, parts)}",
        "since a moment": lambda: f"/inspections?limit=50&since={moment(30)}",
        "not ok since a moment": lambda: f"/inspections?limit=50&verdict=ng&since={moment(30)}",
        "one inspection": lambda: f"/inspections/{seen()}",
        "a part from all views": lambda: f"/parts/P-{rng.randrange(1, parts)}",
        "stations": lambda: "/stations",
        "wall screen": lambda: "/wall",
        "alarms": lambda: "/alarms",
        "calls": lambda: "/calls",
        "cameras": lambda: "/cameras",
        "label tasks": lambda: "/label-tasks",
        "quality of labels": lambda: "/labels/quality",
        "label book": lambda: "/label-book",
        "disputes": lambda: "/label-disputes",
        "models": lambda: "/models",
        "shadow": lambda: "/models/shadow",
        "mode of a station": lambda: f"/stations/{station()}/mode",
        "money": lambda: f"/money?product=default&month={datetime.now(UTC) - timedelta(days=rng.randrange(300)):%Y-%m}",
        "audit trail": lambda: "/audit",
        "audit trail, older page": lambda: f"/audit?before={rng.randrange(1, parts)}",
        "audit trail of a kind": lambda: "/audit?kind=verdict",
        "audit trail of a part": lambda: f"/audit?words=%22P-{rng.randrange(1, parts)}%22",
        "audit trail of a person": lambda: f"/audit?by=anna&before={rng.randrange(1, parts)}",
        "audit trail since a moment": lambda: f"/audit?since={moment(30)}",
        "jobs": lambda: "/jobs",
        "erasures": lambda: "/erasures",
        "golden parts": lambda: "/golden",
        "outbound": lambda: "/outbound",
        "products": lambda: "/products",
        "data sets": lambda: "/data-sets",
        "first run": lambda: "/first-run",
        "quick heads": lambda: "/heads",
        "people": lambda: "/people",
        "good picture to compare": lambda: f"/inspections/{seen()}/images/0/good",
        "disagreements": lambda: "/models/shadow/disagreements",
        "disagreements to be decided": lambda: "/models/shadow/disagreements?unanswered=true",
        "seen before": lambda: f"/inspections/{rng.choice(defective)}/defects/0/similar",
        "processes": lambda: "/processes",
        "one process": lambda: process,
        "newest advice": lambda: f"{process}/recommendations",
        "older advice": lambda: f"{process}/recommendations?cursor={seen()}",
        "advice of a kind": lambda: f"{process}/recommendations?decision={rng.choice(('correct', 'scrap', 'measure'))}",
        "plan of a part": lambda: f"{process}/parts/P-{beside.DEFECTIVE * rng.randrange(1, parts)}/plan",
        "what advice brought": lambda: f"{process}/summary",
        "trial of advice": lambda: f"{process}/worth",
        "promises": lambda: f"{process}/promises",
        "levers": lambda: f"{process}/levers",
        "exploring": lambda: f"{process}/exploring",
        "capability": lambda: f"{process}/capability",
        "batches": lambda: f"{process}/batches",
        "one batch": lambda: f"{process}/batch?batch={rng.choice(batches)}",
        "health": lambda: "/health",
        "metrics": lambda: "/metrics",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", type=int)
    parser.add_argument("--times", type=int, default=40, help="that each query is asked")
    parser.add_argument("--only", default="", help="queries with one of these words in their name or address")
    parser.add_argument(
        "--url", default="", help="a database that stays, filled where it is empty, instead of a new one"
    )
    parser.add_argument("--plans", action="store_true", help="say which scans read many rows")
    given = parser.parse_args()
    if given.url:
        global NOW
        if is_filled(given.url):
            NOW = filled_at(given.url, given.parts)
        else:
            fill(given.url, given.parts)
        measure(given.url, given.parts, given.times, given.only, plans=given.plans)
        return
    from postgres_server import postgres

    # as on a machine with 8 GB for the database; the server's own commits are not what is measured
    options = ("shared_buffers=1GB", "maintenance_work_mem=512MB", "max_wal_size=8GB", "fsync=off", "work_mem=16MB")
    with postgres(*options) as url:
        print(url, flush=True)
        fill(url, given.parts)
        measure(url, given.parts, given.times, given.only, plans=given.plans)


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """What the server asks of its database meanwhile, with its values; also what it asks beside the requests."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Connection, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")) and (statement, values) not in seen:
            seen.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def large_scans(engine: Engine, asked: list[tuple[str, Any]]) -> Iterator[str]:
    """Each scan of these statements that reads MANY rows or more, those it throws away included."""
    for statement, values in asked:
        with engine.connect() as connection:
            told = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values).scalar_one()
        nodes = [told[0]["Plan"]]
        while nodes:
            node = nodes.pop()
            nodes += node.get("Plans", [])
            thrown = sum(value for name, value in node.items() if name.startswith("Rows Removed"))
            rows = (node["Actual Rows"] + thrown) * node["Actual Loops"]
            if node["Node Type"].endswith("Scan") and rows >= MANY:
                by = node.get("Index Name") or node.get("Relation Name") or node.get("CTE Name", "")
                yield f"{node['Node Type']} of {by}: {rows:,.0f} rows, {node['Actual Total Time']:.0f} ms"


def processor_s() -> float:
    """Seconds of a processor that this process and all of PostgreSQL's have used so far; theirs in steps of 10 ms."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            told = stat.read_text()
        except OSError:  # it has ended
            continue
        if "(postgres)" in told:
            fields = told.rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def measure(url: str, parts: int, times: int, only: str, *, plans: bool) -> None:
    """Ask, and print a line for each query."""
    from conftest import start

    from server import money_sums
    from server.access import Role

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))

    rng = random.Random(0)
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextmanager(start)(Path(folder) / "home", log_level="ERROR", database_url=url) as line,
    ):
        print(f"the server was up in {time.perf_counter() - began:.1f} s", flush=True)
        with line.context.database.read() as session:
            filled = session.execute(text("SELECT 1 FROM shadowverdict LIMIT 1")).first() is not None
        beside.process(line, ask=not filled)
        with line.context.database.read() as session:  # a fresh data folder gets its first model, once
            while session.execute(text("SELECT 1 FROM job WHERE state IN ('waiting', 'running') LIMIT 1")).first():
                session.rollback()
                time.sleep(0.2)
        if not filled:
            fill_beside(line, parts)
        with line.context.database.engine.connect() as connection:
            some = beside.some(connection)
        with line.context.database.read() as session:
            few = "SELECT id FROM inspection TABLESAMPLE SYSTEM (:share) LIMIT 2000"
            ids = [row[0] for row in session.execute(text(few), {"share": min(100.0, 4e6 / parts)})]
        began = time.perf_counter()
        days = sum(1 for _ in money_sums.keep(line.context.database, now=line.context.now()))  # a job does it each hour
        print(f"{days} days of money were summed up in {time.perf_counter() - began:.1f} s", flush=True)
        print(f"{'':30} {'p50':>8} {'p95':>8} {'longest':>8} {'processor':>9} ms", flush=True)
        slow, sent = [], time.monotonic()
        for name, address in queries(parts, rng, ids, **some).items():
            if not any(word in name or word in address() for word in only.split(",")):
                continue
            if plans:
                with statements(line.context.database.engine) as asked_of_it:
                    line.get(address(), Role.ADMIN)
                for scan in large_scans(line.context.database.engine, asked_of_it):
                    print(f"{name}: {scan}", flush=True)
            took, statuses, used = [], set(), 0.0
            for _ in range(times):
                if time.monotonic() - sent > 1.0:
                    line.send(
                        line.picture(dark=4, mark=rng.randrange(70)), part=f"N-{rng.random()}", station="station-00"
                    )
                    beside.tell(line)
                    sent = time.monotonic()
                asked = address()
                before, began = processor_s(), time.perf_counter()
                answer = line.get(asked, Role.ADMIN)
                took.append(1000 * (time.perf_counter() - began))
                used += processor_s() - before
                statuses.add(answer.status_code)
                if sum(took) > 30_000:
                    break
            p95 = float(np.percentile(took, 95))
            said = "" if statuses == {200} else f"  answers {sorted(statuses)}"
            figures = f"{statistics.median(took):8.1f} {p95:8.1f} {max(took):8.1f} {1000 * used / len(took):9.1f}"
            print(f"{name:30} {figures}{said}", flush=True)
            if p95 > 100:
                slow.append(name)
        print(f"above 100 ms: {', '.join(slow) or 'none'}", flush=True)


if __name__ == "__main__":
    main()
