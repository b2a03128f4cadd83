"""Sources of bars, found by name: Yahoo and what plugins add; any other name is an exchange of ccxt."""

from __future__ import annotations

from typing import cast

from market.bar_source import BarRequest, BarSource, FetchedBars
from market.plugins import Registry


class YahooSource:
    """Yahoo Finance, with dividends and splits taken out of prices; `alphaglow data yahoo` has more choices."""

    def fetch(self, request: BarRequest) -> FetchedBars:
        """Return the bars of the tickers; see `market.yahoo.fetch_yahoo`."""
        from market.yahoo import SAYS, fetch_yahoo

        found = fetch_yahoo(request, adjust="all")
        facts = {"adjust_says": SAYS[found.adjust], "dividends": found.dividends, "splits": found.splits}
        return FetchedBars(found.panel, tuple(found.notes), facts)


def _added(value: object) -> BarSource:
    if not callable(getattr(value, "fetch", None)):
        raise TypeError(f"it is a {type(value).__name__} without fetch(request); see market.bar_source.BarSource")
    return cast("BarSource", value)


SOURCES: Registry[BarSource] = Registry("sources", {"yahoo": YahooSource()}, _added)


def source_of(name: str) -> BarSource:
    """Return the source of a name; one that is not registered is taken for an exchange of ccxt."""
    if name in SOURCES:
        return SOURCES[name]
    from market.paged_source import CCXT

    return CCXT
