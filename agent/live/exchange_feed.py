"""Bars of an exchange, or of a plug-in asked page by page, as they close: by the requests that fetched the data set."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TypeVar

import numpy as np

from agent.live.feed import Bar, FeedDown
from market.bar_source import ExchangeOptions
from market.endpoints import BARS, Endpoint, What
from market.errors import InputError
from market.exchange import Unreachable
from market.fetch import Job
from market.funding import join_settlements, join_snapshots
from market.paged_source import CCXT, PagedSource
from market.paging import PagedClient
from market.panel import BoolArray, Panel, TimeArray
from market.raw import SeriesRows, joined, no_rows
from market.spans import DAY, on_grid

T = TypeVar("T")
# Settlements and snapshots are read from this far back, ms: the last one gives the rate until the next.
_BEFORE = 3 * DAY
# Tries of a request before the feed counts as down; `Arrivals` then asks again by its own limits.
_RETRIES = 2


class ExchangeFeed:
    """The symbols of a fetched data set, asked for what is new; use as ``with ExchangeFeed(...) as feed``.

    Parameters
    ----------
    job
        How the data set was fetched.
    assets
        Its symbols, in the order of the panel.
    source
        Who was asked for it. What trades is asked of its client, and its time, if the client has a `server_time`.
    at_once
        Symbols asked for side by side.

    Raises
    ------
    InputError
        For what asking again does not repair.
    """

    def __init__(
        self,
        job: Job,
        assets: Sequence[str],
        data: str,
        *,
        source: PagedSource = CCXT,
        paced: bool = True,
        at_once: int = 8,
    ) -> None:
        self.job, self.assets = job, tuple(assets)
        self.name = f"{job.source.folder} {job.source.market} {job.timeframe} ({data})"
        self._source, self._at_once = source, at_once
        self._options = ExchangeOptions(paced=paced, retries=_RETRIES)
        self._runner = asyncio.Runner()
        self._client: PagedClient | None = None
        self._open = AsyncExitStack()
        # Symbols that the exchange no longer trades: nothing of them is late.
        self._gone: set[str] = set()

    def __enter__(self) -> ExchangeFeed:
        """Connect at the first question, so that an exchange that is down can be waited for."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        if self._client is not None:
            self._runner.run(self._open.aclose())
        self._runner.close()

    def time(self) -> np.datetime64:
        """Return the exchange's time."""
        moment: np.datetime64 = np.datetime64(self._run(self._time), "ms").astype("datetime64[ns]")
        return moment

    def newer(self, after: np.datetime64) -> list[Bar]:
        """Return the closed bars that opened after `after`, with funding and open interest where they were fetched."""
        return self._run(lambda client: self._newer(client, int(after.astype("datetime64[ms]").astype(np.int64))))

    def _run(self, work: Callable[[PagedClient], Awaitable[T]]) -> T:
        async def asked() -> T:
            return await work(await self._connected())

        try:
            return self._runner.run(asked())
        except Unreachable as error:
            raise FeedDown(error.message) from error

    async def _connected(self) -> PagedClient:
        if self._client is None:
            self._client = await self._open.enter_async_context(self._source.connect(self.job.source, self._options))
            for asset in self.assets:
                if not self._traded(self._client, asset):
                    self._gone.add(asset)
        return self._client

    @staticmethod
    def _traded(client: PagedClient, asset: str) -> bool:
        try:
            return client.market_of(asset).get("active") is not False
        except InputError:
            return False

    async def _time(self, client: PagedClient) -> int:
        asked: Callable[[], Awaitable[int]] | None = getattr(client, "server_time", None)
        return client.now() if asked is None else await asked()

    async def _newer(self, client: PagedClient, after: int) -> list[Bar]:
        step = client.bar_ms(self.job.timeframe)
        # One bar more: what is settled between two opens needs both.
        span = (after, on_grid(await self._time(client), step))
        if span[1] <= span[0] + step:
            return []
        gate = asyncio.Semaphore(self._at_once)

        async def bars(asset: str) -> SeriesRows | None:
            async with gate:
                return await self._rows(client, asset, "ohlcv", span)

        answers = await asyncio.gather(*(bars(asset) for asset in self.assets))
        if all(rows is None for rows in answers):
            raise Unreachable(f"{self.job.source.exchange} answers for no symbol")
        found = [no_rows(BARS) if rows is None else rows for rows in answers]
        # The bar before the first new one is known already; it says since when settlements count.
        times = np.unique(np.concatenate([np.array([after]), *(rows.stamps for rows in found)]))
        if not len(times[times > after]):
            return []
        panel = self._panel(times, found, step)
        panel = await self._joined(client, panel, span)
        last = np.array([rows.stamps[-1] if len(rows) else 0 for rows in found])
        unsure = np.array([asset not in self._gone for asset in self.assets])
        failed = np.array([rows is None for rows in answers])
        return [
            self._bar(panel, row, unsure & (failed | (last < times[row])))
            for row in range(len(times))
            if times[row] > after
        ]

    def _bar(self, panel: Panel, row: int, unsure: BoolArray) -> Bar:
        fields = {name: values[row] for name, values in panel.fields.items()}
        inside = np.isfinite(fields["close"])
        return Bar(panel.times[row], fields, inside, ~inside & unsure)

    def _panel(self, times: TimeArray, found: Sequence[SeriesRows], step: int) -> Panel:
        fields = {name: np.full((len(times), len(found)), np.nan) for name in BARS}
        for column, rows in enumerate(found):
            place = np.searchsorted(times, rows.stamps)
            for name in BARS:
                fields[name][place, column] = rows[name]
        return Panel(
            times.astype("datetime64[ms]").astype("datetime64[ns]"),
            self.assets,
            fields,
            np.isfinite(fields["close"]),
            np.timedelta64(step, "ms").astype("timedelta64[ns]"),
        )

    async def _joined(self, client: PagedClient, panel: Panel, span: tuple[int, int]) -> Panel:
        async def answered(what: What, name: str) -> dict[str, tuple[TimeArray, np.ndarray]]:
            pieces = {}
            for asset in self.assets:
                rows = await self._rows(client, asset, what, (span[0] - _BEFORE, span[1] + 1))
                if rows is None:
                    raise Unreachable(f"{self.job.source.exchange} does not give the {what} of {asset}")
                rows = rows.keep(np.isfinite(rows[name]))
                pieces[asset] = (rows.stamps.astype("datetime64[ms]").astype("datetime64[ns]"), rows[name])
            return pieces

        if self.job.funding:
            panel = join_settlements(panel, await answered("funding", "funding_rate"))
        if self.job.open_interest:
            ask = client.endpoint("open_interest", self.job.timeframe)
            oldest = max(panel.bar, np.timedelta64(ask.pace, "ms"))
            for name in ("open_interest", "open_interest_usd"):
                panel = join_snapshots(panel, name, await answered("open_interest", name), oldest)
        return panel

    async def _rows(self, client: PagedClient, asset: str, what: What, span: tuple[int, int]) -> SeriesRows | None:
        """Return a symbol's rows in a span, page by page; None where it could not be asked now."""
        ask = client.endpoint(what, self.job.timeframe)
        if asset in self._gone:
            return no_rows(ask.columns)
        market = client.market_of(asset)
        pages = []
        for start in range(span[0], span[1], ask.limit * ask.pace):
            piece = (start, min(span[1], start + ask.limit * ask.pace))
            try:
                pages.append(await self._page(client, ask, market, piece))
            except Unreachable:
                return None
        return joined(pages)

    @staticmethod
    async def _page(client: PagedClient, ask: Endpoint, market: dict[str, object], span: tuple[int, int]) -> SeriesRows:
        return await client.ask(f"{ask.what} of {market['symbol']}", lambda: ask.page(market, span))
