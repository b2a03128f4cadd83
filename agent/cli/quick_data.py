"""Options that name symbols of an exchange in the place of a data set, and the fetch behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from agent.cli.common import Command, with_options
from agent.cli.running import say
from market.errors import InputError

if TYPE_CHECKING:
    from agent.study.sections import BacktestSettings
    from agent.study.workspace import Workspace


@dataclass(frozen=True)
class QuickData:
    """Symbols of an exchange, and how much of their past."""

    symbols: tuple[str, ...]
    exchange: str
    timeframe: str
    days: int
    market: str = "spot"
    base_url: str | None = None

    @property
    def name(self) -> str:
        """The name of the data set that they become."""
        words = "-".join(symbol.replace("/", "").replace(":", "-") for symbol in self.symbols[:3])
        more = f"-and-{len(self.symbols) - 3}" if len(self.symbols) > 3 else ""
        return f"{self.exchange}-{self.market}-{self.timeframe}-{words}{more}"


def quick_options(command: Command) -> Command:
    """Add `--symbol`, `--days`, `--exchange`, `--timeframe`; the command gets them for `quick_data`."""
    return with_options(
        command,
        (
            click.option(
                "--symbol", "symbols", metavar="A,B", help="In the place of --data: fetch these from --exchange."
            ),
            click.option("--days", type=click.IntRange(1), help="With --symbol: the last N days (default: 365)."),
            click.option("--exchange", metavar="NAME", help="With --symbol: any that ccxt knows (default: bybit)."),
            click.option("--timeframe", metavar="BAR", help="With --symbol: length of a bar (default: 1h)."),
            click.option("--base-url", hidden=True, help="Send every request to this server in the exchange's place."),
        ),
    )


def quick_data(
    symbols: str | None, days: int | None, exchange: str | None, timeframe: str | None, base_url: str | None
) -> QuickData | None:
    """Return what is to be fetched; None where no symbol is named."""
    wanted = tuple(part.strip().upper() for part in (symbols or "").split(",") if part.strip())
    if not wanted:
        if any(one is not None for one in (symbols, days, exchange, timeframe)):
            raise InputError("--days, --exchange and --timeframe belong to --symbol", "name one: --symbol BTC/USDT")
        return None
    market = "swap" if any(":" in symbol for symbol in wanted) else "spot"
    return QuickData(wanted, exchange or "bybit", timeframe or "1h", days or 365, market, base_url)


def fetch_quick(workspace: Workspace, wanted: QuickData) -> str:
    """Fetch what is missing of the bars into the workspace, say so, and return the name of the data set."""
    from agent.cli.data_fetch import RECORD, first_bar
    from agent.cli.data_fetch_source import added_bars, added_sentence, fetch_bars, recorded_rows
    from market.bar_source import BarRequest, ExchangeOptions, is_exchange
    from market.sources import source_of

    if not is_exchange(source_of(wanted.exchange)):
        raise InputError(f"{wanted.exchange} is no exchange", "fetch from it with: alphaglow data fetch")
    say(
        f"fetching {wanted.days} days of {', '.join(wanted.symbols)} from {wanted.exchange}, bars of "
        f"{wanted.timeframe}, into the workspace as {wanted.name}"
    )
    options = ExchangeOptions(
        market="swap" if wanted.market == "swap" else "spot", base_url=wanted.base_url, paced=wanted.base_url is None
    )
    raw = workspace.folder("data") / "raw"
    since = first_bar(None, wanted.days)
    request = BarRequest(wanted.exchange, wanted.symbols, wanted.timeframe, since, None, raw, exchange=options)
    record = workspace.data_path(wanted.name).with_suffix(RECORD)
    before = recorded_rows(record) if record.is_file() else {}
    found = fetch_bars(workspace, request, wanted.name)
    say(f"{wanted.name}: {added_sentence(added_bars(before, found), found)}")
    return wanted.name


def traded_alone(settings: BacktestSettings, assets: int) -> BacktestSettings:
    """Return settings by which few assets can be traded: each alone, by its own past; it is said."""
    from backtest.run import MAX_SMALL_UNIVERSE

    if assets > MAX_SMALL_UNIVERSE or settings.weighting == "timeseries":
        return settings
    say(few_words(assets))
    return settings.model_copy(update={"weighting": "timeseries"})


def few_words(assets: int) -> str:
    """Say why assets are traded each alone."""
    few = "one asset cannot be ranked" if assets == 1 else f"{assets} assets are too few to be ranked"
    return f"{few} against others: each is traded alone, by its own past (weighting timeseries)"
