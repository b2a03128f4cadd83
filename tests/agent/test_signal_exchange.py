"""Through the real ccxt client, from a loopback exchange whose clock the test moves: signals are the backtest's."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.live.arrivals import Arrivals, WaitLimits
from agent.live.exchange_feed import ExchangeFeed
from agent.live.feed import FeedDown, Stop
from agent.live.paper_check import against_backtest
from agent.live.service import SignalService
from agent.live.signal_journal import FILE, SignalJournal
from agent.live.signal_source import batch_of
from market.bar_source import ExchangeOptions
from market.exchange import Client, Venue
from market.fetch import Job, assemble, run
from market.paged_source import PagedSource
from market.panel import Panel
from tests.agent.commands import as_json
from tests.agent.commands import run as run_command
from tests.agent.signal_helpers import signal_on
from tests.market.exchange_data import HOUR, ExchangeData, invented, recorded
from tests.market.exchange_server import Exchange, Faults, serving

DAY = 24 * HOUR
BEGIN = int(pd.Timestamp("2023-03-01", tz="UTC").timestamp() * 1000)
# The first bar that is waited for.
START = BEGIN + 40 * DAY
LIMITS = WaitLimits(grace=2.0, bound=60.0, poll=5.0)


def hasty(place: Venue, options: ExchangeOptions) -> Client:
    """The real client, which pauses for milliseconds after a fault in the place of seconds."""
    rng = np.random.default_rng(0)
    return Client(place, rng, paced=options.paced, retries=options.retries, first_pause=0.005)


HASTY = PagedSource(hasty)


@dataclass
class ServerClock:
    """Our clock is the server's, and waiting moves it."""

    server: Exchange

    def now(self) -> float:
        assert self.server.clock is not None
        return self.server.clock / 1000

    def sleep(self, seconds: float, stop: Stop) -> None:
        assert self.server.clock is not None
        self.server.clock += round(seconds * 1000)


def fetched(job: Job, raw: Path) -> Panel:
    async def go() -> Panel:
        async with Client(job.source, np.random.default_rng(0), paced=False, first_pause=0.005) as client:
            return assemble(job, await run(job, client, raw, lambda _done, _all: None))

    return asyncio.run(go())


@pytest.fixture(scope="module")
def market(request: pytest.FixtureRequest) -> ExchangeData:
    """Twelve real contracts that pay funding, as an exchange; one of them is struck off in the middle."""
    data: Path = request.getfixturevalue("shared_data")
    paying = pd.read_parquet(data / "crypto_funding_binance.parquet", columns=["symbol"]).symbol.astype(str).unique()
    bars = pd.read_parquet(data / "crypto_perp_1h.parquet", columns=["symbol"]).symbol.astype(str).unique()
    symbols = sorted(set(paying) & set(bars))
    assert len(symbols) >= 11
    return recorded(data, symbols, "2023-03-01", "2023-05-01")


@pytest.mark.parametrize("faults", [(), ("429", "500", "cut", "duplicate", "shuffle", "open", "overlap")])
@pytest.mark.parametrize("exchange", ["bybit", "binance"])
def test_live_is_batch(market: ExchangeData, exchange: str, faults: tuple[str, ...], tmp_path: Path) -> None:
    """Bars and funding of an exchange, bar by bar, through faults; then the same fetched at once and backtested."""
    symbols = tuple(f"{name.removesuffix('USDT')}/USDT:USDT" for name in market.swap)
    count = 25
    with serving(market, START + 1) as server:
        job = Job(Venue(exchange, "swap", server.url), symbols, "1h", BEGIN, funding=True)
        base = fetched(job, tmp_path / "raw")
        portfolio = signal_on(base, tmp_path / "w", factors=["-ts_mean(funding_rate, 24)", "-ts_returns(close, 12)"])
        server.faults = Faults(faults, share=0.1, seed=2)
        clock = ServerClock(server)
        with ExchangeFeed(job, base.assets, "x", source=HASTY, paced=False) as feed:
            service = SignalService(portfolio, base, SignalJournal.open(tmp_path / FILE), feed.name)
            watching = Arrivals(feed, clock, service.newest, base.bar, LIMITS)
            documents = list(itertools.islice(service.work(watching.watch()), count))
        server.faults = Faults()
        whole = fetched(job, tmp_path / "again")
    assert [one["time"] for one in documents] == [f"{str(t)[:19]}Z" for t in whole.times[-count:]]
    compared = against_backtest(portfolio, service.journal, service.id, whole)
    assert (compared["bars"], compared["missed"], compared["late_assets"]) == (count, 0, [])
    assert float(str(compared["largest_weight_difference"])) <= 1e-12
    assert float(str(compared["largest_return_difference"])) <= 1e-12
    assert np.abs(batch_of(portfolio, whole).decided[-count:]).sum(axis=1).min() > 0.5
    assert any(float(str(row["funding"])) != 0.0 for row in service.journal.equity(service.id))


def test_an_exchange_that_is_gone_is_down_and_comes_back(market: ExchangeData, tmp_path: Path) -> None:
    symbols = tuple(f"{name.removesuffix('USDT')}/USDT:USDT" for name in market.swap)
    with serving(market, START + 1) as server:
        job = Job(Venue("bybit", "swap", server.url), symbols, "1h", BEGIN)
        panel = fetched(job, tmp_path / "raw")
        server.clock = START + HOUR + 5000
        with ExchangeFeed(job, panel.assets, "x", source=HASTY, paced=False) as feed:
            server.down_after = server.pages()
            with pytest.raises(FeedDown):
                feed.newer(panel.times[-1])
            server.down_after = None
            bars = feed.newer(panel.times[-1])
            assert [bar.time for bar in bars] == [panel.times[-1] + panel.bar, panel.times[-1] + 2 * panel.bar]
            assert bars[0].present.all()
            assert not bars[0].late.any()
    nobody = Job(Venue("bybit", "swap", "http://127.0.0.1:9"), symbols, "1h", BEGIN)
    with ExchangeFeed(nobody, panel.assets, "x", source=HASTY, paced=False) as feed, pytest.raises(FeedDown):
        feed.time()


def test_the_command_fetches_what_closed_since(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the machine's own clock: the newest closed bar is emitted, once; down, the exchange is named in one line."""
    hour = int(time.time() * 1000) // HOUR * HOUR
    home = tmp_path / "w"
    home.mkdir()
    (home / "alphaglow.toml").write_text('[backtest]\nweighting = "timeseries"\n')
    monkeypatch.chdir(home)
    day = f"{pd.Timestamp(hour - 600 * HOUR, unit='ms'):%Y-%m-%dT%H:%M}"
    until = f"{pd.Timestamp(hour - 5 * HOUR, unit='ms'):%Y-%m-%dT%H:%M}"
    with serving(invented(hour - 2500 * HOUR)) as server:
        chosen = ["--symbols", "AAA/USDT,BBB/USDT,CCC/USDT", "--name", "x", "--base-url", server.url, "--unpaced"]
        assert run_command(capsys, "data", "fetch", "bybit", *chosen, "--since", day, "--until", until)[0] == 0
        # A bar that closed this very moment has its grace; another may close while we ask.
        document = as_json(capsys, "signal", "-ts_returns(close, 5)", "--grace", "0.1")
        due = {f"{np.datetime64(stamp, 'ms')}"[:13] for stamp in (hour - HOUR, hour, hour + HOUR)}
        assert str(document["time"])[:13] in due
        assert document["feed"].startswith("bybit@")
        assert 0 <= document["data_age_s"] < 3700
        assert 0 < document["gross"] <= 1
        code, out, err = run_command(capsys, "signal", "-ts_returns(close, 5)", "--json")
        assert code == 0
        assert "from the journal" in err or json.loads(out)["time"] > document["time"]
    code, _, err = run_command(capsys, "signal", "-ts_mean(close, 5)")
    assert code == 2
    assert "cannot be reached" in err
    assert "Traceback" not in err
