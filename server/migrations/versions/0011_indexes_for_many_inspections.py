"""Indexes for pages, counts and months of millions of inspections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

MONTH = ["product", "received_at", "progress", "verdict", "model_verdict", "id"]


def upgrade() -> None:
    """Make it so."""
    op.create_index("ix_inspection_station_id", "inspection", ["station", "id"], unique=False)
    op.create_index("ix_inspection_verdict_id", "inspection", ["verdict", "id"], unique=False)
    op.create_index(
        "ix_inspection_received",
        "inspection",
        ["id"],
        unique=False,
        sqlite_where=sa.text("progress = 'RECEIVED'"),
        postgresql_where=sa.text("progress = 'RECEIVED'"),
    )
    op.create_index("ix_inspection_station_verdict_id", "inspection", ["station", "verdict", "id"], unique=False)
    op.create_index("ix_inspection_product_month", "inspection", MONTH, unique=False)
    op.drop_index("ix_inspection_station", table_name="inspection")
    op.drop_index("ix_inspection_verdict", table_name="inspection")
    op.create_index("ix_auditentry_kind_n", "auditentry", ["kind", "n"], unique=False)


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_auditentry_kind_n", table_name="auditentry")
    op.create_index("ix_inspection_station", "inspection", ["station"], unique=False)
    op.create_index("ix_inspection_verdict", "inspection", ["verdict"], unique=False)
    op.drop_index("ix_inspection_product_month", table_name="inspection")
    op.drop_index("ix_inspection_station_verdict_id", table_name="inspection")
    op.drop_index("ix_inspection_received", table_name="inspection")
    op.drop_index("ix_inspection_verdict_id", table_name="inspection")
    op.drop_index("ix_inspection_station_id", table_name="inspection")
