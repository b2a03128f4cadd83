"""Scorecards packed in a file; what attempts are chosen and listed by as columns; which process works on a run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from agent.knowledge.packed_json import pack_json

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_BATCH = 500
_FIGURES = ("train_payoff_z", "train_net_z", "train_sharpe")
_WORDS = ("accepted", "promising", "untested", "rejected")


def upgrade() -> None:
    """Convert every row; the large documents come last, so that what stands before them is read without them."""
    server = op.get_bind().dialect.name == "postgresql"
    op.add_column("runs", sa.Column("process", sa.String(), nullable=True))
    op.add_column("evaluations", sa.Column("verdict", sa.String(), nullable=False, server_default=""))
    for name in _FIGURES:
        op.add_column("evaluations", sa.Column(name, sa.Double(), nullable=True))
    if not server:
        empty = sa.text("''")
        for name in ("scorecard", "evidence"):
            column = sa.Column(f"{name}_packed", sa.LargeBinary(), nullable=False, server_default=empty)
            op.add_column("evaluations", column)
    columns = ["verdict", *_FIGURES] + ([] if server else ["scorecard_packed", "evidence_packed"])
    assigned = ", ".join(f"{name} = :{name}" for name in columns)
    update = sa.text(f"UPDATE evaluations SET {assigned} WHERE attempt_id = :attempt_id")
    for rows in _rows():
        op.get_bind().execute(update, [_columns(*row) for row in rows])
    if not server:
        for name in ("scorecard", "evidence"):
            op.drop_column("evaluations", name)
            op.execute(f"ALTER TABLE evaluations RENAME COLUMN {name}_packed TO {name}")
    op.create_index("ix_evaluations_net", "evaluations", ["panel_id", "train_net_z"])
    op.create_index("ix_evaluations_payoff", "evaluations", ["panel_id", "train_payoff_z"])
    op.create_index("ix_evaluations_verdict", "evaluations", ["verdict", "train_sharpe"])
    op.create_index("ix_attempts_stage", "attempts", ["stage", "code"])
    op.create_index("ix_attempts_name", "attempts", ["name"])


def _rows() -> Iterator[list[Any]]:
    connection, after = op.get_bind(), 0
    query = sa.text(
        "SELECT attempt_id, scorecard, evidence FROM evaluations WHERE attempt_id > :after "
        "ORDER BY attempt_id LIMIT :batch"
    )
    while True:
        rows = connection.execute(query, {"after": after, "batch": _BATCH}).fetchall()
        if not rows:
            return
        yield list(rows)
        after = rows[-1][0]


def _columns(attempt_id: int, scorecard: Any, evidence: Any) -> dict[str, object]:  # noqa: ANN401 - JSON
    """Return the new columns of an evaluation."""
    card, proof = (json.loads(one) if isinstance(one, str) else one for one in (scorecard, evidence))
    train = card.get("train")
    known = train if isinstance(train, dict) else {}
    net = _figure(known, "net_z")
    if net is None:
        # Earlier scorecards had no score: the net Sharpe ratio a bar times the root of bars stands for it.
        per_bar, bars = _figure(known, "per_bar_sharpe_net"), _figure(known, "n_bars")
        net = None if per_bar is None else per_bar * math.sqrt(bars or 0.0)
    gated = _figure(known, "sharpe_gated")
    word = proof.get("verdict")
    return {
        "attempt_id": attempt_id,
        "verdict": word if word in _WORDS else "accepted" if proof.get("accepted") else "rejected",
        "train_payoff_z": _figure(known, "payoff_z"),
        "train_net_z": net,
        "train_sharpe": _figure(known, "sharpe_net") if gated is None else gated,
        "scorecard_packed": pack_json(card),
        "evidence_packed": pack_json(proof),
    }


def _figure(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name)
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
