"""The full-text index of attempts, kept in the transaction that writes them: FTS5 in a file, a tsvector on a server.

Both hold the same words: runs of letters and digits, in lower case; so ``ts_mean(close, 5)`` is four words. Asked for,
a word stands for every word that it begins, and all that are asked for must occur. What is longer than a hundred
letters is several words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sqlalchemy import Double, Integer, Select, cast, column, func, literal_column, select, table, text
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.database.direct_connection import direct

_WORD = re.compile(r"[^\W_]{1,100}")
# What is said where, and the weight of a word there on a server and in a file.
_WEIGHTS = {
    "name": ("A", 8.0),
    "text": ("B", 4.0),
    "rationale": ("B", 4.0),
    "claims": ("C", 2.0),
    "message": ("D", 1.0),
}
# Characters; nothing is read beyond them.
_LONGEST = 20_000
_MOST_POSITIONS = 16_000
INTO_FILE = text(
    "INSERT INTO attempt_words (rowid, name, text, rationale, claims, message) "
    "VALUES (:id, :name, :text, :rationale, :claims, :message)"
)
INTO_SERVER = text("INSERT INTO attempt_words (attempt_id, words) VALUES (:id, CAST(:words AS tsvector))")


def searched_words(said: str) -> list[str]:
    """Return the words of a text, in order."""
    return _WORD.findall(said[:_LONGEST].lower())


def add_words(session: Session, attempt_id: int, row: Mapping[str, object]) -> None:
    """Index what an attempt says; `row` has its columns."""
    said = words_of(row)
    connection = direct(session)
    if connection.dialect.name == "sqlite":
        connection.execute(INTO_FILE, file_row(attempt_id, said))
    else:
        connection.execute(INTO_SERVER, {"id": attempt_id, "words": vector_of(said)})


def words_of(row: Mapping[str, object]) -> dict[str, list[str]]:
    """Return the words of what an attempt says, by where it says them; `row` has its columns."""
    claims = row["claims"]
    assert isinstance(claims, Mapping)
    parts = {
        "name": str(row["name"]),
        "text": f"{row['canonical'] or ''} {row['text']}",
        "rationale": str(row["rationale"]),
        "claims": " ".join(str(value) for value in claims.values()),
        "message": str(row["message"] or ""),
    }
    return {name: searched_words(part) for name, part in parts.items()}


def file_row(attempt_id: int, said: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """Return words as the columns of the index in a file."""
    return {"id": attempt_id, **{name: " ".join(words) for name, words in said.items()}}


def vector_of(said: Mapping[str, Sequence[str]]) -> str:
    """Return words with their places and weights, as a tsvector is written."""
    placed = [(word, _WEIGHTS[name][0]) for name, words in said.items() for word in words][:_MOST_POSITIONS]
    return " ".join(f"'{word}':{place}{weight}" for place, (word, weight) in enumerate(placed, start=1))


def ranked_matches(session: Session, words: str, panel_id: str | None, limit: int | None) -> list[tuple[int, float]]:
    """Return the ids of attempts with all these words, and how well they match, the best first; no words: none."""
    wanted = searched_words(words)
    if not wanted:
        return []
    query = _in_file(wanted) if session.get_bind().dialect.name == "sqlite" else _on_server(wanted)
    if panel_id is not None:
        attempt, run = schema.Attempt, schema.Run
        query = query.join(attempt, attempt.id == query.selected_columns[0]).join(run, run.id == attempt.run_id)
        query = query.where(run.panel_id == panel_id)
    number, score = query.selected_columns
    query = query.order_by(score.desc(), number.desc()).limit(limit)
    return [(int(row[0]), float(row[1])) for row in session.execute(query)]


def _in_file(wanted: Sequence[str]) -> Select[int, float]:
    index = table("attempt_words", column("rowid", Integer))
    weights = ", ".join(str(weight) for _, weight in _WEIGHTS.values())
    score = literal_column(f"-bm25(attempt_words, {weights})", Double).label("score")
    asked = " ".join(f'"{word}"*' for word in wanted)
    return select(index.c.rowid, score).where(text("attempt_words MATCH :asked").bindparams(asked=asked))


def _on_server(wanted: Sequence[str]) -> Select[int, float]:
    from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR

    index = table("attempt_words", column("attempt_id", Integer), column("words", TSVECTOR))
    asked = cast(" & ".join(f"'{word}':*" for word in wanted), TSQUERY)
    score = func.ts_rank(index.c.words, asked, type_=Double).label("score")
    return select(index.c.attempt_id, score).where(index.c.words.op("@@")(asked))
