"""The tables of the first version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from qc.records import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it so."""
    op.create_table(
        "apikey",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("key_hash", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key_hash"),
    )
    op.create_table(
        "auditentry",
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("seal", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("n"),
    )
    with op.batch_alter_table("auditentry", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_auditentry_subject"), ["subject"], unique=False)

    op.create_table(
        "inspection",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("trigger_id", sa.String(), nullable=True),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("progress", sa.Enum("RECEIVED", "DONE", "FAILED", name="progress"), nullable=False),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("verdict", sa.Enum("OK", "REVIEW", "NG", name="verdict"), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("elapsed_ms", sa.Float(), nullable=True),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("process_values", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("station", "trigger_id"),
    )
    with op.batch_alter_table("inspection", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_inspection_part"), ["part"], unique=False)
        batch_op.create_index(batch_op.f("ix_inspection_received_at"), ["received_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_inspection_station"), ["station"], unique=False)
        batch_op.create_index(batch_op.f("ix_inspection_verdict"), ["verdict"], unique=False)

    op.create_table(
        "job",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("again", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("heartbeat_at", UtcDateTime(), nullable=True),
        sa.Column("progress", sa.Float(), nullable=True),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_created_at"), ["created_at"], unique=False)
        batch_op.create_index(
            "ix_job_key_unfinished",
            ["key"],
            unique=True,
            sqlite_where=sa.text("state IN ('waiting', 'running')"),
            postgresql_where=sa.text("state IN ('waiting', 'running')"),
        )
        batch_op.create_index(batch_op.f("ix_job_kind"), ["kind"], unique=False)
        batch_op.create_index("ix_job_next", ["state", "not_before"], unique=False)

    op.create_table(
        "modelversion",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("state", sa.Enum("CANDIDATE", "SERVING", "REJECTED", "RETIRED", name="modelstate"), nullable=False),
        sa.Column("alias", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("served_since", UtcDateTime(), nullable=True),
        sa.Column("classes", sa.JSON(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("dataset", sa.JSON(), nullable=False),
        sa.Column("decision", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("alias"),
    )
    with op.batch_alter_table("modelversion", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_modelversion_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_modelversion_state"), ["state"], unique=False)

    op.create_table(
        "outcome",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("process", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("learnt_in", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("process", "part"),
    )
    with op.batch_alter_table("outcome", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outcome_learnt_in"), ["learnt_in"], unique=False)
        batch_op.create_index(batch_op.f("ix_outcome_part"), ["part"], unique=False)
        batch_op.create_index(batch_op.f("ix_outcome_process"), ["process"], unique=False)
        batch_op.create_index(batch_op.f("ix_outcome_received_at"), ["received_at"], unique=False)

    op.create_table(
        "processversion",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("folder_key", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("processversion", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_processversion_current"), ["current"], unique=False)
        batch_op.create_index(batch_op.f("ix_processversion_name"), ["name"], unique=False)

    op.create_table(
        "recommendation",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("process", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("recommendation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_recommendation_asked_at"), ["asked_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_recommendation_part"), ["part"], unique=False)
        batch_op.create_index(batch_op.f("ix_recommendation_process"), ["process"], unique=False)

    op.create_table(
        "user_account",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "browsersession",
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user"],
            ["user_account.name"],
        ),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    with op.batch_alter_table("browsersession", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_browsersession_user"), ["user"], unique=False)

    op.create_table(
        "decision",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("inspection_id", sa.String(), nullable=False),
        sa.Column("verdict", sa.Enum("OK", "REVIEW", "NG", name="verdict"), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["inspection_id"],
            ["inspection.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_decision_inspection_id"), ["inspection_id"], unique=False)

    op.create_table(
        "exposure",
        sa.Column("inspection_id", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("view", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("original_key", sa.String(), nullable=False),
        sa.Column("instances_key", sa.String(), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("verdict", sa.Enum("OK", "REVIEW", "NG", name="verdict"), nullable=True),
        sa.Column("defects", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["inspection_id"],
            ["inspection.id"],
        ),
        sa.PrimaryKeyConstraint("inspection_id", "n"),
    )
    op.create_table(
        "labeltask",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("inspection_id", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("view", sa.String(), nullable=False),
        sa.Column("reason", sa.Enum("REVIEW", "OVERRULED", name="reason"), nullable=False),
        sa.Column("urgency", sa.Float(), nullable=False),
        sa.Column("crop_x", sa.Integer(), nullable=False),
        sa.Column("crop_y", sa.Integer(), nullable=False),
        sa.Column("crop_width", sa.Integer(), nullable=False),
        sa.Column("crop_height", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("state", sa.Enum("OPEN", "PUSHED", "DONE", "CANCELLED", name="taskstate"), nullable=False),
        sa.Column("studio_task_id", sa.Integer(), nullable=True),
        sa.Column("studio_project", sa.String(), nullable=True),
        sa.Column("studio_seen", sa.String(), nullable=True),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("pushed_at", UtcDateTime(), nullable=True),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["inspection_id"],
            ["inspection.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "inspection_id", "n", "crop_x", "crop_y", "crop_width", "crop_height", name="uq_labeltask_crop"
        ),
        sa.UniqueConstraint("studio_project", "studio_task_id", name="uq_labeltask_studio"),
    )
    with op.batch_alter_table("labeltask", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_labeltask_closed_at"), ["closed_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_labeltask_inspection_id"), ["inspection_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_labeltask_part"), ["part"], unique=False)
        batch_op.create_index(batch_op.f("ix_labeltask_state"), ["state"], unique=False)

    op.create_table(
        "annotation",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("label_task_id", sa.String(), nullable=False),
        sa.Column("studio_project", sa.String(), nullable=False),
        sa.Column("studio_annotation_id", sa.Integer(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("mask_key", sa.String(), nullable=False),
        sa.Column("classes", sa.JSON(), nullable=False),
        sa.Column("lead_time_s", sa.Float(), nullable=True),
        sa.Column("specks", sa.Integer(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("superseded", sa.Boolean(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["label_task_id"],
            ["labeltask.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("studio_project", "studio_annotation_id", name="uq_annotation_studio"),
    )
    with op.batch_alter_table("annotation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_annotation_label_task_id"), ["label_task_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_annotation_received_at"), ["received_at"], unique=False)


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("annotation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_annotation_received_at"))
        batch_op.drop_index(batch_op.f("ix_annotation_label_task_id"))

    op.drop_table("annotation")
    with op.batch_alter_table("labeltask", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_labeltask_state"))
        batch_op.drop_index(batch_op.f("ix_labeltask_part"))
        batch_op.drop_index(batch_op.f("ix_labeltask_inspection_id"))
        batch_op.drop_index(batch_op.f("ix_labeltask_closed_at"))

    op.drop_table("labeltask")
    op.drop_table("exposure")
    with op.batch_alter_table("decision", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_decision_inspection_id"))

    op.drop_table("decision")
    with op.batch_alter_table("browsersession", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_browsersession_user"))

    op.drop_table("browsersession")
    op.drop_table("user_account")
    with op.batch_alter_table("recommendation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_recommendation_process"))
        batch_op.drop_index(batch_op.f("ix_recommendation_part"))
        batch_op.drop_index(batch_op.f("ix_recommendation_asked_at"))

    op.drop_table("recommendation")
    with op.batch_alter_table("processversion", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_processversion_name"))
        batch_op.drop_index(batch_op.f("ix_processversion_current"))

    op.drop_table("processversion")
    with op.batch_alter_table("outcome", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_outcome_received_at"))
        batch_op.drop_index(batch_op.f("ix_outcome_process"))
        batch_op.drop_index(batch_op.f("ix_outcome_part"))
        batch_op.drop_index(batch_op.f("ix_outcome_learnt_in"))

    op.drop_table("outcome")
    with op.batch_alter_table("modelversion", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_modelversion_state"))
        batch_op.drop_index(batch_op.f("ix_modelversion_created_at"))

    op.drop_table("modelversion")
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index("ix_job_next")
        batch_op.drop_index(batch_op.f("ix_job_kind"))
        batch_op.drop_index(
            "ix_job_key_unfinished",
            sqlite_where=sa.text("state IN ('waiting', 'running')"),
            postgresql_where=sa.text("state IN ('waiting', 'running')"),
        )
        batch_op.drop_index(batch_op.f("ix_job_created_at"))

    op.drop_table("job")
    with op.batch_alter_table("inspection", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_inspection_verdict"))
        batch_op.drop_index(batch_op.f("ix_inspection_station"))
        batch_op.drop_index(batch_op.f("ix_inspection_received_at"))
        batch_op.drop_index(batch_op.f("ix_inspection_part"))

    op.drop_table("inspection")
    with op.batch_alter_table("auditentry", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_auditentry_subject"))

    op.drop_table("auditentry")
    op.drop_table("apikey")
