"""Daily and hourly bars of stocks from Yahoo Finance through yfinance, with the adjustment said and kept.

Yahoo's own prices are adjusted for splits, volumes too; its adjusted close is adjusted for dividends as well. Both
change backwards with every new split or dividend, so a later fetch brings the whole history again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from market.bar_source import BarRequest
from market.errors import InputError
from market.exchange import Unreachable
from market.files import panel_from_long
from market.panel import Panel
from market.quality import sound_rows
from market.reading.plausible import plausible_rows

Adjust = Literal["none", "splits", "all"]

SAYS = {
    "none": "as traded: neither splits nor dividends are taken out",
    "splits": "prices and volume adjusted for splits, not for dividends",
    "all": "prices adjusted for splits and dividends, volume for splits",
}
_PRICES = ["open", "high", "low", "close"]


@dataclass(frozen=True, slots=True)
class YahooBars:
    """A panel from Yahoo, and what was done to make it.

    Attributes
    ----------
    panel
        The bars; ``amount`` is close times volume as Yahoo states them, whatever the adjustment.
    adjust
        Which adjustment the prices carry; `SAYS` has it in words.
    dividends, splits
        By ticker: (date, cash a share as of now's shares) and (date, new shares for an old one).
    notes
        What was found out, repaired or left out.
    """

    panel: Panel
    adjust: Adjust
    dividends: dict[str, list[tuple[str, float]]]
    splits: dict[str, list[tuple[str, float]]]
    notes: list[str]


def fetch_yahoo(
    request: BarRequest,
    *,
    adjust: Adjust,
    repair: bool = False,
    session: Any = None,  # noqa: ANN401 - yfinance takes curl_cffi's or requests' session
) -> YahooBars:
    """Fetch the closed bars that are asked for.

    Parameters
    ----------
    request
        Tickers and period. The timeframe is ``1d``, or ``1h``, which Yahoo keeps for two years. The source's folder
        holds what yfinance keeps between calls (cookies, time zones).
    adjust
        ``none``: as traded. ``splits``: as Yahoo states prices. ``all``: dividends taken out too.
    repair
        Repair or drop bad rows instead of refusing them.

    Raises
    ------
    InputError
        When yfinance is not installed, Yahoo cannot be reached (`Unreachable`), knows no such ticker, or sends bars
        that cannot be.
    """
    yf = _yfinance(request.cache)
    interval = request.timeframe
    tickers = tuple(dict.fromkeys(request.symbols))
    frames: list[pd.DataFrame] = []
    notes: list[str] = []
    dividends: dict[str, list[tuple[str, float]]] = {}
    splits: dict[str, list[tuple[str, float]]] = {}
    for done, ticker in enumerate(tickers, start=1):
        # To the newest bar whatever `until` says: Yahoo's prices carry the splits that came after it.
        history = _history(yf, ticker, request.since, interval, session)
        dividends[ticker] = _events(history, "Dividends")
        splits[ticker] = _events(history, "Stock Splits")
        bars = _adjusted(history, adjust).assign(symbol=ticker)
        frames.append(bars if request.until is None else bars[bars["ts"] < pd.Timestamp(request.until)])
        request.progress(done, len(tickers), ticker)
    long = pd.concat(frames, ignore_index=True)
    long = plausible_rows(long, "Yahoo", frozenset(), notes.append, options=False)
    hint = "leave the ticker or the time out, or say --repair"
    long, repairs = sound_rows(long, "Yahoo", notes.append, repair=repair, hint=hint)
    panel = panel_from_long(long, calendar="exchange", name=f"Yahoo {interval}, {SAYS[adjust]}")
    return YahooBars(panel, adjust, dividends, splits, [*notes, *repairs])


def _yfinance(cache: Path) -> Any:  # noqa: ANN401 - yfinance is untyped
    try:
        import yfinance
    except ImportError as error:
        raise InputError("Yahoo needs yfinance", "pip install 'alphaglow[yahoo]'") from error
    cache.mkdir(parents=True, exist_ok=True)
    yfinance.set_tz_cache_location(str(cache))
    # By default yfinance logs an error and returns an empty table.
    yfinance.config.debug.hide_exceptions = False
    yfinance.config.network.retries = 3
    return yfinance


def _history(
    yf: Any,  # noqa: ANN401 - yfinance is untyped
    ticker: str,
    since: datetime,
    interval: str,
    session: Any,  # noqa: ANN401
) -> pd.DataFrame:
    """Return Yahoo's table of closed bars, times in UTC (daily: the exchange's date at 00:00)."""
    try:
        asset = yf.Ticker(ticker, session=session)
        frame = asset.history(start=since, interval=interval, auto_adjust=False, actions=True)
        session_end = _session_end(asset.history_metadata)
    except (yf.exceptions.YFException, OSError) as error:
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        kind = Unreachable if isinstance(error, OSError) else InputError
        raise kind(f"Yahoo gives no bars of {ticker}: {said}", "check the ticker, or try again later") from error
    if frame.empty:
        raise InputError(f"Yahoo has no bars of {ticker} since {since:%Y-%m-%d}", "check the ticker")
    local = pd.DatetimeIndex(frame.index)
    # The session under way has a bar that still changes.
    if time.time() < session_end and interval == "1d":
        frame = frame[local < pd.Timestamp(session_end, unit="s", tz="UTC").tz_convert(local.tz).normalize()]
    elif interval != "1d":
        frame = frame[local + pd.Timedelta(interval) <= pd.Timestamp.now("UTC")]
    local = pd.DatetimeIndex(frame.index)
    stamps = local.normalize().tz_localize(None).tz_localize("UTC") if interval == "1d" else local.tz_convert("UTC")
    renamed = frame.rename(columns={"Adj Close": "adjusted", **{name.title(): name for name in [*_PRICES, "volume"]}})
    table: pd.DataFrame = renamed.assign(ts=stamps.as_unit("ns")).reset_index(drop=True)
    return table


def _session_end(facts: Any) -> float:  # noqa: ANN401
    try:
        end = facts["currentTradingPeriod"]["regular"]["end"]
    except (TypeError, KeyError):
        return 0.0
    return float(end.timestamp() if hasattr(end, "timestamp") else end)


def _events(history: pd.DataFrame, column: str) -> list[tuple[str, float]]:
    if column not in history:
        return []
    found = history[history[column] != 0]
    return [(str(ts)[:10], float(value)) for ts, value in zip(found["ts"], found[column], strict=True)]


def _adjusted(history: pd.DataFrame, adjust: Adjust) -> pd.DataFrame:
    """Return ts, open, high, low, close, volume, amount with the wanted adjustment."""
    bars = history[["ts", *_PRICES, "volume"]].astype(dict.fromkeys([*_PRICES, "volume"], np.float64))
    # Splits change price and volume against each other: their product is the money traded either way.
    bars["amount"] = bars["close"] * bars["volume"]
    if adjust == "all":
        bars[_PRICES] = bars[_PRICES].mul(history["adjusted"] / history["close"], axis=0)
    if adjust == "none":
        ratio = history["Stock Splits"].replace(0.0, 1.0) if "Stock Splits" in history else pd.Series(1.0, bars.index)
        # New shares for one old share by all later splits; the split's own day trades the new ones.
        later = (ratio[::-1].cumprod()[::-1] / ratio).astype(np.float64)
        bars[_PRICES] = bars[_PRICES].mul(later, axis=0)
        bars["volume"] = bars["volume"] / later
    return bars
