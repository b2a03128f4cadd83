"""An exchange-like source in one file, as a plugin would bring it: two symbols, hourly bars, pages of ten."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

from market.bar_source import ExchangeOptions
from market.endpoints import BARS, Endpoint, Market, What
from market.errors import InputError
from market.exchange import RequestCounts, Venue
from market.paged_source import PagedSource
from market.spans import Span

T = TypeVar("T")
HOUR = 3_600_000
START = 1_704_067_200_000


class Broker:
    """A connection; `asked` are the spans of its requests."""

    hours = int(os.environ.get("BROKER_HOURS", "48"))

    def __init__(self, place: Venue, options: ExchangeOptions) -> None:
        self.place, self.options, self.tally = place, options, RequestCounts()
        self.asked: list[Span] = []

    async def __aenter__(self) -> Broker:
        """Connect."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def now(self) -> int:
        """Some seconds after a bar's close."""
        return START + self.hours * HOUR + 5000

    def bar_ms(self, timeframe: str) -> int:
        """An hour."""
        if timeframe != "1h":
            raise InputError("the broker has hourly bars only", "say --timeframe 1h")
        return HOUR

    def market_of(self, symbol: str) -> dict[str, Any]:
        """Two symbols are known."""
        if symbol not in ("AAA", "BBB"):
            raise InputError(f"the broker has no {symbol}", "it has AAA, BBB")
        return {"symbol": symbol, "id": symbol, "active": True, "created": START}

    def endpoint(self, what: What, timeframe: str) -> Endpoint:
        """Bars alone."""
        if what != "ohlcv":
            raise InputError(f"the broker has no {what}", "leave it out")
        return Endpoint(what, BARS, HOUR, 10, "oldest", self._send)

    async def _send(self, market: Market, span: Span, limit: int) -> Sequence[Sequence[object]]:
        self.tally.requests += 1
        self.asked.append(span)
        level = 100.0 if market["id"] == "AAA" else 7.0
        rows = []
        for stamp in range(max(span[0], START), span[1], HOUR)[:limit]:
            close = level + stamp // HOUR % 5
            rows.append([stamp, close, close + 1, close - 1, close, 3.0, 3.0 * close])
        return rows

    async def ask(self, what: str, request: Callable[[], Awaitable[T]]) -> T:
        """Ask once."""
        return await request()

    async def top(self, count: int, quote: str) -> list[str]:
        """BBB trades more."""
        return ["BBB", "AAA"][:count]


broker = PagedSource(Broker)
