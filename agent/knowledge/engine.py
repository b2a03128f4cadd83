"""Opening the SQLite file: pragmas, transactions, migrations, and its errors in words."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from agent.knowledge.schema import HEAD
from market.errors import InputError

if TYPE_CHECKING:
    from alembic.config import Config

BUSY_SECONDS = 10.0
_PRIMARY = 0xFF
_WORDS = {
    sqlite3.SQLITE_BUSY: ("is locked by another process", "wait until that one is done"),
    sqlite3.SQLITE_LOCKED: ("is locked", "wait until the other command is done"),
    sqlite3.SQLITE_PERM: ("may not be accessed", "check the file's permissions"),
    sqlite3.SQLITE_READONLY: ("is read-only", "make the file and its folder writable, or work on a copy"),
    sqlite3.SQLITE_IOERR: ("cannot be read or written: disk I/O error", "is the disk full or failing?"),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "free some space; what was committed is safe"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "check that the folder exists and is writable"),
    sqlite3.SQLITE_NOTADB: ("is not a database", "name another file, or move this one away"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "restore it from a backup"),
}


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Turn what can befall a file (locked, full, read-only, damaged ...) into an `InputError`.

    Anything else that SQLite complains about is a defect here and passes through.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", None)
        known = _WORDS.get(code & _PRIMARY) if isinstance(code, int) else None
        if known is None:
            raise
        raise InputError(f"the knowledge base {path} {known[0]}", known[1]) from error


def make_engine(path: Path, *, foreign_keys: bool = True) -> Engine:
    """Return an engine on `path`; transactions begin where SQLAlchemy says, not where sqlite3 guesses.

    A connection with the execution option ``immediate`` takes the write lock at once: a transaction that
    reads first and writes later could otherwise fail half-way, without waiting for the lock.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_SECONDS},
        json_serializer=partial(json.dumps, ensure_ascii=False, allow_nan=False),
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        # FULL: a commit that was reported survives a power cut, not only a crash.
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


@contextmanager
def _bare(engine: Engine) -> Iterator[sqlite3.Connection]:
    """Lend the sqlite3 connection outside any transaction, where pragmas take effect."""
    borrowed = engine.raw_connection()
    try:
        driver = borrowed.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        yield driver
    finally:
        borrowed.close()


def use_wal(engine: Engine) -> None:
    """Switch the file to write-ahead logging, once; where the file system cannot, it stays as it is.

    The switch needs the file to itself and does not wait by itself, so it is tried again until the busy
    time is over.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    with _bare(engine) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL").fetchone()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & _PRIMARY != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


def migration_config() -> Config:
    """Return alembic's configuration; scripts are found in this package, wherever it is installed."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "agent.knowledge:migrations")
    config.set_main_option("path_separator", "os")
    return config


def current_revision(connection: Connection) -> str | None:
    """Return the file's revision; None for a new file. A foreign database is a `LookupError`."""
    tables = set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise LookupError
    revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if revision is None else str(revision)


def migrate(engine: Engine, path: Path, config: Config | None = None, target: str = "head") -> None:
    """Bring the file forward to `target`, all in one transaction; a newer file is an `InputError`.

    Parameters
    ----------
    config
        Alembic's configuration, for tests; None: this package's.
    """
    if config is None and target == "head" and _revision(engine, path) == HEAD:
        return
    from alembic import command
    from alembic.script import ScriptDirectory

    config = config or migration_config()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    # Making a table anew drops the old one; rows that point at it must not object in between.
    mover = make_engine(path, foreign_keys=False)
    try:
        with mover.execution_options(immediate=True).begin() as connection:
            # Asked again under the lock: another process may have migrated meanwhile.
            revision = _checked(connection, path)
            if revision is not None and revision not in known:
                raise InputError(
                    f"the knowledge base {path} has revision {revision}, which this alphaglow does not know",
                    "it was written by a newer version: upgrade alphaglow",
                )
            config.attributes["connection"] = connection
            command.upgrade(config, target)
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise InputError(f"the knowledge base {path} is damaged: {len(broken)} rows point nowhere")
    finally:
        mover.dispose()


def _revision(engine: Engine, path: Path) -> str | None:
    with engine.connect() as connection:
        return _checked(connection, path)


def _checked(connection: Connection, path: Path) -> str | None:
    try:
        return current_revision(connection)
    except LookupError:
        raise InputError(
            f"{path} is a database, but no knowledge base", "name another file, or move this one away"
        ) from None
