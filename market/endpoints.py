"""How each exchange is asked for a page of bars, funding or open interest, and what makes a page believable.

Binance and Bybit are asked through their own endpoints: they state the money traded, which ccxt's common form of a bar
leaves out. Any other exchange is asked in that common form, and the money is then reckoned from the bar.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from market.errors import InputError
from market.raw import SeriesRows, no_rows
from market.spans import DAY, WEEK, Span, Stamps, gaps_by_pace, gaps_on_grid, on_grid

What = Literal["ohlcv", "funding", "open_interest"]
# What a page holds when more bars lie in the span than fit: the oldest, the newest, or nothing one may rely on.
Order = Literal["oldest", "newest", "window"]
Market = Mapping[str, Any]
Raw = Sequence[Sequence[object]]

BARS = ("open", "high", "low", "close", "volume", "amount")
FUNDING = ("funding_rate",)
OPEN_INTEREST = ("open_interest", "open_interest_usd")

_EIGHT_HOURS = DAY // 3
# Binance states settlements some milliseconds late; they are due on the full minute.
_JITTER = 1000
# As `market.quality` has it: what is written in decimals may be rounded, each price on its own.
_TOLERANCE = 1e-6


class BadPage(Exception):
    """What a source sent cannot be right: asked for again, and in the end an `InputError`."""


@dataclass(frozen=True)
class Endpoint:
    """How to ask for one kind of data.

    Attributes
    ----------
    what, columns
        The kind, and the columns of its rows.
    step
        Distance of rows in ms; None where they keep no grid (funding).
    limit
        Most rows in a page.
    order
        Which rows come when more lie in the span than a page holds.
    send
        Asks for the rows of a market in [start, end): the answer as (time, values ...) rows, unchecked.
    reaches_back
        How far back from now the exchange keeps these data, in ms; None is for ever.
    note
        What a reader of the data must know.
    """

    what: What
    columns: tuple[str, ...]
    step: int | None
    limit: int
    order: Order
    send: Callable[[Market, Span, int], Awaitable[Raw]]
    reaches_back: int | None = None
    note: str = ""

    @property
    def pace(self) -> int:
        """Usual distance of rows, ms."""
        return self.step or _EIGHT_HOURS

    def gaps(self, span: Span, stamps: Stamps) -> list[Span]:
        """Return the parts of `span` where rows are missing."""
        return gaps_on_grid(span, stamps, self.step) if self.step else gaps_by_pace(span, stamps, self.pace)

    async def page(self, market: Market, span: Span) -> SeriesRows:
        """Return the rows of `span` that one request brings, checked, in time order.

        Raises
        ------
        BadPage
            When the answer has another shape, or bars that cannot be.
        """
        limit = max(1, min(self.limit, -(-(span[1] - span[0]) // self.step) if self.step else self.limit))
        raw = await self.send(market, span, limit)
        rows = _table(raw, self.columns, str(market["symbol"]))
        if self.step is None:
            snapped = (rows.stamps + _JITTER) // 60_000 * 60_000
            rows = SeriesRows(
                np.where(np.abs(rows.stamps - snapped) <= _JITTER, snapped, rows.stamps), rows.columns, rows.values
            )
        rows = rows.within([span])
        _check(rows, self, str(market["symbol"]))
        return rows


def ccxt_endpoint(exchange: Any, market: str, what: What, timeframe: str) -> Endpoint:  # noqa: ANN401 - ccxt is untyped
    """Return how an exchange of ccxt is asked for `what` in bars of `timeframe`; `market` is ``spot`` or ``swap``.

    Raises
    ------
    InputError
        When the exchange has no such data, or no such timeframe.
    """
    import ccxt.async_support as ccxt

    step = ccxt_bar_ms(exchange, timeframe)
    if what != "ohlcv" and market == "spot":
        raise InputError(f"spot has no {what.replace('_', ' ')}", "say --market swap")
    if isinstance(exchange, ccxt.binance):
        return _binance(exchange, what, timeframe, step)
    if isinstance(exchange, ccxt.bybit):
        return _bybit(exchange, what, timeframe, step)
    return _any(exchange, what, timeframe, step)


def ccxt_bar_ms(exchange: Any, timeframe: str) -> int:  # noqa: ANN401 - ccxt is untyped
    """Return the length of a bar in ms; a timeframe that the exchange lacks is an `InputError`."""
    if not exchange.has.get("fetchOHLCV"):
        raise InputError(f"{exchange.id} offers no bars (fetchOHLCV)", "choose another exchange")
    if exchange.timeframes and timeframe not in exchange.timeframes:
        raise InputError(f"{exchange.id} has no timeframe {timeframe!r}", f"it has {', '.join(exchange.timeframes)}")
    step = int(exchange.parse_timeframe(timeframe) * 1000)
    if DAY % step and step != WEEK:
        raise InputError(f"bars of {timeframe} keep no fixed grid", "fetch 1d and make longer bars of it")
    return step


def _binance(exchange: Any, what: What, timeframe: str, step: int) -> Endpoint:  # noqa: ANN401 - ccxt is untyped
    def query(market: Market, span: Span, limit: int, **more: object) -> dict[str, object]:
        return {"symbol": market["id"], "startTime": span[0], "endTime": span[1] - 1, "limit": limit, **more}

    async def bars(market: Market, span: Span, limit: int) -> Raw:
        call = exchange.fapiPublicGetKlines if market["swap"] else exchange.publicGetKlines
        answer = await call(query(market, span, limit, interval=exchange.timeframes[timeframe]))
        return _cells(answer, (0, 1, 2, 3, 4, 5, 7))

    async def funding(market: Market, span: Span, limit: int) -> Raw:
        answer = await exchange.fapiPublicGetFundingRate(query(market, (span[0] - _JITTER, span[1]), limit))
        return _cells(_own(answer, market), ("fundingTime", "fundingRate"))

    async def interest(market: Market, span: Span, limit: int) -> Raw:
        answer = await exchange.fapiDataGetOpenInterestHist(query(market, span, limit, period=period))
        return _cells(_own(answer, market), ("timestamp", "sumOpenInterest", "sumOpenInterestValue"))

    if what == "ohlcv":
        return Endpoint(what, BARS, step, 1000, "oldest", bars)
    if what == "funding":
        return Endpoint(what, FUNDING, None, 1000, "oldest", funding)
    period, length = _period(exchange, step, ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d"))
    note = "Binance keeps open interest for 30 days only"
    return Endpoint(what, OPEN_INTEREST, length, 500, "window", interest, 30 * DAY - length, note)


def _bybit(exchange: Any, what: What, timeframe: str, step: int) -> Endpoint:  # noqa: ANN401 - ccxt is untyped
    def query(market: Market, limit: int, **more: object) -> dict[str, object]:
        return {"category": "linear" if market["swap"] else "spot", "symbol": market["id"], "limit": limit, **more}

    async def bars(market: Market, span: Span, limit: int) -> Raw:
        asked = query(market, limit, interval=exchange.timeframes[timeframe], start=span[0], end=span[1] - 1)
        return _cells(_result(await exchange.publicGetV5MarketKline(asked), market).get("list"), range(7))

    async def funding(market: Market, span: Span, limit: int) -> Raw:
        asked = query(market, limit, startTime=span[0] - _JITTER, endTime=span[1] - 1)
        answer = _result(await exchange.publicGetV5MarketFundingHistory(asked), None).get("list")
        return _cells(_own(answer, market), ("fundingRateTimestamp", "fundingRate"))

    async def interest(market: Market, span: Span, limit: int) -> Raw:
        asked = query(market, limit, intervalTime=period, startTime=span[0], endTime=span[1] - 1)
        answer = _result(await exchange.publicGetV5MarketOpenInterest(asked), market).get("list")
        return [[*cells, None] for cells in _cells(answer, ("timestamp", "openInterest"))]

    if what == "ohlcv":
        return Endpoint(what, BARS, step, 1000, "newest", bars)
    if what == "funding":
        return Endpoint(what, FUNDING, None, 200, "newest", funding)
    intervals = exchange.options["intervals"]
    name, length = _period(exchange, step, tuple(intervals))
    period = intervals[name]
    return Endpoint(what, OPEN_INTEREST, length, 200, "newest", interest)


def _any(exchange: Any, what: What, timeframe: str, step: int) -> Endpoint:  # noqa: ANN401 - ccxt is untyped
    needs = {"ohlcv": "OHLCV", "funding": "FundingRateHistory", "open_interest": "OpenInterestHistory"}[what]
    if not exchange.has.get(f"fetch{needs}"):
        raise InputError(f"{exchange.id} offers no {what.replace('_', ' ')} history", "leave it out")
    kind = (exchange.features or {}).get("spot" if exchange.options["defaultType"] == "spot" else "swap") or {}
    feature = (kind.get("linear", kind) or {}).get(f"fetch{needs}") or {}
    most = int(feature.get("limit") or 100)

    async def bars(market: Market, span: Span, limit: int) -> Raw:
        answer = await exchange.fetch_ohlcv(market["symbol"], timeframe, since=span[0], limit=limit)
        return [[*row, _reckoned(row)] for row in _cells(answer, range(6))]

    async def funding(market: Market, span: Span, limit: int) -> Raw:
        answer = await exchange.fetch_funding_rate_history(market["symbol"], since=span[0] - _JITTER, limit=limit)
        return _cells(answer, ("timestamp", "fundingRate"))

    async def interest(market: Market, span: Span, limit: int) -> Raw:
        answer = await exchange.fetch_open_interest_history(market["symbol"], timeframe, since=span[0], limit=limit)
        return _cells(answer, ("timestamp", "openInterestAmount", "openInterestValue"))

    if what == "ohlcv":
        note = "amount is reckoned: volume x (high + low + close) / 3"
        return Endpoint(what, BARS, step, most, "window", bars, note=note)
    if what == "funding":
        return Endpoint(what, FUNDING, None, most, "oldest", funding)
    return Endpoint(what, OPEN_INTEREST, step, most, "window", interest)


def _period(exchange: Any, step: int, offered: Sequence[str]) -> tuple[str, int]:  # noqa: ANN401 - ccxt is untyped
    """Return the longest offered distance of snapshots that is no longer than a bar, else the shortest."""
    lengths = sorted((int(exchange.parse_timeframe(name) * 1000), name) for name in offered)
    fitting = [pair for pair in lengths if pair[0] <= step] or lengths[:1]
    return fitting[-1][1], fitting[-1][0]


def _reckoned(row: Sequence[Any]) -> float | None:
    return None if None in row[2:6] else float(row[5]) * (float(row[2]) + float(row[3]) + float(row[4])) / 3


def _result(answer: object, market: Market | None) -> Mapping[str, Any]:
    result = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(result, dict) or (market is not None and result.get("symbol", market["id"]) != market["id"]):
        raise BadPage("an answer of another shape")
    return result


def _cells(answer: object, keys: Sequence[Any]) -> list[list[Any]]:
    """Return the named cells of every row of an answer."""
    if not isinstance(answer, list):
        raise BadPage("an answer of another shape")
    try:
        return [[row[key] for key in keys] for row in answer]
    except (KeyError, IndexError, TypeError) as error:
        raise BadPage(f"rows of another shape ({error})") from error


def _own(answer: object, market: Market) -> list[Any]:
    rows = answer if isinstance(answer, list) else []
    if not isinstance(answer, list) or any(
        not isinstance(row, dict) or row.get("symbol") != market["id"] for row in rows
    ):
        raise BadPage(f"rows that are not {market['id']}'s")
    return rows


def _table(raw: Raw, columns: tuple[str, ...], symbol: str) -> SeriesRows:
    """Return the rows as numbers, in time order, each time once."""
    if not raw:
        return no_rows(columns)
    try:
        table = np.array([[np.nan if cell in (None, "") else float(cell) for cell in row] for row in raw])  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise BadPage(f"rows of {symbol} that are no numbers ({error})") from error
    if table.ndim != 2 or table.shape[1] != len(columns) + 1 or not np.isfinite(table[:, 0]).all():
        raise BadPage(f"rows of {symbol} without a time, or of another length")
    table = table[np.argsort(table[:, 0], kind="stable")]
    again = np.flatnonzero(np.diff(table[:, 0]) == 0)
    differ = [row for row in again if not np.array_equal(table[row], table[row + 1], equal_nan=True)]
    if differ:
        raise BadPage(f"two different rows of {symbol} at {_time(table[differ[0], 0])}")
    table = np.delete(table, again, axis=0)
    return SeriesRows(table[:, 0].astype(np.int64), columns, table[:, 1:])


def _check(rows: SeriesRows, asked: Endpoint, symbol: str) -> None:
    if asked.step is not None:
        grid = on_grid(0, asked.step)
        _refuse((rows.stamps - grid) % asked.step != 0, rows, symbol, "between the times of two bars")
    if asked.what == "funding":
        _refuse(~np.isfinite(rows["funding_rate"]), rows, symbol, "without a rate")
    if asked.what != "ohlcv":
        return
    prices, close = rows.values[:, :4], rows["close"]
    _refuse(~(np.isfinite(prices) & (prices > 0)).all(axis=1), rows, symbol, "with a price that is not above 0")
    slack = _TOLERANCE * close
    low, high = rows["low"] - slack, rows["high"] + slack
    body = prices[:, [0, 3]]
    _refuse(
        (body.max(axis=1) > high) | (body.min(axis=1) < low), rows, symbol, "with a high or low that open or close pass"
    )
    _refuse(
        (rows.values[:, 4:] < 0).any(axis=1) | np.isinf(rows.values[:, 4:]).any(axis=1),
        rows,
        symbol,
        "with a volume below 0",
    )


def _refuse(bad: Any, rows: SeriesRows, symbol: str, what: str) -> None:  # noqa: ANN401
    if bad.any():
        raise BadPage(f"a row of {symbol} at {_time(rows.stamps[int(np.argmax(bad))])} {what}")


def _time(stamp: float) -> str:
    return str(np.datetime64(int(stamp), "ms"))[:16].replace("T", " ") + " UTC"
