"""An index that finds parts by how their names begin, on PostgreSQL; SQLite's does already."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

NAME = "ix_inspection_part"


def upgrade() -> None:
    """Make it so."""
    _index(ops={"part": "text_pattern_ops"})


def downgrade() -> None:
    """Take it back."""
    _index(ops={})


def _index(*, ops: dict[str, str]) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index(NAME, table_name="inspection")
        op.create_index(NAME, "inspection", ["part"], postgresql_ops=ops)
