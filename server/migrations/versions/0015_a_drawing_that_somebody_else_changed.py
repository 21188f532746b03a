"""Of a drawing that somebody else changed in Label Studio, what each of them drew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

NAME = "uq_annotation_studio"


def upgrade() -> None:
    """Make it so."""
    _unique("studio_project", "studio_annotation_id", "by")


def downgrade() -> None:
    """Take it back: the newest drawing stays."""
    op.execute(
        "DELETE FROM annotation WHERE EXISTS (SELECT 1 FROM annotation AS o "
        "WHERE o.studio_project = annotation.studio_project "
        "AND o.studio_annotation_id = annotation.studio_annotation_id "
        "AND (o.updated_at > annotation.updated_at OR (o.updated_at = annotation.updated_at AND o.id > annotation.id)))"
    )
    _unique("studio_project", "studio_annotation_id")


def _unique(*columns: str) -> None:
    """One row for each of these columns together. SQLite copies the table: its triggers are made again."""
    triggers = []
    if op.get_bind().dialect.name == "sqlite":
        made = sa.text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'annotation'")
        triggers = list(op.get_bind().scalars(made))
    with op.batch_alter_table("annotation") as batch:
        batch.drop_constraint(NAME, type_="unique")
        batch.create_unique_constraint(NAME, list(columns))
    for trigger in triggers:
        op.execute(trigger)
