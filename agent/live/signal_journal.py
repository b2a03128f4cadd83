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
from sqlalchemy import URL, Connection, Engine, Row, create_engine, event, func, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from agent.live.feed import Bar
from agent.live.journal_schema import BARS, EQUITY, FIGURES, FILLS, LEDGERS, SIGNALS, bring_up_to_date
from market.errors import InputError
from market.panel import FloatArray

FILE = "paper.db"


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


def signal_id(ledger: str, time: np.datetime64) -> str:
    """Return the id of a ledger's signal for a bar: there is one, however often it is computed."""
    return f"signal:{hashlib.sha256(f'{ledger}/{_ns(time)}'.encode()).hexdigest()[:16]}"


def _ns(time: np.datetime64) -> int:
    return int(time.astype("datetime64[ns]").astype(np.int64))


def _moment(stamp: int) -> np.datetime64:
    return np.datetime64(stamp, "ns")


class SignalJournal:
    """The journal of one workspace."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine, self.path = engine, path

    @classmethod
    def open(cls, path: Path) -> SignalJournal:
        """Open the file, made where it is missing; one of an earlier version is changed into one of this version.

        Raises
        ------
        InputError
            When it cannot be read or written, is something else, or was written by a newer alphaglow.
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
            bring_up_to_date(connection, path)
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

    def add_ledger(self, ledger: str, name: str, feed: str, about: Mapping[str, object]) -> None:
        """Record a ledger: the name of its portfolio and the feed that it is traded on. A known one stays as it is."""
        with self._writing() as connection:
            if connection.execute(select(LEDGERS.c.id).where(LEDGERS.c.id == ledger)).first() is None:
                connection.execute(
                    insert(LEDGERS).values(id=ledger, name=name, feed=feed, about=dict(about), made=_now())
                )

    def ledgers(self) -> list[dict[str, object]]:
        """Return what is known of each ledger, oldest first, with how many signals it has."""
        count = func.count(SIGNALS.c.id)
        query = (
            select(LEDGERS, count.label("signals"), func.max(SIGNALS.c.time).label("last"))
            .join(SIGNALS, SIGNALS.c.ledger == LEDGERS.c.id, isouter=True)
            .group_by(LEDGERS.c.id)
            .order_by(LEDGERS.c.made)
        )
        with self._writing() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def add_bar(
        self,
        feed: str,
        bar: Bar,
        signal: Stored | None = None,
        ledger: str = "",
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
                    connection.execute(insert(SIGNALS).values(_signal_row(signal, ledger)))
                for one in paid:
                    figures = {name: float(one.figures[k]) for name, k in FIGURES.items()}
                    row = {"ledger": ledger, "time": _ns(one.time), "equity": one.equity, **figures}
                    connection.execute(insert(EQUITY).values(row))
                    rows = [_fill_row(ledger, one.time, fill) for fill in one.fills]
                    if rows:
                        connection.execute(insert(FILLS), rows)
        except IntegrityError as error:
            raise InputError(
                f"the bar of {str(bar.time)[:16]} was recorded by another process",
                "let only one process watch a portfolio",
            ) from error

    def _put_bar(self, connection: Connection, feed: str, bar: Bar) -> None:
        where = (BARS.c.feed == feed) & (BARS.c.time == _ns(bar.time))
        version = connection.execute(select(func.max(BARS.c.version)).where(where)).scalar()
        cells = np.stack([*bar.fields.values(), bar.inside.astype(np.float64)]).astype("<f8")
        newest = None
        if version is not None:
            newest = connection.execute(select(BARS.c.cells).where(where & (BARS.c.version == version))).scalar()
        if newest == cells.tobytes():
            # Two ledgers on one feed see the same bars.
            return
        connection.execute(
            insert(BARS).values(
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
            select(BARS).where((BARS.c.feed == feed) & (BARS.c.time > _ns(after))).order_by(BARS.c.time, BARS.c.version)
        )
        with self._writing() as connection:
            newest = {row.time: row for row in connection.execute(query)}
        return [_bar(row) for row in newest.values()]

    def signals(self, ledger: str, after: np.datetime64 | None = None) -> list[Stored]:
        """Return a ledger's signals, oldest first."""
        query = select(SIGNALS).where(SIGNALS.c.ledger == ledger).order_by(SIGNALS.c.time)
        if after is not None:
            query = query.where(SIGNALS.c.time > _ns(after))
        with self._writing() as connection:
            return [
                Stored(row.id, _moment(row.time), row.status, np.frombuffer(row.weights, "<f8").copy(), row.document)
                for row in connection.execute(query)
            ]

    def last(self, ledger: str, status: str = "emitted") -> Stored | None:
        """Return a ledger's newest signal of a status."""
        query = (
            select(SIGNALS)
            .where((SIGNALS.c.ledger == ledger) & (SIGNALS.c.status == status))
            .order_by(SIGNALS.c.time.desc())
            .limit(1)
        )
        with self._writing() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Stored(row.id, _moment(row.time), row.status, np.frombuffer(row.weights, "<f8").copy(), row.document)

    def equity(self, ledger: str) -> list[dict[str, object]]:
        """Return the ledger's paid decisions, oldest first: time, figures and capital after each."""
        query = select(EQUITY).where(EQUITY.c.ledger == ledger).order_by(EQUITY.c.time)
        with self._writing() as connection:
            return [{**row._mapping, "time": _moment(row.time)} for row in connection.execute(query)]

    def fills(self, ledger: str, last: int) -> list[dict[str, object]]:
        """Return a ledger's newest fills, oldest first."""
        query = select(FILLS).where(FILLS.c.ledger == ledger).order_by(FILLS.c.time.desc(), FILLS.c.asset).limit(last)
        with self._writing() as connection:
            return [{**row._mapping, "time": _moment(row.time)} for row in connection.execute(query)][::-1]


def _signal_row(signal: Stored, ledger: str) -> dict[str, object]:
    return {
        "id": signal.id,
        "ledger": ledger,
        "time": _ns(signal.time),
        "status": signal.status,
        "weights": signal.weights.astype("<f8").tobytes(),
        "document": dict(signal.document),
        "made": _now(),
    }


def _fill_row(ledger: str, time: np.datetime64, fill: tuple[str, float, float, float]) -> dict[str, object]:
    asset, change, weight, price = fill
    known = price if np.isfinite(price) else None
    return {"ledger": ledger, "time": _ns(time), "asset": asset, "change": change, "weight": weight, "price": known}


def _bar(row: Row[tuple[object, ...]]) -> Bar:
    names = list(row.fields)
    cells = np.frombuffer(row.cells, "<f8").reshape(len(names) + 1, -1)
    inside = cells[-1] > 0
    values = {name: cells[k].copy() for k, name in enumerate(names)}
    return Bar(_moment(row.time), values, inside, np.zeros(len(inside), dtype=bool))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
