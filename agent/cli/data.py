"""`alphaglow init` and `alphaglow data ...`."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from agent.cli.common import (
    data_option,
    headed,
    json_option,
    number,
    print_json,
    stderr,
    stdout,
    table,
    workspace_of,
)
from agent.cli.data_fetch import fetch, update, yahoo
from agent.review.text import printable
from agent.workspace import Workspace, init_workspace
from market.errors import InputError
from market.panel import Panel


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Make a workspace in DIR: settings, folders and a knowledge base."""
    workspace = init_workspace(folder)
    workspace.knowledge().close()
    click.echo(printable(f"{folder} is a workspace. Next: cd {folder} && alphaglow data import FILE"))


@click.group()
def data() -> None:
    """Import, fetch, make and show market data."""


data.add_command(fetch)
data.add_command(update)
data.add_command(yahoo)


def _columns(pairs: tuple[str, ...]) -> dict[str, str]:
    mapping = {}
    for pair in pairs:
        ours, sep, theirs = pair.partition("=")
        if not sep or not ours or not theirs:
            raise InputError(f"--column {pair!r} is not OURS=THEIRS", "for example --column close=last_price")
        mapping[ours.strip()] = theirs.strip()
    return mapping


def _save(workspace: Workspace, panel: Panel, name: str, *, replace: bool, as_json: bool) -> None:
    from market.store import save_panel

    path = workspace.data_path(name)
    if path.exists() and not replace:
        raise InputError(f"there is already a data set {name!r}", "choose another --name, or say --replace")
    workspace.folder("data")
    save_panel(panel, path)
    _show(panel, name, as_json=as_json)


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
@click.option("--repair", is_flag=True, help="Mend or drop bad rows instead of refusing the file, and say which.")
@click.option("--replace", is_flag=True, help="Overwrite a data set of the same name.")
@json_option
@click.pass_context
def import_(
    ctx: click.Context,
    files: tuple[Path, ...],
    name: str | None,
    columns: tuple[str, ...],
    calendar: str,
    repair: bool,
    replace: bool,
    as_json: bool,
) -> None:
    """Import CSV or Parquet FILES, long or wide, as one data set."""
    from market.files import import_files

    workspace = workspace_of(ctx)
    name = name or files[0].stem
    workspace.data_path(name)
    notes: list[str] = []
    panel = import_files(
        list(files),
        columns=_columns(columns) or None,
        calendar="exchange" if calendar == "exchange" else "continuous",
        mend=repair,
        notes=notes,
        name=name,
    )
    for line in notes:
        stderr().print(line)
    _save(workspace, panel, name, replace=replace, as_json=as_json)


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
    from market.funding import join_funding

    workspace = workspace_of(ctx)
    path = workspace.resolve_data(data_name)
    joined = join_funding(workspace.load_panel(data_name), file)
    silent = [asset for i, asset in enumerate(joined.assets) if not np.isfinite(joined["funding"][:, i]).any()]
    if silent and not as_json:
        stderr().print(f"no settlement of {', '.join(silent[:12])}: they pay none")
    _save(workspace, joined, name or f"{path.stem}-funding", replace=replace, as_json=as_json)


@data.command()
@click.option("--name", default="synth", show_default=True)
@click.option("--seed", default=7, show_default=True)
@click.option("--assets", default=12, show_default=True)
@click.option("--bars", default=8760, show_default=True, help="Hourly bars; 8760 is a year.")
@click.option("--replace", is_flag=True, help="Overwrite a data set of the same name.")
@json_option
@click.pass_context
def synth(ctx: click.Context, name: str, seed: int, assets: int, bars: int, replace: bool, as_json: bool) -> None:
    """Make a seeded synthetic market with a known planted signal."""
    from market.synth import SynthSpec, make_market

    market = make_market(SynthSpec(seed=seed, assets=assets, bars=bars))
    _save(workspace_of(ctx), market.panel, name, replace=replace, as_json=as_json)
    if not as_json:
        stderr().print(f"Simulated. The planted signal is {market.truth}; its sign breaks in the crash windows.")


@data.command()
@data_option
@json_option
@click.pass_context
def show(ctx: click.Context, data_name: str | None, as_json: bool) -> None:
    """Show span, bars, assets and gaps of a data set (or list them all)."""
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
    path = workspace.resolve_data(data_name)
    _show(workspace.load_panel(data_name), path.stem, as_json=as_json)


def describe_panel(panel: Panel, name: str) -> dict[str, object]:
    """Return span, size, fields, gaps and per-asset coverage as plain JSON types."""
    close = np.isfinite(panel["close"])
    steps = np.diff(panel.times)
    wide = np.flatnonzero(steps > panel.bar)
    gaps = [{"after": str(panel.times[i])[:16], "missing_bars": round(float(steps[i] / panel.bar)) - 1} for i in wide]
    assets = []
    for column, asset in enumerate(panel.assets):
        seen = np.flatnonzero(close[:, column])
        if len(seen) == 0:
            assets.append({"asset": asset, "bars": 0, "first": None, "last": None, "missing_inside": 0})
            continue
        first, last = int(seen[0]), int(seen[-1])
        assets.append(
            {
                "asset": asset,
                "bars": len(seen),
                "first": str(panel.times[first])[:16],
                "last": str(panel.times[last])[:16],
                "missing_inside": last - first + 1 - len(seen),
            }
        )
    return {
        "name": name,
        "id": panel.id,
        "bars": panel.shape[0],
        "assets": panel.shape[1],
        "bar_minutes": float(panel.bar / np.timedelta64(1, "m")),
        "start": str(panel.times[0])[:16],
        "end": str(panel.times[-1])[:16],
        "calendar": panel.calendar,
        "bars_per_year": panel.bars_per_year,
        "fields": sorted(panel.fields),
        "gaps": gaps,
        "per_asset": assets,
    }


def _show(panel: Panel, name: str, *, as_json: bool) -> None:
    facts = describe_panel(panel, name)
    if as_json:
        print_json(facts)
        return
    out = stdout()
    gaps, assets = facts["gaps"], facts["per_asset"]
    assert isinstance(gaps, list)
    assert isinstance(assets, list)
    # A weekend is no gap on an exchange; only holes that single assets have inside their own life are.
    what = "calendar breaks (weekends, holidays)" if panel.calendar == "exchange" else "gaps in the whole market"
    out.print(
        headed(
            name,
            f"  {facts['start']} to {facts['end']} UTC, {facts['bars']} bars of "
            f"{number(float(str(facts['bar_minutes'])), 0)} min, {facts['assets']} assets, {len(gaps)} {what}\n"
            f"{facts['id']}  {panel.calendar}, {panel.bars_per_year:g} bars a year  "
            f"fields: {', '.join(sorted(panel.fields))}",
        )
    )
    if gaps and panel.calendar == "continuous":
        shown = ", ".join(f"{g['missing_bars']} after {g['after']}" for g in gaps[:8])
        out.print(f"missing bars: {shown}{' …' if len(gaps) > 8 else ''}")
    holed = sorted(assets, key=lambda row: -int(row["missing_inside"]))
    rows = [
        [a["asset"], str(a["bars"]), a["first"] or "–", a["last"] or "–", str(a["missing_inside"])] for a in holed[:15]
    ]
    title = "Assets" if len(assets) <= 15 else f"The 15 of {len(assets)} assets with the most missing bars"
    out.print(table(title, ["asset", "bars", "first", "last", "missing inside"], rows))
