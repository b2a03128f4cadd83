"""`alphaglow verify`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from agent.cli.common import json_option, panel_option, print_json, stderr, stdout, text_table
from agent.cli.option_record import recorded
from agent.cli.reading_options import ReadingOptions, reading_options

if TYPE_CHECKING:
    from agent.study.workspace import Workspace
    from agent.verify.claim import Kind
    from agent.verify.verification import Verification
    from backtest.trading_rules import Fill

COMMANDS = {"verify": ("verify", 65, "Judge anyone's signal, weights, trades or returns.")}
# The exit code of a claim that is not shown.
NOT_SHOWN = 3


@dataclass(frozen=True)
class VerifyOptions:
    """What `verify` was asked for."""

    file: Path
    data_name: str | None
    kind: Kind | None
    column: str
    trials: int | None
    expression: str | None
    shortened: Path | None
    known: Literal["close", "open"]
    preset: str | None
    cost_bp: float | None
    fill: Fill | None
    capital: float | None
    leverage: float
    level: float
    worlds: int
    seed: int
    out: Path | None
    as_json: bool
    reading: ReadingOptions


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@panel_option
@click.option("--kind", type=click.Choice(["signals", "weights", "trades", "returns"]), help="What FILE holds.")
@click.option("--values", "column", default="", metavar="COLUMN", help="The column that holds the values.")
@click.option(
    "--trials", type=click.IntRange(min=1), metavar="N", help="How many signals were tried until this one was found."
)
@click.option("--expression", metavar="TEXT", help="The expression that made it: computed again, without later bars.")
@click.option(
    "--shortened",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The same signal made from data that end earlier: common rows have to be equal.",
)
@click.option(
    "--known",
    type=click.Choice(["close", "open"]),
    default="close",
    show_default=True,
    help="Whether a row was known at the close of its bar, or at its open.",
)
@click.option("--costs", "preset", metavar="VENUE", help="Costs of a venue, such as binance_perp or us_equity.")
@click.option("--cost-bp", type=click.FloatRange(min=0), help="Basis points paid on each trade, in their place.")
@click.option("--fill", type=click.Choice(["open", "close"]), help="At which price of the next bar it trades.")
@click.option("--capital", type=click.FloatRange(min=0), help="Capital, for market impact.")
@click.option(
    "--leverage",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Largest sum of sizes of a row of weights.",
)
@click.option("--level", type=float, default=0.05, show_default=True, help="How often luck may pass, of each test.")
@click.option(
    "--worlds",
    type=click.IntRange(min=0, max=10_000),
    default=100,
    show_default=True,
    help="Worlds without skill of each kind.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of those worlds.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the page (HTML) here.")
@reading_options(but=("stamps", "wide", "units", "recipe", "symbol"))
@json_option
@click.pass_context
@recorded(VerifyOptions)
def verify(ctx: click.Context, asked: VerifyOptions) -> None:
    """Judge the signals, weights, trades or returns of FILE, whoever made them.

    FILE is CSV, Parquet or another table: one column an asset, a row a time and asset, a list of trades, or a series
    of returns. --data names a data set of the workspace, whose holdout stays shut, or a file of bars or of closes.
    Exit code 0: shown, 3: not shown, 2: bad input. Nothing of FILE is run.
    """  # fmt: skip
    from agent.verify.claim_reading import ReadingAs, read_claim_file
    from agent.verify.judged_data import judged_data, with_terms
    from agent.verify.verifying import Terms, judge

    reading = ReadingAs(asked.kind, asked.column, asked.leverage, asked.reading.conventions())
    claim = read_claim_file(asked.file, reading)
    shortened = None
    if asked.shortened is not None:
        shortened = read_claim_file(asked.shortened, replace(reading, kind=claim.kind))
    data = judged_data(_workspace(ctx), asked.data_name, needed=claim.kind != "returns", assets=claim.assets)
    spec = with_terms(data.spec, preset=asked.preset, cost_bp=asked.cost_bp, fill=asked.fill, capital=asked.capital)
    terms = Terms(
        asked.trials, spec, asked.known, asked.level, asked.worlds, asked.seed, asked.expression or "", shortened,
        reading=reading,
    )  # fmt: skip
    with stderr().status("judging (the first time, kernels are compiled)"):
        found = judge(claim, data.panel, terms)
    found = replace(found, notes=(*found.notes, *data.notes))
    _show(found, asked)
    ctx.exit(0 if found.shown else NOT_SHOWN)


def _workspace(ctx: click.Context) -> Workspace | None:
    """Return the workspace, or None where there is none: files need none."""
    from agent.study.workspace import MARKER, find_workspace

    given, here = ctx.find_root().obj, Path.cwd()
    if given is None and not any((folder / MARKER).is_file() for folder in (here, *here.parents)):
        return None
    return find_workspace(given, here)


def _show(found: Verification, asked: VerifyOptions) -> None:
    from agent.verify.verify_findings import findings_of

    made = findings_of(found, asked.file.name)
    if asked.out is not None:
        from agent.review.render import render_findings, write_report

        write_report(render_findings(made), asked.out)
    if asked.as_json:
        print_json({**made.document, "page": None if asked.out is None else str(asked.out)})
        return
    out = stdout()
    out.print(made.lead, style="bold", soft_wrap=True, markup=False)
    for sentence in made.sentences:
        out.print(f"- {sentence}", soft_wrap=True, markup=False)
    for grid in made.grids:
        out.print()
        out.print(text_table(grid.title, grid.columns, grid.rows, left=grid.left))
        if grid.note:
            out.print(grid.note, soft_wrap=True, markup=False)
    if asked.out is not None:
        stderr().print(f"page: {asked.out}", soft_wrap=True, markup=False)
