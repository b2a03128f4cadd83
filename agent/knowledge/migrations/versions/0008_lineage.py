"""Data that grow keep their past: what data sets have in common, where their splits lie, which bars openings saw."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns in place; of data sets and openings recorded so far nothing is known in them."""
    op.add_column("datasets", sa.Column("signature", sa.LargeBinary(), nullable=True))
    op.add_column("datasets", sa.Column("bar", sa.BigInteger(), nullable=True))
    for name in ("train_until", "validation_until", "frozen_by"):
        op.add_column("datasets", sa.Column(name, sa.String(), nullable=True))
    for name in ("start", "end"):
        op.add_column("holdout_openings", sa.Column(name, sa.String(), nullable=True))
    op.create_table(
        "related_datasets",
        sa.Column("panel_id", sa.String(), nullable=False),
        sa.Column("other_id", sa.String(), nullable=False),
        sa.Column("share", sa.Double(), nullable=True),
        sa.Column("covered", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["panel_id"], ["datasets.panel_id"], name="fk_related_datasets_panel_id_datasets"),
        sa.ForeignKeyConstraint(["other_id"], ["datasets.panel_id"], name="fk_related_datasets_other_id_datasets"),
        sa.PrimaryKeyConstraint("panel_id", "other_id", name="pk_related_datasets"),
    )
