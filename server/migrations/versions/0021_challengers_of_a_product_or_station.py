"""Products and stations with a champion of their own have a challenger of their own, too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it so; what was there is of the challenger of everywhere."""
    op.add_column("assignment", sa.Column("challenger", sa.String(), nullable=True))
    op.add_column("assignment", sa.Column("challenger_served", sa.Boolean(), nullable=False, server_default=sa.false()))
    for table in ("shadowverdict", "gateapproval"):
        op.add_column(table, sa.Column("for_product", sa.String(), nullable=False, server_default=""))
        op.add_column(table, sa.Column("for_station", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    """Take it back; what the challengers of a product or station saw goes, as it would count for everywhere."""
    for table in ("gateapproval", "shadowverdict"):
        op.execute(f"DELETE FROM {table} WHERE for_product != '' OR for_station != ''")
        op.drop_column(table, "for_station")
        op.drop_column(table, "for_product")
    op.drop_column("assignment", "challenger_served")
    op.drop_column("assignment", "challenger")
