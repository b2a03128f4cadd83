"""`alphaglow data resample`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from agent.cli.common import data_option, json_option, workspace_of
from agent.cli.data_show import save_data
from agent.cli.option_record import recorded
from market.errors import InputError
from market.manifest import Origin

if TYPE_CHECKING:
    from market.panel import Panel


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
@click.option("--name", help="Name of the new data set (default: NAME-4h, or NAME-part).")
@click.option("--replace", is_flag=True, help="Overwrite a data set of the same name.")
@json_option
@click.pass_context
@recorded(ResampleOptions)
def resample(ctx: click.Context, asked: ResampleOptions) -> None:
    """Put the bars of a data set together to longer ones, or cut it.

    First open, highest high, lowest low, last close, sums of volume, money and funding. Bars begin on the grid of
    their length in UTC; one that is not whole at the end is left out.
    """
    from agent.cli.text_sources import parse_span
    from market.resampling import resample as longer

    if not (asked.length or asked.since or asked.until or asked.assets):
        raise InputError("nothing to do", "say --to 4h, or --since, --until or --assets")
    workspace = workspace_of(ctx)
    path = workspace.resolve_data(asked.data_name)
    whole = workspace.load_panel(asked.data_name)
    panel = _cut(whole, asked.since, asked.until)
    if asked.assets:
        panel = panel.select([one.strip() for one in asked.assets.split(",") if one.strip()])
    if asked.length:
        panel = longer(panel, parse_span(asked.length, panel, "--to"))
    cut = {"to": asked.length, "since": asked.since, "until": asked.until, "assets": asked.assets}
    made = Origin("resampled", {"data": path.stem, **cut}, parent=whole.id)
    name = asked.name or f"{path.stem}-{asked.length or 'part'}"
    save_data(workspace, panel, name, replace=asked.replace, as_json=asked.as_json, origin=made)


def _cut(panel: Panel, since: str | None, until: str | None) -> Panel:
    import numpy as np

    bounds = []
    for said, option, default in ((since, "--since", 0), (until, "--until", len(panel.times))):
        try:
            place = default if said is None else int(np.searchsorted(panel.times, np.datetime64(said, "ns")))
        except ValueError as error:
            raise InputError(f"{option} {said!r} is no date", "write 2024-01-31, or 2024-01-31T12:00") from error
        bounds.append(place)
    if bounds[1] - bounds[0] < 2:
        span = f"{str(panel.times[0])[:16]} to {str(panel.times[-1])[:16]}"
        raise InputError("fewer than two bars are left", f"the data are of {span}")
    return panel.rows(bounds[0], bounds[1])
