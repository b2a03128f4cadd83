"""`alphaglow audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agent.cli.common import (
    data_option,
    format_number,
    graceful_stop,
    json_option,
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
    from agent.evidence.control_audit import Audit

COMMANDS = {"audit": ("audit", 180, "Audit the loop on permuted and planted returns.")}


@click.command()
@data_option
@click.option("--permuted", type=click.IntRange(min=0), help="Runs on permuted returns (default 20).")
@click.option("--planted", type=click.IntRange(min=0), help="Runs for each size of planted signal (default 5).")
@click.option("--sizes", metavar="IC,IC", help="Rank ICs to plant (default 0.01,0.02,0.04).")
@click.option("--rounds", type=click.IntRange(min=1), help="Rounds of each run (default 3).")
@click.option("--candidates", type=click.IntRange(min=1), help="Candidates a round (default 8).")
@click.option("--gates", type=click.IntRange(min=0), help="Shifted gates to compare the gate with (default 100).")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of permutations, planted signals and the mock model.")
@json_option
@click.pass_context
def audit(ctx: click.Context, /, data_name: str | None, sizes: str | None, as_json: bool, **given: int | None) -> None:
    """Audit the whole loop: whether it admits luck, finds what is there, and admits only what is causal.

    The loop runs, with the mock model and without a gate, on returns in permuted order (nothing can be predicted) and
    on returns with a planted signal of known rank IC. Every factor admitted on this data is checked for look-ahead and
    with a signal one bar late; the gate is compared with gates of the same exposure at other times. Ctrl-C stops; the
    same command goes on. Nothing here counts as a trial.
    """
    from agent.evidence.control_audit import Auditor, audit_plan, run_audit
    from agent.study.opening import open_data

    workspace = workspace_of(ctx)
    study = open_data(workspace, data_name, note=say).study
    plan = audit_plan(workspace.settings.loop, sizes=_sizes(sizes), **given)
    total = plan.permuted + plan.planted * len(plan.sizes)
    with (
        workspace.knowledge() as knowledge,
        progress_bar() as bar,
        graceful_stop("stopping after this run; Ctrl-C again to stop at once") as stop,
    ):
        task = bar.add_task("auditing", total=total)

        def show(what: str) -> None:
            bar.update(task, description=what, advance=1)

        found = run_audit(Auditor(study, workspace.settings, workspace.folder("runs"), plan, stop, show), knowledge)
    if found is None:
        stderr().print("stopped before the end; what is done is kept, and the same command goes on")
        ctx.exit(130)
    if as_json:
        print_json({"data": study.dataset, **found.summary(), "runs": [vars(c) for c in found.controls]})
        return
    _print(found)


def _sizes(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        sizes = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--sizes {text!r} are no numbers", "for example --sizes 0.01,0.02,0.04") from None
    if not all(0 < size < 0.5 for size in sizes):
        raise InputError(f"--sizes {text!r}: a rank IC to plant lies between 0 and 0.5")
    return sizes


def _print(found: Audit) -> None:
    out, summary = stdout(), found.summary()
    false, undeflated = summary["false_admissions"], summary["false_predictions"]
    if isinstance(false, float) and isinstance(undeflated, float):
        out.print(
            f"Permuted returns, {summary['permuted_runs']} runs of {summary['attempts_each']} attempts: {false:.0%} "
            f"admit anything; in {undeflated:.0%} something predicts",
            soft_wrap=True,
        )
    planted = summary["planted"]
    assert isinstance(planted, dict)
    rows = [
        [
            size,
            str(row["runs"]),
            *(
                format_number(row[key], 0, percent=True)
                for key in ("proposed", "found_promising", "found", "admitted_when_given")
            ),
            ", ".join(
                f"{gate} {format_number(share, 0, percent=True)}"
                for gate, share in row["gates_passed_when_given"].items()
            ),
        ]
        for size, row in planted.items()
    ]
    if rows:
        columns = [
            "rank IC",
            "runs",
            "proposed",
            "found to predict",
            "found",
            "admitted when given",
            "gates it passes when given",
        ]
        out.print(text_table("Planted signals", columns, rows))
    _print_checks(found)


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
