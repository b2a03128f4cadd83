"""The tables of the journal of signals, and how the file of an earlier version becomes one of this version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    text,
)

from backtest.ledger import BIAS, COST, EXPOSURE, FUNDING, GROSS, HELD, IMPACT, NET, OPENED, TURNOVER
from market.errors import InputError

VERSION = 2
FIGURES: Mapping[str, int] = {
    "gross": GROSS,
    "cost": COST,
    "impact": IMPACT,
    "funding": FUNDING,
    "net": NET,
    "turnover": TURNOVER,
    "exposure": EXPOSURE,
    "bias": BIAS,
    "opened": OPENED,
    "held": HELD,
}
_metadata = MetaData()
LEDGERS = Table(
    "ledgers",
    _metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("feed", String, nullable=False),
    Column("about", JSON, nullable=False),
    Column("made", String, nullable=False),
)
# A bar that was late comes once more, with a higher version.
BARS = Table(
    "bars",
    _metadata,
    Column("feed", String, nullable=False),
    Column("time", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("fields", JSON, nullable=False),
    Column("cells", LargeBinary, nullable=False),
    PrimaryKeyConstraint("feed", "time", "version"),
)
SIGNALS = Table(
    "signals",
    _metadata,
    Column("id", String, primary_key=True),
    Column("ledger", String, nullable=False),
    Column("time", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("weights", LargeBinary, nullable=False),
    Column("document", JSON, nullable=False),
    Column("made", String, nullable=False),
    UniqueConstraint("ledger", "time"),
)
EQUITY = Table(
    "equity",
    _metadata,
    Column("ledger", String, nullable=False),
    Column("time", Integer, nullable=False),
    *[Column(name, Float, nullable=False) for name in (*FIGURES, "equity")],
    PrimaryKeyConstraint("ledger", "time"),
)
FILLS = Table(
    "fills",
    _metadata,
    Column("ledger", String, nullable=False),
    Column("time", Integer, nullable=False),
    Column("asset", String, nullable=False),
    Column("change", Float, nullable=False),
    Column("weight", Float, nullable=False),
    Column("price", Float),
    PrimaryKeyConstraint("ledger", "time", "asset"),
)
_ONLY_ADDED = ("bars", "signals", "equity", "fills")
_CHANGES = ("UPDATE", "DELETE")


def bring_up_to_date(connection: Connection, path: Path) -> None:
    """Make the tables of a new file, or change those of an earlier version in place, in the caller's transaction.

    Raises
    ------
    InputError
        When a newer alphaglow wrote the file, or it is another database.
    """
    version = int(connection.exec_driver_sql("PRAGMA user_version").scalar() or 0)
    if version > VERSION:
        raise InputError(f"{path} was written by a newer alphaglow", "upgrade alphaglow")
    if version == VERSION:
        return
    if version == 0:
        if connection.exec_driver_sql("SELECT name FROM sqlite_master LIMIT 1").first() is not None:
            raise InputError(f"{path} is a database, but no journal of signals", "move it away")
        _metadata.create_all(connection)
        _refuse_changes(connection)
    else:
        _rename_books(connection)
    connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")


def _refuse_changes(connection: Connection) -> None:
    for table in _ONLY_ADDED:
        for what in _CHANGES:
            connection.exec_driver_sql(
                f"CREATE TRIGGER IF NOT EXISTS {table}_no_{what.lower()} BEFORE {what} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END"
            )


def _rename_books(connection: Connection) -> None:
    """Change version 1 into 2: the ledger and its portfolio were both called a book."""
    for what in _CHANGES:
        connection.exec_driver_sql(f"DROP TRIGGER signals_no_{what.lower()}")
    connection.exec_driver_sql("ALTER TABLE books RENAME TO ledgers")
    for table in ("signals", "equity", "fills"):
        connection.exec_driver_sql(f"ALTER TABLE {table} RENAME COLUMN book TO ledger")
    _rename_key(connection, "ledgers", "about")
    _rename_key(connection, "signals", "document")
    _refuse_changes(connection)


def _rename_key(connection: Connection, table: str, column: str) -> None:
    read = text(f"SELECT {column} FROM {table} WHERE id = :id")
    write = text(f"UPDATE {table} SET {column} = :changed WHERE id = :id")
    # One document at a time: those of a year of bars do not fit in memory.
    for name in connection.execute(text(f"SELECT id FROM {table}")).scalars().all():
        document = json.loads(connection.execute(read, {"id": name}).scalar_one())
        changed = {"portfolio" if key == "book" else key: value for key, value in document.items()}
        if table == "ledgers" and "portfolio" in changed:
            # Here it is the portfolio's id; in a signal it is its name.
            changed["portfolio"] = str(changed["portfolio"]).replace("book:", "portfolio:", 1)
        connection.execute(write, {"id": name, "changed": json.dumps(changed)})
