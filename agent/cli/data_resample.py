"""`alphaglow data resample`."""

from __future__ import annotations

from dataclasses import dataclass

import click

from agent.cli.common import data_option, json_option, target_options, workspace_of
from agent.cli.data_show import save_data
from agent.cli.option_record import recorded
from market.errors import InputError
from market.manifest import Origin


@dataclass(frozen=True, slots=True)
class ResampleOptions:
    """What `data resample` was asked for."""

    data_name: str | None
    length: str | None
    since: str | None
    until: str | None
    assets: str | None
    name: str | None
    replace: bool
    as_json: bool


@click.command()
@data_option
@click.option("--to", "length", metavar="TIME", help="Length of the new bars: 4h, 1d, 1w.")
@click.option("--since", metavar="DATE", help="From this time on, UTC.")
@click.option("--until", metavar="DATE", help="Before this time, UTC.")
@click.option("--assets", metavar="A,B", help="Only these assets.")
@target_options("NAME-4h, or NAME-part")
@json_option
@click.pass_context
@recorded(ResampleOptions)
def resample(ctx: click.Context, asked: ResampleOptions) -> None:
    """Put the bars of a data set together to longer ones, or cut it.

    First open, highest high, lowest low, last close, sums of volume, money and funding. Bars begin on the grid of
    their length in UTC; one that is not whole at the end is left out.
    """
    from agent.cli.text_sources import parse_span
    from market.panel_part import part_of
    from market.resampling import resample as longer

    if not (asked.length or asked.since or asked.until or asked.assets):
        raise InputError("nothing to do", "say --to 4h, or --since, --until or --assets")
    workspace = workspace_of(ctx)
    path = workspace.resolve_data(asked.data_name)
    whole = workspace.load_panel(asked.data_name)
    panel = part_of(asked.since, asked.until, asked.assets).of(whole)
    if asked.length:
        panel = longer(panel, parse_span(asked.length, panel, "--to"))
    cut = {"to": asked.length, "since": asked.since, "until": asked.until, "assets": asked.assets}
    made = Origin("resampled", {"data": path.stem, **cut}, parent=whole.id)
    name = asked.name or f"{path.stem}-{asked.length or 'part'}"
    save_data(workspace, panel, name, replace=asked.replace, as_json=asked.as_json, origin=made)
