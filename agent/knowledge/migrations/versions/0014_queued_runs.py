"""Runs that wait for a worker, and which worker has them until when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "queued_runs",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked", sa.String(), nullable=False),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("taken", sa.String(), nullable=True),
        sa.Column("lease", sa.String(), nullable=True),
        sa.Column("ended", sa.String(), nullable=True),
        sa.Column("message", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_queued_runs_run_id_runs"),
        sa.PrimaryKeyConstraint("run_id", name="pk_queued_runs"),
    )
