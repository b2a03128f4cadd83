"""`alphaglow signal`: target weights now or bar by bar, with their reasons, and the paper ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import (
    FactorCommand,
    data_option,
    json_option,
    print_json,
    stderr,
    workspace_of,
)
from agent.cli.groups import DefaultGroup
from agent.cli.option_record import recorded
from agent.cli.signal_emitting import documents_of, emitted_before, of_known_bars, say_aside, service_of
from agent.cli.signal_opening import OpenedSignal, opened_signal
from agent.cli.signal_show import show_ledger, show_ledgers, show_signal
from agent.cli.signal_sources import sources
from market.errors import InputError

if TYPE_CHECKING:
    from agent.live.arrivals import WaitLimits
    from agent.live.csv_output import CsvFile
    from agent.live.service import SignalService
    from agent.study.workspace import Workspace

COMMANDS = {"signal": ("signal", 140, "Target weights now, bar by bar, and on paper.")}

# A gate that lets less than this share through, on average over the assets, is shut.
_SHUT = 0.05


def signal_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says which portfolio is meant."""
    for option in (
        click.option("--no-gate", is_flag=True, help="Trade without the gate, even where one is fitted."),
        click.option("--replay-from", metavar="DATE", help="Replay the data set's own bars from there on."),
        click.option("--pool", "pool_name", metavar="NAME", help="The pool to trade (or name factors)."),
    ):
        command = option(command)
    return command


@click.group(cls=DefaultGroup)
def signal() -> None:
    """Evaluate a pool or factors on the newest bars: target weights and their reasons. No order is ever sent.

    `alphaglow signal --pool NAME` or `alphaglow signal FACTOR...`, with --watch for every bar to come;
    `alphaglow signal ledger --pool NAME` shows what it earned on paper.
    """


@dataclass(frozen=True, slots=True)
class NowOptions:
    """What `signal` was asked for."""

    factors: tuple[str, ...]
    pool_name: str | None
    replay_from: str | None
    no_gate: bool
    watch: bool
    speed: float
    most: int | None
    grace: float
    bound: float
    share: float
    csv_path: Path | None
    data_name: str | None
    as_json: bool


@signal.command(cls=FactorCommand)
@click.argument("factors", nargs=-1, metavar="[FACTOR]...")
@signal_options
@click.option("--watch", is_flag=True, help="Wait for each bar's close, and emit its signal once, until Ctrl-C.")
@click.option("--speed", type=click.FloatRange(min=0), default=0.0, help="Of a replay: times real time; 0: no waiting.")
@click.option("--bars", "most", type=click.IntRange(min=1), help="Stop after this number of signals.")
@click.option("--grace", type=click.FloatRange(min=0), default=2.0, show_default=True, help="Seconds after a close.")
@click.option(
    "--bound", type=click.FloatRange(min=0), default=120.0, show_default=True, help="To wait for late assets."
)
@click.option("--share", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="Of assets, to be complete.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path, dir_okay=False), help="Append each signal to FILE.")
@data_option
@json_option
@click.pass_context
@recorded(NowOptions)
def now(ctx: click.Context, asked: NowOptions) -> None:
    """Emit the newest bar's target weights with their reasons; with --watch, every bar's as it closes."""
    from agent.live.arrivals import WaitLimits
    from agent.live.feed import FeedDown

    workspace = workspace_of(ctx)
    limits = WaitLimits(grace=asked.grace, bound=asked.bound, share=asked.share)
    # Recorded bars are replayed one by one: there is nothing newer to wait for.
    asked = replace(asked, watch=asked.watch or asked.replay_from is not None)
    with opened_signal(
        workspace, asked.data_name, asked.pool_name, asked.factors, asked.replay_from, asked.no_gate, asked.speed
    ) as decider:
        if asked.watch and decider.source == "data":
            raise InputError(
                f"{decider.data} was not fetched: there is nothing to wait for",
                "replay it: --replay-from DATE, or fetch it: alphaglow data fetch",
            )
        for note in decider.portfolio.notes:
            stderr().print(f"note: {note}", markup=False, soft_wrap=True)
        service = service_of(decider)
        if decider.source == "replay":
            decider.catch_up(service.newest.time, limits)
        file = None if asked.csv_path is None else _csv_file(asked.csv_path, decider, service)
        if asked.watch:
            ends = str(service.newest.time + 2 * decider.base.bar)[:16]
            say_aside(
                f"watching {decider.feed.name}: the next bar closes at {ends} UTC; no order is sent; Ctrl-C stops"
            )
        emitted = 0
        try:
            for document in documents_of(decider, service, limits, asked.watch):
                if file is not None:
                    file.put(document)
                show_signal(document, asked.as_json, watched=asked.watch)
                _alert_gate(workspace, decider.data, document)
                emitted += 1
                if emitted == asked.most:
                    break
        except FeedDown as error:
            raise InputError(str(error), "try again later, or wait for it with --watch") from error
        if not emitted and not asked.watch:
            for document in _show_newest(workspace, decider, service, limits, asked.as_json):
                if file is not None:
                    file.put(document)


def _show_newest(
    workspace: Workspace, decider: OpenedSignal, service: SignalService, limits: WaitLimits, as_json: bool
) -> Iterator[Mapping[str, object]]:
    """Show the signal of the newest bar that is known: again, or now, where an update brought the bar.

    Yields what is emitted for the first time.
    """
    before = emitted_before(decider, service)
    if before is not None:
        say_aside("this bar's signal was emitted before; here it is again, from the journal")
        show_signal(before, as_json)
        return
    for document in of_known_bars(decider, service, limits):
        show_signal(document, as_json)
        _alert_gate(workspace, decider.data, document)
        yield document


def _alert_gate(workspace: Workspace, data: str, document: Mapping[str, object]) -> None:
    """Say to people's services that the gate lets next to nothing through; no weight is said."""
    through = document.get("gate_exposure")
    if isinstance(through, float) and through < _SHUT:
        from agent.live.alerts import Alert, send_alerts

        send_alerts(workspace, [Alert("gate shut", data, f"the gate on {data} is shut")], say_aside)


def _csv_file(path: Path, decider: OpenedSignal, service: SignalService) -> CsvFile:
    """Open the file, and add what was in the journal, but not in it yet when something stopped us."""
    from agent.live.csv_output import CsvFile

    file = CsvFile(path, decider.portfolio.labels)
    for one in decider.journal.signals(service.id):
        if one.status == "emitted":
            file.put(one.document)
    return file


@dataclass(frozen=True, slots=True)
class LedgerOptions:
    """What `signal ledger` was asked for."""

    factors: tuple[str, ...]
    pool_name: str | None
    replay_from: str | None
    no_gate: bool
    against_backtest: bool
    last: int
    data_name: str | None
    as_json: bool


@signal.command(cls=FactorCommand)
@click.argument("factors", nargs=-1, metavar="[FACTOR]...")
@signal_options
@click.option("--against-backtest", is_flag=True, help="Compare it with the backtest of the same bars, bar by bar.")
@click.option(
    "--fills", "last", type=click.IntRange(min=0), default=10, show_default=True, help="Newest fills to show."
)
@data_option
@json_option
@click.pass_context
@recorded(LedgerOptions)
def ledger(ctx: click.Context, asked: LedgerOptions) -> None:
    """Show what a pool or factors earned on paper; without any, list the ledgers."""
    from agent.live.feed import with_bars
    from agent.live.paper_check import against_backtest as compare
    from agent.live.paper_check import ledger_facts
    from agent.live.service import ledger_id
    from agent.live.signal_journal import FILE, SignalJournal

    workspace = workspace_of(ctx)
    if asked.pool_name is None and not asked.factors:
        journal = SignalJournal.open(workspace.root / FILE)
        ledgers = journal.ledgers()
        journal.close()
        show_ledgers(ledgers, asked.as_json)
        return
    with opened_signal(
        workspace, asked.data_name, asked.pool_name, asked.factors, asked.replay_from, asked.no_gate
    ) as decider:
        name = ledger_id(decider.portfolio, decider.feed.name)
        paid = decider.journal.equity(name)
        facts = ledger_facts(paid, decider.base.bars_per_year)
        fills = decider.journal.fills(name, asked.last)
        found: dict[str, Any] = {
            "ledger": name,
            "portfolio": decider.portfolio.name,
            "feed": decider.feed.name,
            **facts,
        }
        if asked.against_backtest:
            whole = with_bars(decider.base, decider.journal.bars(decider.feed.name, decider.base.times[-1]))
            found["against_backtest"] = compare(decider.portfolio, decider.journal, name, whole)
    if asked.as_json:
        print_json({**found, "fills": [{**fill, "time": str(fill["time"])} for fill in fills]})
        return
    show_ledger(found, fills)


signal.add_command(sources)
