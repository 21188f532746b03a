"""Which servers work on this database, when each was last seen, and which jobs only one of them may do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from qc.records import UtcDateTime

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it so."""
    op.create_table(
        "server_home",
        sa.Column("home", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("home"),
    )
    op.add_column("job", sa.Column("home", sa.String(), nullable=True))


def downgrade() -> None:
    """Take it back."""
    op.drop_column("job", "home")
    op.drop_table("server_home")
