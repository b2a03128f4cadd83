"""Sketches of returns, by which trials are told apart; every opening of a holdout; admission as settings of its own."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Keep every row; openings recorded so far are the first of their factor, by nobody known."""
    op.create_table(
        "trial_returns",
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("panel_id", sa.String(), nullable=False),
        sa.Column("cluster", sa.Integer(), nullable=False),
        sa.Column("sketch", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name="fk_trial_returns_attempt_id_attempts"),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_trial_returns"),
    )
    op.create_index("ix_trial_returns_panel_id", "trial_returns", ["panel_id"], unique=False)
    op.rename_table("holdout_openings", "openings_before")
    if op.get_bind().dialect.name == "postgresql":
        # There, the key keeps its name when its table is renamed.
        op.execute("ALTER TABLE openings_before RENAME CONSTRAINT pk_holdout_openings TO pk_openings_before")
    op.create_table(
        "holdout_openings",
        sa.Column("factor_id", sa.String(), nullable=False),
        sa.Column("panel_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.String(), nullable=False),
        sa.Column("opened_by", sa.String(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("factor_id", "panel_id", "number", name="pk_holdout_openings"),
    )
    op.execute(
        "INSERT INTO holdout_openings SELECT factor_id, panel_id, 1, opened_at, 'unknown', '{}', result "
        "FROM openings_before"
    )
    op.drop_table("openings_before")
    _move_min_dsr()


def _move_min_dsr() -> None:
    """Move the bar of the Deflated Sharpe Ratio, once a setting of the loop, to where it is now."""
    connection = op.get_bind()
    for run_id, text in connection.execute(sa.text("SELECT id, config FROM runs")).fetchall():
        config = json.loads(text) if isinstance(text, str) else text
        loop = config.get("loop")
        if isinstance(loop, dict) and "min_dsr" in loop:
            config["admission"] = {"min_dsr": loop.pop("min_dsr"), **config.get("admission", {})}
            stored = json.dumps(config, ensure_ascii=False)
            connection.execute(
                sa.text("UPDATE runs SET config = :config WHERE id = :id"), {"config": stored, "id": run_id}
            )
