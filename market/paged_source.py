"""Sources that are asked page by page: what came is kept, so that a stopped fetch goes on and an update asks for news.

Every exchange that ccxt knows is one; another is made from a `PagedClient` of one's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Protocol

from market.bar_source import BarRequest, ExchangeOptions, FetchedBars
from market.exchange import Client, RequestCounts, Venue
from market.fetch import Fetched, Job, assemble, record_of, run, summary
from market.paging import PagedClient

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class PagedConnection(PagedClient, Protocol):
    """A client that is opened and closed, counts its requests, and knows what trades most."""

    @property
    def tally(self) -> RequestCounts:
        """Requests made, and made again."""

    async def __aenter__(self) -> PagedClient:
        """Connect."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""

    async def top(self, count: int, quote: str) -> list[str]:
        """Return the `count` symbols priced in `quote` with the most money traded in the last day."""


Connect = Callable[[Venue, ExchangeOptions], PagedConnection]


class PagedSource:
    """A source of bars that come in pages.

    Parameters
    ----------
    connect
        Makes a client for a place that data come from, and how to ask there; it connects when it is entered.
    """

    is_exchange = True

    def __init__(self, connect: Connect) -> None:
        self.connect = connect

    def fetch(self, request: BarRequest) -> FetchedBars:
        """Fetch what is missing of the bars into the folder of raw pages, and return the panel of all of them.

        Raises
        ------
        InputError
            See `market.fetch.run` and `market.fetch.assemble`.
        """
        try:
            job, fetched, counted = asyncio.run(self._gather(job_of(request), request))
        except KeyboardInterrupt:
            request.say("stopped; what was fetched is kept: run the same command again to go on")
            raise
        panel = assemble(job, fetched)
        query = {**asdict(job.source), "symbols": list(job.symbols), "timeframe": job.timeframe, "since": job.since}
        facts = {**counted, "symbols": summary(fetched)}
        return FetchedBars(panel, (), facts, query, record_of(job, panel, fetched, counted))

    async def _gather(self, job: Job, request: BarRequest) -> tuple[Job, list[Fetched], dict[str, int]]:
        options = request.exchange
        async with (connection := self.connect(job.source, options)):
            if options.top is not None:
                job = replace(job, symbols=tuple(await connection.top(*options.top)))
            fetched = await run(
                job, connection, request.raw, request.progress, at_once=options.at_once, backfill=options.backfill
            )
            counted = {"requests": connection.tally.requests, "asked_again": connection.tally.again}
        return replace(job, symbols=tuple(one.symbol for one in fetched)), fetched, counted


def job_of(request: BarRequest) -> Job:
    """Return the job that a request asks of a paged source."""
    options = request.exchange
    return Job(
        Venue(request.source, options.market, options.base_url, options.sandbox),
        request.symbols,
        request.timeframe,
        _ms(request.since),
        None if request.until is None else _ms(request.until),
        options.funding,
        options.open_interest,
    )


def request_of(job: Job, raw: Path, options: ExchangeOptions) -> BarRequest:
    """Return the request that brings the data set of `job` up to date; of `options`, how to ask is taken."""
    place = job.source
    return BarRequest(
        place.exchange,
        job.symbols,
        job.timeframe,
        _EPOCH + job.since * _MILLISECOND,
        None,
        raw,
        exchange=replace(
            options,
            market=place.market,
            base_url=place.base_url,
            sandbox=place.sandbox,
            funding=job.funding,
            open_interest=job.open_interest,
        ),
    )


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _connect_ccxt(source: Venue, options: ExchangeOptions) -> Client:
    import numpy as np

    # Seeded by the system: clients that were refused together must not come back together.
    return Client(source, np.random.default_rng(), paced=options.paced, retries=options.retries)


CCXT = PagedSource(_connect_ccxt)
