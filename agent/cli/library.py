"""`alphaglow library`: which factors of a published library are alive on some data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.common import (
    data_option,
    format_number,
    graceful_stop,
    json_option,
    print_json,
    progress_bar,
    stdout,
    text_table,
    workspace_of,
)
from agent.cli.running import say

if TYPE_CHECKING:
    from agent.evidence.library_states import LibraryState, LibraryTest

COMMANDS = {"library": ("library", 75, "Which factors of a published library are alive.")}
_COLUMNS = ("factor", "state", "rule", "expression", "z", "p", "gross", "train", "validation")
_LONGEST = 60


@click.command()
@click.argument("library", metavar="LIBRARY")
@data_option
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the page (HTML) here.")
@json_option
@click.pass_context
def library(ctx: click.Context, library: str, data_name: str | None, out: Path | None, as_json: bool) -> None:
    """Say of each factor of LIBRARY whether it is alive, turned or dead on a data set, after costs.

    LIBRARY is alpha101, alpha158, gtja191, or a file: a published corpus, or one expression a line. Each factor is
    traded both ways under every trading rule, on train and validation, and all of that is one family of tests: in at
    most 5 % of libraries without skill is any called alive or turned. Each factor, and each turned round, is a counted
    trial. The holdout stays shut.
    """
    from agent.evidence.library_states import judge_library
    from agent.mining.screening import require_cross_section
    from agent.study.opening import open_data

    workspace = workspace_of(ctx)
    with workspace.knowledge() as knowledge:
        opened = open_data(workspace, data_name, gate=False, note=say)
        require_cross_section(opened.study)
        with progress_bar() as bar, graceful_stop("stopping; Ctrl-C again to stop at once") as stop:
            task = bar.add_task("reading", total=None)
            found = judge_library(
                library,
                opened,
                knowledge,
                note=say,
                show=lambda what, done, of: bar.update(task, description=what, completed=done, total=of),
                stop=stop,
            )
    if found is None:
        say("stopped: what was scored is recorded as trials; nothing is said of the library")
        ctx.exit(1)
    path = out or workspace.folder("reports") / f"library-{Path(library).stem}-{opened.path.stem}.html"
    _write(found, path, simulated=opened.whole.simulated)
    if as_json:
        print_json({**found.to_dict(), "page": str(path)})
        return
    # A terminal has no room for the expressions, which the page has.
    rows = [(*row[:3], *row[4:]) for row in map(_row, _ordered(found))]
    columns = (*_COLUMNS[:3], *_COLUMNS[4:])
    stdout().print(text_table(f"{found.library} on {found.data}", columns, rows, left=3))
    for one in found.factors:
        if one.why:
            say(f"{one.name} is not scored: {one.why}")
    stdout().print(found.sentence(), soft_wrap=True)
    stdout().print(f"Page: {path}", soft_wrap=True)


def _ordered(found: LibraryTest) -> list[LibraryState]:
    order = ("alive", "turned", "dead", "not scored")
    return sorted(found.factors, key=lambda one: (order.index(one.state), -one.z if one.z == one.z else 0.0))


def _row(one: LibraryState) -> tuple[str, ...]:
    figures = (one.z, one.p, one.gross, one.train, one.validation)
    written = (format_number(value, digits) for value, digits in zip(figures, (2, 3, 2, 2, 2), strict=True))
    rule = f"{one.rule}{', turned' if one.turned else ''}"
    text = one.text if len(one.text) <= _LONGEST else f"{one.text[: _LONGEST - 1]}…"
    return (one.name, one.state, one.why[:_LONGEST] or rule, text, *written)


def _write(found: LibraryTest, path: Path, *, simulated: bool) -> None:
    """Write the page of a library."""
    from agent.review.findings import Findings, grid
    from agent.review.render import render_findings, write_report

    table = grid(
        "Its factors, those that earn first",
        _COLUMNS,
        [_row(one) for one in _ordered(found)],
        left=4,
        note="Figures are of the direction and the trading rule that score highest: Sharpe ratios a year, before costs "
        "over train and validation, and net on each. p is among both directions and every rule of all factors.",
    )
    title = f"{found.library} on {found.data}"
    page = Findings(title, found.sentence(), (table,), (), (), found.to_dict(), simulated, "Library")
    write_report(render_findings(page), path)
