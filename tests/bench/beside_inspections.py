"""What a plant keeps beside its inspections, in proportion to them: for `many_inspections.py`.

Of a year's parts: verdicts of a challenger on those of the last `SHADOW_DAYS` days (one in 100 is judged otherwise), a
vector of each picture of the last `VECTOR_DAYS` days and of every defect, what a quick head said of these, a call of
the team leader for one part in 2,000, and for one part in 25 a recommendation of a process of five steps and its
outcome: those of `ASKED` parts of an imaginary line, told once by the server itself, and repeated under other names.
"""

from __future__ import annotations

import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests/server"), str(ROOT / "tests/contracts")]

SHADOW_DAYS = 30
VECTOR_DAYS = 90
YEAR_DAYS = 365
DEFECTIVE = 25
"""One part in so many is not ok, and has a defect."""
ASKED = 50
PROCESS = "bar"
CHALLENGER = "sha256:challenger"
BATCH = 40
"""Parts of a batch."""
LENGTH = 152
"""Numbers of a vector, as of the starter model."""


def vectors(count: int) -> list[bytes]:
    """Of `count` pictures, float16."""
    made = np.random.default_rng(0).normal(size=(count, LENGTH)).astype("<f2")
    return [row.tobytes() for row in made]


def challenge(connection: Connection, champion: str, parts: int, identifier: Any, part: str) -> int:
    """A challenger beside the champion of everywhere, and what it said lately."""
    connection.execute(
        text(
            "INSERT INTO modelversion (id, folder, state, alias, created_at, classes, figures, dataset) "
            "VALUES (:id, 'models/none', 'CANDIDATE', 'challenger', now(), '{}', '{}', '{}')"
        ),
        {"id": CHALLENGER},
    )
    first = parts - parts * SHADOW_DAYS // YEAR_DAYS
    said = "(CASE WHEN n % 25 = 0 THEN 'NG' ELSE 'OK' END)::verdict"
    other = "(CASE WHEN (n % 25 = 0) <> (n % 200 = 7 OR n % 200 = 50) THEN 'NG' ELSE 'OK' END)::verdict"
    sql = f"""INSERT INTO shadowverdict (inspection_id, model, champion, champion_verdict, verdict, score, defects,
        elapsed_ms, at, for_product, for_station)
        SELECT {identifier()}, '{CHALLENGER}', '{champion}', {said}, {other},
        CASE WHEN n % 25 = 0 THEN 0.8 ELSE 0.02 END, 0, 200, now() - make_interval(secs => age), '', ''
        FROM {part} WHERE n > {first}"""
    return int(connection.exec_driver_sql(sql.replace("%", "%%")).rowcount)


def see(connection: Connection, encoder: str, parts: int, identifier: Any, part: str, station: str) -> tuple[int, int]:
    """Vectors of pictures and defects, and what a quick head said of the defects: how many of each."""
    first = parts - parts * VECTOR_DAYS // YEAR_DAYS
    connection.execute(text("CREATE TEMPORARY TABLE vector_of (place int PRIMARY KEY, vector bytea)"))
    rows = [{"n": n, "vector": vector} for n, vector in enumerate(vectors(1000))]
    connection.execute(text("INSERT INTO vector_of VALUES (:n, :vector)"), rows)
    count = 0
    for place, kind, score, which in (
        (-1, "''", 0.01, f"n > {first}"),
        (0, "'scratch'", 0.9, f"n % {DEFECTIVE} = 0"),
    ):
        label = "NULL" if place < 0 else "CASE WHEN n % 4000 = 0 THEN 'scratch' END"
        sql = f"""INSERT INTO feature (inspection_id, n, defect, encoder, runtime, station, product, at, kind, score,
            label, vector)
            SELECT {identifier()}, 0, {place}, '{encoder}', 'torch', {station}, 'default',
            now() - make_interval(secs => age), {kind}, {score}, {label}, vector
            FROM {part} JOIN vector_of v ON v.place = n::bigint * 7919 % 1000 WHERE {which}"""
        count += int(connection.exec_driver_sql(sql.replace("%", "%%")).rowcount)
    connection.execute(
        text(
            "INSERT INTO head (id, name, encoder, created_at, by, retired_at, weights, figures, examples, to_review) "
            "VALUES ('head-1', 'dent', :encoder, now(), 'anna', now(), '{}', '{}', '[]', false)"
        ),
        {"encoder": encoder},
    )
    sql = f"""INSERT INTO suggestion (inspection_id, n, defect, head_id, name, probability, moved)
        SELECT {identifier()}, 0, 0, 'head-1', 'dent', 0.3, false FROM {part} WHERE n % {DEFECTIVE} = 0"""
    return count, int(connection.exec_driver_sql(sql.replace("%", "%%")).rowcount)


def call(connection: Connection, parts: int, identifier: Any, part: str, station: str) -> int:
    """Calls of the team leader; those of the newest parts are open."""
    state = f"CASE WHEN n > {parts} - 10000 THEN 'open' ELSE 'answered' END"
    sql = f"""INSERT INTO operatorcall (id, inspection_id, station, question, by, at, due_at, state, answered_by,
        reason, closed_at, verdict)
        SELECT {identifier("n + 3", age="age - 30")}, {identifier()}, {station}, 'a scratch?', 'anna',
        now() - make_interval(secs => age), now() - make_interval(secs => age) + interval '5 hours', {state}, '', '',
        now() - make_interval(secs => age), 'ng' FROM {part} WHERE n % 2000 = 0"""
    return int(connection.exec_driver_sql(sql.replace("%", "%%")).rowcount)


def process(line: Any, *, ask: bool) -> None:
    """A process of five steps, whose model the server has, and if asked for `ASKED` parts that it advised."""
    from process_opt.fit import fit
    from process_opt.history import parse_history
    from process_opt.simulate import linear_line
    from server import process_service
    from server.access import Role

    plant = linear_line(5, seed=3)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        fit(plant.process, parse_history(plant.history(600, seed=4), plant.process)).save(model)
        id, key = process_service.take_in(line.context.settings.home.resolve(), PROCESS, model)
    with line.context.database.write() as session:
        process_service.register(session, PROCESS, id, key, now=line.context.now(), report={})
        session.commit()
    if not ask:
        return
    for seed in range(ASKED):
        part, observed = plant.start(seed), {}
        for _ in range(2):
            observed |= part.run_step(part.at)
        asked = {"part": f"A-{seed}", "batch": "first", "at": part.at, "observed": observed}
        answer = line.post(f"/processes/{PROCESS}/recommendations", Role.MACHINE, json=asked).json()
        while part.at is not None:
            step = part.at
            given = {name: value for name, value in answer["settings"].items() if name.startswith(f"{step}.")}
            observed |= part.run_step(step, given)
        told = {"part": f"A-{seed}", "batch": "first", "disposition": "finished", "assignment": "recommendation"}
        done = line.post(f"/processes/{PROCESS}/outcomes", Role.MACHINE, json=told | {"observed": observed})
        assert done.status_code == 202, done.text


def tell(line: Any) -> None:
    """A part that is advised, and what came of it: what pages had counted is older from then on."""
    from server.access import Role

    wanted = (
        "SELECT request, content FROM recommendation r JOIN outcome o ON r.part = o.part WHERE r.part = 'A-1' LIMIT 1"
    )
    with line.context.database.read() as session:
        asked, came = session.execute(text(wanted)).one()
    part = {"part": f"N-{uuid.uuid4()}"}
    line.post(f"/processes/{PROCESS}/recommendations", Role.MACHINE, json=asked | part).raise_for_status()
    told = {name: came[name] for name in ("batch", "disposition", "assignment", "observed")}
    line.post(f"/processes/{PROCESS}/outcomes", Role.MACHINE, json=told | part).raise_for_status()


def advise(connection: Connection, parts: int, identifier: Any, part: str) -> tuple[int, int]:
    """Repeat them for one part in `DEFECTIVE`, the newest of which have no outcome yet: how many of each."""
    turn = f"((n / {DEFECTIVE}) % {ASKED})"
    named = "jsonb_set(jsonb_set({column}::jsonb, '{{part}}', to_jsonb('P-'||n)), '{{batch}}', {batch})::json"
    name = f"'B-'||(n / {DEFECTIVE} / {BATCH})"
    batch = f"to_jsonb({name})"
    source = "(SELECT *, row_number() OVER (ORDER BY id) - 1 AS place FROM {table} WHERE part LIKE 'A-%') a"
    came = "now() - make_interval(secs => age)"
    recommendations = f"""INSERT INTO recommendation (id, process, part, at, batch, decision, request, answer, asked_at)
        SELECT {identifier("n + 4")}, '{PROCESS}', 'P-'||p.n, a.at, {name}, a.decision,
        {named.format(column="a.request", batch=batch)},
        jsonb_set(a.answer::jsonb, '{{part}}', to_jsonb('P-'||n))::json, {came}
        FROM {part} JOIN {source.format(table="recommendation")} ON a.place = {turn} WHERE n % {DEFECTIVE} = 0"""
    outcomes = f"""INSERT INTO outcome (id, process, part, batch, content, received_at, learnt_in)
        SELECT {identifier("n + 5", age="age - 60")}, '{PROCESS}', 'P-'||p.n, {name},
        {named.format(column="a.content", batch=batch)}, {came}, (SELECT id FROM processversion LIMIT 1)
        FROM {part} JOIN {source.format(table="outcome")} ON a.place = {turn}
        WHERE n % {DEFECTIVE} = 0 AND n <= {parts} - 5000"""
    told = [int(connection.exec_driver_sql(sql.replace("%", "%%")).rowcount) for sql in (recommendations, outcomes)]
    return told[0], told[1]


def some(connection: Connection) -> dict[str, list[str]]:
    """What pages are opened with: batches, and inspections with a defect, spread over the year."""
    batches = connection.execute(text("SELECT DISTINCT batch FROM recommendation ORDER BY 1 LIMIT 2000"))
    seen = connection.execute(text("SELECT inspection_id FROM feature WHERE defect = 0 ORDER BY random() LIMIT 500"))
    return {"batches": [row[0] for row in batches], "defective": [row[0] for row in seen]}
