"""One SELECT on the file of a knowledge base, by sqlite3 alone: SQLAlchemy costs half a second to import."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from market.errors import InputError

_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
MOST_ROWS = 100_000
SECONDS = 60.0
# Steps of SQLite's machine between two looks at the clock: some milliseconds.
_STEPS = 100_000
_LONGEST_VALUE, _MOST_BYTES = 50_000_000, 200_000_000
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
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
            connection.set_progress_handler(_overtime(time.monotonic() + SECONDS), _STEPS)
            cursor = connection.execute(asked)
            rows = _bounded(cursor, most)
        except (sqlite3.Error, sqlite3.Warning, UnicodeDecodeError) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise InputError(f"SQL: it took more than {SECONDS:g} seconds", "ask for less") from error
            raise InputError(f"SQL: {error}", HINT) from error
    return tuple(column[0] for column in cursor.description or ()), rows


def _overtime(deadline: float) -> Callable[[], bool]:
    """Return what SQLite asks now and then whether to give up; Python hears Ctrl-C there as well."""
    return lambda: time.monotonic() > deadline


def _bounded(cursor: sqlite3.Cursor, most: int) -> list[tuple[object, ...]]:
    """Return at most `most` rows, of no more than memory should hold."""
    rows: list[tuple[object, ...]] = []
    held = 0
    for row in cursor:
        held += sum(len(cell) if isinstance(cell, (str, bytes)) else 8 for cell in row)
        if held > _MOST_BYTES:
            raise InputError(f"SQL: the rows hold more than {_MOST_BYTES // 10**6} MB", "ask for fewer columns or rows")
        rows.append(tuple(row))
        if len(rows) == most:
            break
    return rows


def open_read_only(path: Path, *, autocommit: bool = False) -> sqlite3.Connection:
    """Open a file read-only."""
    connection = sqlite3.connect(read_only_uri(path), uri=True, check_same_thread=False)
    if autocommit:
        connection.isolation_level = None
    return connection


def read_only_uri(path: Path) -> str:
    """Return how SQLite is asked for a file to be read.

    Where nothing may be written beside it, SQLite cannot lock it; nobody else can write it then either, unless a log of
    changes says that somebody did.
    """
    log = path.with_name(f"{path.name}-wal")
    still = is_sealed(path) and not (log.is_file() and log.stat().st_size)
    return f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if still else ''}"


def is_sealed(path: Path) -> bool:
    """Whether a file is there, and may be read but not be written: it itself, or what is beside it."""
    return path.is_file() and not (os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK))


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
    except (sqlite3.Error, UnicodeDecodeError):
        # Of a damaged file, what SQLite complains of may be no text either.
        return None
    return path if found is not None and found[0] == newest_revision() else None


def newest_revision() -> str:
    """Return the newest revision, from the names of the files under `migrations/versions`."""
    versions = Path(__file__).parent / "migrations" / "versions"
    return max(path.name.split("_")[0] for path in versions.glob("[0-9]*_*.py"))
