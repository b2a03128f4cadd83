"""`alphaglow data resample`."""

from __future__ import annotations

import click

from agent.cli.common import data_option, json_option, target_options, workspace_of
from agent.cli.data_show import save_data
from market.errors import InputError
from market.manifest import Origin


@click.command()
@data_option
@click.option("--to", "length", metavar="TIME", help="Length of the new bars: 4h, 1d, 1w.")
@click.option("--since", metavar="DATE", help="From this time on, UTC.")
@click.option("--until", metavar="DATE", help="Before this time, UTC.")
@click.option("--assets", metavar="A,B", help="Only these assets.")
@target_options("NAME-4h, or NAME-part")
@json_option
@click.pass_context
def resample(
    ctx: click.Context,
    /,
    data_name: str | None,
    length: str | None,
    since: str | None,
    until: str | None,
    assets: str | None,
    name: str | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Put the bars of a data set together to longer ones, or cut it.

    First open, highest high, lowest low, last close, sums of volume, money and funding. Bars begin on the grid of
    their length in UTC; one that is not whole at the end is left out.
    """
    from agent.cli.text_sources import parse_span
    from market.panel_part import part_of
    from market.resampling import resample as longer

    if not (length or since or until or assets):
        raise InputError("nothing to do", "say --to 4h, or --since, --until or --assets")
    workspace = workspace_of(ctx)
    path = workspace.resolve_data(data_name)
    whole = workspace.load_panel(data_name)
    panel = part_of(since, until, assets).of(whole)
    if length:
        panel = longer(panel, parse_span(length, panel, "--to"))
    query = {"data": path.stem, "to": length, "since": since, "until": until, "assets": assets}
    made = Origin("resampled", query, parent=whole.id)
    save_data(
        workspace, panel, name or f"{path.stem}-{length or 'part'}", replace=replace, as_json=as_json, origin=made
    )
