"""Indexes of what is looked for among a million attempts: copies, first ones of clusters, children; words stored once.

Indexes that held every row where a few are ever asked for hold those few. A text of a factor is found by its hash,
which is its id. The full-text index of a file keeps no second copy of what attempts say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from agent.knowledge.tables.packed_returns import likeness, unpacked

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_BATCH = 500
_WORDS = "name, text, rationale, claims, message"


def upgrade() -> None:
    """Change indexes, and fill what is new from the rows that are there."""
    op.drop_index("ix_attempts_canonical", "attempts")
    op.drop_index("ix_evaluations_panel_id", "evaluations")
    op.drop_index("ix_evaluations_confirmed", "evaluations")
    for name in ("accepted", "confirmed"):
        _create_partial(f"ix_evaluations_{name}", "evaluations", ["panel_id"], name)
    _create_partial("ix_trial_returns_leaders", "trial_returns", ["panel_id", "seq"], "cluster = attempt_id")
    op.add_column("trial_returns", sa.Column("likeness", sa.BigInteger(), nullable=True))
    update = sa.text("UPDATE trial_returns SET likeness = :likeness WHERE attempt_id = :id")
    for rows in _rows("SELECT attempt_id, fingerprint FROM trial_returns WHERE attempt_id > :after", "attempt_id"):
        op.get_bind().execute(update, [{"id": row[0], "likeness": _likeness(row[1])} for row in rows])
    op.create_index("ix_trial_returns_likeness", "trial_returns", ["likeness"])
    _name_parents()
    if op.get_bind().dialect.name == "sqlite":
        op.execute("ALTER TABLE attempt_words RENAME TO earlier_words")
        op.execute(
            f"CREATE VIRTUAL TABLE attempt_words USING fts5({_WORDS}, content='', "
            "tokenize='unicode61 remove_diacritics 0')"
        )
        op.execute(f"INSERT INTO attempt_words (rowid, {_WORDS}) SELECT rowid, {_WORDS} FROM earlier_words")
        op.execute("DROP TABLE earlier_words")


def _create_partial(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def _name_parents() -> None:
    op.create_table(
        "attempt_parents",
        sa.Column("parent", sa.String(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name="fk_attempt_parents_attempt_id_attempts"),
        sa.PrimaryKeyConstraint("parent", "attempt_id", name="pk_attempt_parents"),
        sqlite_with_rowid=False,
    )
    insert = sa.text("INSERT INTO attempt_parents (parent, attempt_id) VALUES (:parent, :id)")
    query = "SELECT id, parent_ids FROM attempts WHERE id > :after AND CAST(parent_ids AS TEXT) <> '[]'"
    for rows in _rows(query, "id"):
        found = [{"parent": name, "id": row[0]} for row in rows for name in dict.fromkeys(_names(row[1]))]
        if found:
            op.get_bind().execute(insert, found)


def _names(stored: Any) -> list[str]:  # noqa: ANN401 - JSON has no narrower type
    names = json.loads(stored) if isinstance(stored, str) else stored
    return [name for name in names if isinstance(name, str)]


def _likeness(stored: Any) -> int | None:  # noqa: ANN401 - bytes, or what a driver makes of them
    try:
        found = unpacked(bytes(stored))
        return likeness(found) if len(found) else None
    except (ValueError, OverflowError):
        # Damaged: `kb verify` finds it, and nothing is compared with it.
        return None


def _rows(query: str, key: str) -> Iterator[list[Any]]:
    connection, after = op.get_bind(), 0
    statement = sa.text(f"{query} ORDER BY {key} LIMIT :batch")
    while True:
        rows = connection.execute(statement, {"after": after, "batch": _BATCH}).fetchall()
        if not rows:
            return
        yield list(rows)
        after = rows[-1][0]
