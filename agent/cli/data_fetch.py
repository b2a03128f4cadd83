"""`alphaglow data fetch`, `data update` and `data yahoo`: bars from exchanges and from Yahoo Finance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import Command, headed, json_option, print_json, progress_bar, stderr, stdout, table, workspace_of
from agent.cli.option_record import recorded
from agent.study.workspace import Workspace
from market.errors import InputError
from market.manifest import Origin

if TYPE_CHECKING:
    from rich.progress import Progress

    from market.fetch import Fetched, Job
    from market.panel import Panel

RECORD = ".fetch.json"


def parse_date(text: str, option: str) -> datetime:
    """Return a time in UTC; a date without a zone is taken for UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{option} {text!r} is not a date", "write 2024-01-01 or 2024-01-01T12:00") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _ms(text: str, option: str) -> int:
    return int(parse_date(text, option).timestamp() * 1000)


_ASKING = (
    click.option(
        "--at-once", type=click.IntRange(1), default=8, show_default=True, help="Symbols fetched side by side."
    ),
    click.option(
        "--retries", type=click.IntRange(0), default=8, show_default=True, help="New tries of a failed request."
    ),
    click.option("--unpaced", is_flag=True, help="Ignore the exchange's rate limits: only for a server of your own."),
)


def _asking(command: Command) -> Command:
    """Add the options of how an exchange is asked."""
    for option in reversed(_ASKING):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """What `data fetch` was asked for."""

    exchange: str
    symbols: str | None
    top: int | None
    quote: str
    market: str
    timeframe: str
    since: str
    until: str | None
    funding: bool
    open_interest: bool
    name: str | None
    overwrite: bool
    base_url: str | None
    sandbox: bool
    at_once: int
    retries: int
    unpaced: bool
    as_json: bool


@click.command()
@click.argument("exchange", metavar="SOURCE")
@click.option("--symbols", help="Comma-separated, such as BTC/USDT,ETH/USDT.")
@click.option("--top", type=click.IntRange(1), help="Instead: the N that traded the most money in the last day.")
@click.option("--quote", default="USDT", show_default=True, help="With --top: what they are priced in.")
@click.option(
    "--market", type=click.Choice(["spot", "swap"]), default="spot", show_default=True, help="swap: perpetuals."
)
@click.option("--timeframe", default="1h", show_default=True)
@click.option("--since", required=True, metavar="DATE", help="First bar, such as 2024-01-01 (UTC).")
@click.option("--until", metavar="DATE", help="Stop before this time (default: the last closed bar).")
@click.option("--funding", is_flag=True, help="Perpetuals: fetch the settlements of funding too, and join them.")
@click.option("--open-interest", is_flag=True, help="Perpetuals: fetch open interest too, and join it.")
@click.option("--name", help="Name of the data set (default: EXCHANGE-MARKET-TIMEFRAME).")
@click.option("--replace", "overwrite", is_flag=True, help="Overwrite a data set of the same name that came elsewhere.")
@click.option("--base-url", metavar="URL", help="Send every request to this server in the exchange's place.")
@click.option("--sandbox", is_flag=True, help="Ask the exchange's test network.")
@_asking
@json_option
@click.pass_context
@recorded(FetchOptions)
def fetch(ctx: click.Context, asked: FetchOptions) -> None:
    """Fetch bars from SOURCE: an exchange that ccxt knows, yahoo, or a source that a plugin adds.

    From an exchange, a fetch that was stopped or killed goes on when the same command is run again.

    Pages are kept as they came under data/raw; the data set NAME is made of them. `alphaglow data update NAME` later
    adds what is new.
    """
    from market.exchange import Source
    from market.fetch import Job
    from market.sources import SOURCES

    name = asked.name

    workspace = workspace_of(ctx)
    wanted = tuple(part.strip() for part in (asked.symbols or "").split(",") if part.strip())
    if bool(wanted) == (asked.top is not None):
        raise InputError("say which symbols", "--symbols BTC/USDT,ETH/USDT, or --top 30 --quote USDT")
    if asked.exchange in SOURCES:
        _at_once(workspace, asked, wanted)
        return
    source = Source(asked.exchange, "swap" if asked.market == "swap" else "spot", asked.base_url, asked.sandbox)
    end = _ms(asked.until, "--until") if asked.until else None
    job = Job(source, wanted, asked.timeframe, _ms(asked.since, "--since"), end, asked.funding, asked.open_interest)
    name = name or f"{asked.exchange}-{asked.market}-{asked.timeframe}"
    if not asked.overwrite:
        _check_name(workspace, name, job)
    ask = _Asking(asked.at_once, asked.retries, paced=not asked.unpaced)
    fetched = _fetch(
        workspace, name, job, ask, pick=(asked.top, asked.quote) if asked.top else None, as_json=asked.as_json
    )
    if asked.as_json:
        print_json(fetched)


def _at_once(workspace: Workspace, asked: FetchOptions, wanted: tuple[str, ...]) -> None:
    """Fetch from a source that returns its bars at once, and show what came."""
    from agent.cli.data_fetch_source import fetch_at_once, show_at_once

    if asked.top is not None or asked.funding or asked.open_interest or asked.base_url or asked.sandbox:
        raise InputError(f"{asked.exchange} is no exchange", "give --symbols, --timeframe, --since and --until only")
    until = parse_date(asked.until, "--until") if asked.until else None
    period = (parse_date(asked.since, "--since"), until)
    name = asked.name or f"{asked.exchange}-{asked.timeframe}"
    found = fetch_at_once(workspace, asked.exchange, wanted, asked.timeframe, period, name, overwrite=asked.overwrite)
    print_json(found) if asked.as_json else show_at_once(found)


def _check_name(workspace: Workspace, name: str, job: Job) -> None:
    """Refuse to write over a data set that came from elsewhere, or has other bars."""
    from market.fetch import read_record

    record = workspace.data_path(name).with_suffix(RECORD)
    if not workspace.data_path(name).exists():
        return
    before = read_record(record) if record.is_file() else None
    if before is None or (before.source, before.timeframe) != (job.source, job.timeframe):
        raise InputError(f"there is already a data set {name!r}", "choose another --name, or say --replace")


class _Asking:
    """How to ask: symbols side by side, new tries, rate limits, and whether to ask for known holes again."""

    def __init__(self, at_once: int, retries: int, *, paced: bool, backfill: bool = False) -> None:
        self.at_once, self.retries, self.paced, self.backfill = at_once, retries, paced, backfill


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--backfill", is_flag=True, help="Ask once more for the holes that earlier fetches found.")
@_asking
@json_option
@click.pass_context
def update(
    ctx: click.Context, names: tuple[str, ...], backfill: bool, at_once: int, retries: int, unpaced: bool, as_json: bool
) -> None:
    """Add the bars that closed since the data sets NAME (default: all fetched ones) were fetched.

    Only what is new is asked for; bars that are stored are never revised.
    """
    from market.fetch import read_record

    workspace = workspace_of(ctx)
    fetched = sorted(path.name.removesuffix(RECORD) for path in (workspace.root / "data").glob(f"*{RECORD}"))
    if not fetched:
        raise InputError("no data set was fetched here", "fetch one: alphaglow data fetch EXCHANGE --symbols ...")
    unknown = [name for name in names if name not in fetched]
    if unknown:
        raise InputError(f"{unknown[0]!r} was not fetched from an exchange", f"there is {', '.join(fetched)}")
    ask = _Asking(at_once, retries, paced=not unpaced, backfill=backfill)
    updated = []
    for name in names or fetched:
        job = read_record(workspace.data_path(name).with_suffix(RECORD))
        updated.append(_fetch(workspace, name, replace(job, until=None), ask, pick=None, as_json=as_json))
    if as_json:
        print_json({"data": updated})


def _fetch(
    workspace: Workspace, name: str, job: Job, ask: _Asking, *, pick: tuple[int, str] | None, as_json: bool
) -> dict[str, object]:
    """Fetch, write the data set and its record, and return what there is to tell; without `as_json`, show it."""
    import asyncio

    from agent.cli.data_show import describe_panel
    from market.fetch import assemble, summary, write_record
    from market.panel_store import save_panel

    path = workspace.data_path(name)
    raw = workspace.folder("data") / "raw"
    with progress_bar() as bar:
        try:
            job, fetched, tally = asyncio.run(_gather(job, raw, ask, pick, bar))
        except KeyboardInterrupt:
            stderr().print("stopped; what was fetched is kept: run the same command again to go on")
            raise
    panel = assemble(job, fetched)
    # The record goes first: a data set without one could not be brought up to date.
    write_record(path.with_suffix(RECORD), job, panel, fetched, tally)
    query = {**asdict(job.source), "symbols": list(job.symbols), "timeframe": job.timeframe, "since": job.since}
    save_panel(panel, path, Origin(job.source.exchange, query))
    symbols = summary(fetched)
    if not as_json:
        _show_fetched(panel, name, symbols, tally)
    return {**describe_panel(panel, name), "fetch": {**tally, "symbols": symbols}}


async def _gather(
    job: Job, raw: Path, ask: _Asking, pick: tuple[int, str] | None, bar: Progress
) -> tuple[Job, list[Fetched], dict[str, Any]]:
    import numpy as np

    from market.exchange import Client
    from market.fetch import run

    task = bar.add_task(f"bars from {job.source.exchange}", total=None)

    def progress(done: float, total: float) -> None:
        bar.update(task, completed=round(done), total=round(total))

    # Seeded by the system: clients that were refused together must not come back together.
    async with Client(job.source, np.random.default_rng(), paced=ask.paced, retries=ask.retries) as client:
        if pick is not None:
            job = replace(job, symbols=tuple(await client.top(*pick)))
        fetched = await run(job, client, raw, progress, at_once=ask.at_once, backfill=ask.backfill)
        tally = {"requests": client.tally.requests, "asked_again": client.tally.again}
    return replace(job, symbols=tuple(one.symbol for one in fetched)), fetched, tally


def _show_fetched(panel: Panel, name: str, symbols: Sequence[dict[str, object]], tally: dict[str, Any]) -> None:
    out = stdout()
    out.print(
        headed(
            name,
            f"  {str(panel.times[0])[:16]} to {str(panel.times[-1])[:16]} UTC, {panel.shape[0]} bars, "
            f"{panel.shape[1]} assets, {tally['requests']} requests ({tally['asked_again']} made again)\n"
            f"{panel.id}  fields: {', '.join(sorted(panel.fields))}",
        )
    )
    rows = []
    for one in symbols[:30]:
        ended, gone = one.get("delisted"), one.get("holes")
        assert isinstance(gone, list)
        counts = one["rows"]
        assert isinstance(counts, dict)
        rows.append(
            [str(one["symbol"]), str(counts["ohlcv"]), _day(one.get("first_bar")), _day(one.get("last_bar"))]
            + [_day(ended), str(len(gone))]
        )
    more = f" (30 of {len(symbols)})" if len(symbols) > 30 else ""
    out.print(table(f"Symbols{more}", ["symbol", "bars", "first", "last", "ended", "holes"], rows))
    for note in sorted({str(one["note"]) for one in symbols if one.get("note")}):
        out.print(f"note: {note}")


def _day(stamp: object) -> str:
    return f"{datetime.fromtimestamp(stamp / 1000, UTC):%Y-%m-%d %H:%M}" if isinstance(stamp, int) else "–"


@dataclass(frozen=True, slots=True)
class YahooOptions:
    """What `data yahoo` was asked for."""

    tickers: tuple[str, ...]
    since: str
    until: str | None
    interval: str
    adjust: str
    name: str
    repair: bool
    overwrite: bool
    as_json: bool


@click.command()
@click.argument("tickers", nargs=-1, required=True)
@click.option("--since", required=True, metavar="DATE", help="First bar, such as 2015-01-01.")
@click.option("--until", metavar="DATE", help="Stop before this date (default: the last finished session).")
@click.option("--interval", type=click.Choice(["1d", "1h"]), default="1d", show_default=True)
@click.option(
    "--adjust",
    type=click.Choice(["none", "splits", "all"]),
    default="all",
    show_default=True,
    help="none: as traded. splits: Yahoo's own prices. all: dividends taken out too.",
)
@click.option("--name", default="yahoo", show_default=True, help="Name of the data set.")
@click.option("--repair", is_flag=True, help="Repair or drop bad rows instead of refusing them, and say which.")
@click.option("--replace", "overwrite", is_flag=True, help="Overwrite a data set of the same name.")
@json_option
@click.pass_context
@recorded(YahooOptions)
def yahoo(ctx: click.Context, asked: YahooOptions) -> None:
    """Fetch bars of stocks from Yahoo Finance (needs the extra `yahoo`).

    Adjusted prices change backwards with every split and dividend: to bring them up to date, fetch again with
    --replace.
    """
    from agent.cli.data_fetch_source import keep_fetched
    from agent.cli.data_show import free_path
    from market.yahoo import SAYS, fetch_yahoo

    workspace = workspace_of(ctx)
    path = free_path(workspace, asked.name, overwrite=asked.overwrite)
    cache = workspace.folder("data") / "raw" / "yahoo"
    with progress_bar() as bar:
        task = bar.add_task("bars from Yahoo", total=len(asked.tickers))
        found = fetch_yahoo(
            asked.tickers,
            parse_date(asked.since, "--since"),
            parse_date(asked.until, "--until") if asked.until else None,
            adjust=asked.adjust,  # type: ignore[arg-type]  # click checks it
            interval=asked.interval,
            cache=cache,
            mend=asked.repair,
            progress=lambda ticker: bar.update(task, advance=1, description=ticker),
        )
    facts = {
        "source": "yahoo",
        "tickers": list(asked.tickers),
        "interval": asked.interval,
        "since": asked.since,
        "until": asked.until,
        "adjust": asked.adjust,
        "adjust_says": SAYS[found.adjust],
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "panel": found.panel.id,
        "dividends": found.dividends,
        "splits": found.splits,
        "notes": found.notes,
    }
    origin = Origin("yahoo", {"adjust": asked.adjust, "tickers": list(found.panel.assets)}, str(facts["fetched"]))
    keep_fetched(path, found.panel, ".yahoo.json", facts, origin)
    for line in found.notes:
        stderr().print(line)
    _show_yahoo(found.panel, facts, asked.name, as_json=asked.as_json)


def _show_yahoo(panel: Panel, facts: dict[str, Any], name: str, *, as_json: bool) -> None:
    from agent.cli.data_show import describe_panel

    described = describe_panel(panel, name)
    if as_json:
        print_json({**described, "fetch": facts})
        return
    stdout().print(
        headed(
            name,
            f"  {described['start']} to {described['end']}, {panel.shape[0]} bars, "
            f"{panel.shape[1]} assets; {facts['adjust_says']}\n{panel.id}",
        )
    )
