"""`alphaglow init` and `alphaglow data ...`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.common import data_option, json_option, print_json, stderr, stdout, workspace_of
from agent.cli.data_fetch import fetch, update, yahoo
from agent.cli.data_quality import check, synth
from agent.cli.data_show import column_pairs, known_zone, save_data, show_data, show_preview
from agent.cli.data_split import dates_in_words, split_command
from agent.cli.groups import Group
from agent.cli.option_record import recorded
from agent.study.workspace import init_workspace
from agent.untrusted.showing import printable
from market.errors import InputError
from market.manifest import Origin, read_manifest

if TYPE_CHECKING:
    from market.files import Stamps
    from market.panel import Calendar

COMMANDS = {
    "init": ("init", 10, "Make a workspace in DIR."),
    "data": ("data", 20, "Import, fetch, make, check and show market data."),
}


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Make a workspace in DIR: settings, folders and a knowledge base."""
    workspace = init_workspace(folder)
    workspace.knowledge().close()
    click.echo(printable(f"{folder} is a workspace. Next: cd {folder} && alphaglow data import FILE"))


@click.group(cls=Group)
def data() -> None:
    """Import, fetch, make, check and show market data."""


for _command in (fetch, update, yahoo, check, synth, split_command):
    data.add_command(_command)


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What `data import` was asked for."""

    files: tuple[Path, ...]
    name: str | None
    columns: tuple[str, ...]
    calendar: Calendar
    zone: str
    stamps: Stamps
    preview: bool
    repair: bool
    replace: bool
    as_json: bool


@data.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--name", help="Name of the data set (default: from the first file).")
@click.option("--column", "columns", multiple=True, metavar="OURS=THEIRS", help="Map a column name; repeat as needed.")
@click.option(
    "--calendar",
    type=click.Choice(["continuous", "exchange"]),
    default="continuous",
    show_default=True,
    help="continuous: 24/7 (crypto). exchange: 252 sessions a year (equities).",
)
@click.option("--tz", "zone", default="UTC", show_default=True, help="Time zone of times that state none.")
@click.option(
    "--stamps",
    type=click.Choice(["open", "close"]),
    default="open",
    show_default=True,
    help="Whether a time is a bar's open or its close.",
)
@click.option("--preview", is_flag=True, help="Say how columns and times are understood, and stop.")
@click.option("--repair", is_flag=True, help="Repair or drop bad rows instead of refusing the file, and say which.")
@click.option("--replace", is_flag=True, help="Overwrite a data set of the same name.")
@json_option
@click.pass_context
@recorded(ImportOptions)
def import_(ctx: click.Context, asked: ImportOptions) -> None:
    """Import CSV or Parquet FILES as one data set.

    Long, wide, or one file an asset; Binance's bulk klines (also zipped), CryptoDataDownload's and yfinance's files.
    """
    from market.files import FileConventions, import_files

    mapping = column_pairs(asked.columns)
    known_zone(asked.zone)
    if asked.preview:
        show_preview(list(asked.files), FileConventions(mapping, asked.zone, asked.stamps), as_json=asked.as_json)
        return
    workspace = workspace_of(ctx)
    name = asked.name or asked.files[0].stem
    workspace.data_path(name)
    notes: list[str] = []
    panel = import_files(
        list(asked.files),
        columns=mapping,
        calendar=asked.calendar,
        repair=asked.repair,
        notes=notes,
        name=name,
        zone=asked.zone,
        stamps=asked.stamps,
    )
    for line in notes:
        stderr().print(line)
    query = {"files": [str(path) for path in asked.files], "columns": mapping, "tz": asked.zone, "stamps": asked.stamps}
    origin = Origin("file", query, repairs=tuple(notes))
    save_data(workspace, panel, name, replace=asked.replace, as_json=asked.as_json, origin=origin)


@data.command()
@click.argument("file", type=click.Path(path_type=Path))
@data_option
@click.option("--name", help="Name of the new data set (default: NAME-funding).")
@click.option("--replace", is_flag=True, help="Overwrite a data set of the same name.")
@json_option
@click.pass_context
def funding(
    ctx: click.Context, file: Path, data_name: str | None, name: str | None, replace: bool, as_json: bool
) -> None:
    """Join FILE, the settlements of perpetuals (time, symbol, funding rate), to a data set.

    The backtest then pays and receives funding at the settlements that a position is held through, and factors may use
    the fields funding and funding_rate.
    """
    import numpy as np

    from market.funding import join_funding

    workspace = workspace_of(ctx)
    path = workspace.resolve_data(data_name)
    whole = workspace.load_panel(data_name)
    joined = join_funding(whole, file)
    silent = [asset for i, asset in enumerate(joined.assets) if not np.isfinite(joined["funding"][:, i]).any()]
    if silent and not as_json:
        stderr().print(f"no settlement of {', '.join(silent[:12])}: they pay none")
    made = Origin("funding", {"data": path.stem, "file": str(file)}, parent=whole.id)
    save_data(workspace, joined, name or f"{path.stem}-funding", replace=replace, as_json=as_json, origin=made)


@data.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@data_option
@click.option("--column", "columns", multiple=True, metavar="NAME", help="Only this column; repeat as needed.")
@click.option("--oldest", metavar="TIME", help="After which a value is stale: 2h, 3d (default: three spacings).")
@click.option("--name", help="Name of the new data set (default: NAME-joined).")
@click.option("--replace", is_flag=True, help="Overwrite a data set of the same name.")
@json_option
@click.pass_context
def join(
    ctx: click.Context,
    files: tuple[Path, ...],
    data_name: str | None,
    columns: tuple[str, ...],
    oldest: str | None,
    name: str | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Join FILES of figures known at a time (time, symbol, numbers) to a data set, each column as a field.

    Open interest, long/short and taker ratios, exchange flows, locked value. A bar has the newest value stamped at or
    before its open. A file of funding rates is joined as `data funding` does.
    """
    import numpy as np

    from agent.cli.text_sources import parse_span
    from market.snapshots import join_table

    workspace = workspace_of(ctx)
    path = workspace.resolve_data(data_name)
    whole = joined = workspace.load_panel(data_name)
    limit = None if oldest is None else parse_span(oldest, whole, "--oldest")
    for file in files:
        joined = join_table(joined, file, columns=columns, oldest=limit)
    query = {"data": path.stem, "files": [str(file) for file in files], "columns": list(columns), "oldest": oldest}
    made = Origin("joined", query, parent=whole.id)
    save_data(workspace, joined, name or f"{path.stem}-joined", replace=replace, as_json=as_json, origin=made)
    for field in sorted(set(joined.fields) - set(whole.fields)) if not as_json else ():
        known = np.isfinite(joined[field])
        share = known.sum() / max(1, int(np.isfinite(joined["close"]).sum()))
        stderr().print(f"{field}: {int(known.any(axis=0).sum())} assets, {share:.0%} of their bars")


@data.command()
@data_option
@json_option
@click.pass_context
def show(ctx: click.Context, data_name: str | None, as_json: bool) -> None:
    """Show span, bars, assets, gaps and the split of a data set (or list them all)."""
    workspace = workspace_of(ctx)
    names = workspace.data_names()
    if data_name is None and len(names) != 1:
        if as_json:
            print_json({"data": names})
        elif names:
            click.echo(printable("\n".join(names)))
        else:
            click.echo("No data yet. Import some: alphaglow data import FILE")
        return
    from agent.study.moving_dates import shown_dates

    path, panel = workspace.resolve_data(data_name), workspace.load_panel(data_name)
    try:
        shown = shown_dates(workspace, panel)
    except InputError as error:
        shown = {"refused": str(error)}
    said = shown["refused"] if "refused" in shown else dates_in_words(shown)
    show_data(panel, path.stem, as_json=as_json, manifest=read_manifest(path), split=shown)
    if not as_json:
        stdout().print(str(said), soft_wrap=True, markup=False)
