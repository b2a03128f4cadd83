"""A user's journal of signals: files of an earlier version go on, a newer one or another database is refused."""

from __future__ import annotations

import itertools
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from agent.live.arrivals import Arrivals, WaitLimits
from agent.live.service import SignalService
from agent.live.signal_journal import FILE, SignalJournal
from agent.live.signal_source import TradedSignal
from market.errors import InputError
from market.panel import Panel
from tests.agent.signal_helpers import replay_of, signal_on
from tests.helpers import random_panel

FIRST = 620
FEED = "replay"
# The tables as version 1 made them.
VERSION_1 = """
CREATE TABLE books (
    id VARCHAR NOT NULL, name VARCHAR NOT NULL, feed VARCHAR NOT NULL, about JSON NOT NULL, made VARCHAR NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE bars (
    feed VARCHAR NOT NULL, time INTEGER NOT NULL, version INTEGER NOT NULL, fields JSON NOT NULL, cells BLOB NOT NULL,
    PRIMARY KEY (feed, time, version)
);
CREATE TABLE signals (
    id VARCHAR NOT NULL, book VARCHAR NOT NULL, time INTEGER NOT NULL, status VARCHAR NOT NULL, weights BLOB NOT NULL,
    document JSON NOT NULL, made VARCHAR NOT NULL, PRIMARY KEY (id), UNIQUE (book, time)
);
CREATE TABLE equity (
    book VARCHAR NOT NULL, time INTEGER NOT NULL, gross FLOAT NOT NULL, cost FLOAT NOT NULL, impact FLOAT NOT NULL,
    funding FLOAT NOT NULL, net FLOAT NOT NULL, turnover FLOAT NOT NULL, exposure FLOAT NOT NULL, bias FLOAT NOT NULL,
    opened FLOAT NOT NULL, held FLOAT NOT NULL, equity FLOAT NOT NULL, PRIMARY KEY (book, time)
);
CREATE TABLE fills (
    book VARCHAR NOT NULL, time INTEGER NOT NULL, asset VARCHAR NOT NULL, change FLOAT NOT NULL, weight FLOAT NOT NULL,
    price FLOAT, PRIMARY KEY (book, time, asset)
);
CREATE TRIGGER bars_no_update BEFORE UPDATE ON bars BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE TRIGGER bars_no_delete BEFORE DELETE ON bars BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE TRIGGER signals_no_update BEFORE UPDATE ON signals
    BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE TRIGGER signals_no_delete BEFORE DELETE ON signals
    BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE TRIGGER equity_no_update BEFORE UPDATE ON equity BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE TRIGGER equity_no_delete BEFORE DELETE ON equity BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE TRIGGER fills_no_update BEFORE UPDATE ON fills BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
CREATE TRIGGER fills_no_delete BEFORE DELETE ON fills BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
PRAGMA user_version = 1;
"""


@pytest.fixture(scope="module")
def panel() -> Panel:
    return random_panel(FIRST + 40, 14, seed=3)


@pytest.fixture(scope="module")
def portfolio(panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> TradedSignal:
    return signal_on(panel, tmp_path_factory.mktemp("signal"))


def emit(panel: Panel, portfolio: TradedSignal, path: Path, count: int) -> SignalService:
    """Emit `count` further signals into the journal at `path`."""
    service = SignalService(portfolio, panel.rows(0, FIRST), SignalJournal.open(path), FEED)
    feed, clock = replay_of(panel, FIRST)
    watching = Arrivals(feed, clock, service.newest, panel.bar, WaitLimits(), owed=service.owed())
    assert len(list(itertools.islice(service.work(watching.watch()), count))) == count
    service.journal.close()
    return service


def as_version_1(new: Path, old: Path) -> None:
    """Write the rows of a journal into a file as an alphaglow of version 1 left it."""
    source, target = sqlite3.connect(new), sqlite3.connect(old)
    target.executescript(VERSION_1)
    for table, made in (("ledgers", "books"), ("bars",) * 2, ("signals",) * 2, ("equity",) * 2, ("fills",) * 2):
        for row in source.execute(f"SELECT * FROM {table}").fetchall():
            cells = [_renamed_back(cell) if isinstance(cell, str) else cell for cell in row]
            target.execute(f"INSERT INTO {made} VALUES ({', '.join('?' * len(cells))})", cells)
    target.commit()
    source.close()
    target.close()


def _renamed_back(cell: str) -> str:
    if not cell.startswith("{"):
        return cell
    document = json.loads(cell)
    back = {"book" if key == "portfolio" else key: value for key, value in document.items()}
    if "kind" not in document:
        back["book"] = back["book"].replace("portfolio:", "book:")
    return json.dumps(back)


def contents(path: Path, order: dict[str, str]) -> dict[str, list[tuple[object, ...]]]:
    connection = sqlite3.connect(path)
    found = {
        table: connection.execute(f"SELECT * FROM {table} ORDER BY {columns}").fetchall()
        for table, columns in order.items()
    }
    connection.close()
    return found


ORDER = {"ledgers": "id", "bars": "feed, time", "signals": "time", "equity": "time", "fills": "time, asset"}


def test_a_journal_of_version_1_is_kept_whole_and_goes_on(
    panel: Panel, portfolio: TradedSignal, tmp_path: Path
) -> None:
    new, old = tmp_path / "new.db", tmp_path / FILE
    emit(panel, portfolio, new, 8)
    as_version_1(new, old)
    SignalJournal.open(old).close()
    assert contents(old, ORDER) == contents(new, ORDER)
    assert len(contents(old, ORDER)["signals"]) == 8
    # It goes on in the same ledger, as one that never was of another version.
    service, other = (emit(panel, portfolio, path, 6) for path in (old, new))
    journals = [SignalJournal.open(path) for path in (old, new)]
    assert [(one["id"], one["signals"]) for one in journals[0].ledgers()] == [(service.id, 14)]
    assert journals[0].equity(service.id) == journals[1].equity(other.id)
    for mine, theirs in zip(journals[0].signals(service.id), journals[1].signals(other.id), strict=True):
        np.testing.assert_array_equal(mine.weights, theirs.weights)
        assert mine.document["portfolio"] == theirs.document["portfolio"] == portfolio.name
    for journal in journals:
        journal.close()
    with sqlite3.connect(old) as connection, pytest.raises(sqlite3.IntegrityError, match="only added"):
        connection.execute("UPDATE signals SET status = 'missed'")
    connection.close()


def test_a_ledger_keeps_the_id_that_version_1_gave_it(panel: Panel, portfolio: TradedSignal) -> None:
    """Another id would begin every paper ledger again, with nothing."""
    import hashlib

    from agent.live.service import ledger_id

    digits = portfolio.id.partition(":")[2]
    assert ledger_id(portfolio, FEED)[7:] == hashlib.sha256(f"book:{digits}/{FEED}".encode()).hexdigest()[:16]


def test_a_journal_that_cannot_be_changed_stays_as_it_was(
    panel: Panel, portfolio: TradedSignal, tmp_path: Path
) -> None:
    new, old = tmp_path / "new.db", tmp_path / FILE
    emit(panel, portfolio, new, 3)
    as_version_1(new, old)
    with sqlite3.connect(old) as connection:
        # What no version wrote: a table in the way of the new name.
        connection.execute("CREATE TABLE ledgers (id VARCHAR)")
    connection.close()
    order = {"books" if table == "ledgers" else table: columns for table, columns in ORDER.items()}
    before = contents(old, order)
    with pytest.raises(InputError, match=r"paper\.db"):
        SignalJournal.open(old)
    assert contents(old, order) == before
    connection = sqlite3.connect(old)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone() == (8,)
    connection.close()


def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(InputError, match=r"paper\.db was written by a newer alphaglow"):
        SignalJournal.open(tmp_path / FILE)


def test_another_database_is_no_journal(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE mine (value INTEGER)")
    connection.close()
    with pytest.raises(InputError, match=r"paper\.db is a database, but no journal"):
        SignalJournal.open(tmp_path / FILE)
    connection = sqlite3.connect(tmp_path / FILE)
    assert [name for (name,) in connection.execute("SELECT name FROM sqlite_master")] == ["mine"]
    connection.close()
