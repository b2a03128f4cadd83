"""Looking into the file itself: queries that cannot write, search by words, and checks of all that was written."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.knowledge.records import AttemptRecord, request_hash
from agent.knowledge.store import KnowledgeBase
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError

_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_MOST_ROWS = 100_000


@dataclass(frozen=True)
class QueryResult:
    """Names of the columns, and rows; `cut` tells that there were more."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    cut: bool = False


def query(path: Path, text: str, limit: int = 1000) -> QueryResult:
    """Run one SELECT on the file, opened to be read; whatever else it says is refused, by SQLite itself.

    Raises
    ------
    InputError
        For what is no query, or would write, attach or change anything.
    """

    def allow(action: int, *_: object) -> int:
        return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY

    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        connection.set_authorizer(allow)
        cursor = connection.execute(text)
        rows = cursor.fetchmany(min(limit, _MOST_ROWS) + 1)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise InputError(f"SQL: {error}", "one SELECT, of the tables that `alphaglow kb sql` lists") from error
    finally:
        connection.close()
    columns = tuple(column[0] for column in cursor.description or ())
    return QueryResult(columns, tuple(rows[:limit]), len(rows) > limit)


def tables(path: Path) -> list[tuple[str, str]]:
    """Return each table with its columns."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
        ]
        return [
            (name, ", ".join(row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (name,))))
            for name in names
        ]
    finally:
        connection.close()


def search(attempts: Sequence[AttemptRecord], words: str) -> list[AttemptRecord]:
    """Return attempts in whose name, rationale, claims, text or reason every word occurs, scored ones first."""
    wanted = words.lower().split()
    found = []
    for attempt in attempts:
        said = " ".join(
            str(part)
            for part in (attempt.name, attempt.rationale, attempt.canonical or attempt.text, attempt.message or "")
        )
        told = f"{said} {' '.join(map(str, attempt.claims.values()))}".lower()
        if all(word in told for word in wanted):
            found.append(attempt)
    return sorted(found, key=lambda a: (a.evaluation is None, -a.id))


def verify(path: Path, knowledge: KnowledgeBase) -> list[str]:
    """Return what is wrong with a knowledge base: its file, its links, its factors and its replies."""
    faults = []
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        faults += [f"file: {row[0]}" for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        faults += [
            f"row {row[1]} of {row[0]} points at a row of {row[2]} that is not there"
            for row in connection.execute("PRAGMA foreign_key_check")
        ]
    finally:
        connection.close()
    for attempt in knowledge.attempts():
        faults += _attempt_faults(attempt)
    for run in knowledge.runs():
        for call in knowledge.calls(run.id):
            if request_hash(call.model, call.request) != call.request_hash:
                faults.append(f"call {call.key} of run {run.id}: its prompt is not the one that was asked")
    return faults


def _attempt_faults(attempt: AttemptRecord) -> list[str]:
    if attempt.canonical is None:
        return []
    read = parse(attempt.canonical, fields=None)
    if not isinstance(read, Expression):
        return [f"attempt {attempt.id}: {attempt.canonical} can no longer be read"]
    if attempt.factor_id not in (None, read.id):
        return [f"attempt {attempt.id}: {attempt.canonical} is {read.id}, and not {attempt.factor_id}"]
    return []
