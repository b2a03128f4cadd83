"""A fetch: symbols of one exchange, into raw series on disk and on to a panel; stopped, it is taken up again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from market.endpoints import BARS, Endpoint, What
from market.errors import InputError
from market.exchange import Venue, names
from market.funding import join_settlements, join_snapshots
from market.paging import PagedClient, fill
from market.panel import Panel
from market.raw import Series, SeriesRows, forget, only_one, open_series, read_rows, save_manifest
from market.spans import DAY, Span, filled_spans, first_bar, on_grid, within, without

Progress = Callable[[float, float], None]

_FORMAT = 1
# A bar counts as closed this much after its end, ms: the exchange may still be adding its last trades.
_SETTLED = 2000


@dataclass(frozen=True, slots=True)
class Job:
    """What to fetch.

    Attributes
    ----------
    symbols
        ccxt's names (BTC/USDT), or the exchange's (BTCUSDT).
    since, until
        Bars that open in [since, until), ms; without `until`, to the last closed bar.
    funding, open_interest
        Whether to fetch these too and join them to the bars (perpetuals).
    """

    source: Venue
    symbols: tuple[str, ...]
    timeframe: str
    since: int
    until: int | None = None
    funding: bool = False
    open_interest: bool = False

    def kinds(self) -> list[What]:
        """Return what is fetched for each symbol, bars first."""
        kinds: list[What] = ["ohlcv"]
        return kinds + ["funding"] * self.funding + ["open_interest"] * self.open_interest


@dataclass(frozen=True, slots=True)
class Fetched:
    """The series of one symbol after a fetch, by kind, and what the exchange says of the symbol."""

    symbol: str
    series: Mapping[str, Series]
    step: int


async def run(
    job: Job, client: PagedClient, raw: Path, progress: Progress, *, at_once: int = 8, backfill: bool = False
) -> list[Fetched]:
    """Fetch what is missing of `job` into the raw store at `raw`, several symbols at once.

    Every page is on disk before the next is asked for, so a killed fetch goes on where it was.

    Parameters
    ----------
    progress
        Called with the bars done and the bars in all.
    backfill
        Ask once more for the holes that earlier fetches took for true.

    Raises
    ------
    InputError
        For unknown symbols, or what the exchange does not offer or does not get right.
    """
    step = client.bar_ms(job.timeframe)
    closed = on_grid(client.now() - _SETTLED, step)
    end = closed if job.until is None else min(closed, first_bar(job.until, step))
    span = (first_bar(job.since, step), end)
    if span[0] >= span[1]:
        raise InputError(f"no bar has closed between {_day(job.since)} and {_day(end)} ({job.source.exchange}'s clock)")
    folder = raw / job.source.folder / job.source.market
    fetch = _Fetch(job, client, folder, span, step, progress, backfill)
    with only_one(folder):
        plans = [fetch.open(symbol, "ohlcv") for symbol in dict.fromkeys(job.symbols)]
        gate = asyncio.Semaphore(at_once)

        async def one(symbol: str) -> Fetched:
            async with gate:
                return await fetch.symbol(symbol)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(plan.symbol)) for plan in plans]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]


@dataclass
class _Plan:
    symbol: str
    market: Mapping[str, Any] | None
    endpoint: Endpoint
    series: Series


class _Fetch:
    """One run of a job: what its tasks share."""

    def __init__(
        self, job: Job, client: PagedClient, folder: Path, span: Span, step: int, progress: Progress, backfill: bool
    ) -> None:
        self.job, self.client, self.folder = job, client, folder
        self.span, self.step, self.progress, self.backfill = span, step, progress, backfill
        self.done = self.total = 0.0
        self.plans: dict[str, _Plan] = {}

    def open(self, name: str, what: What) -> _Plan:
        """Open a symbol's bars and add what is missing of them to the total."""
        ask = self.client.endpoint(what, self.job.timeframe)
        market, symbol = self._market(name)
        series = self._series(symbol, ask)
        if self.backfill:
            series = forget(series, holes(series, ask))
        plan = self.plans[symbol] = _Plan(symbol, market, ask, series)
        if market is not None:
            self.total += sum(end - start for start, end in series.missing(self.span)) / ask.pace
        return plan

    def _market(self, name: str) -> tuple[Mapping[str, Any] | None, str]:
        try:
            market = self.client.market_of(name)
        except InputError:
            # A symbol that the exchange has struck from its list since the last fetch: what is stored stays.
            if (self.folder / self.job.timeframe / _slug(name) / "manifest.json").is_file():
                return None, name
            raise
        return market, str(market["symbol"])

    def _series(self, symbol: str, ask: Endpoint) -> Series:
        timeframe = self.job.timeframe
        below = {"ohlcv": timeframe, "funding": "funding", "open_interest": f"open_interest-{ask.pace // 60_000}m"}
        source = asdict(self.job.source)
        about = {**source, "symbol": symbol, "what": ask.what, "step_ms": ask.step}
        return open_series(self.folder / below[ask.what] / _slug(symbol), about, ask.columns)

    async def symbol(self, symbol: str) -> Fetched:
        """Fetch all kinds of one symbol."""
        bars = self.plans[symbol]
        if bars.market is None:
            gone = save_manifest(replace(bars.series, facts={**(bars.series.facts or {}), "active": False}))
            found = {"ohlcv": gone}
            for what in self.job.kinds()[1:]:
                found[what] = self._series(symbol, self.client.endpoint(what, self.job.timeframe))
            return Fetched(symbol, found, self.step)
        series = await self._fill(bars, self.span)
        found = {"ohlcv": save_manifest(replace(series, facts=_facts(series, bars, self.span[1])))}
        for what in self.job.kinds()[1:]:
            ask = self.client.endpoint(what, self.job.timeframe)
            # Nothing is settled, and no interest is open, before the first trade.
            start = max(self.span[0], series.first if series.first is not None else self.span[1])
            if ask.reaches_back is not None:
                start = max(start, first_bar(self.client.now() - ask.reaches_back, ask.pace))
            plan = _Plan(symbol, bars.market, ask, self._series(symbol, ask))
            if start < self.span[1]:
                missing = plan.series.missing((start, self.span[1]))
                self.total += sum(b - a for a, b in missing) / ask.pace
                plan.series = await self._fill(plan, (start, self.span[1]))
            found[what] = plan.series
        return Fetched(symbol, found, self.step)

    async def _fill(self, plan: _Plan, span: Span) -> Series:
        assert plan.market is not None
        return await fill(self.client, plan.endpoint, plan.market, plan.series, span, self._advance)

    def _advance(self, bars: float) -> None:
        self.done += bars
        self.progress(self.done, max(self.total, self.done))


def _facts(series: Series, plan: _Plan, now: int) -> dict[str, object]:
    """Return what is known of a symbol's life: the exchange's word where it gives one, and the bars'."""
    market, step = plan.market or {}, plan.endpoint.step or 1
    last, first = series.last, series.first
    silent = last is not None and now - (last + step) >= max(3 * step, DAY)
    ended = last is not None and (market.get("active") is False or silent)
    return {
        "id": market.get("id"),
        "active": market.get("active"),
        "listed": market.get("created"),
        "first_bar": first,
        "last_bar": last,
        "delisted": last + step if last is not None and ended else None,
        "holes": [list(span) for span in holes(series, plan.endpoint)],
        "note": plan.endpoint.note,
    }


def holes(series: Series, ask: Endpoint) -> list[Span]:
    """Return the spans between the first and last row that are known to hold none."""
    if ask.step is None or series.first is None or series.last is None:
        return []
    life = [(series.first, series.last + ask.step)]
    return without(within(series.known, life), filled_spans(read_rows(series).stamps, ask.step))


def _slug(symbol: str) -> str:
    return symbol.replace("/", "-").replace(":", "_")


def _day(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%d %H:%M}"


def assemble(job: Job, fetched: Sequence[Fetched]) -> Panel:
    """Return the panel of `job` from the raw series: bars, and what joins them causally.

    An asset is in the universe where it has a bar. A symbol without any bar has no column.

    Raises
    ------
    InputError
        When there are fewer than two bars, or a raw file is damaged.
    """
    step = fetched[0].step
    span = (job.since, job.until if job.until is not None else np.iinfo(np.int64).max)
    rows = {one.symbol: read_rows(one.series["ohlcv"]).within([span]) for one in fetched}
    rows = {symbol: found for symbol, found in sorted(rows.items()) if len(found)}
    times = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *(found.stamps for found in rows.values())]))
    if len(times) < 2:
        raise InputError(
            f"{job.source.exchange} has no bars of {names([one.symbol for one in fetched])} since {_day(job.since)}",
            "say an earlier --since",
        )
    fields = {name: np.full((len(times), len(rows)), np.nan) for name in BARS}
    for column, found in enumerate(rows.values()):
        place = np.searchsorted(times, found.stamps)
        for name in BARS:
            fields[name][place, column] = found[name]
    panel = Panel(
        times=times.astype("datetime64[ms]").astype("datetime64[ns]"),
        assets=tuple(rows),
        fields=fields,
        universe=np.isfinite(fields["close"]),
        bar=np.timedelta64(step, "ms").astype("timedelta64[ns]"),
        name=f"{job.source.exchange} {job.source.market} {job.timeframe}",
    )
    return _joined(panel, job, fetched)


def _joined(panel: Panel, job: Job, fetched: Sequence[Fetched]) -> Panel:
    def pieces_of(what: What, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        pieces = {}
        for one in fetched:
            rows: SeriesRows = read_rows(one.series[what])
            rows = rows.keep(np.isfinite(rows[name]))
            pieces[one.symbol] = (rows.stamps.astype("datetime64[ms]").astype("datetime64[ns]"), rows[name])
        return pieces

    if job.funding:
        panel = join_settlements(panel, pieces_of("funding", "funding_rate"))
    if job.open_interest:
        about = fetched[0].series["open_interest"].about
        oldest = max(panel.bar, np.timedelta64(int(str(about["step_ms"])), "ms"))
        for name in ("open_interest", "open_interest_usd"):
            taken = pieces_of("open_interest", name)
            if any(len(moments) for moments, _ in taken.values()):
                panel = join_snapshots(panel, name, taken, oldest)
    return panel


def summary(fetched: Sequence[Fetched]) -> list[dict[str, object]]:
    """Return, for each symbol, its bars, life and holes as plain JSON types."""
    found = []
    for one in fetched:
        facts = dict(one.series["ohlcv"].facts or {})
        rows = {what: series.rows for what, series in one.series.items()}
        found.append({"symbol": one.symbol, "rows": rows, **facts})
    return found


def record_of(job: Job, panel: Panel, fetched: Sequence[Fetched], more: Mapping[str, object]) -> dict[str, object]:
    """Return where a data set came from, as JSON types: what brings it up to date later."""
    return {
        "format": _FORMAT,
        "job": asdict(job),
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "panel": panel.id,
        **more,
        "symbols": summary(fetched),
    }


def read_record(path: Path) -> Job:
    """Return the job of a stored `record_of`; a damaged file is an `InputError`."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))["job"]
        source = Venue(**facts.pop("source"))
        return Job(source=source, symbols=tuple(facts.pop("symbols")), **facts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {error}", "fetch the data again") from error
