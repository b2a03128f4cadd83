"""Which feed follows a stored data set: that of its exchange, or of the source that gave it at once; or none."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from market.bar_source import BarRequest, ExchangeOptions, is_exchange
from market.errors import InputError
from market.fetch import Job, read_record
from market.paged_source import PagedSource, request_of
from market.panel import Panel
from market.sources import source_of

if TYPE_CHECKING:
    from agent.live.exchange_feed import ExchangeFeed
    from agent.live.feed import Feed


def open_feed(stack: ExitStack, record: Path, facts: Path, whole: Panel, data: str, raw: Path) -> Feed | None:
    """Return what gives the bars that close after those of a data set, or None where nobody can be asked.

    Parameters
    ----------
    stack
        Closes the feed.
    record, facts
        What a fetch wrote beside the data set: what an update goes on from, or where bars came from at once. Either
        may be missing. Facts of another data set than `whole`, which took its name since, are left aside.
    data, raw
        The data set's name, and the folder in which sources keep what came.

    Raises
    ------
    InputError
        When the record cannot be read.
    """
    if record.is_file():
        job = read_record(record)
        source = source_of(job.source.exchange)
        if isinstance(source, PagedSource):
            return stack.enter_context(_paged(job, whole, data, source))
        request: BarRequest | None = request_of(job, raw, ExchangeOptions())
    else:
        request = _request(facts, whole, raw)
    if request is None:
        return None
    from agent.live.source_feed import SourceFeed

    return SourceFeed(source_of(request.source), request, whole, data)


def _paged(job: Job, whole: Panel, data: str, source: PagedSource) -> ExchangeFeed:
    from agent.live.exchange_feed import ExchangeFeed

    # A server of one's own sets no limits.
    return ExchangeFeed(job, whole.assets, data, source=source, paced=job.source.base_url is None)


def _request(facts: Path, whole: Panel, raw: Path) -> BarRequest | None:
    """Return the request that brought a data set at once, as far as it is known."""
    try:
        stored = json.loads(facts.read_text(encoding="utf-8"))
        name, symbols, timeframe = str(stored["source"]), tuple(map(str, stored["symbols"])), str(stored["timeframe"])
        since = datetime.fromisoformat(stored["since"])
        current = stored["panel"] == whole.id
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{facts} cannot be read: {error}", "fetch the data again") from error
    # Of an exchange more was asked than these facts say; one that can be followed leaves a record.
    if not current or is_exchange(source_of(name)):
        return None
    return BarRequest(name, symbols, timeframe, since, None, raw)
