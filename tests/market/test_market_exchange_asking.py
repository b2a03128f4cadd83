"""How an exchange is asked: at its rate, after its pauses, by its names and at its address."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import ccxt
import numpy as np
import pytest
from ccxt.async_support.base import throttler

from market.errors import InputError
from market.exchange import Client, Venue
from market.fetch import Fetched, Job, assemble, run
from market.panel import Panel
from tests.market.exchange_jobs import BOTH, MARKET, NOW, START, assert_equals_source, fetch, job, stamps
from tests.market.exchange_server import Faults, serving


def test_retry_after_is_kept(tmp_path: Path) -> None:
    with serving(MARKET, NOW, Faults(("429",), share=0.25, seed=5)) as server:
        server.retry_after = 1
        wanted = job(server, "binance", symbols=("AAA/USDT", "CCC/USDT"))
        fetch(wanted, tmp_path, at_once=1)
        assert server.done["429"] >= 1
        assert server.early == 0


def test_a_long_ban_is_not_sat_out(tmp_path: Path) -> None:
    with serving(MARKET, NOW, Faults(("429",), share=1.0)) as server:
        server.retry_after = 3600
        with pytest.raises(InputError, match="no request for 60 minutes"):
            fetch(job(server, "binance"), tmp_path)
        assert server.pages() <= 4


def test_a_wish_to_stop_that_comes_with_a_timeout_is_heard() -> None:
    client = Client(Venue("binance"), np.random.default_rng(0), paced=False, first_pause=0.0)
    asked = 0

    async def masking() -> None:
        """Ctrl-C comes while it waits, and is taken for the request's own timeout."""
        nonlocal asked
        asked += 1
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            raise ccxt.RequestTimeout("too late") from error

    async def go() -> None:
        try:
            await client.ask("bars", masking)
        finally:
            await client.exchange.close()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(go())
    assert asked == 1


class SimulatedTime:
    """The clock of ccxt's throttle, in the place of `asyncio` and `time` there: it moves when the throttle sleeps."""

    Future, ensure_future = asyncio.Future, staticmethod(asyncio.ensure_future)

    def __init__(self) -> None:
        self.now, self.granted = 0.0, list[float]()

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def test_the_rate_limit_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimulatedTime()
    call = throttler.Throttler.__call__

    def grant(self: throttler.Throttler, cost: float | None = None) -> asyncio.Future[None]:
        future = call(self, cost)
        result = future.set_result

        def granted(value: None) -> None:
            clock.granted.append(clock.now)
            result(value)

        monkeypatch.setattr(future, "set_result", granted, raising=False)
        return future

    monkeypatch.setattr(throttler, "asyncio", clock)
    monkeypatch.setattr(throttler, "time", clock.time)
    monkeypatch.setattr(throttler.Throttler, "__call__", grant)
    with serving(MARKET, NOW) as server:
        wanted = job(server, "bybit", "swap", symbols=("AAA/USDT", "CCC/USDT"), open_interest=True)

        async def go() -> None:
            async with Client(wanted.source, np.random.default_rng(0)) as client:
                await run(wanted, client, tmp_path, lambda _done, _all: None)
                # ccxt's figures for Bybit: a page counts as five, each worth 20 ms.
                assert client.exchange.rateLimit == 20

        asyncio.run(go())
    times = np.array(clock.granted)
    assert len(times) > 30
    assert (times[20:] - times[:-20]).min() > 1.9


def test_server_without_a_time_is_read_by_its_date_header(tmp_path: Path) -> None:
    async def go(source: Venue) -> int:
        client = Client(source, np.random.default_rng(0), paced=False)
        client.exchange.has["fetchTime"] = False
        async with client:
            return client.now()

    with serving(MARKET, NOW) as server:
        assert abs(asyncio.run(go(Venue("binance", "spot", server.url))) - NOW) < 5000


def test_an_exchange_without_an_endpoint_of_its_own_is_asked_in_the_common_form(tmp_path: Path) -> None:
    async def go(wanted: Job) -> list[Fetched]:
        async with Client(wanted.source, np.random.default_rng(0), paced=False) as client:
            import market.endpoints as endpoints

            plain = endpoints._any

            def common(exchange: object, what: endpoints.What, timeframe: str, step: int) -> endpoints.Endpoint:
                return plain(exchange, what, timeframe, step)

            patch = pytest.MonkeyPatch()
            patch.setattr(endpoints, "_bybit", common)
            try:
                return await run(wanted, client, tmp_path, lambda _done, _all: None)
            finally:
                patch.undo()

    with serving(MARKET, NOW, Faults(("missing", "500", "shuffle"), share=0.2)) as server:
        wanted = job(server, "bybit", "swap", funding=True, open_interest=True, since=START)
        got = asyncio.run(go(wanted))
    panel = assemble(wanted, got)
    money = panel["volume"] * (panel["high"] + panel["low"] + panel["close"]) / 3
    np.testing.assert_allclose(panel["amount"], money, rtol=1e-12)
    assert "reckoned" in str((got[0].series["ohlcv"].facts or {})["note"])
    exact = panel.with_fields({"amount": _amounts(panel)})
    assert_equals_source(exact, MARKET.swap, START, NOW)


def _amounts(panel: Panel) -> np.ndarray:
    amounts = np.full(panel.shape, np.nan)
    for column, asset in enumerate(panel.assets):
        table = MARKET.swap[asset.partition("/")[0] + "USDT"]
        there = np.isin(table.stamps, stamps(panel))
        amounts[np.isin(stamps(panel), table.stamps), column] = table.values[there, 5]
    return amounts


@pytest.mark.parametrize(
    ("exchange", "symbol", "timeframe", "says"),
    [
        ("bybitt", "AAA/USDT", "1h", "bybit"),
        ("bybit", "AAA/XXX", "1h", "AAA/USDT"),
        ("bybit", "AAA/USDT", "7h", "timeframe"),
        ("bybit", "AAA/USDT", "1M", "grid"),
    ],
)
def test_unknown_names_are_refused_with_what_there_is(
    exchange: str, symbol: str, timeframe: str, says: str, tmp_path: Path
) -> None:
    with serving(MARKET, NOW) as server, pytest.raises(InputError, match=says):
        fetch(job(server, exchange, symbols=(symbol,), timeframe=timeframe), tmp_path)


def test_symbols_go_by_the_exchanges_names_too(tmp_path: Path) -> None:
    with serving(MARKET, NOW) as server:
        got = fetch(job(server, "binance", "swap", symbols=("AAAUSDT", "CCC/USDT:USDT")), tmp_path)
    assert [one.symbol for one in got] == ["AAA/USDT:USDT", "CCC/USDT:USDT"]


@BOTH
def test_the_top_is_ranked_by_money(exchange: str) -> None:
    async def go(source: Venue) -> list[str]:
        async with Client(source, np.random.default_rng(0), paced=False) as client:
            return await client.top(2, "USDT")

    money = {symbol: float(table.values[-1, 5]) for symbol, table in MARKET.swap.items()}
    money.pop("DDDUSDT")
    traded = replace(MARKET, swap={**{s: MARKET.swap[s] for s in money}, "USDCUSDT": MARKET.swap["AAAUSDT"]})
    with serving(traded, NOW) as server:
        best = sorted(money, key=lambda symbol: -money[symbol])[:2]
        expected = [f"{symbol.removesuffix('USDT')}/USDT:USDT" for symbol in best]
        assert asyncio.run(go(Venue(exchange, "swap", server.url))) == expected


def test_an_unreachable_exchange_is_one_line(tmp_path: Path) -> None:
    wanted = Job(Venue("bybit", "spot", "http://127.0.0.1:9"), ("AAA/USDT",), "1h", START)
    with pytest.raises(InputError, match="reached") as caught:
        fetch(wanted, tmp_path, retries=2)
    assert "\n" not in str(caught.value)


def test_a_test_network_has_bars_of_its_own(tmp_path: Path) -> None:
    with serving(MARKET, NOW) as server:
        wanted = job(server, "bybit", symbols=("AAA/USDT",))
        asked = server.pages()
        sandbox = replace(wanted, source=replace(wanted.source, sandbox=True))
        assert fetch(wanted, tmp_path)[0].series["ohlcv"].folder != fetch(sandbox, tmp_path)[0].series["ohlcv"].folder
        # Each asked for all of it: nothing of the one passes for the other's.
        assert server.pages() - asked >= 6
        with pytest.raises(InputError, match="no test network"):
            fetch(replace(sandbox, source=replace(sandbox.source, exchange="kraken")), tmp_path)


def test_a_wrong_address_is_not_asked_again(tmp_path: Path) -> None:
    with serving(MARKET, NOW) as server:
        wanted = job(server, "kraken")
        with pytest.raises(InputError, match="nothing at this address"):
            fetch(wanted, tmp_path)
        assert len(server.asked) <= 3
    with pytest.raises(InputError, match="no address"):
        fetch(replace(wanted, source=Venue("bybit", "spot", "localhost:80")), tmp_path)
