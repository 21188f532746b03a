"""Golden parts, gates and modes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from qc.records import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it so."""
    op.create_table(
        "gateapproval",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("challenger", sa.String(), nullable=False),
        sa.Column("champion", sa.String(), nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("gateapproval", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_gateapproval_challenger"), ["challenger"], unique=False)

    op.create_table(
        "goldenset",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("leaves", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("product", "number"),
    )
    with op.batch_alter_table("goldenset", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_goldenset_product"), ["product"], unique=False)

    op.create_table(
        "measured",
        sa.Column("challenger", sa.String(), nullable=False),
        sa.Column("champion", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("challenger", "champion"),
    )
    op.create_table(
        "stationmode",
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("limit_a_day", sa.Float(), nullable=True),
        sa.Column("limit_a_part", sa.Float(), nullable=True),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("station"),
    )
    op.create_table(
        "assignment",
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("champion", sa.String(), nullable=False),
        sa.Column("before", sa.String(), nullable=True),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["champion"],
            ["modelversion.id"],
        ),
        sa.PrimaryKeyConstraint("product", "station"),
    )
    op.create_table(
        "goldenlook",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("golden_set", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.Column("escapes", sa.Integer(), nullable=False),
        sa.Column("false_rejects", sa.Integer(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["golden_set"],
            ["goldenset.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("goldenlook", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_goldenlook_golden_set"), ["golden_set"], unique=False)
        batch_op.create_index(batch_op.f("ix_goldenlook_model"), ["model"], unique=False)

    op.create_table(
        "goldenpart",
        sa.Column("golden_set", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("inspection_id", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("truth", sa.String(), nullable=False),
        sa.Column("pictures", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["golden_set"],
            ["goldenset.id"],
        ),
        sa.ForeignKeyConstraint(
            ["inspection_id"],
            ["inspection.id"],
        ),
        sa.PrimaryKeyConstraint("golden_set", "place"),
    )
    with op.batch_alter_table("goldenpart", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_goldenpart_inspection_id"), ["inspection_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_goldenpart_part"), ["part"], unique=False)

    with op.batch_alter_table("inspection", schema=None) as batch_op:
        batch_op.add_column(sa.Column("mode", sa.String(), server_default="decide", nullable=False))
        batch_op.add_column(sa.Column("model_verdict", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("policy", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("runtime", sa.String(), nullable=True))


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("inspection", schema=None) as batch_op:
        batch_op.drop_column("runtime")
        batch_op.drop_column("policy")
        batch_op.drop_column("model_verdict")
        batch_op.drop_column("mode")

    with op.batch_alter_table("goldenpart", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_goldenpart_part"))
        batch_op.drop_index(batch_op.f("ix_goldenpart_inspection_id"))

    op.drop_table("goldenpart")
    with op.batch_alter_table("goldenlook", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_goldenlook_model"))
        batch_op.drop_index(batch_op.f("ix_goldenlook_golden_set"))

    op.drop_table("goldenlook")
    op.drop_table("assignment")
    op.drop_table("stationmode")
    op.drop_table("measured")
    with op.batch_alter_table("goldenset", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_goldenset_product"))

    op.drop_table("goldenset")
    with op.batch_alter_table("gateapproval", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_gateapproval_challenger"))

    op.drop_table("gateapproval")
