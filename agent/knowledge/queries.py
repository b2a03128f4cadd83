"""Looking into the database itself: queries that cannot write, and checks of all that was written."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path

from sqlalchemy import func, inspect, select, text
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.file_query import HINT, MOST_ROWS, QueryResult, open_read_only, query_file
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord, request_hash
from agent.knowledge.tables import effective_trials, tallies
from factors.parse import parse
from factors.tree import Expression
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


def find_faults(knowledge: KnowledgeBase) -> list[str]:
    """Return what is wrong with its file and links, its factors, its replies, its counts of (effective) trials.

    A server sees to its own files and links.
    """
    faults = [] if knowledge.place.path is None else _file_faults(knowledge.place.path)
    with knowledge.as_source() as source:
        for attempt, _ in source.attempts():
            faults += _attempt_faults(attempt)
    for run in knowledge.runs():
        try:
            calls = knowledge.calls(run.id)
        except InputError as error:
            faults.append(f"run {run.id}: {error}")
            continue
        for call in calls:
            if request_hash(call.model, call.request) != call.request_hash:
                faults.append(f"call {call.key} of run {run.id}: its prompt is not the one that was asked")
    with knowledge.lend() as connection, Session(connection) as session:
        return faults + _count_faults(session)


def _count_faults(session: Session) -> list[str]:
    """Hold what is kept of trials, effective trials and words against a count of their rows, one after the other."""
    faults = []
    returns = schema.TrialReturns
    for panel_id in session.scalars(select(schema.Run.panel_id).distinct()).all():
        kept, counted = session.get(schema.TrialTally, panel_id), tallies.recount(session, panel_id)
        if kept is None:
            if counted.attempts:
                faults.append(f"panel {panel_id}: its {counted.attempts} trials are not counted")
            continue
        for what in ("attempts", "scored", "effective_trials", "mean", "spread"):
            here, there = getattr(kept, what), getattr(counted, what)
            if not math.isclose(here, there, rel_tol=1e-9, abs_tol=1e-15):
                faults.append(f"panel {panel_id}: {what} of its trials is kept as {here}, and counted as {there}")
        stored = select(returns.attempt_id, returns.cluster).where(returns.panel_id == panel_id)
        by_rows = effective_trials.clusters_of(session, panel_id)
        faults += [
            f"attempt {number}: its cluster is kept as attempt {cluster}, and counted as {by_rows[number]}"
            for number, cluster in session.execute(stored)
            if by_rows[number] != cluster
        ]
    indexed = session.scalar(text("SELECT count(*) FROM attempt_words"))
    attempts = session.scalar(select(func.count()).select_from(schema.Attempt))
    if indexed != attempts:
        faults.append(f"the words of {indexed} attempts are indexed, and there are {attempts}")
    return faults


def _file_faults(path: Path) -> list[str]:
    with closing(open_read_only(path)) as connection:
        faults = [f"file: {row[0]}" for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        return faults + [
            f"row {row[1]} of {row[0]} points at a row of {row[2]} that is not there"
            for row in connection.execute("PRAGMA foreign_key_check")
        ]


def _attempt_faults(attempt: AttemptRecord) -> list[str]:
    if attempt.canonical is None:
        return []
    read = parse(attempt.canonical, fields=None)
    if not isinstance(read, Expression):
        return [f"attempt {attempt.id}: {attempt.canonical} can no longer be read"]
    if attempt.factor_id not in (None, read.id):
        return [f"attempt {attempt.id}: {attempt.canonical} is {read.id}, and not {attempt.factor_id}"]
    return []
