"""Filling a series page by page, so that a stop at any moment leaves neither a gap nor a bar twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from market.endpoints import Endpoint, Market, What
from market.raw import Series, SeriesRows, add_rows
from market.spans import Span, union, within, without

T = TypeVar("T")
Advance = Callable[[float], None]


class PagedClient(Protocol):
    """A connection to a source that is asked page by page; `market.exchange.Client` is that of ccxt's exchanges."""

    def now(self) -> int:
        """Return the source's time in ms: it decides which bars are closed."""

    def bar_ms(self, timeframe: str) -> int:
        """Return the length of a bar in ms; a timeframe that the source lacks is an `InputError`."""

    def market_of(self, symbol: str) -> dict[str, Any]:
        """Return what is known of a symbol.

        ``symbol`` and ``id``: the name as we write it, and as the source does. ``active``: whether it still trades.
        ``created``: since when, ms. Each of the last two may be None. An unknown symbol is an `InputError`.
        """

    def endpoint(self, what: What, timeframe: str) -> Endpoint:
        """Return how to ask for one kind of data; a kind that the source lacks is an `InputError`."""

    async def ask(self, what: str, request: Callable[[], Awaitable[T]]) -> T:
        """Return what `request` returns, made again where that may help; `BadPage` is such a case."""


async def fill(
    client: PagedClient, endpoint: Endpoint, market: Market, series: Series, span: Span, advance: Advance
) -> Series:
    """Ask for what `series` does not know of `span`, and write each page as it comes.

    A stretch that its page does not hold is asked for once more; what stays away then is taken for a true hole and
    never asked for again. Only the newest end is: what is missing there may still appear.

    Parameters
    ----------
    advance
        Called with the number of bars that became known, page by page.
    """
    pending: list[tuple[list[Span], bool]] = [([piece], False) for piece in reversed(series.missing(span))]
    while pending:
        spans, again = pending.pop()
        asked = _asked(endpoint, spans)
        reply = await client.ask(
            f"{endpoint.what} of {market['symbol']}",
            lambda asked=asked: endpoint.page(market, asked),  # type: ignore[misc]
        )
        answered = _answered(endpoint, asked, reply)
        here, rest = within(spans, [answered]), without(spans, [answered])
        rows = reply.within(here)
        gaps = [gap for piece in here for gap in endpoint.gaps(piece, rows.within([piece]).stamps)]
        if again and not len(rows):
            known, gaps = here, []
        else:
            known = without(here, gaps)
        kept = _short_of_now(known, rows, series, span[1], endpoint)
        if len(rows) or kept:
            series = add_rows(series, rows, kept)
        advance(sum(end - start for start, end in known) / endpoint.pace)
        if rest:
            # Rows where nothing had been: the earlier answer was wrong, and bears nothing out any more.
            pending.append((rest, again and not len(rows)))
        pending += [(group, True) for group in reversed(_grouped(gaps, endpoint))]
    return series


def _asked(endpoint: Endpoint, spans: Sequence[Span]) -> Span:
    """Return the span of the next request: all of `spans`, or as much as a page surely holds."""
    start, end = spans[0][0], spans[-1][1]
    return (start, min(end, start + endpoint.limit * endpoint.pace)) if endpoint.order == "window" else (start, end)


def _answered(endpoint: Endpoint, asked: Span, reply: SeriesRows) -> Span:
    """Return the span that `reply` speaks for: a full page says nothing of what lies beyond it."""
    start, end = asked
    if endpoint.order == "window" or len(reply) < endpoint.limit:
        return asked
    if endpoint.order == "oldest":
        return start, min(end, int(reply.stamps[-1]) + (endpoint.step or 1))
    return int(reply.stamps[0]), end


def _short_of_now(known: Sequence[Span], rows: SeriesRows, series: Series, edge: int, endpoint: Endpoint) -> list[Span]:
    """Return `known` without what lies after the last row at the newest end."""
    if not known or known[-1][1] != edge:
        return list(known)
    last = max(int(rows.stamps[-1]) if len(rows) else -1, series.last if series.last is not None else -1)
    end = last + (endpoint.step or 1) if last >= 0 else known[-1][0]
    return union([*known[:-1], (known[-1][0], min(edge, end))])


def _grouped(gaps: Sequence[Span], endpoint: Endpoint) -> list[list[Span]]:
    """Return the gaps in groups that one request each can answer."""
    groups: list[list[Span]] = []
    for gap in gaps:
        if groups and gap[1] - groups[-1][0][0] <= endpoint.limit * endpoint.pace:
            groups[-1].append(gap)
        else:
            groups.append([gap])
    return groups
