"""`alphaglow flow fit|eval|signal|scenarios|regimes|risk|backtest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.common import (
    data_option,
    json_option,
    number,
    print_json,
    progress_bar,
    stderr,
    stdout,
    table,
    workspace_of,
)

if TYPE_CHECKING:
    from agent.flow.findings import Findings


@click.group()
def flow() -> None:
    """Fit the flow and its regime gate; ask it for regimes, signals, scenarios and risk."""


@flow.command()
@data_option
@json_option
@click.option("--model", type=click.Choice(["glow", "realnvp", "nsf"]), help="Instead of [gate] model.")
@click.option("--members", type=click.IntRange(1, 32), help="Flows of the ensemble, instead of [gate] members.")
@click.option("--refit-days", type=click.FloatRange(min=0), help="Between dated refits, instead of [gate] refit_days.")
@click.pass_context
def fit(
    ctx: click.Context,
    data_name: str | None,
    as_json: bool,
    model: str | None,
    members: int | None,
    refit_days: float | None,
) -> None:
    """Fit the flow on train, calibrate its gate on validation, and store both.

    A fit that is stopped (Ctrl-C) goes on from its last epoch when it is asked for again.
    """
    from agent.gating import gate_path, train_gate

    workspace = workspace_of(ctx)
    path = workspace.resolve_data(data_name)
    whole = workspace.load_panel(data_name)
    asked = {"model": model, "members": members, "refit_days": refit_days}
    with progress_bar() as bar:
        task = bar.add_task("market states", total=None)

        def tick(epoch: int, epochs: int, nll_train: float, nll_validation: float) -> None:
            text = f"NLL {nll_train:.3f} train, {nll_validation:.3f} held out (nats)"
            bar.update(task, description=text, completed=epoch, total=epochs)

        trained = train_gate(
            whole, workspace, path.stem, tick, {key: value for key, value in asked.items() if value is not None}
        )
    facts = trained.summary()
    if as_json:
        print_json({"checkpoint": str(gate_path(workspace, path.stem)), **facts})
        return
    rows = [[key, _written(value)] for key, value in facts.items() if key != "notes"]
    stdout().print(table(f"Flow and gate of {path.stem}", ["", "value"], rows))
    for note in trained.density.notes:
        stdout().print(f"feature: {note}", soft_wrap=True, markup=False)


def _written(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return str(value) if isinstance(value, int) else number(value, 4)


@flow.command("eval")
@data_option
@json_option
@click.option(
    "--periods", default=24, show_default=True, type=click.IntRange(1, 1000), help="Rows of the table over time."
)
@click.pass_context
def evaluate(ctx: click.Context, data_name: str | None, as_json: bool, periods: int) -> None:
    """Show likelihood, calibration, what anomalies the flow notices, and the gate over time."""
    from agent.flow.evaluation import evaluate_flow
    from agent.flow.opened import open_flow

    with stderr().status("reading states"):
        opened = open_flow(workspace_of(ctx), data_name)
    with stderr().status("planting anomalies"):
        found = evaluate_flow(opened, periods=periods)
    show(ctx, found, as_json, f"{opened.name}-flow-eval.html")


def show(ctx: click.Context, found: Findings, as_json: bool, file: str) -> None:
    """Print what was found, as tables or as JSON, and write its page into the workspace's reports."""
    from agent.review.render import render_findings, write_report

    page = write_report(render_findings(found), Path(workspace_of(ctx).root) / "reports" / file)
    if as_json:
        print_json({**found.document, "page": str(page)})
        return
    out = stdout()
    out.print(found.title, style="bold", markup=False)
    out.print(found.lead, soft_wrap=True, markup=False)
    for grid in found.grids:
        out.print()
        out.print(table(grid.title, grid.columns, grid.rows, left=grid.left))
        if grid.note:
            out.print(grid.note, soft_wrap=True, markup=False)
    for sentence in found.sentences:
        out.print(f"- {sentence}", soft_wrap=True, markup=False)
    stderr().print(f"pictures: {page}", soft_wrap=True, markup=False)
