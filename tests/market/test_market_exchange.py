"""Fetching through the real ccxt client from a loopback server equals the source, bar for bar, whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import ccxt
import numpy as np
import pandas as pd
import pytest
from ccxt.async_support.base import throttler

from market.errors import InputError
from market.exchange import Client, Venue
from market.fetch import Fetched, Job, assemble, read_record, record_of, run
from market.panel import Panel
from market.raw import read_rows
from tests.market.exchange_data import HOUR, ExchangeData, Table, invented, recorded
from tests.market.exchange_server import EVERY_FAULT, Exchange, Faults, serving

START = int(pd.Timestamp("2024-01-01", tz="UTC").timestamp() * 1000)
MARKET = invented(START)
# Half an hour into the 2 591st bar, as the server has it; this machine's clock is years away.
NOW = START + 2590 * HOUR + HOUR // 2
# Enough pages of each kind for every fault to happen, and all of the holes.
SHORT, SOON = invented(START, 1550), START + 1540 * HOUR + HOUR // 2
SYMBOLS = ("AAA/USDT", "BBB/USDT", "CCC/USDT", "DDD/USDT")
BOTH = pytest.mark.parametrize("exchange", ["bybit", "binance"])
FIELDS = ("open", "high", "low", "close", "volume", "amount")


def job(server: Exchange, exchange: str, market: str = "spot", **more: object) -> Job:
    source = Venue(exchange, market, server.url)  # type: ignore[arg-type]
    plain = Job(source, SYMBOLS, "1h", START - 1000 * HOUR)
    return replace(plain, **more)  # type: ignore[arg-type]


def fetch(wanted: Job, raw: Path, *, retries: int = 8, **options: object) -> list[Fetched]:
    async def go() -> list[Fetched]:
        rng = np.random.default_rng(0)
        async with Client(wanted.source, rng, paced=False, retries=retries, first_pause=0.005) as client:
            return await run(wanted, client, raw, lambda _done, _all: None, **options)  # type: ignore[arg-type]

    return asyncio.run(go())


def stamps(panel: Panel) -> np.ndarray:
    return panel.times.astype("datetime64[ms]").astype(np.int64)


def assert_equals_source(panel: Panel, tables: Mapping[str, Table], since: int, until: int) -> int:
    """The panel holds what the source has in [since, until): every bar, every value, and nothing else."""
    seen = 0
    for symbol, table in tables.items():
        there = (table.stamps >= since) & (table.stamps + HOUR <= until)
        column = next(i for i, asset in enumerate(panel.assets) if asset.startswith(symbol.removesuffix("USDT") + "/"))
        here = np.isfinite(panel["close"][:, column])
        np.testing.assert_array_equal(stamps(panel)[here], table.stamps[there])
        for k, name in enumerate(FIELDS):
            np.testing.assert_array_equal(panel[name][here, column], table.values[there, k])
            assert np.isnan(panel[name][~here, column]).all()
        np.testing.assert_array_equal(panel.universe[:, column], here)
        seen += int(there.sum())
    assert seen == int(np.isfinite(panel["close"]).sum())
    return seen


@BOTH
@pytest.mark.parametrize("market", ["spot", "swap"])
def test_a_fetch_equals_the_source_with_few_requests(exchange: str, market: str, tmp_path: Path) -> None:
    with serving(MARKET, NOW) as server:
        panel = assemble(job(server, exchange, market), fetch(job(server, exchange, market), tmp_path))
        assert assert_equals_source(panel, MARKET.spot, START, NOW) > 8000
        # Ten full pages are the least; each symbol's silence before its listing, its end and its holes are asked twice.
        assert 10 <= server.pages() <= 20


@BOTH
@pytest.mark.parametrize("faults", [(kind,) for kind in EVERY_FAULT] + [EVERY_FAULT], ids=lambda kinds: "+".join(kinds))
def test_no_fault_changes_what_arrives(exchange: str, faults: tuple[str, ...], tmp_path: Path) -> None:
    with serving(SHORT, SOON, Faults(faults, share=0.4, seed=1)) as server:
        wanted = job(server, exchange, "swap", funding=True, open_interest=exchange == "bybit")
        panel = assemble(wanted, fetch(wanted, tmp_path))
        # The faults did happen, or the test shows nothing.
        assert set(server.done) <= set(faults)
        assert len(server.done) >= min(len(faults), 4)
    assert_equals_source(panel, SHORT.swap, START, SOON)
    for column, asset in enumerate(panel.assets):
        symbol = asset.partition("/")[0] + "USDT"
        assert np.nansum(panel["funding"][:, column]) == pytest.approx(settled(symbol, SOON, SHORT), rel=1e-12)
        if exchange == "bybit":
            interest = SHORT.interest[symbol]
            here = np.isin(interest.stamps, stamps(panel))
            got = panel["open_interest"][np.isin(stamps(panel), interest.stamps[here]), column]
            np.testing.assert_array_equal(got, interest.values[here, 0])


def settled(symbol: str, until: int, traded: ExchangeData = MARKET) -> float:
    table = traded.funding[symbol]
    return float(table.values[table.stamps < until, 0].sum())


@BOTH
def test_funding_joins_the_bar_that_opens_with_it(exchange: str, tmp_path: Path) -> None:
    with serving(MARKET, NOW) as server:
        wanted = job(server, exchange, "swap", funding=True)
        panel = assemble(wanted, fetch(wanted, tmp_path))
    # Binance states settlements up to 8 ms late; they are the hour's all the same.
    table, paid = MARKET.funding["AAAUSDT"], panel["funding"][:, 0]
    due = np.isin(stamps(panel), table.stamps)
    np.testing.assert_allclose(paid[due], table.values[: due.sum(), 0], rtol=1e-9)
    assert not np.nan_to_num(paid[~due]).any()


def test_binance_keeps_open_interest_for_a_month(tmp_path: Path) -> None:
    with serving(MARKET, NOW) as server:
        wanted = job(server, "binance", "swap", open_interest=True)
        panel = assemble(wanted, fetch(wanted, tmp_path))
    known = np.flatnonzero(np.isfinite(panel["open_interest"][:, 0]))
    assert 700 <= len(known) <= 720
    assert known[-1] == panel.shape[0] - 1
    np.testing.assert_array_equal(panel["open_interest_usd"][known, 0], 1.5)


@BOTH
def test_the_open_bar_is_never_stored_and_an_update_brings_only_what_is_new(exchange: str, tmp_path: Path) -> None:
    with serving(MARKET, START + 900 * HOUR + 2000, Faults(("open",), share=1.0)) as server:
        wanted = job(server, exchange)
        first = assemble(wanted, fetch(wanted, tmp_path))
        assert_equals_source(first, MARKET.spot, START, server.now)
        files = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
        # As long as the bar is open, or its last trades may be on their way, there is nothing new; then one bar.
        asked = server.pages()
        late = [(901 * HOUR + 5000, 901), (1500 * HOUR + 5000, 1500), (2590 * HOUR + 5000, 2590)]
        for moment, bars in [(901 * HOUR - 1000, 900), (901 * HOUR, 900), *late]:
            server.clock = START + moment
            panel = assemble(wanted, fetch(wanted, tmp_path))
            assert panel.shape[0] == bars
            assert_equals_source(panel, MARKET.spot, START, START + bars * HOUR)
        assert server.pages() - asked < 40
        # What was stored is as it was.
        assert all(path.read_bytes() == content for path, content in files.items())
        once = assemble(wanted, fetch(wanted, tmp_path / "once"))
    assert panel.id == once.id


@BOTH
def test_what_comes_late_is_no_hole(exchange: str, tmp_path: Path) -> None:
    # At nine, neither the bar of eight nor the settlement of eight is out.
    nine = START + 9 * 24 * HOUR + 9 * HOUR + 5000
    with serving(MARKET, nine) as server:
        server.lag = 2 * HOUR
        wanted = job(server, exchange, "swap", symbols=("AAA/USDT",), funding=True, since=START)
        early = assemble(wanted, fetch(wanted, tmp_path))
        assert stamps(early)[-1] == START + 9 * 24 * HOUR + 7 * HOUR
        server.lag = 0
        panel = assemble(wanted, fetch(wanted, tmp_path))
    assert_equals_source(panel, {"AAAUSDT": MARKET.swap["AAAUSDT"]}, START, nine)
    assert np.nansum(panel["funding"]) == pytest.approx(settled("AAAUSDT", nine))


@BOTH
def test_an_earlier_since_and_a_fixed_until(exchange: str, tmp_path: Path) -> None:
    with serving(MARKET, NOW) as server:
        late = job(server, exchange, since=START + 2000 * HOUR, until=START + 2100 * HOUR)
        panel = assemble(late, fetch(late, tmp_path))
        assert_equals_source(panel, {"AAAUSDT": MARKET.spot["AAAUSDT"]} | _living(), late.since, late.until or 0)
        whole = job(server, exchange)
        assert_equals_source(assemble(whole, fetch(whole, tmp_path)), MARKET.spot, START, NOW)


def _living() -> dict[str, Table]:
    return {symbol: MARKET.spot[symbol] for symbol in ("BBBUSDT", "CCCUSDT")}


def test_true_holes_are_recorded_and_not_asked_for_again(tmp_path: Path) -> None:
    with serving(MARKET, NOW) as server:
        wanted = job(server, "binance", symbols=("CCC/USDT",))
        facts = fetch(wanted, tmp_path)[0].series["ohlcv"].facts or {}
        gone = [(50, 53), (400, 401), (700, 702), (1500, 1501)]
        assert facts["holes"] == [[START + a * HOUR, START + b * HOUR] for a, b in gone]
        asked = server.pages()
        fetch(wanted, tmp_path)
        assert server.pages() == asked
        # The exchange fills a hole: only those who ask for it see it.
        whole = Table(MARKET.spot["AAAUSDT"].stamps, MARKET.spot["AAAUSDT"].values)
        server.traded = ExchangeData(spot={"CCCUSDT": whole})
        assert assemble(wanted, fetch(wanted, tmp_path)).shape[0] == 2583
        again = fetch(wanted, tmp_path, backfill=True)
    assert assemble(wanted, again).shape[0] == 2590
    assert (again[0].series["ohlcv"].facts or {})["holes"] == []


def test_listing_and_end_are_kept(tmp_path: Path) -> None:
    with serving(MARKET, NOW) as server:
        wanted = job(server, "binance", "swap")
        facts = {one.symbol[:3]: one.series["ohlcv"].facts or {} for one in fetch(wanted, tmp_path)}
        end = int(MARKET.swap["DDDUSDT"].stamps[-1]) + HOUR
        assert facts["BBB"]["listed"] == facts["BBB"]["first_bar"] == int(MARKET.swap["BBBUSDT"].stamps[0])
        assert (facts["AAA"]["delisted"], facts["DDD"]["delisted"]) == (None, end)
        assert (facts["AAA"]["active"], facts["DDD"]["active"]) == (True, False)
        # Struck from the exchange's list, the symbol keeps its bars; a new one that is not there is refused.
        server.traded = ExchangeData(swap={name: table for name, table in MARKET.swap.items() if name != "DDDUSDT"})
        known = replace(wanted, symbols=tuple(one + ":USDT" for one in SYMBOLS))
        assert_equals_source(assemble(known, fetch(known, tmp_path)), MARKET.swap, START, NOW)
        with pytest.raises(InputError, match="no perpetual settled in its quote currency DDD/USDT"):
            fetch(wanted, tmp_path / "new")


def test_a_broken_fetch_keeps_its_pages_and_goes_on(tmp_path: Path) -> None:
    with serving(MARKET, NOW) as server:
        wanted = job(server, "bybit", symbols=("AAA/USDT",))
        server.down_after = 2
        with pytest.raises(InputError, match="run the same command again"):
            fetch(wanted, tmp_path, retries=1)
        kept = list((tmp_path).rglob("*.parquet"))
        assert kept
        server.down_after = None
        # What a killed process leaves half-written is no part of the series.
        (kept[0].parent / "1-2-abcd.parquet").write_bytes(b"half")
        before = server.pages()
        panel = assemble(wanted, fetch(wanted, tmp_path))
        assert_equals_source(panel, {"AAAUSDT": MARKET.spot["AAAUSDT"]}, START, NOW)
        assert server.pages() - before < 5
    assert not (kept[0].parent / "1-2-abcd.parquet").exists()


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    with serving(MARKET, NOW) as server:
        wanted = job(server, "bybit", symbols=("AAA/USDT",))
        got = fetch(wanted, tmp_path)
    part = next(tmp_path.rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-9] + b"damaged!!")
    with pytest.raises(InputError, match="is damaged"):
        read_rows(got[0].series["ohlcv"])


@BOTH
def test_bad_bars_are_refused_by_symbol_and_time(exchange: str, tmp_path: Path) -> None:
    table = MARKET.spot["AAAUSDT"]
    values = table.values.copy()
    values[1234, 2] = values[1234, 0] * 2
    traded = ExchangeData(spot={"AAAUSDT": Table(table.stamps, values)})
    says = pytest.raises(InputError, match=r"AAA/USDT at 2024-02-21 10:00 UTC.*high or low")
    with serving(traded, NOW) as server, says:
        fetch(job(server, exchange, symbols=("AAA/USDT",)), tmp_path)


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


def test_a_record_says_where_a_panel_came_from(tmp_path: Path) -> None:
    with serving(MARKET, NOW) as server:
        wanted = job(server, "bybit", "swap", funding=True)
        got = fetch(wanted, tmp_path)
        record = record_of(wanted, assemble(wanted, got), got, {})
    (tmp_path / "x.fetch.json").write_text(json.dumps(record))
    assert read_record(tmp_path / "x.fetch.json") == wanted
    (tmp_path / "x.fetch.json").write_text("{}")
    with pytest.raises(InputError, match="fetch the data again"):
        read_record(tmp_path / "x.fetch.json")


def test_the_recorded_market_arrives_whole(shared_data: Path, tmp_path: Path) -> None:
    # FTT was halted for 311 days, LUNA ended, ARB was listed within the span; 12 hours lack everywhere.
    symbols = ["BTCUSDT", "FTTUSDT", "LUNAUSDT", "ARBUSDT"]
    traded = recorded(shared_data, symbols, "2022-04-01", "2023-11-01", dead=("LUNAUSDT",))
    since, now = (int(pd.Timestamp(day, tz="UTC").timestamp() * 1000) for day in ("2022-04-01", "2023-11-01"))
    for exchange in ("bybit", "binance"):
        with serving(traded, now + 2000, Faults(EVERY_FAULT, share=0.3, seed=2)) as server:
            wanted = job(server, exchange, symbols=tuple(symbols), since=since)
            panel = assemble(wanted, fetch(wanted, tmp_path / exchange))
        assert assert_equals_source(panel, traded.spot, since, now) > 20_000
