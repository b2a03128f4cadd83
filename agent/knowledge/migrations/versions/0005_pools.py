"""Pools: accepted factors combined into one signal, with a scorecard of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add an empty table: earlier versions combined nothing."""
    op.create_table(
        "pools",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("panel_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("members", sa.JSON(), nullable=False),
        sa.Column("scorecard", sa.JSON(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("sharpe_per_bar", sa.Double(), nullable=True),
        sa.Column("created", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["panel_id"], ["datasets.panel_id"], name="fk_pools_panel_id_datasets"),
        sa.PrimaryKeyConstraint("seq", name="pk_pools"),
        sa.UniqueConstraint("id", name="uq_pools_id"),
    )
    op.create_index("ix_pools_panel_id", "pools", ["panel_id"], unique=False)
