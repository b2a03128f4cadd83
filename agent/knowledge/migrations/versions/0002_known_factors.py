"""The index of known factors, by which novelty is told before any backtest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables empty: what is known already is indexed when first asked for."""
    op.create_table(
        "known_factors",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("factor_id", sa.String(), nullable=False),
        sa.Column("canonical", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("ranking", sa.BigInteger(), nullable=False),
        sa.Column("sign", sa.Integer(), nullable=False),
        sa.Column("shape", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_known_factors"),
        sa.UniqueConstraint("factor_id", name="uq_known_factors_factor_id"),
    )
    op.create_index("ix_known_factors_ranking", "known_factors", ["ranking"], unique=False)
    op.create_index("ix_known_factors_shape", "known_factors", ["shape"], unique=False)
    op.create_table(
        "known_parts",
        sa.Column("hash", sa.BigInteger(), nullable=False),
        sa.Column("factor_size", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["known_factors.seq"], name="fk_known_parts_seq_known_factors"),
        sa.PrimaryKeyConstraint("hash", "factor_size", "seq", name="pk_known_parts"),
        sqlite_with_rowid=False,
    )
