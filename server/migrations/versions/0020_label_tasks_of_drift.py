"""Label tasks that an alarm of drift asks for."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it so; SQLite keeps the word as text, and needs nothing."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TYPE reason ADD VALUE IF NOT EXISTS 'DRIFT'")


def downgrade() -> None:
    """Take it back: such tasks become doubts; PostgreSQL keeps the word, since a value of a type cannot be removed."""
    op.execute("UPDATE labeltask SET reason = 'REVIEW' WHERE reason = 'DRIFT'")
