"""Compressed prompts and replies; evaluations known by a key; words of attempts; what a panel's attempts add up to."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BATCH = 500
_WORD = re.compile(r"[^\W_]{1,100}")
_WEIGHTS = {"name": "A", "text": "B", "rationale": "B", "claims": "C", "message": "D"}


def upgrade() -> None:
    """Convert every row; of which code scored the evaluations made so far, nothing is known."""
    server = op.get_bind().dialect.name == "postgresql"
    _squeeze_calls()
    _key_evaluations()
    _order_bets(server)
    _tally()
    _index_words(server)


def _rows(query: str, batch: int = _BATCH) -> Iterator[list[Any]]:
    """Return a query's rows by the batch; it is ordered by an ``id`` that it asks to be above ``:after``."""
    connection, after = op.get_bind(), 0
    while True:
        rows = connection.execute(sa.text(query), {"after": after, "batch": batch}).fetchall()
        if not rows:
            return
        yield list(rows)
        after = rows[-1][0]


def _json(value: Any) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return what a JSON column holds: one driver reads it already, another does not."""
    return json.loads(value) if isinstance(value, str) else value


def _squeeze_calls() -> None:
    # No table is made anew: what SQLite writes for one depends on more than its content.
    for name in ("request", "response"):
        empty = sa.text("''")
        op.add_column(
            "llm_calls", sa.Column(f"{name}_squeezed", sa.LargeBinary(), nullable=False, server_default=empty)
        )
    update = sa.text("UPDATE llm_calls SET request_squeezed = :q, response_squeezed = :a WHERE id = :id")
    query = "SELECT id, request, response FROM llm_calls WHERE id > :after ORDER BY id LIMIT :batch"
    for rows in _rows(query):
        squeezed = [{"id": i, "q": zlib.compress(q.encode()), "a": zlib.compress(a.encode())} for i, q, a in rows]
        op.get_bind().execute(update, squeezed)
    for name in ("request", "response"):
        op.drop_column("llm_calls", name)
        op.execute(f"ALTER TABLE llm_calls RENAME COLUMN {name}_squeezed TO {name}")


def _key_evaluations() -> None:
    op.add_column("evaluations", sa.Column("factor_id", sa.String(), nullable=True))
    for name in ("panel_id", "rules", "code"):
        op.add_column("evaluations", sa.Column(name, sa.String(), nullable=False, server_default=""))
    op.execute(
        "UPDATE evaluations SET factor_id = (SELECT a.factor_id FROM attempts a WHERE a.id = attempt_id), panel_id = "
        "(SELECT r.panel_id FROM attempts a JOIN runs r ON r.id = a.run_id WHERE a.id = attempt_id)"
    )
    update = sa.text(
        "UPDATE evaluations SET rules = :rules WHERE attempt_id IN (SELECT id FROM attempts WHERE run_id = :run)"
    )
    for run, config in op.get_bind().execute(sa.text("SELECT id, config FROM runs")).fetchall():
        op.get_bind().execute(update, {"run": run, "rules": _rules_id(_json(config))})
    op.create_index("ix_evaluations_key", "evaluations", ["factor_id", "panel_id", "rules", "code"])
    op.create_index("ix_evaluations_panel_id", "evaluations", ["panel_id", "accepted"])


def _rules_id(config: dict[str, Any]) -> str:
    decided = {name: config.get(name) for name in ("backtest", "universe", "admission", "split", "gate")}
    return "rules:" + hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:16]


def _order_bets(server: bool) -> None:
    op.drop_index("ix_trial_returns_panel_id", "trial_returns")
    op.add_column("trial_returns", sa.Column("seq", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE trial_returns SET seq = attempt_id")
    op.create_index("ix_trial_returns_panel_id", "trial_returns", ["panel_id", "seq"])


def _tally() -> None:
    op.create_table(
        "tallies",
        sa.Column("panel_id", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("scored", sa.Integer(), nullable=False),
        sa.Column("mean", sa.Double(), nullable=False),
        sa.Column("spread", sa.Double(), nullable=False),
        sa.Column("bets", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["panel_id"], ["datasets.panel_id"], name="fk_tallies_panel_id_datasets"),
        sa.PrimaryKeyConstraint("panel_id", name="pk_tallies"),
    )
    found: dict[str, dict[str, Any]] = {}
    query = (
        "SELECT a.id, r.panel_id, e.sharpe_per_bar, CASE WHEN t.cluster = t.attempt_id THEN 1 ELSE 0 END "
        "FROM attempts a JOIN runs r ON r.id = a.run_id LEFT JOIN evaluations e ON e.attempt_id = a.id "
        "LEFT JOIN trial_returns t ON t.attempt_id = a.id WHERE a.id > :after ORDER BY a.id LIMIT :batch"
    )
    empty = {"attempts": 0, "scored": 0, "mean": 0.0, "spread": 0.0, "bets": 0, "epoch": 0}
    for rows in _rows(query, 10_000):
        for _, panel, sharpe, first in rows:
            tally = found.setdefault(panel, {"panel_id": panel, **empty})
            tally["attempts"] += 1
            tally["bets"] += first
            if sharpe is not None:
                tally["scored"] += 1
                off = sharpe - tally["mean"]
                tally["mean"] += off / tally["scored"]
                tally["spread"] += off * (sharpe - tally["mean"])
    columns = ("panel_id", *empty)
    insert = f"INSERT INTO tallies ({', '.join(columns)}) VALUES ({', '.join(':' + name for name in columns)})"
    if found:
        op.get_bind().execute(sa.text(insert), list(found.values()))


def _index_words(server: bool) -> None:
    if server:
        op.execute("CREATE TABLE attempt_words (attempt_id integer PRIMARY KEY REFERENCES attempts, words tsvector)")
        op.execute("CREATE INDEX ix_attempt_words ON attempt_words USING gin (words)")
        insert = "INSERT INTO attempt_words VALUES (:id, CAST(:words AS tsvector))"
    else:
        op.execute(
            "CREATE VIRTUAL TABLE attempt_words USING fts5(name, text, rationale, claims, message, "
            "tokenize='unicode61 remove_diacritics 0')"
        )
        insert = (
            "INSERT INTO attempt_words (rowid, name, text, rationale, claims, message) "
            "VALUES (:id, :name, :text, :rationale, :claims, :message)"
        )
    query = (
        "SELECT id, name, text, canonical, rationale, claims, message FROM attempts "
        "WHERE id > :after ORDER BY id LIMIT :batch"
    )
    for rows in _rows(query):
        said = [(row[0], _said(*row[1:])) for row in rows]
        values = [
            {"id": i, "words": _vector(words)} if server else {"id": i, **{k: " ".join(w) for k, w in words.items()}}
            for i, words in said
        ]
        op.get_bind().execute(sa.text(insert), values)


def _said(
    name: str,
    text: str,
    canonical: str | None,
    rationale: str,
    claims: Any,  # noqa: ANN401 - JSON has no narrower type
    message: str | None,
) -> dict[str, list[str]]:
    told = " ".join(str(value) for value in _json(claims).values())
    parts = {
        "name": name,
        "text": f"{canonical or ''} {text}",
        "rationale": rationale,
        "claims": told,
        "message": message or "",
    }
    return {part: _WORD.findall(value[:20_000].lower()) for part, value in parts.items()}


def _vector(said: dict[str, list[str]]) -> str:
    placed = [(word, _WEIGHTS[part]) for part, words in said.items() for word in words][:16_000]
    return " ".join(f"'{word}':{place}{weight}" for place, (word, weight) in enumerate(placed, start=1))
