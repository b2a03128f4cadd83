"""Evaluations are found by their factor alone, and copies of returns under numbers of what is recorded since.

A factor has few evaluations: the index held data set, rules and code as well, a hundred bytes a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from agent.knowledge.tables.packed_returns import likeness, unpacked

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_BATCH = 500


def upgrade() -> None:
    """Change the index, and compute the numbers again."""
    op.drop_index("ix_evaluations_key", "evaluations")
    op.create_index("ix_evaluations_factor_id", "evaluations", ["factor_id"])
    update = sa.text("UPDATE trial_returns SET likeness = :likeness WHERE attempt_id = :id")
    for rows in _fingerprints():
        op.get_bind().execute(update, [{"id": row[0], "likeness": _likeness(row[1])} for row in rows])


def _likeness(stored: Any) -> int | None:  # noqa: ANN401 - bytes, or what a driver makes of them
    try:
        found = unpacked(bytes(stored))
        return likeness(found) if len(found) else None
    except (ValueError, OverflowError):
        # Damaged: `kb verify` finds it, and nothing is compared with it.
        return None


def _fingerprints() -> Iterator[list[Any]]:
    connection, after = op.get_bind(), 0
    query = "SELECT attempt_id, fingerprint FROM trial_returns WHERE attempt_id > :after ORDER BY attempt_id LIMIT :n"
    while rows := list(connection.execute(sa.text(query), {"after": after, "n": _BATCH})):
        yield rows
        after = rows[-1][0]
