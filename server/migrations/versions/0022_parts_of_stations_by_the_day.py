"""What pages asked of all rows is kept with the writing: parts of a station by the day, and which drawings to compare.

Indexes for label tasks that are golden or have several drawings, and for alarms that nobody has closed.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

BY_SEVERAL = 'SELECT label_task_id FROM annotation GROUP BY label_task_id HAVING min("by") != max("by")'
SEVERAL_PICTURES = "SELECT inspection_id FROM labeltask GROUP BY inspection_id HAVING min(n) != max(n)"
FEW = {
    "ix_labeltask_golden": ("labeltask", "golden_key IS NOT NULL"),
    "ix_labeltask_several": ("labeltask", "several"),
    "ix_alarm_open": ("alarm", "closed_at IS NULL"),
}
"""Indexes of ids of the few rows for which something holds."""


def upgrade() -> None:
    """Make it so: days that are kept are summed up once more, by the job that does it each hour."""
    op.add_column("moneyday", sa.Column("stations", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("labeltask", sa.Column("several", sa.Boolean(), nullable=False, server_default=sa.false()))
    for id, found in (("id", BY_SEVERAL), ("inspection_id", SEVERAL_PICTURES)):
        op.execute(f"UPDATE labeltask SET several = true WHERE {id} IN ({found})")
    for name, (table, condition) in FEW.items():
        op.create_index(name, table, ["id"], sqlite_where=sa.text(condition), postgresql_where=sa.text(condition))


def downgrade() -> None:
    """Take it back."""
    for name, (table, _) in FEW.items():
        op.drop_index(name, table_name=table)
    op.drop_column("labeltask", "several")
    op.drop_column("moneyday", "stations")
