"""What the data commands share: saving a data set, saying what is in it, and reading options."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from agent.cli.common import Command, format_number, headed, print_json, stdout, text_table
from agent.study.workspace import Workspace
from market.errors import InputError
from market.manifest import Manifest, Origin
from market.panel_rules import SplitRules

if TYPE_CHECKING:
    from market.panel import Calendar, Panel
    from market.reading.conventions import FileConventions


# As `backtest.mean_test.LEAST_PAYOFFS`.
_LEAST_PAYOFFS = 30


def column_pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return what `--column OURS=THEIRS` says."""
    mapping = {}
    for pair in pairs:
        ours, sep, theirs = pair.partition("=")
        if not sep or not ours or not theirs:
            raise InputError(f"--column {pair!r} is not OURS=THEIRS", "for example --column close=last_price")
        mapping[ours.strip()] = theirs.strip()
    return mapping


def calendar_option(what: str) -> Callable[[Command], Command]:
    """Add `--calendar`: continuous, exchange, or the code of one; the command gets the kind and the code."""

    def read(_ctx: click.Context, _param: click.Parameter, given: str | None) -> tuple[Calendar | None, str]:
        if given is None or given in ("continuous", "exchange"):
            return cast("Calendar | None", given), ""
        return "exchange", given.upper()

    return click.option(
        "--calendar",
        metavar="NAME",
        callback=read,
        help=f"{what}: continuous (24/7), exchange (252 sessions a year), or the code of one whose holidays and half "
        "days are known, such as XNYS or XTKS (extra `calendars`).",
    )


def clean_name(path: Path) -> str:
    """Return a data set's name from a file's: letters, digits, dots and hyphens."""
    return re.sub(r"[^\w.-]+", "-", path.stem).strip("-.") or "data"


def stated(reading: FileConventions) -> dict[str, object]:
    """Return what was said about how files are written, for the manifest; what was found out is not repeated."""
    facts = {key: value for key, value in asdict(reading).items() if key not in ("text", "times", "zone") and value}
    said = {
        key: value for part in (reading.text, reading.times) for key, value in asdict(part).items() if value is not None
    }
    columns = {"columns": dict(reading.columns), "tz": reading.zone or "UTC", "stamps": reading.stamps or "open"}
    return columns | {key: value for key, value in (facts | said).items() if value != () and key not in columns}


def missing_sessions(panel: Panel, exchange: str) -> list[str]:
    """Say in a sentence or two what a panel lacks of an exchange's sessions; nothing where no exchange is named."""
    if not exchange:
        return []
    from market.checks.session_gaps import find_session_gaps
    from market.sessions import sessions_of

    found = find_session_gaps(panel, sessions_of(exchange, panel))
    said = []
    for kind in ("gap", "clock"):
        own = [one for one in found if one.kind == kind]
        more = f", and {len(own) - 1} more such" if len(own) > 1 else ""
        said += [f"{own[0].sentence}: {str(own[0].start)[:16]}{more} (alphaglow data check)"] if own else []
    return said


def known_zone(zone: str) -> None:
    """Refuse a time zone that there is not."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(f"--tz {zone!r} is no time zone", "write UTC or America/New_York") from error


def free_path(workspace: Workspace, name: str, *, overwrite: bool) -> Path:
    """Return where a data set is to be stored; one of the same name is refused, unless it may be overwritten."""
    path = workspace.data_path(name)
    if workspace.stored_path(name).exists() and not overwrite:
        raise InputError(f"there is already a data set {name!r}", "choose another --name, or say --replace")
    return path


def save_data(
    workspace: Workspace,
    panel: Panel,
    name: str,
    *,
    replace: bool,
    as_json: bool,
    origin: Origin | None = None,
    quiet: bool = False,
) -> None:
    """Store a panel under `name` with its manifest, and show it unless `quiet`."""
    from market.panel_store import save_panel

    path = free_path(workspace, name, overwrite=replace)
    workspace.folder("data")
    manifest = save_panel(panel, path, origin)
    remove_other(path.with_suffix(".panel"))
    if not quiet:
        show_data(panel, name, as_json=as_json, manifest=manifest)


def remove_other(path: Path) -> None:
    """Remove a data set of the same name that was stored in another form: it has been replaced."""
    from market.panel_on_disk import is_on_disk

    if path.is_file():
        path.unlink()
    elif is_on_disk(path) or (path.is_dir() and any(path.glob("part-*.parquet"))):
        shutil.rmtree(path)


def list_data(workspace: Workspace, *, as_json: bool) -> None:
    """Print name, span, bars, assets and origin of each data set, by their manifests."""
    from market.manifest import read_manifest

    names = workspace.data_names()
    found = {name: read_manifest(workspace.data_path(name)) for name in names}
    if as_json:
        keys = ("panel", "source", "fetched", "bars", "assets", "fields", "start", "end", "parent")
        facts = [{"name": n, **({} if m is None else {key: getattr(m, key) for key in keys})} for n, m in found.items()]
        print_json({"data": names, "sets": facts})
        return
    if not names:
        click.echo("No data yet. Import some: alphaglow data import FILE")
        return
    rows = [
        [name, *("–",) * 5]
        if one is None
        else [name, one.start[:10], one.end[:10], f"{one.bars:,}", str(one.assets), one.source]
        for name, one in found.items()
    ]
    stdout().print(text_table("Data sets", ["name", "from", "to", "bars", "assets", "origin"], rows, left=3))


def show_data(
    panel: Panel,
    name: str,
    *,
    as_json: bool,
    manifest: Manifest | None = None,
    split: Mapping[str, object] | None = None,
) -> None:
    """Print what a panel holds, where it came from, what was repaired, and what a test of a factor could find in it.

    As JSON, also where it is cut.
    """
    from market.panel_facts import describe_panel

    facts = describe_panel(panel, name) | {"detectable": _detectable(len(panel.times), panel.bars_per_year)}
    facts |= {} if split is None else {"split": dict(split)}
    if manifest is not None and manifest.panel == panel.id:
        facts |= {"source": manifest.source, "query": manifest.query, "fetched": manifest.fetched}
        facts |= {"repairs": list(manifest.repairs), "parent": manifest.parent, "files": len(manifest.parts)}
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
            f"{format_number(float(str(facts['bar_minutes'])), 0)} min, {facts['assets']} assets, {len(gaps)} {what}\n"
            f"{facts['id']}  {panel.calendar}, {panel.bars_per_year:g} bars a year  "
            f"fields: {', '.join(sorted(panel.fields))}",
        )
    )
    out.print(str(facts["detectable"]), soft_wrap=True)
    if "source" in facts:
        count = len(manifest.repairs) if manifest is not None else 0
        repairs = f", {count} repair{'' if count == 1 else 's'}" if count else ""
        out.print(f"from {facts['source']}, {facts['fetched']}{repairs}")
    if gaps and panel.calendar == "continuous":
        shown = ", ".join(f"{g['missing_bars']} after {g['after']}" for g in gaps[:8])
        out.print(f"missing bars: {shown}{' …' if len(gaps) > 8 else ''}")
    _print_assets(assets)


def _print_assets(assets: Sequence[Mapping[str, str]]) -> None:
    """Print the fifteen assets with the most holes, or the fewest bars."""
    holed = sorted(assets, key=lambda row: (-int(row["missing_inside"]), int(row["bars"])))
    which = "most missing bars" if any(int(row["missing_inside"]) for row in assets) else "fewest bars; none has holes"
    rows = [
        [a["asset"], str(a["bars"]), a["first"] or "–", a["last"] or "–", str(a["missing_inside"])] for a in holed[:15]
    ]
    title = "Assets" if len(assets) <= 15 else f"The 15 of {len(assets)} assets with the {which}"
    stdout().print(text_table(title, ["asset", "bars", "first", "last", "missing inside"], rows))


def _detectable(bars: int, bars_per_year: float) -> str:
    """Say which Sharpe ratio a year a test at 5 % finds in 80 % of cases, alone and as the best of a hundred.

    Of the bars before the holdout as it is by default; `eval` and `mine` say it for the settings and trials that are.
    """
    # The settings and scipy would have to be imported; see `backtest.mean_test.least_sharpe`.
    normal, payoffs = NormalDist(), int(bars * (1.0 - SplitRules().fractions[2]))
    if payoffs < _LEAST_PAYOFFS:
        return f"no test of a factor is possible: {bars} bars leave fewer than {_LEAST_PAYOFFS} payoffs"
    needed = [
        (normal.inv_cdf(0.95 ** (1.0 / trials)) + normal.inv_cdf(0.8)) * math.sqrt(bars_per_year / payoffs)
        for trials in (1, 100)
    ]
    return (
        f"a test of a factor finds a true Sharpe ratio of {needed[0]:.1f} a year in 80% of cases if it is the only one "
        f"tried, and of {needed[1]:.1f} among 100"
    )


def show_preview(files: list[Path], reading: FileConventions, *, as_json: bool) -> None:
    """Print how files would be read."""
    from market.preview import preview_files

    preview = preview_files(files, reading)
    if as_json:
        print_json(asdict(preview))
        return
    out = stdout()
    more = f" and {preview.count - len(preview.assets)} more" if preview.count > len(preview.assets) else ""
    out.print(
        headed(
            str(files[0]),
            f"{f' and {len(files) - 1} more' if len(files) > 1 else ''}: {preview.shape}\n"
            f"{preview.rows} rows, {preview.start} to {preview.end} UTC, bars of {preview.bar_seconds / 60:g} min, "
            f"{preview.order}\n"
            f"times: {preview.times}; {preview.stamps}\n"
            f"{preview.count} assets: {', '.join(preview.assets)}{more}",
        ),
        soft_wrap=True,
    )
    columns = text_table("Columns", ["in the file", "becomes"], preview.columns, left=2)
    out.print(columns)
    out.print(text_table("First rows", preview.head[0], preview.head[1:], left=2))
    for line in preview.said:
        out.print(line, soft_wrap=True, markup=False)
    for line in preview.defects:
        out.print(f"an import would refuse {line}", soft_wrap=True)
