"""One SELECT on the file of a knowledge base, by sqlite3 alone: SQLAlchemy costs half a second to import."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from market.errors import InputError

_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
MOST_ROWS = 100_000
HINT = "one SELECT, of the tables that `alphaglow kb sql` lists"


@dataclass(frozen=True)
class QueryResult:
    """Names of the columns, and rows; `cut` tells that there were more."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    cut: bool = False


def query_file(path: Path, asked: str, limit: int = 1000) -> QueryResult:
    """Run one SELECT on a knowledge base's file, which sqlite3 itself keeps from writing or attaching.

    Raises
    ------
    InputError
        For what is no query, or would do more than read.
    """
    limit = min(limit, MOST_ROWS)
    columns, rows = _ask_file(path, asked, limit + 1)
    return QueryResult(columns, tuple(rows[:limit]), len(rows) > limit)


def _ask_file(path: Path, asked: str, most: int) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return the columns and at most `most` rows of one SELECT; see `query_file`."""

    def allow(action: int, what: str | None, *_: object) -> int:
        # Full-text search asks by it whether its tables changed.
        harmless = action in _ALLOWED or (action == sqlite3.SQLITE_PRAGMA and what == "data_version")
        return sqlite3.SQLITE_OK if harmless else sqlite3.SQLITE_DENY

    with closing(open_read_only(path)) as connection:
        # A full-text table is set up when first named, which the authorizer would take for making a table.
        connection.execute("SELECT 1 FROM attempt_words LIMIT 0").fetchall()
        try:
            connection.set_authorizer(allow)
            cursor = connection.execute(asked)
            rows = cursor.fetchmany(most)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise InputError(f"SQL: {error}", HINT) from error
    return tuple(column[0] for column in cursor.description or ()), rows


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open a file read-only."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def current_file(place: str) -> Path | None:
    """Return the file at `place` if it is a knowledge base of the newest revision; None: it must be opened in full.

    The full way (`KnowledgeBase.open`) creates and migrates, reaches servers and explains what is wrong with a file.
    """
    path = Path(place)
    if "://" in place or not path.is_file():
        return None
    try:
        with closing(open_read_only(path)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return path if found is not None and found[0] == newest_revision() else None


def newest_revision() -> str:
    """Return the newest revision, from the names of the files under `migrations/versions`."""
    versions = Path(__file__).parent / "migrations" / "versions"
    return max(path.name.split("_")[0] for path in versions.glob("[0-9]*_*.py"))
