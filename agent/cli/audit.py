"""`alphaglow audit`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from agent.cli.cluster_option import cluster_of, cluster_option
from agent.cli.common import (
    format_number,
    graceful_stop,
    json_option,
    panel_option,
    print_json,
    progress_bar,
    stderr,
    stdout,
    text_table,
    workspace_of,
)
from agent.cli.running import say
from market.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from agent.evidence.control_audit import Audit
    from agent.evidence.control_runs import Control
    from agent.study.workspace import Workspace

COMMANDS = {"audit": ("audit", 180, "Audit the loop on markets without skill, and with a planted signal.")}


@click.command()
@panel_option
@click.option("--nulls", type=click.IntRange(min=0), help="Runs on each of four kinds of null market (default 10).")
@click.option("--planted", type=click.IntRange(min=0), help="Runs for each strength of a planted signal (default 5).")
@click.option("--strengths", metavar="Z,Z", help="Scores that planted signals are worth (default 4,6,8).")
@click.option("--rounds", type=click.IntRange(min=1), help="Rounds of each run (default 3).")
@click.option("--candidates", type=click.IntRange(min=1), help="Candidates a round (default 8).")
@click.option("--gates", type=click.IntRange(min=0), help="Shifted gates to compare the gate with (default 100).")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of null markets, planted signals and the mock model.")
@click.option("--quick", is_flag=True, help="Fewer runs: 5 on each kind of null, 2 each for scores of 4 and 8.")
@cluster_option
@json_option
@click.pass_context
def audit(
    ctx: click.Context,
    /,
    data_name: str | None,
    strengths: str | None,
    quick: bool,
    cluster: str | None,
    as_json: bool,
    **given: int | None,
) -> None:
    """Audit the whole loop: whether it admits luck, finds what is there, and admits only what is causal.

    The loop runs, with the mock model and without a gate, on null markets made of this data, in which nothing can be
    predicted, and on such with a planted signal: its strength is the normal score that a portfolio which knows it
    gains. Shares stand with their exact binomial intervals. Every factor admitted on this data is checked for
    look-ahead and with a signal one bar late; the gate is compared with gates of the same exposure at other times.
    Ctrl-C stops; the same command goes on. Nothing here counts as a trial.
    """
    from agent.evidence.control_audit import Auditor, audit_plan, run_audit
    from agent.study.opening import open_data

    workspace = workspace_of(ctx)
    study = open_data(workspace, data_name, note=say).study
    plan = audit_plan(workspace.settings.loop, quick=quick, strengths=_strengths(strengths), **given)
    with (
        cluster_of(workspace, cluster, say) as machines,
        workspace.knowledge() as knowledge,
        progress_bar() as bar,
        graceful_stop("stopping after this run; Ctrl-C again to stop at once") as stop,
    ):
        task = bar.add_task("auditing", total=len(plan.wanted()))

        def show(what: str) -> None:
            bar.update(task, description=what, advance=1)

        folder = workspace.folder("runs")
        found = run_audit(Auditor(study, workspace.settings, folder, plan, stop, show, machines), knowledge)
    if found is None:
        stderr().print("stopped before the end; what is done is kept, and the same command goes on")
        ctx.exit(130)
    page = _page(workspace, found, study.panel.name)
    if as_json:
        runs = [vars(c) for c in found.controls]
        print_json({"data": study.dataset, **found.summary(), "runs": runs, "page": str(page)})
        return
    _print(found)
    stderr().print(f"the same as a page: {page}", soft_wrap=True, markup=False)


def _page(workspace: Workspace, found: Audit, name: str) -> Path:
    """Write an audit as a page, and return where."""
    from agent.evidence.audit_page import findings_of_audit
    from agent.review.render import render_findings, write_report

    return write_report(
        render_findings(findings_of_audit(found, name)), workspace.folder("reports") / f"{name}-audit.html"
    )


def _strengths(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--strengths {text!r} are no numbers", "for example --strengths 4,6,8") from None
    if not all(0 < z < 30 for z in found):
        raise InputError(f"--strengths {text!r}: a score to plant lies between 0 and 30")
    return found


def _print(found: Audit) -> None:
    from backtest.nulls import NULLS

    out, nulls = stdout(), found.on_nulls()
    if nulls:
        each = found.plan.rounds * found.plan.candidates
        out.print(
            f"Null markets, runs of {each} attempts: something is admitted in {_share(c.admitted > 0 for c in nulls)}; "
            f"something predicts in {_share(c.admitted + c.promising > 0 for c in nulls)}",
            soft_wrap=True,
        )
        rows = [
            [
                kind,
                str(len(runs)),
                _share(c.admitted > 0 for c in runs),
                _share(c.admitted + c.promising > 0 for c in runs),
            ]
            for kind in NULLS
            if (runs := found.on_nulls(kind))
        ]
        out.print(text_table("Null markets", ["made of", "runs", "admit anything", "see anything predict"], rows))
    _print_planted(found)
    _print_checks(found)


def _print_planted(found: Audit) -> None:
    """Print what became of planted signals: a line for each question, a column for each strength."""
    by_strength = {z: [c for c in found.controls if c.strength == z] for z in found.plan.strengths}
    by_strength = {z: runs for z, runs in by_strength.items() if runs}
    if not by_strength:
        return
    questions: dict[str, Callable[[Control], object]] = {
        "proposed": lambda c: c.proposed,
        "found to predict": lambda c: c.nearly,
        "found": lambda c: c.found,
        "predicts when given": lambda c: c.gates and c.gates.get("predicts"),
        "admitted when given": lambda c: c.passes_when_given,
    }
    rows = [
        [said, *(_share(bool(ask(c)) for c in runs) for runs in by_strength.values())]
        for said, ask in questions.items()
    ]
    columns = ["the signal is", *(f"score {z:g}" for z in by_strength)]
    stdout().print(text_table("Planted signals", columns, rows))


def _share(flags: Iterable[bool]) -> str:
    from backtest.binomial import Share

    return str(Share.of(flags))


def _print_checks(found: Audit) -> None:
    """Print what the checks of single factors found."""
    out = stdout()
    if not found.factors:
        out.print("No factor was scored on this data: there is none to check.")
        return
    checks = [
        [
            f.text,
            "yes" if f.causal else "NO",
            format_number(f.rank_ic, 4),
            format_number(f.rank_ic_late, 4),
            format_number(f.sharpe_net),
            format_number(f.sharpe_net_late),
            format_number(f.gate_beats, 0, percent=True),
        ]
        for f in found.factors
    ]
    columns = ["factor", "causal", "rank IC", "a bar late", "Sharpe net", "a bar late", "gate beats shifted"]
    title = "Admitted factors" if found.factors[0].admitted else "The best factors (none is admitted)"
    out.print(text_table(f"{title}, train", columns, checks))
