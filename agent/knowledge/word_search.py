"""What is asked of the full-text index of attempts, as SQL text that sqlite3 and SQLAlchemy both run.

Words are runs of letters and digits, in lower case; so ``ts_mean(close, 5)`` is four words. Asked for, a word stands
for every word that it begins, and all that are asked for must occur. See `agent.knowledge.tables.full_text`.
"""

from __future__ import annotations

import re

from agent.knowledge.listing import Ask

_WORD = re.compile(r"[^\W_]{1,100}")
# What is said where, and the weight of a word there on a server and in a file.
WEIGHTS = {
    "name": ("A", 8.0),
    "text": ("B", 4.0),
    "rationale": ("B", 4.0),
    "claims": ("C", 2.0),
    "message": ("D", 1.0),
}
# Characters; nothing is read beyond them.
_LONGEST = 20_000
_BY_PLACE = ", ".join(str(weight) for _, weight in WEIGHTS.values())
_IN_FILE = (
    f"SELECT attempt_words.rowid AS number, -bm25(attempt_words, {_BY_PLACE}) AS score "
    "FROM attempt_words {} WHERE attempt_words MATCH :asked {}"
)
_ON_SERVER = (
    "SELECT attempt_words.attempt_id AS number, "
    "CAST(ts_rank(attempt_words.words, CAST(:asked AS tsquery)) AS double precision) AS score "
    "FROM attempt_words {} WHERE attempt_words.words @@ CAST(:asked AS tsquery) {}"
)


def searched_words(said: str) -> list[str]:
    """Return the words of a text, in order."""
    return _WORD.findall(said[:_LONGEST].lower())


def ranked_matches(
    ask: Ask, words: str, panel_id: str | None, limit: int | None, *, on_server: bool
) -> list[tuple[int, float]]:
    """Return the ids of attempts with all these words, and how well they match, the best first; no words: none."""
    wanted = searched_words(words)
    if not wanted:
        return []
    asked = " & ".join(f"'{word}':*" for word in wanted) if on_server else " ".join(f'"{word}"*' for word in wanted)
    given: dict[str, object] = {"asked": asked}
    joined = where = ""
    if panel_id is not None:
        number = "attempt_id" if on_server else "rowid"
        joined = f"JOIN attempts a ON a.id = attempt_words.{number} JOIN runs r ON r.id = a.run_id"
        where, given["panel"] = "AND r.panel_id = :panel", panel_id
    query = f"{(_ON_SERVER if on_server else _IN_FILE).format(joined, where)} ORDER BY score DESC, number DESC"
    if limit is not None:
        query, given["most"] = f"{query} LIMIT :most", limit
    return [(int(row[0]), float(row[1])) for row in ask(query, given)]
