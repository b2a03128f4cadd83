"""What the writer claims of a factor, and the judge's scores and forecast."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Keep every row: earlier attempts claimed nothing, earlier verdicts scored nothing apart."""
    op.add_column("attempts", sa.Column("claims", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
    op.add_column("verdicts", sa.Column("scores", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
