"""Opening a database: pragmas, transactions, migrations."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.pool import ConnectionPoolEntry

from agent.knowledge.database.database_errors import PRIMARY
from agent.knowledge.database.location import BaseLocation
from agent.knowledge.database.schema import HEAD
from agent.knowledge.file_query import is_sealed, open_read_only
from market.errors import InputError

if TYPE_CHECKING:
    from alembic.config import Config

# How long a writer waits for those before it; each holds the lock for milliseconds.
BUSY_SECONDS = 60.0
_CONNECT_SECONDS = 10
# A network that is cut says nothing: after half a minute without an answer to these probes a connection is given up.
_ALIVE = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
# What can be made again is committed without waiting until the disk has it. A crash of the program loses nothing of
# it; a power cut may, until the next transaction that does wait (each reply of a model, each end of a round).
RELAXED = "NORMAL"
# Names the writers' lock among the advisory locks of a PostgreSQL database.
_WRITERS = 0x616C7068
# Holds it together with others, each of whom waits for its own turn (see `turns`).
BESIDE = "beside"


def make_engine(place: BaseLocation, *, foreign_keys: bool = True) -> Engine:
    """Return an engine on `place`; transactions begin where SQLAlchemy says, not where a driver guesses.

    A connection with the execution option ``immediate`` takes the writers' lock at once: writers queue, so that what
    one has read still holds when it writes (a free slot, the clusters of effective trials, the number of an opening).
    With `BESIDE` as its value, a server lends the lock to all who say so, and to none who does not.
    """
    return _server_engine(place) if place.on_server else _file_engine(place, foreign_keys=foreign_keys)


def for_reading(engine: Engine) -> Engine:
    """Return the engine with transactions that see one state of the database throughout, and cannot write."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def for_writing(engine: Engine, *, relaxed: bool = False) -> Engine:
    """Return the engine with transactions that hold the writers' lock; what is committed by others is seen at once.

    A `relaxed` one is committed without waiting for the disk; see `RELAXED`.
    """
    if engine.dialect.name == "sqlite":
        return engine.execution_options(immediate=True, relaxed=relaxed)
    return engine.execution_options(immediate=True, relaxed=relaxed, isolation_level="READ COMMITTED")


def for_claiming(engine: Engine) -> Engine:
    """Return the engine with transactions that change single rows, which a server locks, and not all writers.

    A file has one lock for all of it: there they are those of writers.
    """
    if engine.dialect.name == "sqlite":
        return for_writing(engine)
    return engine.execution_options(isolation_level="READ COMMITTED")


def _server_engine(place: BaseLocation) -> Engine:
    engine = create_engine(
        place.url,
        connect_args={"connect_timeout": _CONNECT_SECONDS, "application_name": "alphaglow", **_ALIVE},
        # Between calls to a model minutes may pass, in which a connection can die.
        pool_pre_ping=True,
        json_serializer=partial(json.dumps, ensure_ascii=False, allow_nan=False),
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if held := connection.get_execution_options().get("immediate", False):
            lock = "pg_advisory_xact_lock_shared" if held == BESIDE else "pg_advisory_xact_lock"
            connection.exec_driver_sql(
                f"SELECT set_config('lock_timeout', %s, true), {lock}(%s)",
                (str(int(1000 * BUSY_SECONDS)), _WRITERS),
            )
        if connection.get_execution_options().get("relaxed", False):
            connection.exec_driver_sql("SET LOCAL synchronous_commit TO OFF")

    return engine


def _file_engine(place: BaseLocation, *, foreign_keys: bool) -> Engine:
    # What may not be written is read as it lies.
    sealed = place.path is not None and is_sealed(place.path)
    opened = {"creator": partial(open_read_only, place.path)} if sealed and place.path is not None else {}
    engine = create_engine(
        place.url,
        connect_args={"timeout": BUSY_SECONDS},
        **opened,
        json_serializer=partial(json.dumps, ensure_ascii=False, allow_nan=False),
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        # Folding the log into the file waits for the disk: seldom, in pages of the log. The cache is in KiB.
        connection.execute("PRAGMA wal_autocheckpoint=4000")
        connection.execute("PRAGMA cache_size=-16000")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        immediate = options.get("immediate", False)
        if immediate:
            # FULL: a commit that was reported survives a power cut, not only a crash.
            connection.exec_driver_sql(f"PRAGMA synchronous={RELAXED if options.get('relaxed', False) else 'FULL'}")
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
                if error.sqlite_errorcode & PRIMARY != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
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
    """Return the database's revision; None for an empty one. A foreign database is a `LookupError`."""
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise LookupError
    revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if revision is None else str(revision)


def migrate(engine: Engine, place: BaseLocation, config: Config | None = None, target: str = "head") -> bool:
    """Bring the database forward to `target`, all in one transaction; return whether it was empty.

    A database that a newer version wrote is an `InputError`.

    Parameters
    ----------
    config
        Alembic's configuration, for tests; None: this package's.
    """
    if config is None and target == "head" and revision_of(engine, place) == HEAD:
        return False
    from alembic import command
    from alembic.script import ScriptDirectory

    config = config or migration_config()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    # Making a SQLite table again drops the old one; rows that point at it must not object in between.
    mover = make_engine(place, foreign_keys=False)
    try:
        with for_writing(mover).begin() as connection:
            # Asked again under the lock: another process may have migrated meanwhile.
            revision = _checked(connection, place)
            if revision is not None and revision not in known:
                raise InputError(
                    f"the knowledge base {place} has revision {revision}, which this alphaglow does not know",
                    "it was written by a newer version: upgrade alphaglow",
                )
            config.attributes["connection"] = connection
            command.upgrade(config, target)
            broken = [] if place.on_server else connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise InputError(f"the knowledge base {place} is damaged: {len(broken)} rows point nowhere")
            return revision is None
    finally:
        mover.dispose()


def revision_of(engine: Engine, place: BaseLocation) -> str | None:
    """Return the database's revision, None for an empty one; a foreign database is an `InputError`."""
    with engine.connect() as connection:
        return _checked(connection, place)


def _checked(connection: Connection, place: BaseLocation) -> str | None:
    try:
        return current_revision(connection)
    except LookupError:
        raise InputError(
            f"{place} is a database, but no knowledge base", "name another one, or move this one away"
        ) from None
