"""Permission for rework."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from qc.records import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it so."""
    op.create_table(
        "approval",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("process", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("recommendation_id", sa.String(), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("answer", sa.Enum("APPROVED", "DECLINED", name="answer"), nullable=False),
        sa.Column("risk", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["recommendation_id"], ["recommendation.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("approval", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_approval_part"), ["part"], unique=False)
        batch_op.create_index(batch_op.f("ix_approval_process"), ["process"], unique=False)
        batch_op.create_index(batch_op.f("ix_approval_recommendation_id"), ["recommendation_id"], unique=False)


def downgrade() -> None:
    """Take it back."""
    op.drop_table("approval")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TYPE IF EXISTS answer")
