"""`alphaglow init` and `alphaglow data ...`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from agent.cli.common import (
    data_option,
    json_option,
    panel_option,
    print_json,
    stderr,
    stdout,
    target_options,
    text_table,
    workspace_of,
)
from agent.cli.data_fetch import fetch, update, yahoo
from agent.cli.data_large import ImportOptions, import_large, needs_pieces
from agent.cli.data_quality import check, synth
from agent.cli.data_resample import resample
from agent.cli.data_show import (
    calendar_option,
    list_data,
    missing_sessions,
    save_data,
    show_data,
    show_preview,
    stated,
)
from agent.cli.data_split import dates_in_words, split_command
from agent.cli.data_store import FileOrStore, import_panel, local_files, name_of, panel_in_store
from agent.cli.groups import Group
from agent.cli.option_record import recorded
from agent.cli.reading_options import ReadingOptions, reading_options
from agent.study.workspace import init_workspace
from agent.untrusted.showing import printable
from market.errors import InputError
from market.manifest import Origin, read_manifest

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


for _command in (fetch, update, yahoo, check, synth, resample, split_command):
    data.add_command(_command)


@data.command("import")
@click.argument("files", nargs=-1, required=True, type=FileOrStore())
@target_options("from the first file")
@reading_options()
@calendar_option("Default: exchange where weekends have no bars")
@click.option("--preview", is_flag=True, help="Say how columns and times are understood, and stop.")
@click.option("--repair", is_flag=True, help="Repair or drop bad rows instead of refusing the file, and say which.")
@json_option
@click.pass_context
@recorded(ImportOptions)
def import_(ctx: click.Context, asked: ImportOptions) -> None:
    """Import FILES as one data set: CSV and other text, JSON, Parquet, Feather; also packed.

    Long, wide, or one file an asset. How they are written is found out, and what was found out is printed; each of it
    can be said instead. `data recipes` lists the sources that are known. A file may lie in an object store, such as
    s3://BUCKET/bars.csv, and so may a data set that is stored by field, s3://BUCKET/NAME.panel.
    """
    name = asked.name or name_of(asked.files[0])
    folder = panel_in_store(asked.files)
    if folder is not None:
        workspace = workspace_of(ctx)
        workspace.data_path(name)
        import_panel(workspace, asked, folder, name)
        return
    if not asked.preview:
        workspace_of(ctx).data_path(name)
    with local_files(asked.files) as files:
        _import_files(ctx, asked, files, name)


def _import_files(ctx: click.Context, asked: ImportOptions, files: list[Path], name: str) -> None:
    how = asked.reading.conventions()
    if asked.preview:
        show_preview(files, how, as_json=asked.as_json)
        return
    workspace = workspace_of(ctx)
    if needs_pieces(files, workspace.settings.data.whole_gb):
        import_large(workspace, asked, files, how, name)
        return
    from market.files import import_as

    calendar, code = asked.calendar
    done = import_as(files, how, calendar=calendar, repair=asked.repair, name=name)
    for line in (*done.said, *done.repairs, *missing_sessions(done.panel, code)):
        stderr().print(printable(line), soft_wrap=True, markup=False, highlight=False)
    query = {"files": [str(path) for path in asked.files], **stated(how)}
    origin = Origin("file", query, repairs=done.repairs)
    save_data(workspace, done.panel, name, replace=asked.replace, as_json=asked.as_json, origin=origin)


@data.command()
@data_option
@click.option("--calendar", "code", required=True, metavar="CODE", help="Of the exchange, such as XNYS.")
@target_options("NAME-sessions")
@json_option
@click.pass_context
def sessions(
    ctx: click.Context, data_name: str | None, code: str, name: str | None, replace: bool, as_json: bool
) -> None:
    """Add fields of an exchange's sessions to intraday bars: first_bar, last_bar and half_day, each 1 or 0.

    All are known before a session begins. Needs the extra `calendars`.
    """
    from market.sessions import session_flags, sessions_of

    workspace = workspace_of(ctx)
    path = workspace.resolve_data(data_name)
    whole = workspace.load_panel(data_name)
    flagged = session_flags(sessions_of(code, whole), whole)
    made = Origin("sessions", {"data": path.stem, "calendar": code.upper()}, parent=whole.id)
    save_data(workspace, flagged, name or f"{path.stem}-sessions", replace=replace, as_json=as_json, origin=made)


@data.command()
@json_option
def recipes(as_json: bool) -> None:
    """List the sources whose files are known: `--recipe NAME`, most are recognised without."""
    from market.reading.recipe import all_recipes

    known = all_recipes()
    if as_json:
        print_json({"recipes": [asdict(recipe) for recipe in known]})
        return
    rows = [[one.name, one.title, "no" if one.asked else "yes", one.note, one.checked or "-"] for one in known]
    stdout().print(text_table("Recipes", ["name", "of", "by shape", "what to know", "checked against"], rows, left=5))


@data.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@data_option
@target_options("NAME-funding")
@reading_options(but=["stamps"])
@json_option
@click.pass_context
def funding(
    ctx: click.Context,
    /,
    files: tuple[Path, ...],
    data_name: str | None,
    name: str | None,
    replace: bool,
    as_json: bool,
    reading: ReadingOptions,
) -> None:
    """Join FILES, the settlements of perpetuals (time, symbol, funding rate), to a data set.

    The backtest then pays and receives funding at the settlements that a position is held through, and factors may use
    the fields funding and funding_rate. Files are read as `data import` reads them; without a column of symbols, the
    file's name is the symbol.
    """
    import numpy as np

    from market.funding import join_funding

    workspace = workspace_of(ctx)
    path = workspace.resolve_data(data_name)
    whole = workspace.load_panel(data_name)
    said: list[str] = []
    how = reading.conventions()
    joined = join_funding(whole, files, how, said)
    for line in dict.fromkeys(said):
        stderr().print(printable(line), soft_wrap=True, markup=False, highlight=False)
    silent = [asset for i, asset in enumerate(joined.assets) if not np.isfinite(joined["funding"][:, i]).any()]
    if silent and not as_json:
        stderr().print(
            f"no settlement of {', '.join(silent[:12])}: their funding is unknown (NaN), a backtest charges none"
        )
    query = {"data": path.stem, "files": [str(file) for file in files], **stated(how)}
    made = Origin("funding", query, parent=whole.id)
    save_data(workspace, joined, name or f"{path.stem}-funding", replace=replace, as_json=as_json, origin=made)


@dataclass(frozen=True, slots=True)
class JoinOptions:
    """What `data join` was asked for."""

    files: tuple[Path, ...]
    data_name: str | None
    columns: tuple[str, ...]
    oldest: str | None
    name: str | None
    replace: bool
    as_json: bool
    reading: ReadingOptions


@data.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@data_option
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME",
    help="Only this column, or OURS=THEIRS (ts, symbol, or a field's new name); repeat as needed.",
)
@click.option("--oldest", metavar="TIME", help="After which a value is stale: 2h, 3d (default: three spacings).")
@target_options("NAME-joined")
@reading_options(but=["columns", "stamps"])
@json_option
@click.pass_context
@recorded(JoinOptions)
def join(ctx: click.Context, asked: JoinOptions) -> None:
    """Join FILES of figures known at a time (time, symbol, numbers) to a data set, each column as a field.

    Open interest, long/short and taker ratios, exchange flows, locked value. A bar has the newest value stamped at or
    before its open. A file of funding rates is joined as `data funding` does. Files are read as `data import` reads
    them; without a column of symbols, the file's name is the symbol.
    """
    import numpy as np

    from agent.cli.text_sources import parse_span
    from market.snapshots import join_table

    workspace = workspace_of(ctx)
    path = workspace.resolve_data(asked.data_name)
    whole = joined = workspace.load_panel(asked.data_name)
    limit = None if asked.oldest is None else parse_span(asked.oldest, whole, "--oldest")
    said: list[str] = []
    how = asked.reading.conventions()
    for file in asked.files:
        joined = join_table(joined, file, columns=asked.columns, oldest=limit, said=said, reading=how)
    for line in dict.fromkeys(said):
        stderr().print(printable(line), soft_wrap=True, markup=False, highlight=False)
    named = {"data": path.stem, "files": [str(file) for file in asked.files], "oldest": asked.oldest}
    query = {**named, **stated(how), "columns": list(asked.columns)}
    made = Origin("joined", query, parent=whole.id)
    name = asked.name or f"{path.stem}-joined"
    save_data(workspace, joined, name, replace=asked.replace, as_json=asked.as_json, origin=made)
    for field in sorted(set(joined.fields) - set(whole.fields)) if not asked.as_json else ():
        known = np.isfinite(joined[field])
        share = known.sum() / max(1, int(np.isfinite(joined["close"]).sum()))
        stderr().print(f"{field}: {int(known.any(axis=0).sum())} assets, {share:.0%} of their bars")


@data.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List all data sets with span, bars and assets."""
    list_data(workspace_of(ctx), as_json=as_json)


@data.command()
@panel_option
@json_option
@click.pass_context
def show(ctx: click.Context, data_name: str | None, as_json: bool) -> None:
    """Show span, bars, assets, gaps and the split of a data set, or list all of them."""
    workspace = workspace_of(ctx)
    names = workspace.data_names()
    if data_name is None and len(names) != 1:
        list_data(workspace, as_json=as_json)
        return
    path, part = workspace.resolve_part(data_name)
    from agent.study.moving_dates import shown_dates

    panel = part.of(workspace.load_panel(str(path)))
    try:
        shown = shown_dates(workspace, panel)
    except InputError as error:
        shown = {"refused": str(error)}
    said = shown["refused"] if "refused" in shown else dates_in_words(shown)
    show_data(panel, part.label(path.stem), as_json=as_json, manifest=read_manifest(path), split=shown)
    if not as_json:
        stdout().print(str(said), soft_wrap=True, markup=False)
