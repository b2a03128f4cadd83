"""What a source of bars is: asked with a request, it returns a panel of closed bars and what to record of the fetch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from market.panel import Panel


class Progress(Protocol):
    """Takes how far a fetch is: done of total, in any unit, and what was done last."""

    def __call__(self, done: float, total: float, what: str = "") -> None:
        """Show it."""


@dataclass(frozen=True)
class ExchangeOptions:
    """What only a source that says `is_exchange` understands.

    Attributes
    ----------
    market
        ``spot`` or ``swap`` (perpetuals settled in the quote currency).
    base_url, sandbox
        Another server in the exchange's place; the exchange's test network.
    funding, open_interest
        Whether to fetch these too and join them to the bars (perpetuals).
    top
        In the place of symbols: how many, and priced in what; those that traded the most money in the last day.
    at_once, retries, paced
        Symbols asked for side by side, new tries of a failed request, and whether to keep to rate limits.
    backfill
        Ask once more for the holes that earlier fetches took for true.
    """

    market: Literal["spot", "swap"] = "spot"
    base_url: str | None = None
    sandbox: bool = False
    funding: bool = False
    open_interest: bool = False
    top: tuple[int, str] | None = None
    at_once: int = 8
    retries: int = 8
    paced: bool = True
    backfill: bool = False


@dataclass(frozen=True)
class BarRequest:
    """What to fetch.

    Attributes
    ----------
    source
        The name under which the source was asked.
    symbols
        Names of the assets, as the source writes them.
    timeframe
        Length of a bar, such as ``1h`` or ``1d``.
    since, until
        Bars that open in [since, until), in UTC; without `until`, to the last closed bar.
    raw
        The folder in which all sources keep what came, each in a folder of its own.
    progress
        To be called when a part is done.
    say
        To be called with a sentence for people, such as how a stopped fetch goes on.
    exchange
        Options of exchanges.
    """

    source: str
    symbols: tuple[str, ...]
    timeframe: str
    since: datetime
    until: datetime | None
    raw: Path
    progress: Progress = lambda done, total, what="": None
    say: Callable[[str], None] = lambda _sentence: None
    exchange: ExchangeOptions = ExchangeOptions()

    @property
    def cache(self) -> Path:
        """The source's own folder for what it keeps between calls."""
        return self.raw / self.source


@dataclass(frozen=True)
class FetchedBars:
    """What a fetch brought.

    Attributes
    ----------
    panel
        Closed bars.
    notes
        Sentences for people.
    facts
        What to show and to record beside the data set (JSON types).
    query
        What was asked, for the data set's manifest (JSON types); empty is symbols and timeframe.
    record
        The record of a fetch that `alphaglow data update` goes on from (`market.fetch.record_of`); None where each
        fetch brings everything again.
    """

    panel: Panel
    notes: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    query: Mapping[str, object] = field(default_factory=dict)
    record: Mapping[str, object] | None = None


class BarSource(Protocol):
    """A source of bars: Yahoo, every exchange of ccxt, and what plugins of the group ``alphaglow.sources`` give.

    A source that sets ``is_exchange`` understands `ExchangeOptions`; for any other they are refused. One with a
    ``now()`` says its own time (a `datetime`, UTC); of any other, a bar is closed by this machine's clock.
    """

    def fetch(self, request: BarRequest) -> FetchedBars:
        """Return the bars; what cannot be had is an `InputError` that says what to do.

        `alphaglow signal --watch` asks again after a `market.exchange.Unreachable`, and ends with any other.
        """


def is_exchange(source: BarSource) -> bool:
    """Whether a source understands `ExchangeOptions`; one that does not say does not."""
    return bool(getattr(source, "is_exchange", False))
