"""Columns get the names of what they hold: fingerprints of returns, and counts of effective trials."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rename in place: no row is written, and no table is made again."""
    op.execute("ALTER TABLE trial_returns RENAME COLUMN sketch TO fingerprint")
    op.execute("ALTER TABLE tallies RENAME COLUMN bets TO effective_trials")
