"""Bars in the shapes of answers of servers, as JSON: each a name, what is in the file, and the bars of each asset."""

# ruff: noqa: E501 - a table
# fmt: off
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from tests.market.foreign_texts import DAY, HOUR

Answer = tuple[str, str, dict[str, pd.DataFrame]]
WITH_MONEY = HOUR.assign(amount=(HOUR["volume"] * HOUR["close"]).round(2))
OTHER = HOUR.assign(volume=HOUR["volume"] + 1)


def each(frame: pd.DataFrame, form: Callable[[Any], Any]) -> list[Any]:
    """Return one record a bar."""
    return [form(bar) for bar in frame.itertuples(index=False)]


def seconds(when: pd.Timestamp) -> int:
    """An epoch."""
    return int(when.timestamp())


def listed(frame: pd.DataFrame) -> list[Any]:
    """Lists as ccxt has them."""
    return each(frame, lambda r: [seconds(r.ts) * 1000, r.open, r.high, r.low, r.close, r.volume])


def of_data_vendors() -> Iterator[tuple[str, Any, dict[str, pd.DataFrame]]]:
    """Yield answers of vendors of stocks' bars."""
    bars = [each(frame, lambda r: {"t": f"{r.ts:%Y-%m-%dT%H:%M:%SZ}", "o": r.open, "h": r.high, "l": r.low, "c": r.close, "v": r.volume, "n": 9, "vw": r.close}) for frame in (HOUR, OTHER)]
    yield "alpaca", {"bars": {"AAPL": bars[0], "MSFT": bars[1]}, "next_page_token": None}, {"AAPL": HOUR, "MSFT": OTHER}
    values = each(HOUR[::-1], lambda r: {"datetime": f"{r.ts - pd.Timedelta('5h'):%Y-%m-%d %H:%M:%S}", "open": f"{r.open}", "high": f"{r.high}", "low": f"{r.low}", "close": f"{r.close}", "volume": f"{r.volume:.0f}"})
    yield "twelvedata", {"meta": {"symbol": "AAPL", "interval": "1h", "exchange_timezone": "America/New_York"}, "values": values, "status": "ok"}, {"AAPL": HOUR}
    prices = each(DAY[::-1], lambda r: {"date": f"{r.ts:%Y-%m-%d}", "intraperiod": False, "open": r.open, "high": r.high, "low": r.low, "close": r.close, "volume": r.volume})
    yield "intrinio", {"stock_prices": prices, "security": {"id": "sec_agj", "ticker": "AAPL", "name": "Apple Inc"}, "next_page": None}, {"AAPL": DAY}
    series = {f"{r.ts - pd.Timedelta('5h'):%Y-%m-%d %H:%M:%S}": {"1. open": f"{r.open}", "2. high": f"{r.high}", "3. low": f"{r.low}", "4. close": f"{r.close}", "5. volume": f"{r.volume:.0f}"} for r in HOUR.itertuples()}
    yield "alphavantage", {"Meta Data": {"2. Symbol": "IBM", "4. Interval": "60min", "6. Time Zone": "US/Eastern"}, "Time Series (60min)": series}, {"IBM": HOUR}
    mids = each(HOUR, lambda r: {"complete": True, "volume": int(r.volume), "time": f"{r.ts:%Y-%m-%dT%H:%M:%S}.000000000Z", "mid": {"o": str(r.open), "h": str(r.high), "l": str(r.low), "c": str(r.close)}})
    yield "oanda", {"instrument": "EUR_USD", "granularity": "H1", "candles": mids}, {"EUR_USD": HOUR}
    yield "glassnode", each(DAY, lambda r: {"t": seconds(r.ts), "o": {"c": r.close, "h": r.high, "l": r.low, "o": r.open}}), {"glassnode": DAY.drop(columns="volume")}
    rows = each(HOUR, lambda r: [r.open, r.close, r.high, r.low, round(r.volume * r.close, 2), r.volume, f"{r.ts + pd.Timedelta('3h'):%Y-%m-%d %H:%M:%S}", f"{r.ts + pd.Timedelta('3h'):%Y-%m-%d %H}:59:59"])
    yield "moex", {"candles": {"metadata": {"open": {"type": "double"}}, "columns": ["open", "close", "high", "low", "value", "volume", "begin", "end"], "data": rows}}, {"moex": WITH_MONEY}


def of_exchanges() -> Iterator[tuple[str, Any, dict[str, pd.DataFrame]]]:
    """Yield answers of exchanges of coins."""
    money = lambda r: round(r.volume * r.close, 2)  # noqa: E731
    yield "ccxt_many", {"BTC/USDT": {"1h": listed(HOUR)}, "ETH/USDT": {"1h": listed(OTHER)}}, {"BTC/USDT": HOUR, "ETH/USDT": OTHER}
    yield "ccxt_one", {"exchange": "binance", "symbol": "BTC/USDT", "timeframe": "1h", "ohlcv": listed(HOUR)}, {"BTC/USDT": HOUR}
    yield "gateio", each(HOUR, lambda r: [str(seconds(r.ts)), str(money(r)), str(r.close), str(r.high), str(r.low), str(r.open), str(r.volume), "true"]), {"gateio": WITH_MONEY}
    yield "htx", {"ch": "market.btcusdt.kline.60min", "status": "ok", "ts": 1580688000123, "data": each(HOUR[::-1], lambda r: {"id": seconds(r.ts), "open": r.open, "close": r.close, "low": r.low, "high": r.high, "amount": r.volume, "vol": money(r), "count": 5})}, {"htx": WITH_MONEY}
    yield "deribit", {"jsonrpc": "2.0", "id": 833, "result": {"volume": list(HOUR.volume), "ticks": [seconds(t) * 1000 for t in HOUR.ts], "status": "ok", "open": list(HOUR.open), "low": list(HOUR.low), "high": list(HOUR.high), "cost": list(WITH_MONEY.amount), "close": list(HOUR.close)}, "usIn": 1}, {"deribit": WITH_MONEY}
    yield "hyperliquid", each(HOUR, lambda r: {"T": seconds(r.ts) * 1000 + 3599999, "c": str(r.close), "h": str(r.high), "i": "1h", "l": str(r.low), "n": 4, "o": str(r.open), "s": "BTC", "t": seconds(r.ts) * 1000, "v": str(r.volume)}), {"BTC": HOUR}
    yield "dydx", {"candles": each(HOUR[::-1], lambda r: {"startedAt": f"{r.ts:%Y-%m-%dT%H:%M:%S}.000Z", "ticker": "BTC-USD", "resolution": "1HOUR", "low": str(r.low), "high": str(r.high), "open": str(r.open), "close": str(r.close), "baseTokenVolume": str(r.volume), "usdVolume": str(money(r)), "trades": 2})}, {"BTC-USD": WITH_MONEY}
    yield "upbit", each(HOUR[::-1], lambda r: {"market": "KRW-BTC", "candle_date_time_utc": f"{r.ts:%Y-%m-%dT%H:%M:%S}", "candle_date_time_kst": f"{r.ts + pd.Timedelta('9h'):%Y-%m-%dT%H:%M:%S}", "opening_price": r.open, "high_price": r.high, "low_price": r.low, "trade_price": r.close, "timestamp": seconds(r.ts) * 1000 + 3598123, "candle_acc_trade_price": money(r), "candle_acc_trade_volume": r.volume, "unit": 60}), {"KRW-BTC": WITH_MONEY}
    yield "clickhouse", {"meta": [{"name": "ts", "type": "DateTime"}], "data": each(HOUR, lambda r: {"ts": f"{r.ts:%Y-%m-%d %H:%M:%S}", "open": r.open, "high": r.high, "low": r.low, "close": r.close, "volume": r.volume}), "rows": 60, "statistics": {"elapsed": 0.01}}, {"clickhouse": HOUR}
    yield "kraken", {"error": [], "result": {"XXBTZUSD": each(HOUR, lambda r: [seconds(r.ts), str(r.open), str(r.high), str(r.low), str(r.close), str(r.close), str(r.volume), 44]), "last": 1}}, {"XXBTZUSD": HOUR}
    whole = each(HOUR, lambda r: {"date": f"{r.ts:%Y-%m-%dT%H:%M:%S}+00:00", "open": r.open, "high": r.high, "low": r.low, "close": r.close, "volume": r.volume})
    yield "tiingo_crypto", [{"ticker": "btcusd", "priceData": whole}, {"ticker": "ethusd", "priceData": [dict(one, volume=one["volume"] + 1) for one in whole]}], {"btcusd": HOUR, "ethusd": OTHER}
    yield "stream", each(HOUR, lambda r: {"e": "kline", "k": {"t": seconds(r.ts) * 1000, "T": seconds(r.ts) * 1000 + 3599999, "s": "BTCUSDT", "i": "1h", "o": str(r.open), "c": str(r.close), "h": str(r.high), "l": str(r.low), "v": str(r.volume), "n": 4, "x": True, "q": str(money(r)), "f": 1, "L": 4, "V": "1.0", "Q": "2.0", "B": "0"}}), {"BTCUSDT": WITH_MONEY}


def answers() -> Iterator[Answer]:
    """Yield every answer, and a frame of pandas with its schema."""
    for name, data, truth in (*of_data_vendors(), *of_exchanges()):
        yield f"{name}.json", json.dumps(data), truth
    yield "schema.json", HOUR.set_index("ts").to_json(orient="table"), {"schema": HOUR}
