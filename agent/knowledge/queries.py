"""Looking into the database itself: queries that cannot write, and what tables there are."""

from __future__ import annotations

from sqlalchemy import inspect, select

from agent.knowledge.file_query import HINT, MOST_ROWS, QueryResult, query_file
from agent.knowledge.knowledge_base import KnowledgeBase
from market.errors import InputError

_SECONDS = 60


def query(knowledge: KnowledgeBase, asked: str, limit: int = 1000) -> QueryResult:
    """Run one SELECT, which the database itself keeps from writing, attaching or changing anything.

    Raises
    ------
    InputError
        For what is no query, or would do more than read.
    """
    if knowledge.place.path is not None:
        return query_file(knowledge.place.path, asked, limit)
    limit = min(limit, MOST_ROWS)
    columns, rows = _ask_server(knowledge, asked, limit + 1)
    return QueryResult(columns, tuple(rows[:limit]), len(rows) > limit)


def _ask_server(knowledge: KnowledgeBase, query: str, most: int) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    import psycopg

    with knowledge.lend() as connection:
        connection.execute(select(1))
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        try:
            with driver.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", (str(1000 * _SECONDS),))
                # Prepared, it can only be one statement; a cursor is declared for queries alone. The transaction
                # is read-only.
                cursor.execute(f"DECLARE asked CURSOR FOR {query}".encode(), prepare=True)
                cursor.execute(f"FETCH {int(most)} FROM asked")
                rows = cursor.fetchall()
                columns = tuple(column.name for column in cursor.description or ())
        except (psycopg.Error, UnicodeError) as error:
            if isinstance(error, psycopg.OperationalError) and not isinstance(error, psycopg.errors.QueryCanceled):
                raise
            raise InputError(f"SQL: {str(error).splitlines()[0]}", HINT) from error
    return columns, rows


def tables(knowledge: KnowledgeBase) -> list[tuple[str, str]]:
    """Return each table with its columns."""
    with knowledge.lend() as connection:
        by_rows = inspect(connection)
        return [
            (name, ", ".join(str(column["name"]) for column in by_rows.get_columns(name)))
            for name in sorted(by_rows.get_table_names())
            # What full-text search keeps for itself.
            if not name.startswith("attempt_words_")
        ]
