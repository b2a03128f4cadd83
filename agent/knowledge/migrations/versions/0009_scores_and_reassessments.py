"""Scores of both tests as columns, for a false discovery rate over many trials; verdicts given again later."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the scores out of the stored evidence; a policy before the two tests left none."""
    server = op.get_bind().dialect.name == "postgresql"
    for name in ("predicts", "earns"):
        op.add_column("evaluations", sa.Column(f"{name}_z", sa.Double(), nullable=True))
        stored = f"(evidence->'{name}'->>'z')::double precision" if server else f"json_extract(evidence, '$.{name}.z')"
        op.execute(f"UPDATE evaluations SET {name}_z = {stored}")
    # Whether a search that train led came to validation with it: searches before did not, they were tested otherwise.
    op.add_column("evaluations", sa.Column("confirmed", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.create_index("ix_evaluations_confirmed", "evaluations", ["panel_id", "confirmed"])
    # All that is read of a trial then: the documents, which stand before these columns, are not touched.
    columns = ["panel_id", "attempt_id", "predicts_z", "earns_z", "factor_id", "rules"]
    op.create_index("ix_evaluations_scores", "evaluations", columns)
    op.create_table(
        "reassessments",
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("created", sa.String(), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("trials", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("predicts", sa.JSON(), nullable=False),
        sa.Column("earns", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name="fk_reassessments_attempt_id_attempts"),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_reassessments"),
    )
