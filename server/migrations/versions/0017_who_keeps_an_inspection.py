"""Which server's data folder an inspection was taken in by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it so: in place on SQLite as well, so that the table's triggers stay (0012)."""
    op.add_column("inspection", sa.Column("keeper", sa.String(), nullable=True))


def downgrade() -> None:
    """Take it back."""
    op.drop_column("inspection", "keeper")
