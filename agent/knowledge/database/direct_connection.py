"""What the search asks and writes for each attempt, run by sqlite3 itself: SQLAlchemy takes longer than the file does.

Statements are SQLAlchemy's all the same (texts, and inserts into one table), and each is put into SQLite's words once.
On a server the round trip is what takes time: there they run as ever.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Dialect, Insert, TextClause
from sqlalchemy.orm import Session

_KEY = "direct connection"
_Row = Mapping[str, Any]
_Processor = Callable[[Any], Any]
# What was put into words: of a text by the lengths of its lists, of an insert by its columns.
_Words = tuple[str, Mapping[str, _Processor]]
_WORDED: dict[tuple[object, ...], _Words] = {}
_MOST = 2_000


class Answer:
    """The rows of one statement, as far as SQLAlchemy's result is used here."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        return self._cursor.rowcount

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Return the rows."""
        return iter(self._cursor)

    def all(self) -> list[tuple[Any, ...]]:
        """Return all rows."""
        return self._cursor.fetchall()

    def first(self) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        row: tuple[Any, ...] | None = self._cursor.fetchone()
        return row

    def one(self) -> tuple[Any, ...]:
        """Return the only row."""
        (row,) = self._cursor.fetchall()
        return tuple(row)

    def scalar(self) -> Any:  # noqa: ANN401 - whatever the column holds
        """Return the first value of the first row, or None."""
        row = self._cursor.fetchone()
        return None if row is None else row[0]

    def scalar_one(self) -> int:
        """Return the number of the row that an insert wrote."""
        number = self._cursor.lastrowid
        assert number is not None
        return number

    def scalars(self) -> Column:
        """Return the first value of each row."""
        return Column(self._cursor)


class Column:
    """The first value of each row."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    def __iter__(self) -> Iterator[Any]:
        """Return the values."""
        return (row[0] for row in self._cursor)

    def all(self) -> list[Any]:
        """Return all values."""
        return [row[0] for row in self._cursor]


class DirectConnection:
    """A connection of sqlite3 that runs statements of SQLAlchemy: texts with named values, and inserts of rows."""

    def __init__(self, driver: sqlite3.Connection, dialect: Dialect) -> None:
        self._driver = driver
        self.dialect = dialect

    def execute(
        self,
        statement: TextClause | Insert,
        given: _Row | Sequence[_Row] | None = None,
        *,
        execution_options: Mapping[str, object] | None = None,
    ) -> Answer:
        """Run a statement; of several rows, once for each."""
        if isinstance(statement, TextClause):
            return Answer(self._driver.execute(*_text_words(statement, cast(_Row, given or {}))))
        rows = [given] if isinstance(given, Mapping) else list(given or ())
        words, processors = _insert_words(statement, tuple(rows[0]), self.dialect)
        values = [{key: _processed(processors, key, value) for key, value in row.items()} for row in rows]
        if len(values) == 1:
            return Answer(self._driver.execute(words, values[0]))
        return Answer(self._driver.executemany(words, values))


def _processed(processors: Mapping[str, _Processor], key: str, value: Any) -> Any:  # noqa: ANN401
    found = processors.get(key)
    return value if found is None else found(value)


def _text_words(statement: TextClause, given: _Row) -> tuple[str, _Row]:
    """Return a text with each list of values written out, and its values."""
    lists = {key: value for key, value in given.items() if isinstance(value, (list, tuple, set, frozenset))}
    if not lists:
        return statement.text, given
    found = {key: value for key, value in given.items() if key not in lists}
    key = (statement, *((name, len(values)) for name, values in lists.items()))
    known = _WORDED.get(key)
    if known is None:
        words = statement.text
        for name, values in lists.items():
            # What is in an empty list is in none.
            listed = ", ".join(f":{name}_{k}" for k in range(len(values))) or "SELECT 1 WHERE 0"
            words = re.sub(rf":{name}\b", f"({listed})", words)
        known = _remember(key, (words, {}))
    for name, values in lists.items():
        found |= {f"{name}_{k}": value for k, value in enumerate(values)}
    return known[0], found


def _insert_words(statement: Insert, columns: tuple[str, ...], dialect: Dialect) -> _Words:
    key = (statement.table, *columns)
    known = _WORDED.get(key)
    if known is not None:
        return known
    table = statement.table
    names = ", ".join(f":{name}" for name in columns)
    words = f"INSERT INTO {dialect.identifier_preparer.format_table(table)} ({', '.join(columns)}) VALUES ({names})"
    processors = {name: table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in columns}
    return _remember(key, (words, {name: one for name, one in processors.items() if one is not None}))


def _remember(key: tuple[object, ...], words: _Words) -> _Words:
    if len(_WORDED) >= _MOST:
        _WORDED.clear()
    _WORDED[key] = words
    return words


def direct(session: Session | Connection) -> Connection:
    """Return what runs statements in the transaction of a session in the quickest way; a connection is that itself."""
    if not isinstance(session, Session):
        return session
    # Of each transaction its own; to ask a session for its connection takes longer than most statements.
    begun, known = session.info.get(_KEY, (None, None))
    if known is None or begun is not session.get_transaction():
        connection = session.connection()
        known = connection
        if connection.dialect.name == "sqlite":
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            known = DirectConnection(driver, connection.dialect)
        session.info[_KEY] = (session.get_transaction(), known)
    return cast(Connection, known)
