"""What is right for each file of ../shared/cases/market, and how a try is judged."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from agent.cli.main import cli
from market.columns import symbol_of
from market.errors import InputError
from market.panel_store import load_panel

READ, NAMED, REFUSED, WRONG, MISREAD = "read right", "read as the message said", "refused rightly", "refused wrongly", (
    "misread"
)  # fmt: skip
KINDS = (READ, NAMED, REFUSED, WRONG, MISREAD)


@dataclass(frozen=True)
class Truth:
    """One bar that must come out; an empty `asset` is a file that must be refused, with `says` in the message."""

    asset: str = ""
    time: str = ""
    close: float = np.nan
    bar: float = np.nan
    more: dict[str, float] = field(default_factory=dict)
    assets: int = 1
    says: str = ""


def daily(asset: str, time: str, close: float, assets: int = 1, **more: float) -> Truth:
    """A file of daily bars."""
    return Truth(asset, time, close, 86400, more, assets)


def hourly(asset: str, time: str, close: float, **more: float) -> Truth:
    """A file of hourly bars."""
    return Truth(asset, time, close, 3600, more)


def minutes(asset: str, time: str, close: float, bar: float = 60, assets: int = 1, **more: float) -> Truth:
    """A file of bars of a minute, or of `bar` seconds."""
    return Truth(asset, time, close, bar, more, assets)


# ruff: noqa: E501 - a table
BARS: dict[str, Truth] = {
    "BTCUSD_PERP-1h-2023-10-27.csv": hourly("BTCUSD_PERP", "2023-10-27T00:00", 34024.2, volume=1202.97118037, amount=40995300),
    "XBTUSD_bitmex_1h.csv": hourly("XBTUSD", "2020-01-01T00:00", 7170.0, volume=4880, amount=35000000),
    "bt_date_time_cols.csv": minutes("bt_date_time_cols", "2006-01-02T09:01", 3599.0, volume=5699),
    "bt_date_time_shifted.csv": minutes("bt_date_time_shifted", "2006-01-02T09:01", 3599.0, volume=5699),
    "ddmm_first12days.csv": daily("ddmm_first12days", "2018-02-01", 10.0, volume=100),
    "excel_serial.csv": daily("excel_serial", "2018-01-01", 10.0, volume=100),
    "lean_20131007_spy_minute_trade.csv": minutes("lean_20131007_spy_minute_trade", "2013-10-07T09:30", 167.27, volume=3197),
    "rq_minute_ints.csv": minutes("rq_minute_ints", "2018-01-02T09:30", 13.70, volume=20815),
    "symbols_as_ints.csv": daily("000001", "2018-01-01", 10.0, 2),
    "BTCUSDT_kucoin.csv": hourly("BTCUSDT", "2023-11-15T00:00", 37050.0, volume=12.5, amount=462500),
    "BTCUSD_bitfinex_ochlv.csv": hourly("BTCUSD", "2023-11-15T00:00", 37050.0, high=37100.2, low=36900.3),
    "cmc_kaggle_bitcoin.csv": daily("BTC", "2013-04-24", 144.0),
    "hourly_close_stamped.csv": hourly("BTCUSDT", "2024-01-01T00:00", 10.0),
    "AAPL_tiingo.csv": daily("AAPL", "2019-01-02", 157.90, open=154.89),
    "AAPL_wsj.csv": daily("AAPL", "2024-01-31", 184.40),
    "AAPL_yahoo_null.csv": daily("AAPL", "2018-01-04", 10.6),
    "AAPL_yf_intraday_dst.csv": Truth("AAPL", "2024-03-11T13:30", 10.3),
    "Bitstamp_kaggle_nan.csv": minutes("Bitstamp_kaggle_nan", "2011-12-31T07:52", 4.39, volume=0.45558087, amount=2.0000000193),
    "DOGEUSDT-1s-2025-01-01.csv": minutes("DOGEUSDT", "2025-01-01T00:00:01", 0.31601, 1, volume=17, amount=5.37217),
    "ETHUSDT-1h-2024-12.csv": hourly("ETHUSDT", "2024-12-31T22:00", 0.32),
    "ETHUSDT-1h-2025-01.csv": hourly("ETHUSDT", "2025-01-01T00:00", 0.32),
    "Gemini_BTCUSD_1h.csv": hourly("BTCUSD", "2019-10-18T04:00", 8040.1),
    "MSFT_yf_3rows.csv": daily("MSFT", "2023-02-17", 254.5292510986328),
    "RELIANCE_kite.csv": minutes("RELIANCE", "2023-01-02T03:45", 101.0, 300),
    "SPY_daily_adj_dotted.csv": daily("SPY", "2011-12-30", 405.0),
    "XBTUSD_60.csv": hourly("XBTUSD", "2023-11-15T00:00", 37050.0, trades=345),
    "closetime_and_opentime.csv": hourly("BTCUSDT", "2024-01-01T00:00", 10.0),
    "rangeindex_plus_date.csv": daily("rangeindex_plus_date", "2004-08-19", 100.30),
    "yf_group_by_ticker.csv": daily("MSFT", "2023-02-13", 251.0, 2),
    "BINANCE_BTCUSDT, 60.csv": hourly("BTCUSDT", "2023-01-01T23:00", 101.0, volume=1000),
    "BTCUSDT-1h-2022-04.csv": hourly("BTCUSDT", "2022-04-30T22:00", 0.32, trades=1, amount=8.5),
    "BTCUSDT-1h-2022-05.csv": hourly("BTCUSDT", "2022-05-01T00:00", 0.32, trades=1, amount=8.5, taker_buy_amount=0),
    "BTCUSDT_bitget_ok.csv": hourly("BTCUSDT", "2023-11-15T00:00", 37050.0, volume=12.5, amount=462500),
    "AAPL_ibkr.csv": minutes("AAPL", "2023-01-03T14:30", 130.00, volume=12345),
    "ampm.csv": hourly("BTCUSD", "2020-07-01T01:00", 10.1),
    "cmc_web.csv": daily("cmc_web", "2024-01-06", 44167.0),
    "coinmetrics_novol.csv": daily("coinmetrics_novol", "2020-01-01", 10.0),
    "ddmm_past13.csv": daily("ddmm_past13", "2018-02-09", 10.0),
    "bitcoin_coingecko.csv": daily("bitcoin_coingecko", "2013-04-24", 135.3, amount=0.0),
    "prices_close_matrix.csv": daily("MSFT", "2020-01-01", 160.0, 3),
    "BTC_investing.csv": daily("BTC", "2023-07-31", 29232.0, volume=45100),
    "DAX_eu_decimal.csv": daily("DAX_eu_decimal", "2020-02-03", 13050.10, volume=100000),
    "DAX_eu_decimal_en.csv": daily("DAX_eu_decimal_en", "2020-02-03", 13050.10, volume=100000),
    "ES_semicolon_ddmmyyyy.csv": minutes("ES_semicolon_ddmmyyyy", "2018-01-02T17:00", 7511.30),
    "EURUSD_mt4.csv": hourly("EURUSD", "2024-01-02T00:00", 1.10450, volume=1234),
    "EURUSD_mt5.csv": hourly("EURUSD", "2024-01-02T00:00", 1.10450, volume=1234),
    "SPY_ninja_minute.txt": minutes("SPY_ninja_minute", "2011-03-01T09:03", 134),
    "lean_spy_daily.csv": daily("lean_spy_daily", "1998-01-02", 97.36, volume=2150000),
    "index_unnamed.csv": daily("index_unnamed", "2004-08-19", 100.30),
    "ccxt_dump.json": hourly("ccxt_dump", "2023-11-15T00:00", 37050.5),
    "000001_akshare_gbk.csv": daily("000001", "2015-01-01", 13.80, volume=286043600, amount=4565387776.0),
    "000001_akshare.csv": daily("000001", "2015-01-01", 13.80, volume=286043600, amount=4565387776.0),
    "AAPL_polygon.json": daily("AAPL", "2020-01-02T05:00", 75.08, volume=135647456),
    "AAPL_tiingo.json": daily("AAPL", "2019-01-02", 157.9),
    "thousands.csv": daily("thousands", "2020-01-01", 1015.0, volume=12345),
    "aaa_us_stooq.txt": daily("AAA.US", "2026-10-01", 10.0, volume=1000),
    "day_column.csv": daily("day_column", "2014-03-03", 527.0),
    "jq_get_price_panel_false.csv": daily("600000.XSHG", "2018-01-01", 13.70, 2, amount=2856543822),
    "nse_bhavcopy.csv": daily("XYZ", "2023-01-02", 101.0, 2, volume=1000, amount=101000),
    "polygon_flat.csv": minutes("AAPL", "2025-04-16T08:35", 200.5, volume=4930, assets=2),
    "qlib_features.csv": daily("SH600000", "2018-01-01", 12.70, 2),
    "tushare_daily.csv": daily("600000.SH", "2018-01-05", 13.70, 2, volume=208159253, amount=2856543822),
    "baostock.csv": daily("sz.000001", "2018-01-01", 12.70, 2),
    "BTCUSDT_bybit_trades.csv": Truth(says="trades"),
    "FF_factors.CSV": Truth(says="close"),
    "dup_dividend_rows.csv": Truth(says="Dividend"),
}  # fmt: skip

# (file, the data's symbol): what funding must be at a bar of 2024-01-01; the data are hourly over that day.
FUNDING: dict[str, tuple[str, float]] = {
    "funding_seconds.csv": ("2024-01-01T08:00", 0.0002),
    "funding_jitter_ms.csv": ("2024-01-01T08:00", 0.0002),
    "funding_ccxt_symbol.csv": ("2024-01-01T08:00", 0.0002),
    "funding_binance_vision_BTCUSDT-fundingRate-2024-01.csv": ("2024-01-01T08:00", 0.00029471),
    "funding_freqtrade.csv": ("2024-01-01T08:00", 0.00029471),
    "funding_percent.csv": ("2024-01-01T08:00", 0.0002),
}
# How many texts, and when the first became known; 0 is a file to refuse.
NEWS: dict[str, tuple[int, str]] = {
    "news_cryptopanic.jsonl": (2, "2021-09-30T22:53:16"),
    "news_epoch_utc.csv": (2, "2021-09-30T22:53:16"),
    "news_tweets.csv": (2, "2017-08-01T12:00:00"),
    "news_kaggle_daily.csv": (0, ""),
}

_OPTION = re.compile(r"""(--[a-z][a-z-]*)(?:[ =]((?:'[^']*'|"[^"]*"|[^\s,;'"])+))?""")
_FLAGS = {"--no-header", "--day-first", "--repair", "--replace", "--keep-future"}
_WORDS = {"or", "for", "to", "and", "where", "if", "when"}


def options_of(message: str) -> list[list[str]]:
    """Return the options that a refusal names, each as words of a command."""
    found = []
    for name, value in _OPTION.findall(message):
        if name in _FLAGS or value in _WORDS or not value:
            found.append([name])
        else:
            found.append([name, *shlex.split(value)])
    return found


def invoke(workspace: Path, *words: str) -> tuple[int, str]:
    """Run a command of the program; return its exit code and all it printed."""
    done = CliRunner().invoke(cli, ["--workspace", str(workspace), *words])
    if isinstance(done.exception, InputError):
        return 2, str(done.exception)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def right(workspace: Path, file: Path, truth: Truth) -> bool:
    """Whether the data set `x` holds the bar of `truth`; an asset without a column may be called like its file."""
    panel = load_panel(workspace / "data" / "x.parquet")
    asset = next((one for one in (truth.asset, file.stem, symbol_of(file)) if one in panel.assets), None)
    if asset is None or len(panel.assets) != truth.assets or "," in asset:
        return False
    row = np.flatnonzero(panel.times == np.datetime64(truth.time, "ns"))
    if len(row) != 1 or (truth.bar == truth.bar and panel.bar != np.timedelta64(int(truth.bar), "s")):
        return False
    column = panel.assets.index(asset)
    wanted = {"close": truth.close, **truth.more}
    return all(
        name in panel.fields and np.isclose(panel[name][row[0], column], value, rtol=1e-6, equal_nan=True)
        for name, value in wanted.items()
    )


def judge_bars(workspace: Path, file: Path, truth: Truth) -> tuple[str, str]:
    """Import a file, following what refusals say up to three times; return how it went and the first message."""
    base = ["data", "import", str(file), "--name", "x", "--replace"]
    code, text = invoke(workspace, *base)
    if code == 0:
        good = truth.asset and right(workspace, file, truth)
        return (READ if good else MISREAD), text
    if not truth.asset:
        return (REFUSED if truth.says in text else WRONG), text
    named, first = options_of(text), text
    # A mapping of several columns is one answer.
    mapping = tuple(option for option in named if option[0] == "--column")
    tries = [(option,) for option in named]
    if len(mapping) > 1:
        tries.insert(0, mapping)
    for _ in range(12):
        if not tries:
            break
        chosen = tries.pop(0)
        code, text = invoke(workspace, *base, *(word for option in chosen for word in option))
        if code == 0 and right(workspace, file, truth):
            return NAMED, f"{first}  THEN {chosen}"
        if code == 2 and len(chosen) < 3:
            tries += [(*chosen, option) for option in options_of(text) if option not in chosen]
    return WRONG, first
