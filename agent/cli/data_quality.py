"""`alphaglow data check` and `data synth`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import (
    json_option,
    print_json,
    progress_bar,
    stderr,
    stdout,
    target_options,
    text_table,
    workspace_of,
)
from agent.cli.data_show import calendar_option, save_data
from agent.cli.option_record import recorded
from agent.study.workspace import Workspace
from market.errors import InputError
from market.manifest import Origin, read_manifest

if TYPE_CHECKING:
    from market.checks.all_checks import QualityReport
    from market.panel import Calendar, Panel


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What `data check` was asked for."""

    what: tuple[str, ...]
    kinds: tuple[str, ...]
    name: str | None
    replace: bool
    picture: Path | None
    calendar: tuple[Calendar | None, str]
    everything: bool
    as_json: bool


@click.command()
@click.argument("what", nargs=-1, metavar="[NAME|FILE]...")
@click.option("--repair", "kinds", multiple=True, metavar="KIND", help="Repair this kind of defect; repeat as needed.")
@target_options("NAME-repaired")
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html|FILE.svg",
    help="Write a page of what was found, or only its picture: assets by time, coloured by defect.",
)
@calendar_option("Of a file that is not yet imported (default: exchange where nothing falls on weekends)")
@click.option("--all", "everything", is_flag=True, help="List every finding, not the first of each kind.")
@json_option
@click.pass_context
@recorded(CheckOptions)
def check(ctx: click.Context, asked: CheckOptions) -> None:
    """Look for what is wrong with data sets or files.

    Gaps, duplicates, stale prices, zero volume, spikes, OHLC order, redenominations, reused tickers, unadjusted
    corporate actions, clocks that slip, prices adjusted backwards, survivorship. Nothing is changed; --repair KIND
    writes a repaired copy of a data set of the workspace and records each repair in its manifest.
    """
    from market.checks.source import check_file

    places = _places(ctx, asked.what)
    if asked.kinds:
        _repair(workspace_of(ctx), places, asked.kinds, asked.name, replace=asked.replace, as_json=asked.as_json)
        return
    if asked.picture is not None and len(places) > 1:
        raise InputError("--picture draws one data set", "name one")
    reports = []
    with progress_bar() as bar:
        task = bar.add_task("checking", total=len(places))
        for place in places:
            bar.update(task, description=f"checking {place.stem}")
            report, panel = check_file(place, calendar=asked.calendar[0], exchange=asked.calendar[1])
            reports.append(report)
            bar.advance(task)
            if asked.picture is not None:
                _draw(report, panel, asked.picture)
    if asked.as_json:
        print_json({"reports": [report.to_dict() for report in reports]})
        return
    for report in reports:
        _print(report, everything=asked.everything)


def _places(ctx: click.Context, what: tuple[str, ...]) -> list[Path]:
    """Return the files meant: a path, or a data set of the workspace; all its data sets when nothing is named."""
    if not what:
        workspace = workspace_of(ctx)
        names = workspace.data_names()
        if not names:
            raise InputError("there is no data to check", "name a file, or import one: alphaglow data import FILE")
        return [workspace.stored_path(name) for name in names]
    return [_place(ctx, one) for one in what]


def _place(ctx: click.Context, one: str) -> Path:
    from market.panel_store import is_stored_panel

    path = Path(one)
    if path.is_file() or (path.is_dir() and is_stored_panel(path)):
        return path
    return workspace_of(ctx).resolve_data(one)


def _draw(report: QualityReport, panel: Panel | None, picture: Path) -> None:
    from agent.review.defects import defect_map
    from market.atomic_files import write_atomically

    if panel is None:
        raise InputError(f"{report.name} has no bars to draw", "--picture is for bars")
    if picture.suffix.lower() in (".html", ".htm"):
        from agent.review.data_page import findings_of_quality
        from agent.review.render import render_findings, write_report

        write_report(render_findings(findings_of_quality(report, panel)), picture)
        return
    drawing = defect_map(report, panel)
    write_atomically(picture, lambda target: target.write_text(drawing, encoding="utf-8"))


def _repair(
    workspace: Workspace, places: list[Path], kinds: tuple[str, ...], name: str | None, *, replace: bool, as_json: bool
) -> None:
    from market.checks.all_checks import check_panel
    from market.checks.repairs import repair_panel

    if len(places) != 1 or places[0].parent.resolve() != (workspace.root / "data").resolve():
        raise InputError("--repair changes one data set of the workspace", "import the file first, then name the set")
    path = places[0]
    panel = workspace.load_panel(path.stem)
    repaired, notes = repair_panel(panel, check_panel(panel).findings, kinds)
    if not notes:
        stderr().print(f"nothing of kind {', '.join(kinds)} to repair in {path.stem}")
        return
    if not as_json:
        for line in notes:
            stderr().print(line, soft_wrap=True)
    before = read_manifest(path)
    earlier = before.repairs if before is not None and before.panel == panel.id else ()
    query = {"data": path.stem, "kinds": list(kinds)}
    origin = Origin("repair", query, repairs=(*earlier, *notes), parent=panel.id)
    save_data(workspace, repaired, name or f"{path.stem}-repaired", replace=replace, as_json=as_json, origin=origin)


def _print(report: QualityReport, *, everything: bool) -> None:
    from market.checks.finding import KINDS, SEVERITIES, stamp

    out = stdout()
    rows = [[kind, *(str(found[s]) for s in SEVERITIES), KINDS[kind]] for kind, found in report.counts.items()]
    title = f"{report.name}: {report.bars:,} bars of {report.assets} assets"
    if not rows:
        out.print(f"{title}: nothing found")
        return
    counts = text_table(title, ["kind", *SEVERITIES, "what it is"], rows)
    counts.columns[-1].justify = "left"
    out.print(counts)
    listed: list[list[str]] = []
    seen: dict[tuple[str, str], int] = {}
    for finding in report.findings:
        key = (finding.kind, finding.severity)
        seen[key] = seen.get(key, 0) + 1
        if everything or (seen[key] <= 3 and finding.severity != "note"):
            start, end = stamp(finding.start) or "–", stamp(finding.end) or "–"
            span = start[:16] if start == end else f"{start[:16]} to {end[:16]}"
            listed.append([finding.severity, finding.kind, finding.asset or "all", span, finding.sentence])
    if listed:
        more = "" if everything else ", the first three of each kind (--all lists every one)"
        out.print(text_table(f"Findings{more}", ["", "kind", "asset", "when (UTC)", "what"], listed, left=5))


@dataclass(frozen=True, slots=True)
class SynthOptions:
    """What `data synth` was asked for."""

    name: str | None
    seed: int | None
    assets: int | None
    bars: int | None
    spec_file: Path | None
    print_spec: bool
    replace: bool
    as_json: bool


@click.command()
@target_options("synth")
@click.option("--seed", type=int, help="Of the draws (default: 7, or the spec's).")
@click.option("--assets", type=int, help="How many (default: 12, or the spec's).")
@click.option("--bars", type=int, help="Hourly bars; 8760, the default, is a year.")
@click.option(
    "--spec",
    "spec_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.toml",
    help="Regimes, signals of stated rank IC, anomalies, listings and deaths; see --print-spec.",
)
@click.option("--print-spec", is_flag=True, help="Print a spec to start from, and stop.")
@json_option
@click.pass_context
@recorded(SynthOptions)
def synth(ctx: click.Context, asked: SynthOptions) -> None:
    """Make a seeded synthetic market whose truth is known.

    Without --spec: twelve assets with one planted factor, whose sign breaks in crash windows. With one: whatever it
    says; the truth (regimes, signals, windows, lives) lies beside the data set as NAME.truth.npz.
    """
    if asked.print_spec:
        from market.synthetic.example import EXAMPLE

        click.echo(EXAMPLE, nl=False)
        return
    name = asked.name or "synth"
    given: dict[str, Any] = {
        key: value
        for key, value in (("seed", asked.seed), ("assets", asked.assets), ("bars", asked.bars))
        if value is not None
    }
    if asked.spec_file is not None:
        _from_spec(ctx, name, asked.spec_file, given, replace=asked.replace, as_json=asked.as_json)
        return
    from market.synthetic.demo_market import SynthSpec, make_market

    market = make_market(SynthSpec(**given))
    origin = Origin("simulated", {"seed": market.spec.seed, "assets": market.spec.assets, "bars": market.spec.bars})
    save_data(workspace_of(ctx), market.panel, name, replace=asked.replace, as_json=asked.as_json, origin=origin)
    if not asked.as_json:
        stderr().print(f"Simulated. The planted signal is {market.truth}; its sign breaks in the crash windows.")


def _from_spec(
    ctx: click.Context, name: str, file: Path, given: dict[str, Any], *, replace: bool, as_json: bool
) -> None:
    import dataclasses

    from market.synthetic.make import make_synthetic
    from market.synthetic.market_spec import read_spec
    from market.synthetic.truth import save_truth, tell_truth, truth_path

    workspace = workspace_of(ctx)
    spec = dataclasses.replace(read_spec(file), **given)
    with stderr().status(f"simulating {spec.assets} assets, {spec.bars} bars"):
        market = make_synthetic(spec)
    origin = Origin("simulated", {"spec": dataclasses.asdict(spec)})
    save_data(workspace, market.panel, name, replace=replace, as_json=as_json, origin=origin)
    path = save_truth(market, truth_path(workspace.data_path(name)))
    if not as_json:
        for line in tell_truth(market):
            stderr().print(line, soft_wrap=True)
        stderr().print(f"Simulated. The truth: {path}", soft_wrap=True)
