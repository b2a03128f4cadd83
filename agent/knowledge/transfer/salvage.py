"""A copy of a base as of one moment; and of a damaged one, what can be read of it, in a new base that is sound."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.database.database_errors import file_in_words
from agent.knowledge.file_query import open_read_only
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.listing import TAG
from agent.knowledge.packed_json import unpack_json
from agent.knowledge.tables import full_text, novelty_index
from agent.knowledge.tables.attempts import parent_rows
from agent.knowledge.tables.packed_returns import read_fingerprint
from agent.knowledge.transfer.merging import count_again
from market.errors import InputError

# What stands in other rows comes first. Indexes, words and counts are made again.
_TABLES = (
    *("datasets", "related_datasets", "runs", "rounds", "attempts", "verdicts", "evaluations", "trial_returns"),
    *(
        "lessons",
        "llm_calls",
        "library",
        "pools",
        "holdout_openings",
        "reassessments",
        "remarks",
        "watches",
        "queued_runs",
    ),
)
_PACKED = {("evaluations", "scorecard"), ("evaluations", "evidence")}
_SQUEEZED = {("llm_calls", "request"), ("llm_calls", "response")}
_LAST = 2**31
# What a header says beyond this is damage itself.
_LONGEST_CUT = 2**36
# Rows between what can be read from both ends are asked for one by one, this many at most.
_PROBED = 1_000_000
# This many in a row that are not there end it.
_MISSED = 10_000
Row = tuple[Any, ...]
Show = Callable[[str, int], None]


@dataclass(frozen=True)
class Saved:
    """How many rows of each table were saved; of some tables, not all."""

    rows: dict[str, int]
    lost: dict[str, int]

    def sentence(self) -> str:
        """Say it in one line; how many are lost is only known of what could be found and not used."""
        kept = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.rows.items() if count)
        lost = ", ".join(f"{count:,} of {name.replace('_', ' ')}" for name, count in self.lost.items() if count)
        return f"saved {kept or 'nothing'}" + (f"; could not be used: {lost}" if lost else "; all that was found")


def back_up(source: Path, target: Path) -> None:
    """Copy a base as of one moment, compact, even while others write; a target that is there is an `InputError`."""
    _refuse_taken(target)
    with file_in_words(source), closing(open_read_only(source)) as connection:
        try:
            connection.execute("VACUUM INTO ?", (str(target),))
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def repair(source: Path, target: Path, show: Show) -> Saved:
    """Save what can be read of a damaged base into a new one, which is sound: what points nowhere is left out.

    Raises
    ------
    InputError
        Where the target is there, or nothing can be read: not even which tables there are.
    """
    _refuse_taken(target)
    rows, lost = dict[str, int](), dict[str, int]()
    with _opened(source) as damaged:
        damaged.text_factory = _text_or_bytes
        _require_current(damaged, source)
        try:
            with KnowledgeBase.open(target) as knowledge, knowledge._writing() as session:
                for name in _TABLES:
                    show(name.replace("_", " "), 0)
                    rows[name], lost[name] = _save(damaged, session.connection(), name)
                show("indexes", 0)
                _index(session)
        except BaseException:
            for path in (target, *(target.with_name(f"{target.name}{end}") for end in ("-wal", "-shm"))):
                path.unlink(missing_ok=True)
            raise
    return Saved(rows, lost)


@contextmanager
def _opened(source: Path) -> Iterator[sqlite3.Connection]:
    """Lend a damaged file; of one that is cut short, a copy with empty pages at its end, for else none are read."""
    with source.open("rb") as file:
        header = file.read(100)
    size = int.from_bytes(header[16:18]) or 4096
    missing = int.from_bytes(header[28:32]) * (65536 if size == 1 else size) - source.stat().st_size
    if len(header) < 100 or not 0 < missing <= _LONGEST_CUT:
        with closing(open_read_only(source)) as damaged:
            yield damaged
        return
    with tempfile.TemporaryDirectory(prefix="alphaglow-") as folder:
        copy = Path(shutil.copyfile(source, Path(folder) / "copy.db"))
        os.truncate(copy, source.stat().st_size + missing)
        with closing(open_read_only(copy)) as damaged:
            yield damaged


def _refuse_taken(target: Path) -> None:
    if target.exists():
        raise InputError(f"{target} is there already", "name a file that is not")
    if not target.resolve().parent.is_dir():
        raise InputError(f"there is no folder {target.parent}", "make it first")


def _text_or_bytes(stored: bytes) -> str | bytes:
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def _require_current(damaged: sqlite3.Connection, source: Path) -> None:
    try:
        names = {row[0] for row in damaged.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        columns = {row[1] for row in damaged.execute("PRAGMA table_info(evaluations)")}
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise InputError(f"nothing can be read of {source}: {error}", "restore it from a backup") from error
    if not {"attempts", "runs", "evaluations"} <= names:
        raise InputError(f"{source} holds no tables of a knowledge base", "name another one")
    if "train_net_z" not in columns:
        raise InputError(
            f"{source} is of an earlier version, which repair does not read", "open it with the version that wrote it"
        )


def _save(damaged: sqlite3.Connection, target: Connection, name: str) -> tuple[int, int]:
    """Copy the rows of one table that can be read; return how many, and how many were found and are no use."""
    table = schema.Base.metadata.tables[name]
    kinds = {row[1]: str(row[2]).upper() for row in target.exec_driver_sql(f"PRAGMA table_info({name})")}
    columns = [column.name for column in table.columns]
    insert = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({', '.join('?' for _ in columns)})"
    saved = lost = 0
    for row in _readable_rows(damaged, name, columns):
        if not _is_sound(name, dict(zip(columns, row, strict=True)), kinds):
            lost += 1
            continue
        try:
            target.exec_driver_sql(insert, row)
            saved += 1
        except IntegrityError:
            lost += 1
    return saved, lost


def _readable_rows(damaged: sqlite3.Connection, name: str, columns: Sequence[str]) -> Iterator[Row]:
    """Return rows from the first on until one cannot be read, then from the last back, then those between."""
    listed = ", ".join(columns)
    reached = [0, _LAST]
    for end, order in enumerate(("ASC", "DESC")):
        query = f"SELECT rowid, {listed} FROM {name} WHERE rowid > ? ORDER BY rowid {order}"
        try:
            # From the end, as far as what was read from the beginning.
            for found in damaged.execute(query, (0 if end == 0 else reached[0],)):
                reached[end] = found[0]
                yield tuple(found[1:])
        except (sqlite3.Error, OverflowError, UnicodeDecodeError):
            continue
        return
    missed = 0
    for number in range(reached[0] + 1, min(reached[1], reached[0] + _PROBED)):
        if missed == _MISSED:
            return
        missed += 1
        try:
            found = damaged.execute(f"SELECT {listed} FROM {name} WHERE rowid = ?", (number,)).fetchone()
        except (sqlite3.Error, OverflowError, UnicodeDecodeError):
            continue
        if found is not None:
            missed = 0
            yield tuple(found)


def _is_sound(name: str, row: dict[str, Any], kinds: dict[str, str]) -> bool:
    """Whether each value has the type of its column, and each document can be read."""
    for column, value in row.items():
        if value is not None and not _fits(name, column, value, kinds[column]):
            return False
    if name == "attempts" and row["canonical"] is not None and row["factor_id"] is not None:
        return bool(row["factor_id"] == f"{TAG}{sha256(row['canonical'].encode()).hexdigest()[:16]}")
    return True


def _fits(name: str, column: str, value: object, kind: str) -> bool:
    try:
        if (name, column) in _PACKED:
            return isinstance(value, bytes) and isinstance(unpack_json(value), dict)
        if (name, column) in _SQUEEZED:
            return isinstance(value, bytes) and isinstance(zlib.decompress(value).decode(), str)
        if (name, column) == ("trial_returns", "fingerprint"):
            return read_fingerprint(value) is not None
        if kind == "JSON":
            return isinstance(value, str) and isinstance(json.loads(value), (dict, list))
    except (zlib.error, ValueError):
        return False
    if kind in ("INTEGER", "BIGINT", "BOOLEAN"):
        return isinstance(value, int)
    if kind in ("DOUBLE", "FLOAT"):
        return isinstance(value, (int, float))
    return isinstance(value, bytes if kind == "BLOB" else str)


def _index(session: Session) -> None:
    """Index words and factors, and count trials again."""
    attempt = schema.core_table(schema.Attempt)
    for row in session.execute(select(attempt).order_by(attempt.c.id)).mappings():
        full_text.add_words(session, row["id"], dict(row))
        parents = parent_rows(row["id"], filter(None, map(str, row["parent_ids"])))
        if parents:
            session.execute(insert(schema.AttemptParent), parents)
    novelty_index.catch_up(session)
    for panel_id in session.scalars(select(schema.Run.panel_id).distinct()).all():
        count_again(session, panel_id)
