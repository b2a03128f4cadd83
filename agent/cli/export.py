"""`alphaglow export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from agent.cli.common import FactorCommand, data_option, json_option, print_json, stderr, workspace_of
from agent.cli.option_record import recorded
from agent.cli.running import say
from market.errors import InputError

if TYPE_CHECKING:
    from agent.live.exporting import Target
    from agent.live.weight_files import WeightForm
    from agent.study.workspace import Workspace

COMMANDS = {"export": ("export", 130, "Write a factor or a pool for what trades it.")}


_WEIGHTS = ("weights-csv", "nautilus", "lean")


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What `export` was asked for."""

    factor: str | None
    pool: str | None
    target: str
    venue: str
    output: Path | None
    data_name: str | None
    as_json: bool


@click.command(cls=FactorCommand)
@click.argument("factor", required=False, metavar="[FACTOR]")
@click.option("--pool", "-p", metavar="NAME", help="Write this pool in the place of a factor.")
@click.option(
    "--to", "target", type=click.Choice(["pandas", "freqtrade", *_WEIGHTS]), required=True, help="What to write."
)
@click.option("--venue", default="SIM", show_default=True, help="Of nautilus: what follows an instrument's dot.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="File (default: standard output)."
)
@data_option
@json_option
@click.pass_context
@recorded(ExportOptions)
def export(ctx: click.Context, asked: ExportOptions) -> None:
    """Write FACTOR (an id or an expression) or a pool as a file that runs without alphaglow; it sends no orders.

    pandas: a module with values(frames) and weights(signal, frames), which also runs as a program. freqtrade: a
    strategy file that compares the pairs of its whitelist. Values are ours; weights follow the rules of alphaglow.toml,
    or those that the pool was fitted under. What is not in the file is said. weights-csv, nautilus, lean: the target
    weights of each bar of the data set, after the gate, size and caps, to be traded after the bar's close.
    """
    from agent.live.exporting import export_factor, export_pool

    if (asked.factor is None) == (asked.pool is None):
        raise InputError("what should be exported?", "name a FACTOR, or a pool with --pool")
    workspace = workspace_of(ctx)
    if asked.target in _WEIGHTS:
        _export_weights(workspace, asked)
        return
    target = cast("Target", asked.target)
    with workspace.knowledge() as knowledge:
        if asked.pool is not None:
            written = export_pool(asked.pool, target, workspace, knowledge, asked.data_name, say)
        else:
            written = export_factor(asked.factor or "", target, workspace, knowledge, asked.data_name, say)
    if asked.output is not None:
        _write(asked.output, written.source)
    if asked.as_json:
        print_json(
            {
                "subject": written.subject,
                "title": written.title,
                "target": asked.target,
                "strategy": written.strategy,
                "not_in_this_file": list(written.remarks),
                "file": None if asked.output is None else str(asked.output),
                "source": written.source if asked.output is None else None,
            }
        )
        return
    for remark in written.remarks:
        stderr().print(f"not in this file: {remark}", soft_wrap=True, markup=False)
    if asked.output is None:
        click.echo(written.source, nl=False)
        return
    click.echo(str(asked.output))
    if written.strategy:
        stderr().print(f"freqtrade knows it as --strategy {written.strategy}", markup=False)


def _write(output: Path, text: str) -> None:
    from market.atomic_files import write_atomically

    write_atomically(output, lambda path: path.write_text(text, encoding="utf-8", newline="\n"))
    output.chmod(0o644)


def _export_weights(workspace: Workspace, asked: ExportOptions) -> None:
    """Write the target weights of each bar."""
    from agent.live.signal_source import open_signal
    from agent.live.weight_files import weights_file
    from agent.study.opening import open_data

    with workspace.knowledge() as knowledge:
        opened = open_data(workspace, asked.data_name, learned=False)
        factors = () if asked.factor is None else (asked.factor,)
        portfolio = open_signal(workspace, knowledge, opened.name, opened.whole, pool=asked.pool, factors=factors)
    for note in portfolio.notes:
        say(f"note: {note}")
    text = weights_file(portfolio, opened.whole, cast("WeightForm", asked.target), asked.venue)
    if asked.output is not None:
        _write(asked.output, text)
    file = None if asked.output is None else str(asked.output)
    if asked.as_json:
        found = {"subject": portfolio.id, "title": portfolio.name, "target": asked.target, "file": file}
        print_json({**found, "source": text if file is None else None})
        return
    click.echo(text if file is None else file, nl=file is not None)
