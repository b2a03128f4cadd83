"""Fetching through the real ccxt client from a loopback server equals the source, bar for bar, whatever goes wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from market.errors import InputError
from market.fetch import assemble, read_record, record_of
from market.raw import read_rows
from tests.market.exchange_data import HOUR, ExchangeData, Table, invented, recorded
from tests.market.exchange_jobs import BOTH, MARKET, NOW, START, SYMBOLS, assert_equals_source, fetch, job, stamps
from tests.market.exchange_server import EVERY_FAULT, Faults, serving

# Enough pages of each kind for every fault to happen, and all of the holes.
SHORT, SOON = invented(START, 1550), START + 1540 * HOUR + HOUR // 2


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
