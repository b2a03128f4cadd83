"""`alphaglow report`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.common import data_option, json_option, print_json, stderr, workspace_of
from agent.cli.running import say

COMMANDS = {"report": ("report", 150, "Write the review report of a run or a factor.")}


@click.command()
@click.argument("what", metavar="RUN|FACTOR")
@data_option
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="File (default: reports/ID.html)."
)
@json_option
@click.pass_context
def report(ctx: click.Context, what: str, data_name: str | None, output: Path | None, as_json: bool) -> None:
    """Write the review report of a RUN or a FACTOR as one offline HTML file."""
    workspace = workspace_of(ctx)
    with workspace.listing() as known:
        known.require_known(what)
    from agent.review.collect import report_on

    with workspace.knowledge() as knowledge, stderr().status("drawing the report"):
        path = report_on(workspace, knowledge, what, data=data_name, output=output, note=say)
    if as_json:
        print_json({"report": str(path)})
    else:
        click.echo(str(path))
