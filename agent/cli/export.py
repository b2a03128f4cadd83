"""`alphaglow export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.common import FactorCommand, data_option, json_option, print_json, stderr, workspace_of
from agent.cli.running import say
from market.errors import InputError

if TYPE_CHECKING:
    from agent.live.exporting import Target


@click.command(cls=FactorCommand)
@click.argument("factor", required=False, metavar="[FACTOR]")
@click.option("--pool", "-p", metavar="NAME", help="Write this pool in the place of a factor.")
@click.option("--to", "target", type=click.Choice(["pandas", "freqtrade"]), required=True, help="What to write.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="File (default: standard output)."
)
@data_option
@json_option
@click.pass_context
def export(
    ctx: click.Context,
    factor: str | None,
    pool: str | None,
    target: Target,
    output: Path | None,
    data_name: str | None,
    as_json: bool,
) -> None:
    """Write FACTOR (an id or an expression) or a pool as a file that runs without alphaglow; it sends no orders.

    pandas: a module with values(frames) and weights(signal, frames), which also runs as a program. freqtrade: a
    strategy file that compares the pairs of its whitelist. Values are ours; weights follow the rules of alphaglow.toml,
    or those that the pool was fitted under. What is not in the file is said.
    """
    from agent.live.exporting import export_factor, export_pool
    from market.panel_store import write_atomically

    if (factor is None) == (pool is None):
        raise InputError("what should be exported?", "name a FACTOR, or a pool with --pool")
    workspace = workspace_of(ctx)
    with workspace.knowledge() as knowledge:
        if pool is not None:
            written = export_pool(pool, target, workspace, knowledge, data_name, say)
        else:
            written = export_factor(factor or "", target, workspace, knowledge, data_name, say)
    if output is not None:
        write_atomically(output, lambda path: path.write_text(written.source, encoding="utf-8", newline="\n"))
        output.chmod(0o644)
    if as_json:
        print_json(
            {
                "subject": written.subject,
                "title": written.title,
                "target": target,
                "strategy": written.strategy,
                "not_in_this_file": list(written.remarks),
                "file": None if output is None else str(output),
                "source": written.source if output is None else None,
            }
        )
        return
    for remark in written.remarks:
        stderr().print(f"not in this file: {remark}", soft_wrap=True, markup=False)
    if output is None:
        click.echo(written.source, nl=False)
        return
    click.echo(str(output))
    if written.strategy:
        stderr().print(f"freqtrade knows it as --strategy {written.strategy}", markup=False)
