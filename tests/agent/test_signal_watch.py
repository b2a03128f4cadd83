"""What watching survives: lost connections, clocks that differ, bars late, twice and in disorder, and being killed."""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.live.arrivals import Arrival, Arrivals, WaitHooks, WaitLimits
from agent.live.csv_output import CsvFile
from agent.live.feed import Bar, Clock, Feed, as_seconds, bar_at
from agent.live.paper_check import against_backtest
from agent.live.service import SignalService
from agent.live.signal_journal import FILE, SignalJournal
from agent.live.signal_source import TradedSignal, batch_of
from backtest.ledger import NET, keep_ledger
from market.errors import InputError
from market.panel import Panel
from tests.agent.signal_helpers import Faulty, faulty_of, replay_of, signal_on
from tests.forked import run, start
from tests.helpers import random_panel

FIRST, BARS = 560, 640
LIMITS = WaitLimits(grace=2.0, bound=120.0, poll=5.0)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return random_panel(BARS, 14, seed=3)


def arrivals(
    feed: Feed, clock: Clock, panel: Panel, count: int, notices: list[str] | None = None, first: int = FIRST
) -> list[Arrival]:
    notes: list[str] = [] if notices is None else notices
    watching = Arrivals(feed, clock, bar_at(panel, first - 1), panel.bar, LIMITS, hooks=WaitHooks(notice=notes.append))
    return list(itertools.islice(watching.watch(), count))


def times_of(found: list[Arrival]) -> list[np.datetime64]:
    return [one.bar.time for one in found]


@pytest.mark.parametrize("ahead", [-300.0, -3.0, 0.0, 3.0, 1800.0])
def test_clocks_that_differ_change_nothing(panel: Panel, ahead: float) -> None:
    """The server's clock says when a bar is closed; ours may be anything."""
    feed, clock = faulty_of(panel, FIRST, ahead=ahead)
    found = arrivals(feed, clock, panel, 20)
    assert times_of(found) == list(panel.times[FIRST : FIRST + 20])
    for one in found:
        row = int(np.searchsorted(panel.times, one.bar.time))
        # A bar that was still open would have another close.
        np.testing.assert_array_equal(one.bar.fields["close"], panel["close"][row])
        assert LIMITS.grace <= one.age < 30
        assert one.newest


def test_what_comes_twice_and_in_disorder_is_sorted(panel: Panel) -> None:
    def twist(bars: list[Bar]) -> list[Bar]:
        return [*bars[::-1], *bars]

    feed, clock = faulty_of(panel, FIRST, twist=twist)
    assert times_of(arrivals(feed, clock, panel, 12)) == list(panel.times[FIRST : FIRST + 12])


def test_a_lost_connection_is_waited_for_and_stale_data_are_reported(panel: Panel) -> None:
    begin = as_seconds(panel.times[FIRST + 3]) + 1800
    notices: list[str] = []
    feed, clock = faulty_of(panel, FIRST, down=[(begin, begin + 5 * 3600)])
    found = arrivals(feed, clock, panel, 15, notices)
    assert times_of(found) == list(panel.times[FIRST : FIRST + 15])
    missed = [k for k, one in enumerate(found) if not one.newest]
    assert missed == [3, 4, 5, 6]
    assert sum("data are stale" in line for line in notices) in (4, 5)
    assert any("connection refused" in line for line in notices)


def test_an_exchange_that_is_down_at_the_start_is_waited_for(panel: Panel) -> None:
    begin = as_seconds(panel.times[FIRST])
    feed, clock = faulty_of(panel, FIRST, down=[(begin - 10, begin + 2 * 3600)])
    found = arrivals(feed, clock, panel, 4)
    assert times_of(found) == list(panel.times[FIRST : FIRST + 4])
    assert [one.newest for one in found] == [False, True, True, True]


def test_a_late_asset_is_waited_for_up_to_a_bound(panel: Panel) -> None:
    soon, never = (panel.times[FIRST + 2], 4), (panel.times[FIRST + 5], 7)
    notices: list[str] = []
    feed, clock = faulty_of(panel, FIRST, late={soon: 60.0, never: 5400.0})
    found = arrivals(feed, clock, panel, 9, notices)
    assert times_of(found) == list(panel.times[FIRST : FIRST + 9])
    assert 60 <= found[2].age < 80
    assert not found[2].stale.any()
    assert LIMITS.bound <= found[5].age < LIMITS.bound + 30
    assert list(np.flatnonzero(found[5].stale)) == [7]
    assert any("late" in line for line in notices)
    # An hour and a half later it came: from then on the state can be repaired.
    healed = [bar for one in found for bar in one.healed]
    assert [bar.time for bar in healed] == [panel.times[FIRST + 5]]
    np.testing.assert_array_equal(healed[0].fields["close"], panel["close"][FIRST + 5])


def test_a_stated_share_of_assets_is_enough(panel: Panel) -> None:
    feed, clock = faulty_of(panel, FIRST, late={(panel.times[FIRST], 4): 90.0})
    watching = Arrivals(feed, clock, bar_at(panel, FIRST - 1), panel.bar, WaitLimits(share=0.9))
    first = next(watching.watch())
    assert first.age < 10
    assert first.stale.sum() == 1


def test_an_asset_that_stays_away_is_not_waited_for_for_ever(panel: Panel) -> None:
    away = {(panel.times[FIRST + k], 2): 1e9 for k in range(40)}
    feed, clock = faulty_of(panel, FIRST, late=away)
    found = arrivals(feed, clock, panel, 8)
    assert [bool(one.stale[2]) for one in found] == [True] * 3 + [False] * 5
    assert [one.age > LIMITS.bound for one in found] == [True] * 3 + [False] * 5


def service_on(
    panel: Panel, portfolio: TradedSignal, root: Path, feed: str = "replay", first: int = FIRST
) -> SignalService:
    return SignalService(portfolio, panel.rows(0, first), SignalJournal.open(root / FILE), feed)


def emit(service: SignalService, feed: Feed, clock: Clock, panel: Panel, count: int) -> list[dict[str, object]]:
    watching = Arrivals(feed, clock, service.newest, panel.bar, LIMITS, owed=service.owed())
    return [dict(document) for document in itertools.islice(service.work(watching.watch()), count)]


RULES = {
    "plain": "",
    "kept": "[backtest]\nholding = 4\nrebalance = 3\nband = 0.005\nborrow_bp_year = 900.0\ncapital = 1e5\n",
    "slowly": "[backtest]\nrate = 0.1\nvolatility_scaled = true\nholding = 3\ncapital = 1e5\n",
    "at the close": '[backtest]\nfill = "close"\ndelisting_return = -0.5\n',
}


@pytest.fixture(scope="module")
def dying() -> Panel:
    """One asset dies with a position, another pauses, and funding is paid."""
    panel = random_panel(BARS + 60, 14, seed=4)
    fields = {name: np.array(values) for name, values in panel.fields.items()}
    for values in fields.values():
        values[FIRST + 10 :, 1] = values[FIRST + 12 : FIRST + 15, 2] = np.nan
    rng = np.random.default_rng(0)
    fields["funding"] = np.where(np.arange(len(panel.times))[:, None] % 8 == 0, rng.normal(0, 1e-4, panel.shape), 0.0)
    return Panel(panel.times, panel.assets, fields, np.isfinite(fields["close"]), panel.bar)


@pytest.mark.parametrize("name", RULES)
def test_the_paper_ledger_is_the_backtest(dying: Panel, tmp_path: Path, name: str) -> None:
    """Fills, costs, funding, holes and a delisting, each bar to 1e-12; and a restart in the middle."""
    portfolio = signal_on(dying, tmp_path, RULES[name])
    feed, clock = replay_of(dying, FIRST)
    service = service_on(dying, portfolio, tmp_path)
    assert len(emit(service, feed, clock, dying, 40)) == 40
    service.journal.close()
    service = service_on(dying, portfolio, tmp_path)
    assert len(emit(service, feed, clock, dying, 85)) == 85
    compared = against_backtest(portfolio, service.journal, service.id, dying.rows(0, FIRST + 125))
    assert (compared["bars"], compared["missed"]) == (125, 0)
    assert float(str(compared["largest_weight_difference"])) <= 1e-12
    assert float(str(compared["largest_return_difference"])) <= 1e-12
    assert float(str(compared["largest_equity_difference"])) <= 1e-12
    # By another way: the backtest's own ledger on its own decisions from the first signal on.
    batch = batch_of(portfolio, dying.rows(0, FIRST + 125))
    targets = batch.decided.copy()
    targets[:FIRST] = 0.0
    _, series = keep_ledger(targets, batch.ledger_rows, portfolio.spec, dying.bars_per_year)
    paid = service.journal.equity(service.id)
    assert len(paid) == 125 - (3 if "close" in name else 2)
    net = [float(str(row["net"])) for row in paid]
    np.testing.assert_allclose(net, series[NET][FIRST : FIRST + len(paid)], rtol=0, atol=1e-12)
    assert np.std(net) > 1e-4
    closed = [fill for fill in service.journal.fills(service.id, 10_000) if fill["asset"] == "A01"]
    assert closed[-1]["weight"] == 0.0


def test_while_nobody_watched_nothing_is_traded_and_only_the_newest_is_emitted(panel: Panel, tmp_path: Path) -> None:
    portfolio = signal_on(panel, tmp_path)
    feed, clock = replay_of(panel, FIRST)
    service = service_on(panel, portfolio, tmp_path)
    emit(service, feed, clock, panel, 10)
    service.journal.close()
    clock.sleep(6 * 3600.0, lambda: False)
    service = service_on(panel, portfolio, tmp_path)
    after = emit(service, feed, clock, panel, 3)
    assert [str(one["time"])[:16] for one in after] == [str(t)[:16] for t in panel.times[FIRST + 15 : FIRST + 18]]
    stored = service.journal.signals(service.id)
    assert [s.status for s in stored] == ["emitted"] * 10 + ["missed"] * 5 + ["emitted"] * 3
    assert [s.time for s in stored] == list(panel.times[FIRST : FIRST + 18])
    traded = {row["time"]: row["turnover"] for row in service.journal.equity(service.id)}
    assert all(traded[time] == 0.0 for time in panel.times[FIRST + 10 : FIRST + 15])
    compared = against_backtest(portfolio, service.journal, service.id, panel)
    assert compared["missed"] == 5
    assert float(str(compared["largest_weight_difference"])) <= 1e-12
    assert float(str(compared["largest_return_difference"])) > 1e-6


def test_bars_that_the_data_set_gained_meanwhile_were_missed(panel: Panel, tmp_path: Path) -> None:
    """`alphaglow data update` between two sessions: the ledger goes on over them."""
    portfolio = signal_on(panel, tmp_path)
    feed, clock = replay_of(panel, FIRST)
    service = service_on(panel, portfolio, tmp_path)
    emit(service, feed, clock, panel, 6)
    service.journal.close()
    service = service_on(panel, portfolio, tmp_path, first=FIRST + 11)
    clock.sleep(5 * 3600.0, lambda: False)
    emit(service, feed, clock, panel, 4)
    paid = service.journal.equity(service.id)
    assert [row["time"] for row in paid] == list(panel.times[FIRST : FIRST + 13])
    compared = against_backtest(portfolio, service.journal, service.id, panel)
    assert (compared["bars"], compared["emitted"], compared["missed"]) == (15, 10, 5)


def test_a_late_asset_keeps_its_target_and_the_state_is_completed(panel: Panel, tmp_path: Path) -> None:
    portfolio = signal_on(panel, tmp_path)
    feed, clock = faulty_of(panel, FIRST, late={(panel.times[FIRST + 4], 6): 4000.0})
    service = service_on(panel, portfolio, tmp_path, "faulty")
    documents = emit(service, feed, clock, panel, 12)
    assert documents[4]["stale"] == ["A06"]

    def weight(document: dict[str, object]) -> float:
        rows = document["weights"]
        assert isinstance(rows, list)
        return next((float(row["weight"]) for row in rows if row["asset"] == "A06"), 0.0)

    assert weight(documents[4]) == weight(documents[3]) != 0.0
    batch = batch_of(portfolio, panel)
    stored = service.journal.signals(service.id)
    gaps = [float(np.abs(s.weights - batch.decided[FIRST + k]).max()) for k, s in enumerate(stored)]
    # The bar after was decided before the late row came; once it has, nothing is left of it.
    assert max(gaps[:4]) <= 1e-12
    assert max(gaps[6:]) <= 1e-12
    assert gaps[4] > 1e-6


def test_a_bar_is_recorded_once_whoever_tries(panel: Panel, tmp_path: Path) -> None:
    portfolio = signal_on(panel, tmp_path)
    one, two = (service_on(panel, portfolio, tmp_path) for _ in range(2))
    arrival = Arrival(bar_at(panel, FIRST), np.zeros(14, dtype=bool), newest=True, age=2.0)
    assert one.take(arrival) is not None
    with pytest.raises(InputError, match="another process"):
        two.take(arrival)
    assert len(one.journal.signals(one.id)) == 1
    with sqlite3.connect(tmp_path / FILE) as connection, pytest.raises(sqlite3.IntegrityError, match="only added"):
        connection.execute("DELETE FROM signals")
    connection.close()


def test_a_journal_is_no_other_file(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("this is no database, but it is long enough to be looked at as if it were one" * 20)
    with pytest.raises(InputError, match=r"paper\.db"):
        SignalJournal.open(tmp_path / FILE)


def document(time_text: str) -> dict[str, object]:
    row = {"asset": "A", "weight": 0.5, "change": 0.5, "price": 1.0, "contributions": {"f": 0.1}, "stale": False}
    return {
        "time": time_text,
        "regime": None,
        "var_95": 0.01,
        "data_age_s": 2.0,
        "weights": [row, {**row, "asset": "B"}],
    }


def test_the_csv_holds_each_bar_once(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    file = CsvFile(path, ["f"])
    file.put(document("2024-01-01T00:00:00Z"))
    file.put(document("2024-01-01T00:00:00Z"))
    file.put(document("2024-01-01T01:00:00Z"))
    whole = path.read_bytes()
    path.write_bytes(whole + b"2024-01-01T02:00:00Z,A,0.")
    again = CsvFile(path, ["f"])
    again.put(document("2024-01-01T02:00:00Z"))
    frame = pd.read_csv(path)
    assert frame["time"].value_counts().tolist() == [2, 2, 2]
    assert set(frame.columns) >= {"weight", "contribution: f", "var_95"}
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="something else"):
        CsvFile(path, ["f"])


def test_a_recording_ends(panel: Panel) -> None:
    feed, clock = replay_of(panel, FIRST)
    notices: list[str] = []
    assert times_of(arrivals(feed, clock, panel, 10_000, notices)) == list(panel.times[FIRST:])
    assert "the recording is over" in notices[-1]


def test_the_feed_is_asked_little(panel: Panel) -> None:
    """A few questions a bar: one for the time, one for the bars, and a few while it waits."""
    feed, clock = faulty_of(panel, FIRST)
    arrivals(feed, clock, panel, 20)
    assert isinstance(feed, Faulty)
    assert feed.asked <= 20 * 8


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_lose_and_double_nothing(tmp_path: Path, kills: int) -> None:
    """kill -9 at random moments; in the end each bar was emitted once, and the ledger is the backtest's."""
    root = tmp_path / "w"
    assert run(["init", str(root)])[0] == 0
    synth = ["-w", str(root), "data", "synth", "--bars", "700", "--assets", "14", "--name", "toy"]
    assert run(synth)[0] == 0
    lines: list[str] = []
    watch = ["-w", str(root), "signal", "-ts_returns(close, 5)", "--replay-from", _replay_start(root), "--watch"]
    watch += ["--json", "--csv", str(tmp_path / "out.csv")]
    rng = np.random.default_rng(1)
    for _ in range(kills):
        lines += list(_killed([*watch, "--bars", "5"], rng.uniform(0.0, 0.12)))
    code, out, err = run([*watch, "--bars", "3"])
    assert code == 0, err
    lines += out.splitlines()
    times = [json.loads(line)["time"] for line in lines if line.endswith("}")]
    assert len(set(times)) == len(times), "a bar was printed twice"
    with sqlite3.connect(root / FILE) as connection:
        rows = connection.execute("SELECT time, status FROM signals ORDER BY time").fetchall()
    connection.close()
    assert len(rows) >= kills
    assert {status for _, status in rows} == {"emitted"}
    assert set(np.diff([stamp for stamp, _ in rows])) == {3_600_000_000_000}
    frame = pd.read_csv(tmp_path / "out.csv")
    stamps = pd.to_datetime(frame["time"]).dt.tz_localize(None).to_numpy("datetime64[ns]").astype(np.int64)
    assert not frame.duplicated(["time", "asset"]).any()
    assert list(dict.fromkeys(stamps.tolist())) == [stamp for stamp, _ in rows]
    ledger = ["-w", str(root), "signal", "ledger", "-ts_returns(close, 5)", "--replay-from", _replay_start(root)]
    code, out, err = run([*ledger, "--against-backtest", "--json"])
    assert code == 0, err
    compared = json.loads(out)["against_backtest"]
    assert compared["missed"] == 0
    assert compared["largest_weight_difference"] <= 1e-12
    assert compared["largest_return_difference"] <= 1e-12


def _replay_start(root: Path) -> str:
    from market.panel_store import load_panel

    return str(load_panel(root / "data" / "toy.parquet").times[FIRST])[:19]


def _killed(command: list[str], after: float) -> Iterator[str]:
    """Run a command, kill it some time after it began to emit, and yield the whole lines that it printed.

    Where the kill falls is left to chance: the test holds wherever it does.
    """
    process = start(command)
    first = process.stdout.readline()
    time.sleep(after)
    process.kill()
    yield first.rstrip("\n")
    for line in process.stdout:
        if line.endswith("\n"):
            yield line.rstrip("\n")
    process.wait()
