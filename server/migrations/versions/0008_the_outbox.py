"""The outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from qc.records import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it so."""
    op.create_table(
        "outboundaddress",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("delivered", sa.Integer(), nullable=False),
        sa.Column("dropped", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", UtcDateTime(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.Column("last_attempt_at", UtcDateTime(), nullable=True),
        sa.Column("last_delivered_at", UtcDateTime(), nullable=True),
        sa.Column("off_at", UtcDateTime(), nullable=True),
        sa.Column("off_reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "outboundmessage",
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("cell", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("n"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("outboundmessage", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outboundmessage_part"), ["part"], unique=False)

    op.create_table(
        "outbounddelivery",
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("message_n", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_n"],
            ["outboundmessage.n"],
        ),
        sa.PrimaryKeyConstraint("address", "message_n"),
    )
    with op.batch_alter_table("outbounddelivery", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outbounddelivery_message_n"), ["message_n"], unique=False)


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("outbounddelivery", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_outbounddelivery_message_n"))

    op.drop_table("outbounddelivery")
    with op.batch_alter_table("outboundmessage", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_outboundmessage_part"))

    op.drop_table("outboundmessage")
    op.drop_table("outboundaddress")
