"""How the migrations run: on the connection that `server.schema` gives, inside its transaction.

To write the next one after changing a table (`NNNN` counts on)::

    python -m server.schema "what changes" NNNN
"""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlmodel.sql.sqltypes import AutoString

from qc.records import UtcDateTime
from server.schema import all_tables


def render(kind: str, item: Any, autogenerate: AutogenContext) -> str | Literal[False]:
    """Types as they are written into a migration."""
    if kind == "type" and isinstance(item, UtcDateTime):
        autogenerate.imports.add("from qc.records import UtcDateTime")
        return "UtcDateTime()"
    if kind == "type" and isinstance(item, AutoString):
        return "sa.String()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=all_tables(),
    transactional_ddl=True,
    render_as_batch=True,
    render_item=render,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
