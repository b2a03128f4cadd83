"""`alphaglow data fetch`, `data update` and `data yahoo`: bars from exchanges and from Yahoo Finance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import (
    Command,
    headed,
    json_option,
    print_json,
    progress_bar,
    stderr,
    stdout,
    target_options,
    with_options,
    workspace_of,
)
from agent.cli.option_record import recorded
from agent.study.workspace import Workspace
from market.errors import InputError
from market.manifest import Origin

if TYPE_CHECKING:
    from agent.evidence.watching import Watched
    from market.bar_source import BarRequest, ExchangeOptions
    from market.panel import Panel

# Beside a data set that was fetched: what an update goes on from, or what is known of bars that came at once.
RECORD = ".fetch.json"
FACTS = ".source.json"


def parse_date(text: str, option: str) -> datetime:
    """Return a time in UTC; a date without a zone is taken for UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{option} {text!r} is not a date", "write 2024-01-01 or 2024-01-01T12:00") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def first_bar(since: str | None, days: int | None) -> datetime:
    """Return the time of the first bar that is asked for: a date, or midnight UTC this many days ago."""
    if (since is None) == (days is None):
        raise InputError("from when on?", "say --since 2024-01-01, or --days 30")
    if since is not None:
        return parse_date(since, "--since")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days or 0)


def _write_bars(panel: Panel, path: Path) -> None:
    """Write bars as a long table, one row a time and symbol."""
    from agent.study.trade_frame import write_table
    from market.panel_frames import all_fields

    write_table(all_fields(panel).reset_index(), path)
    stderr().print(f"bars written to {path}")


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
    return with_options(command, _ASKING)


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """What `data fetch` was asked for."""

    exchange: str
    symbols: str | None
    top: int | None
    days: int | None
    output: Path | None
    quote: str
    market: str
    timeframe: str
    since: str | None
    until: str | None
    funding: bool
    open_interest: bool
    name: str | None
    replace: bool
    base_url: str | None
    sandbox: bool
    at_once: int
    retries: int
    unpaced: bool
    as_json: bool


@click.command()
@click.argument("exchange", metavar="SOURCE")
@click.option("--symbols", "--symbol", "symbols", help="Comma-separated, such as BTC/USDT,ETHUSDT.")
@click.option("--top", type=click.IntRange(1), help="Instead: the N that traded the most money in the last day.")
@click.option("--quote", default="USDT", show_default=True, help="With --top: what they are priced in.")
@click.option(
    "--market", type=click.Choice(["spot", "swap"]), default="spot", show_default=True, help="swap: perpetuals."
)
@click.option("--timeframe", default="1h", show_default=True)
@click.option("--since", metavar="DATE", help="First bar, such as 2024-01-01 (UTC).")
@click.option("--days", type=click.IntRange(1), help="Instead: the last N days.")
@click.option("--until", metavar="DATE", help="Stop before this time (default: the last closed bar).")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the bars to this file as well (.csv or .parquet).",
)
@click.option("--funding", is_flag=True, help="Perpetuals: fetch the settlements of funding too, and join them.")
@click.option("--open-interest", is_flag=True, help="Perpetuals: fetch open interest too, and join it.")
@target_options("EXCHANGE-MARKET-TIMEFRAME")
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
    from agent.cli.data_fetch_source import fetch_bars, show_bars
    from agent.cli.data_show import free_path
    from market.bar_source import BarRequest, is_exchange
    from market.sources import source_of

    workspace = workspace_of(ctx)
    wanted = tuple(part.strip() for part in (asked.symbols or "").split(",") if part.strip())
    if bool(wanted) == (asked.top is not None):
        raise InputError("say which symbols", "--symbols BTC/USDT,ETH/USDT, or --top 30 --quote USDT")
    source = source_of(asked.exchange)
    if not is_exchange(source) and (
        asked.top or asked.funding or asked.open_interest or asked.base_url or asked.sandbox
    ):
        raise InputError(f"{asked.exchange} is no exchange", "give --symbols, --timeframe, --since and --until only")
    since = first_bar(asked.since, asked.days)
    until = parse_date(asked.until, "--until") if asked.until else None
    raw = workspace.folder("data") / "raw"
    request = BarRequest(asked.exchange, wanted, asked.timeframe, since, until, raw, exchange=_options(asked))
    if is_exchange(source):
        name = asked.name or f"{asked.exchange}-{asked.market}-{asked.timeframe}"
        if not asked.replace:
            _check_name(workspace, name, request)
    else:
        name = asked.name or f"{asked.exchange}-{asked.timeframe}"
        free_path(workspace, name, overwrite=asked.replace)
    found = fetch_bars(workspace, request, name)
    if asked.output is not None:
        _write_bars(found.bars.panel, asked.output)
    print_json(found.described) if asked.as_json else show_bars(found)


def _options(asked: FetchOptions) -> ExchangeOptions:
    from market.bar_source import ExchangeOptions

    return ExchangeOptions(
        market="swap" if asked.market == "swap" else "spot",
        base_url=asked.base_url,
        sandbox=asked.sandbox,
        funding=asked.funding,
        open_interest=asked.open_interest,
        top=(asked.top, asked.quote) if asked.top else None,
        at_once=asked.at_once,
        retries=asked.retries,
        paced=not asked.unpaced,
    )


def _check_name(workspace: Workspace, name: str, request: BarRequest) -> None:
    """Refuse to write over a data set that came from elsewhere, or has other bars."""
    from market.fetch import read_record
    from market.paged_source import job_of

    record = workspace.data_path(name).with_suffix(RECORD)
    if not workspace.stored_path(name).exists():
        return
    before, job = read_record(record) if record.is_file() else None, job_of(request)
    if before is None or (before.source, before.timeframe) != (job.source, job.timeframe):
        raise InputError(f"there is already a data set {name!r}", "choose another --name, or say --replace")


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """What `data update` was asked for."""

    names: tuple[str, ...]
    backfill: bool
    no_watch: bool
    at_once: int
    retries: int
    unpaced: bool
    as_json: bool


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--backfill", is_flag=True, help="Ask once more for the holes that earlier fetches found.")
@click.option("--no-watch", is_flag=True, help="Do not look how what was admitted did on the new bars.")
@_asking
@json_option
@click.pass_context
@recorded(UpdateOptions)
def update(ctx: click.Context, asked: UpdateOptions) -> None:
    """Add the bars that closed since the data sets NAME (default: all fetched ones) were fetched.

    Only what is new is asked for; bars that are stored are never revised. What was admitted on these data is then
    watched on the new bars: see `alphaglow watch`.
    """
    from agent.cli.data_fetch_source import added_bars, added_sentence, fetch_bars, recorded_rows, show_bars
    from agent.cli.watch import print_watched
    from market.bar_source import ExchangeOptions
    from market.fetch import read_record
    from market.paged_source import request_of

    workspace, names, as_json = workspace_of(ctx), asked.names, asked.as_json
    fetched = sorted(path.name.removesuffix(RECORD) for path in (workspace.root / "data").glob(f"*{RECORD}"))
    if not fetched:
        raise InputError("no data set was fetched here", "fetch one: alphaglow data fetch EXCHANGE --symbols ...")
    unknown = [name for name in names if name not in fetched]
    if unknown:
        raise InputError(f"{unknown[0]!r} was not fetched from an exchange", f"there is {', '.join(fetched)}")
    options = ExchangeOptions(
        at_once=asked.at_once, retries=asked.retries, paced=not asked.unpaced, backfill=asked.backfill
    )
    updated = []
    for name in names or fetched:
        record = workspace.data_path(name).with_suffix(RECORD)
        job, before = read_record(record), recorded_rows(record)
        found = fetch_bars(workspace, request_of(job, workspace.folder("data") / "raw", options), name)
        added = added_bars(before, found)
        updated.append({**found.described, "added": added})
        if not as_json:
            stdout().print(headed(name, f": {added_sentence(added, found)}"), soft_wrap=True)
            if any(added.values()):
                show_bars(found)
    watched = [] if asked.no_watch else [_watched(workspace, name) for name in names or fetched]
    if as_json:
        print_json({"data": updated, "watched": [one.to_dict() for one in watched if one is not None]})
        return
    for found_out in watched:
        if found_out is not None:
            print_watched(found_out)


def _watched(workspace: Workspace, name: str) -> Watched | None:
    """Look at what was admitted on a data set that was brought up to date; None where there is nothing."""
    from agent.cli.watch import alert_watched
    from agent.evidence.watching import watch

    place = workspace.knowledge_place
    if "://" not in place and not Path(place).is_file():
        return None
    with workspace.knowledge() as knowledge:
        found = watch(workspace, knowledge, name)
    alert_watched(workspace, found)
    return found if found.records else None


@dataclass(frozen=True, slots=True)
class YahooOptions:
    """What `data yahoo` was asked for."""

    tickers: tuple[str, ...]
    since: str
    until: str | None
    interval: str
    adjust: str
    name: str | None
    repair: bool
    replace: bool
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
@target_options("yahoo")
@click.option("--repair", is_flag=True, help="Repair or drop bad rows instead of refusing them, and say which.")
@json_option
@click.pass_context
@recorded(YahooOptions)
def yahoo(ctx: click.Context, asked: YahooOptions) -> None:
    """Fetch bars of stocks from Yahoo Finance (needs the extra `yahoo`).

    Adjusted prices change backwards with every split and dividend: to bring them up to date, fetch again with
    --replace.
    """
    from agent.cli.data_fetch_source import keep_fetched, shown_in
    from agent.cli.data_show import free_path
    from market.bar_source import BarRequest
    from market.yahoo import SAYS, fetch_yahoo

    workspace = workspace_of(ctx)
    name = asked.name or "yahoo"
    path = free_path(workspace, name, overwrite=asked.replace)
    with progress_bar() as bar:
        task = bar.add_task("bars from Yahoo", total=len(asked.tickers))
        found = fetch_yahoo(
            BarRequest(
                "yahoo",
                asked.tickers,
                asked.interval,
                parse_date(asked.since, "--since"),
                parse_date(asked.until, "--until") if asked.until else None,
                workspace.folder("data") / "raw",
                shown_in(bar, task),
            ),
            adjust=asked.adjust,  # type: ignore[arg-type]  # click checks it
            repair=asked.repair,
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
    _show_yahoo(found.panel, facts, name, as_json=asked.as_json)


def _show_yahoo(panel: Panel, facts: dict[str, Any], name: str, *, as_json: bool) -> None:
    from market.panel_facts import describe_panel

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
