"""The batch that was named with a recommendation or an outcome, and what was decided, are columns with an index.

A page about one batch, and one kind of advice, read the JSON of everything that a process was ever asked.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

RECOMMENDATION = sa.table(
    "recommendation",
    sa.column("request", sa.JSON()),
    sa.column("answer", sa.JSON()),
    sa.column("batch", sa.String()),
    sa.column("decision", sa.String()),
)
OUTCOME = sa.table("outcome", sa.column("content", sa.JSON()), sa.column("batch", sa.String()))
INDEXES = {
    "ix_recommendation_batch": ("recommendation", ["batch", "process"]),
    "ix_recommendation_decision": ("recommendation", ["process", "decision", "id"]),
    "ix_outcome_batch": ("outcome", ["batch", "process"]),
}


def upgrade() -> None:
    """Make it so: the rows that are there get theirs from their JSON."""
    for table in ("recommendation", "outcome"):
        op.add_column(table, sa.Column("batch", sa.String(), nullable=True))
    op.add_column("recommendation", sa.Column("decision", sa.String(), nullable=False, server_default=""))
    said = RECOMMENDATION.c.answer["decision"].as_string()
    op.execute(
        sa.update(RECOMMENDATION).values(
            batch=RECOMMENDATION.c.request["batch"].as_string(), decision=sa.func.coalesce(said, "")
        )
    )
    op.execute(sa.update(OUTCOME).values(batch=OUTCOME.c.content["batch"].as_string()))
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)


def downgrade() -> None:
    """Take it back; the JSON has it all."""
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table_name=table)
    op.drop_column("recommendation", "decision")
    for table in ("recommendation", "outcome"):
        op.drop_column(table, "batch")
