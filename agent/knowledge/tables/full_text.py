"""The full-text index of attempts, kept in the transaction that writes them: FTS5 in a file, a tsvector on a server.

Both hold the same words: runs of letters and digits, in lower case; so ``ts_mean(close, 5)`` is four words. Asked for,
a word stands for every word that it begins, and all that are asked for must occur. What is longer than a hundred
letters is several words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from agent.knowledge.database.direct_connection import direct
from agent.knowledge.word_search import WEIGHTS, searched_words

_MOST_POSITIONS = 16_000
INTO_FILE = text(
    "INSERT INTO attempt_words (rowid, name, text, rationale, claims, message) "
    "VALUES (:id, :name, :text, :rationale, :claims, :message)"
)
INTO_SERVER = text("INSERT INTO attempt_words (attempt_id, words) VALUES (:id, CAST(:words AS tsvector))")


def add_words(session: Session | Connection, attempt_id: int, row: Mapping[str, object]) -> None:
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
    placed = [(word, WEIGHTS[name][0]) for name, words in said.items() for word in words][:_MOST_POSITIONS]
    return " ".join(f"'{word}':{place}{weight}" for place, (word, weight) in enumerate(placed, start=1))
