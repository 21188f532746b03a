"""Labels by several people, golden tasks, tasks drawn at random."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it so."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TYPE reason ADD VALUE IF NOT EXISTS 'SAMPLE'")
    with op.batch_alter_table("labeltask", schema=None) as batch_op:
        batch_op.add_column(sa.Column("chance", sa.Float(), nullable=False, server_default="1.0"))
        batch_op.add_column(sa.Column("people", sa.Integer(), nullable=False, server_default="1"))
        batch_op.add_column(sa.Column("golden_key", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("golden_classes", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    """Take it back; PostgreSQL keeps the word SAMPLE, since a value of a type cannot be removed."""
    with op.batch_alter_table("labeltask", schema=None) as batch_op:
        for name in ("golden_classes", "golden_key", "people", "chance"):
            batch_op.drop_column(name)
