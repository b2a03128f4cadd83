"""Fetching bars from an exchange through ccxt: paged, resumable, without the open bar."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from market.errors import InputError
from market.files import panel_from_long
from market.panel import Panel
from market.quality import check_ohlcv, refuse
from market.store import write_atomically

_PAGE = 1000
_COLUMNS = ["ts", "open", "high", "low", "close", "volume"]


def fetch_ohlcv(
    exchange_id: str,
    symbols: Sequence[str],
    timeframe: str,
    since: datetime,
    until: datetime | None = None,
    *,
    cache_dir: Path,
    progress: Callable[[str, int], None] = lambda _symbol, _bars: None,
    api_url: str | None = None,
) -> Panel:
    """Fetch closed bars of `symbols` in [since, until).

    Every page is written to `cache_dir` as it arrives, so a stopped fetch goes on where it was; the folder is removed
    when all is fetched. `api_url` sends requests elsewhere (a test server).

    Raises
    ------
    InputError
        For an unknown exchange, symbol or timeframe, an unreachable server, or no bars at all.
    """
    import ccxt

    exchange = _open(ccxt, exchange_id, timeframe, api_url)
    step = int(exchange.parse_timeframe(timeframe) * 1000)
    start = int(since.timestamp() * 1000)
    # A bar is closed once its length has passed; the exchange's own clock is not needed for that.
    now = int(datetime.now(UTC).timestamp() * 1000)
    end = min(int(until.timestamp() * 1000) if until else now, now - step + 1)
    if not symbols:
        raise InputError("no symbols given", "say --symbols BTC/USDT,ETH/USDT")
    if start >= end:
        raise InputError(f"no closed bar between {since:%Y-%m-%d %H:%M} and {until or 'now'}")
    try:
        markets = exchange.load_markets()
        unknown = [symbol for symbol in symbols if symbol not in markets]
        if unknown:
            like = [name for name in markets if name.split("/")[0] == unknown[0].split("/")[0]][:8]
            raise InputError(f"{exchange_id} has no {', '.join(unknown)}", f"it has {', '.join(like)}" if like else "")
        cache_dir.mkdir(parents=True, exist_ok=True)
        frames = [
            _symbol(exchange, s, timeframe, step, start, end, cache_dir, progress) for s in dict.fromkeys(symbols)
        ]
    except ccxt.AuthenticationError as error:
        raise InputError(f"{exchange_id} wants credentials: {_short(error)}") from error
    except ccxt.NetworkError as error:
        raise InputError(
            f"{exchange_id} cannot be reached: {_short(error)}", "what was fetched is kept; run the same command again"
        ) from error
    except ccxt.ExchangeError as error:
        raise InputError(f"{exchange_id} refused: {_short(error)}") from error
    except OSError as error:
        raise InputError(f"cannot write {cache_dir}: {error.strerror or error}", "is the disk full?") from error
    frame = pd.concat(frames, ignore_index=True)
    if frame.empty:
        raise InputError(f"{exchange_id} returned no bars for {', '.join(symbols)} since {since:%Y-%m-%d}")
    refuse(check_ohlcv(frame), exchange_id, "the exchange sent bad bars: leave the symbol or the time out")
    panel = panel_from_long(frame, calendar="continuous", name=f"{exchange_id} {timeframe}")
    shutil.rmtree(cache_dir, ignore_errors=True)
    return panel


def _open(ccxt: Any, exchange_id: str, timeframe: str, api_url: str | None) -> Any:  # noqa: ANN401 - ccxt is untyped
    if exchange_id not in ccxt.exchanges:
        import difflib

        close = difflib.get_close_matches(exchange_id, ccxt.exchanges, n=3)
        raise InputError(
            f"ccxt knows no exchange {exchange_id!r}", f"did you mean {', '.join(close)}?" if close else ""
        )
    exchange = getattr(ccxt, exchange_id)({"enableRateLimit": api_url is None, "options": {"defaultType": "spot"}})
    if api_url is not None:
        exchange.urls["api"] = _redirect(exchange.urls["api"], api_url)
    if not exchange.has.get("fetchOHLCV"):
        raise InputError(f"{exchange_id} offers no bars (fetchOHLCV)", "choose another exchange")
    if exchange.timeframes and timeframe not in exchange.timeframes:
        raise InputError(f"{exchange_id} has no timeframe {timeframe!r}", f"it has {', '.join(exchange.timeframes)}")
    return exchange


def _redirect(urls: object, api_url: str) -> object:
    if isinstance(urls, dict):
        return {key: _redirect(value, api_url) for key, value in urls.items()}
    return api_url


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:200]


def _symbol(
    exchange: Any,  # noqa: ANN401 - ccxt is untyped
    symbol: str,
    timeframe: str,
    step: int,
    start: int,
    end: int,
    cache_dir: Path,
    progress: Callable[[str, int], None],
) -> pd.DataFrame:
    """Fetch one symbol page by page, beginning after what the cache holds."""
    # The start is part of the name: what an earlier, later-starting fetch left must not pass for the beginning.
    stem = symbol.replace("/", "-").replace(":", "_")
    path = cache_dir / f"{exchange.id}.{stem}.{timeframe}.{start}.parquet"
    # A page past an empty stretch must be no longer than what the exchange answers at once, or bars are skipped.
    page = min(_PAGE, int(exchange.feature_value(symbol, "fetchOHLCV", "limit", _PAGE) or _PAGE))
    known = pd.read_parquet(path) if path.is_file() else pd.DataFrame(columns=_COLUMNS, dtype="float64")
    known = known[(known["ts"] >= start) & (known["ts"] < end)] if len(known) else known
    cursor = int(known["ts"].max()) + step if len(known) else start
    pages = [known]
    while cursor < end:
        rows = exchange.fetch_ohlcv(symbol, timeframe, since=cursor, limit=page)
        fresh = [row[:6] for row in rows if cursor <= row[0] < end]
        if not fresh:
            # Nothing here: a symbol listed later, or a halt. Step a page on until the end.
            if rows and rows[-1][0] >= end:
                break
            cursor += page * step
            continue
        pages.append(pd.DataFrame(fresh, columns=_COLUMNS).astype("float64"))
        cursor = int(fresh[-1][0]) + step
        so_far = _joined(pages)
        pages = [so_far]
        write_atomically(path, so_far.to_parquet)
        progress(symbol, len(so_far))
    frame = _joined(pages)
    stamps = pd.to_datetime(frame["ts"].astype("int64"), unit="ms", utc=True).astype("datetime64[ns, UTC]")
    return frame.assign(ts=stamps, symbol=symbol)


def _joined(pages: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [page for page in pages if len(page)]
    if not filled:
        return pd.DataFrame(columns=_COLUMNS, dtype="float64")
    return pd.concat(filled).drop_duplicates("ts", keep="last").sort_values("ts", ignore_index=True)
