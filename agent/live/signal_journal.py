"""The journal of signals, in a SQLite file of its own: bars, what was emitted, fills and equity. Rows are only added.

It is not the knowledge base: a process that lives for months must never make the miner wait, nor wait for it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import (
    JSON,
    URL,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Row,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from agent.live.feed import Bar
from backtest.ledger import BIAS, COST, EXPOSURE, FUNDING, GROSS, HELD, IMPACT, NET, OPENED, TURNOVER
from market.errors import InputError
from market.panel import FloatArray

FILE = "paper.db"
_VERSION = 1
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
_books = Table(
    "books",
    _metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("feed", String, nullable=False),
    Column("about", JSON, nullable=False),
    Column("made", String, nullable=False),
)
# A bar that was late comes once more, with a higher version.
_bars = Table(
    "bars",
    _metadata,
    Column("feed", String, nullable=False),
    Column("time", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("fields", JSON, nullable=False),
    Column("cells", LargeBinary, nullable=False),
    PrimaryKeyConstraint("feed", "time", "version"),
)
_signals = Table(
    "signals",
    _metadata,
    Column("id", String, primary_key=True),
    Column("book", String, nullable=False),
    Column("time", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("weights", LargeBinary, nullable=False),
    Column("document", JSON, nullable=False),
    Column("made", String, nullable=False),
    UniqueConstraint("book", "time"),
)
_equity = Table(
    "equity",
    _metadata,
    Column("book", String, nullable=False),
    Column("time", Integer, nullable=False),
    *[Column(name, Float, nullable=False) for name in (*FIGURES, "equity")],
    PrimaryKeyConstraint("book", "time"),
)
_fills = Table(
    "fills",
    _metadata,
    Column("book", String, nullable=False),
    Column("time", Integer, nullable=False),
    Column("asset", String, nullable=False),
    Column("change", Float, nullable=False),
    Column("weight", Float, nullable=False),
    Column("price", Float),
    PrimaryKeyConstraint("book", "time", "asset"),
)
_ONLY_ADDED = ("bars", "signals", "equity", "fills")


@dataclass(frozen=True, eq=False)
class Stored:
    """A signal of the journal: when its bar opened, whether it was ``emitted`` or ``missed``, and what it said."""

    id: str
    time: np.datetime64
    status: str
    weights: FloatArray
    document: Mapping[str, object]


@dataclass(frozen=True, eq=False)
class Paid:
    """A decision of the ledger that is paid: when its bar opened, figures (10,), capital after it, and its fills."""

    time: np.datetime64
    figures: FloatArray
    equity: float
    fills: Sequence[tuple[str, float, float, float]]


def signal_id(book: str, time: np.datetime64) -> str:
    """Return the id of a portfolio's signal for a bar: there is one, however often it is computed."""
    return f"signal:{hashlib.sha256(f'{book}/{_ns(time)}'.encode()).hexdigest()[:16]}"


def _ns(time: np.datetime64) -> int:
    return int(time.astype("datetime64[ns]").astype(np.int64))


def _moment(stamp: int) -> np.datetime64:
    return np.datetime64(stamp, "ns")


class Journal:
    """The journal of one workspace."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine, self.path = engine, path

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Open the file, made where it is missing.

        Raises
        ------
        InputError
            When it cannot be read or written, or is something else.
        """
        engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": 10.0})

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _entry: object) -> None:
            connection.isolation_level = None
            connection.execute("PRAGMA journal_mode=WAL")
            # A signal that was emitted must be in here after a power cut, too.
            connection.execute("PRAGMA synchronous=FULL")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        journal = cls(engine, path)
        with journal._writing() as connection:
            version = int(connection.exec_driver_sql("PRAGMA user_version").scalar() or 0)
            if version > _VERSION:
                raise InputError(f"{path} was written by a newer alphaglow", "upgrade alphaglow")
            if version == 0:
                _metadata.create_all(connection)
                for table in _ONLY_ADDED:
                    for what in ("UPDATE", "DELETE"):
                        connection.exec_driver_sql(
                            f"CREATE TRIGGER {table}_no_{what.lower()} BEFORE {what} ON {table} "
                            f"BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END"
                        )
                connection.exec_driver_sql(f"PRAGMA user_version={_VERSION}")
        return journal

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise InputError(
                f"{self.path}: {error.orig}", "is the disk full, or the file in use or no journal?"
            ) from error

    def add_book(self, book: str, name: str, feed: str, about: Mapping[str, object]) -> None:
        """Record a portfolio with the feed that it is traded on; one that is known stays as it is."""
        with self._writing() as connection:
            if connection.execute(select(_books.c.id).where(_books.c.id == book)).first() is None:
                connection.execute(insert(_books).values(id=book, name=name, feed=feed, about=dict(about), made=_now()))

    def books(self) -> list[dict[str, object]]:
        """Return what is known of each portfolio, oldest first, with how many signals it has."""
        count = func.count(_signals.c.id)
        query = (
            select(_books, count.label("signals"), func.max(_signals.c.time).label("last"))
            .join(_signals, _signals.c.book == _books.c.id, isouter=True)
            .group_by(_books.c.id)
            .order_by(_books.c.made)
        )
        with self._writing() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def add_bar(
        self,
        feed: str,
        bar: Bar,
        signal: Stored | None = None,
        book: str = "",
        paid: Sequence[Paid] = (),
    ) -> None:
        """Record a bar with the signal made of it and the decisions it pays, all of them or none.

        Raises
        ------
        InputError
            When another process has recorded a signal for this bar: then this one must not be emitted.
        """
        try:
            with self._writing() as connection:
                self._put_bar(connection, feed, bar)
                if signal is not None:
                    connection.execute(insert(_signals).values(_signal_row(signal, book)))
                for one in paid:
                    figures = {name: float(one.figures[k]) for name, k in FIGURES.items()}
                    row = {"book": book, "time": _ns(one.time), "equity": one.equity, **figures}
                    connection.execute(insert(_equity).values(row))
                    rows = [_fill_row(book, one.time, fill) for fill in one.fills]
                    if rows:
                        connection.execute(insert(_fills), rows)
        except IntegrityError as error:
            raise InputError(
                f"the bar of {str(bar.time)[:16]} was recorded by another process", "let only one watch a book"
            ) from error

    def _put_bar(self, connection: Connection, feed: str, bar: Bar) -> None:
        where = (_bars.c.feed == feed) & (_bars.c.time == _ns(bar.time))
        version = connection.execute(select(func.max(_bars.c.version)).where(where)).scalar()
        cells = np.stack([*bar.fields.values(), bar.inside.astype(np.float64)]).astype("<f8")
        newest = None
        if version is not None:
            newest = connection.execute(select(_bars.c.cells).where(where & (_bars.c.version == version))).scalar()
        if newest == cells.tobytes():
            # Two portfolios on one feed see the same bars.
            return
        connection.execute(
            insert(_bars).values(
                feed=feed,
                time=_ns(bar.time),
                version=0 if version is None else version + 1,
                fields=list(bar.fields),
                cells=cells.tobytes(),
            )
        )

    def bars(self, feed: str, after: np.datetime64) -> list[Bar]:
        """Return the bars of a feed that opened after a time, as they were last known, oldest first."""
        query = (
            select(_bars)
            .where((_bars.c.feed == feed) & (_bars.c.time > _ns(after)))
            .order_by(_bars.c.time, _bars.c.version)
        )
        with self._writing() as connection:
            newest = {row.time: row for row in connection.execute(query)}
        return [_bar(row) for row in newest.values()]

    def signals(self, book: str, after: np.datetime64 | None = None) -> list[Stored]:
        """Return a portfolio's signals, oldest first."""
        query = select(_signals).where(_signals.c.book == book).order_by(_signals.c.time)
        if after is not None:
            query = query.where(_signals.c.time > _ns(after))
        with self._writing() as connection:
            return [
                Stored(row.id, _moment(row.time), row.status, np.frombuffer(row.weights, "<f8").copy(), row.document)
                for row in connection.execute(query)
            ]

    def last(self, book: str, status: str = "emitted") -> Stored | None:
        """Return a portfolio's newest signal of a status."""
        query = (
            select(_signals)
            .where((_signals.c.book == book) & (_signals.c.status == status))
            .order_by(_signals.c.time.desc())
            .limit(1)
        )
        with self._writing() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Stored(row.id, _moment(row.time), row.status, np.frombuffer(row.weights, "<f8").copy(), row.document)

    def equity(self, book: str) -> list[dict[str, object]]:
        """Return the ledger's paid decisions, oldest first: time, figures and capital after each."""
        query = select(_equity).where(_equity.c.book == book).order_by(_equity.c.time)
        with self._writing() as connection:
            return [{**row._mapping, "time": _moment(row.time)} for row in connection.execute(query)]

    def fills(self, book: str, last: int) -> list[dict[str, object]]:
        """Return a portfolio's newest fills, oldest first."""
        query = select(_fills).where(_fills.c.book == book).order_by(_fills.c.time.desc(), _fills.c.asset).limit(last)
        with self._writing() as connection:
            return [{**row._mapping, "time": _moment(row.time)} for row in connection.execute(query)][::-1]


def _signal_row(signal: Stored, book: str) -> dict[str, object]:
    return {
        "id": signal.id,
        "book": book,
        "time": _ns(signal.time),
        "status": signal.status,
        "weights": signal.weights.astype("<f8").tobytes(),
        "document": dict(signal.document),
        "made": _now(),
    }


def _fill_row(book: str, time: np.datetime64, fill: tuple[str, float, float, float]) -> dict[str, object]:
    asset, change, weight, price = fill
    known = price if np.isfinite(price) else None
    return {"book": book, "time": _ns(time), "asset": asset, "change": change, "weight": weight, "price": known}


def _bar(row: Row[tuple[object, ...]]) -> Bar:
    names = list(row.fields)
    cells = np.frombuffer(row.cells, "<f8").reshape(len(names) + 1, -1)
    inside = cells[-1] > 0
    values = {name: cells[k].copy() for k, name in enumerate(names)}
    return Bar(_moment(row.time), values, inside, np.zeros(len(inside), dtype=bool))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
