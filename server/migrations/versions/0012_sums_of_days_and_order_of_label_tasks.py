"""Sums of days for the months of money, with triggers that tell of later writing; indexes for the list of label tasks.

Triggers of a table go with it: a later migration that makes one of these tables anew (SQLite, `batch_alter_table`) has
to call `triggers` again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

OF_INSPECTION = "SELECT product, received_at FROM inspection WHERE id = {row}.inspection_id"
OF_TASK = f"{OF_INSPECTION} AND {{row}}.reason = 'SAMPLE'"
OF_ANNOTATION = (
    "SELECT i.product, i.received_at FROM inspection i JOIN labeltask t ON t.inspection_id = i.id "
    "WHERE t.id = {row}.label_task_id AND t.reason = 'SAMPLE'"
)
WRITTEN = {
    "inspection": ("product, received_at, progress, verdict, model_verdict", "SELECT {row}.product, {row}.received_at"),
    "decision": ("inspection_id, verdict", OF_INSPECTION),
    "undo": ("inspection_id, decision_id", OF_INSPECTION),
    "labeltask": ("inspection_id, reason, state, chance", OF_TASK),
    "annotation": ("label_task_id, superseded, deleted, drawn", OF_ANNOTATION),
}
"""Table -> columns on which sums rest, and which inspection's day a row is about."""


def upgrade() -> None:
    """Make it so."""
    op.create_table(
        "moneychange",
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("n"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_moneychange_day", "moneychange", ["product", "day"], unique=False)
    op.create_table(
        "moneyday",
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("known_from", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sums", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("product", "day"),
    )
    triggers()
    op.create_index("ix_labeltask_urgency", "labeltask", [sa.text("urgency DESC"), "id"], unique=False)
    op.create_index("ix_labeltask_state_urgency", "labeltask", ["state", sa.text("urgency DESC"), "id"], unique=False)
    op.create_index("ix_labeltask_reason", "labeltask", ["reason", "inspection_id"], unique=False)
    op.drop_index("ix_labeltask_state", table_name="labeltask")


def downgrade() -> None:
    """Take it back."""
    op.create_index("ix_labeltask_state", "labeltask", ["state"], unique=False)
    op.drop_index("ix_labeltask_reason", table_name="labeltask")
    op.drop_index("ix_labeltask_state_urgency", table_name="labeltask")
    op.drop_index("ix_labeltask_urgency", table_name="labeltask")
    for table in WRITTEN:
        if op.get_bind().dialect.name == "postgresql":
            op.execute(f"DROP TRIGGER moneychange_{table} ON {table}")
            op.execute(f"DROP FUNCTION moneychange_{table}()")
        else:
            for event, _ in _events(table):
                op.execute(f"DROP TRIGGER moneychange_{table}_{event.split()[0].lower()}")
    op.drop_table("moneyday")
    op.drop_index("ix_moneychange_day", table_name="moneychange")
    op.drop_table("moneychange")


def triggers() -> None:
    """Whatever is written of a day that has a row in `moneyday` is told in `moneychange`, by the same transaction."""
    make = _postgresql if op.get_bind().dialect.name == "postgresql" else _sqlite
    for table in WRITTEN:
        make(table)


def _events(table: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(event, the states of the row that matter)."""
    return (("INSERT", ("NEW",)), (f"UPDATE OF {WRITTEN[table][0]}", ("OLD", "NEW")), ("DELETE", ("OLD",)))


def _sqlite(table: str) -> None:
    for event, rows in _events(table):
        told = " ".join(_tell(table, row, "substr(w.received_at, 1, 10)") for row in rows)
        name = f"moneychange_{table}_{event.split()[0].lower()}"
        op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {told} END")


def _postgresql(table: str) -> None:
    day = "to_char(w.received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    op.execute(
        f"CREATE FUNCTION moneychange_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP <> 'INSERT' THEN {_tell(table, 'OLD', day)} END IF; "
        f"IF TG_OP <> 'DELETE' THEN {_tell(table, 'NEW', day)} END IF; RETURN NULL; END $$"
    )
    events = " OR ".join(event for event, _ in _events(table))
    op.execute(
        f"CREATE TRIGGER moneychange_{table} AFTER {events} ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION moneychange_{table}()"
    )


def _tell(table: str, row: str, day: str) -> str:
    written = WRITTEN[table][1].format(row=row)
    return (
        f"INSERT INTO moneychange (product, day) SELECT d.product, d.day FROM ({written}) w "
        f"JOIN moneyday d ON d.product = w.product AND d.day = {day};"
    )
