"""Sources of bars: one protocol for what is fetched at once, found by name.

Exchanges that ccxt knows are not listed: each name of one serves, and `market.fetch` fetches from them in pages that a
later fetch goes on from. A source here returns a whole panel: Yahoo Finance, and what plugins add.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, cast

from market.panel import Panel
from market.plugins import Registry


@dataclass(frozen=True)
class BarRequest:
    """What to fetch.

    Attributes
    ----------
    symbols
        Names of the assets, as the source writes them.
    timeframe
        Length of a bar, such as ``1h`` or ``1d``.
    since, until
        Bars that open in [since, until), in UTC; without `until`, to the last closed bar.
    cache
        A folder of the source's own for what it keeps between calls.
    progress
        To be called with each symbol that is done.
    """

    symbols: tuple[str, ...]
    timeframe: str
    since: datetime
    until: datetime | None
    cache: Path
    progress: Callable[[str], None] = lambda _symbol: None


@dataclass(frozen=True)
class FetchedBars:
    """A panel of closed bars, notes for people, and facts to record beside the data set (JSON types)."""

    panel: Panel
    notes: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)


class BarSource(Protocol):
    """A source of bars; a plugin of the group ``alphaglow.sources`` gives one."""

    def fetch(self, request: BarRequest) -> FetchedBars:
        """Return the bars; what cannot be had is an `InputError` that says what to do."""


class YahooSource:
    """Yahoo Finance, with dividends and splits taken out of prices; `alphaglow data yahoo` has more choices."""

    def fetch(self, request: BarRequest) -> FetchedBars:
        """Return the bars of the tickers; see `market.yahoo.fetch_yahoo`."""
        from market.yahoo import SAYS, fetch_yahoo

        found = fetch_yahoo(
            request.symbols,
            request.since,
            request.until,
            adjust="all",
            interval=request.timeframe,
            cache=request.cache,
            progress=request.progress,
        )
        facts = {"adjust_says": SAYS[found.adjust], "dividends": found.dividends, "splits": found.splits}
        return FetchedBars(found.panel, tuple(found.notes), facts)


def _added(value: object) -> BarSource:
    if not callable(getattr(value, "fetch", None)):
        raise TypeError(f"it is a {type(value).__name__} without fetch(request); see market.sources.BarSource")
    return cast("BarSource", value)


SOURCES: Registry[BarSource] = Registry("sources", {"yahoo": YahooSource()}, _added)
