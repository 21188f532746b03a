"""Parts are found by how their names begin, and by an index: there are millions of them."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import event, text

from qc.records import Inspection
from server import schema, search
from server.access import Role
from server.db import Database


def test_the_beginning_of_a_name_is_answered_by_an_index(database_url):
    database = Database(database_url)
    sqlite = database.dialect == "sqlite"
    schema.upgrade(database)
    with database.write() as session:
        names = [f"Bar_{n}" for n in range(3)] + ["BarX", *(f"P-{n}" for n in range(500))]
        session.add_all([Inspection(part=name, station="S", received_at=datetime.now(UTC)) for name in names])
        session.commit()
    asked: list[tuple[str, object]] = []
    event.listen(database.engine, "before_cursor_execute", lambda _, __, sql, given, *___: asked.append((sql, given)))
    with database.read() as session:
        found = search.find(session, "Bar_", role=Role.OPERATOR)
        assert sorted(hit.name for hit in found) == ["Bar_0", "Bar_1", "Bar_2"]
        sql, given = next((sql, given) for sql, given in asked if "GROUP BY inspection.part" in sql)
        if not sqlite:
            session.execute(text("SET LOCAL enable_seqscan = off"))  # 500 rows are read faster without an index
        told = session.connection().exec_driver_sql(f"EXPLAIN {'QUERY PLAN ' if sqlite else ''}{sql}", given)
        plan = "\n".join(" ".join(map(str, row)) for row in told)
    database.close()
    if sqlite:
        assert "ix_inspection_part (part>? AND part<?)" in plan, plan
    else:
        assert plan.count("Index Cond") == 3, plan
