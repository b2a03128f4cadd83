"""`alphaglow flow fit|eval|signal|forecast|scenarios|regimes|risk|backtest`."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.common import (
    FactorCommand,
    format_number,
    json_option,
    panel_option,
    print_json,
    progress_bar,
    stderr,
    stdout,
    text_table,
    workspace_of,
)
from agent.cli.groups import Group
from agent.cli.option_record import recorded
from agent.cli.running import say
from market.errors import InputError

if TYPE_CHECKING:
    from agent.review.findings import Findings
    from agent.study.workspace import Workspace
    from flows.direction import Kind
    from flows.gate import RegimeGate
    from flows.regimes import Method

COMMANDS = {"flow": ("flow", 80, "Fit the flow and its gate; find regimes, scenarios and risk.")}

# Days that a flow should have seen.
_YEAR = 365
METHODS: tuple[Method, ...] = ("features", "latents", "mixture", "hmm")


def _known_model(_ctx: click.Context, _param: click.Parameter, name: str | None) -> str | None:
    """Refuse a density that is neither built in nor added by a plugin."""
    from flows.fit_rules import model_fault

    if name is not None and (wrong := model_fault(name)):
        raise InputError(wrong, "correct --model")
    return name


@click.group(cls=Group)
def flow() -> None:
    """Fit the flow and its regime gate; ask it for regimes, signals, scenarios and risk."""


@dataclass(frozen=True, slots=True)
class FitOptions:
    """What `flow fit` was asked for; what is None is as in the settings."""

    data_name: str | None
    as_json: bool
    model: str | None
    actnorm: bool | None
    epochs: int | None
    lr: float | None
    members: int | None
    refit_days: float | None
    threads: int | None
    device: str | None

    def asked(self) -> dict[str, object]:
        """Return what takes the place of settings of the gate."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value for name, value in given.items() if value is not None and name not in ("data_name", "as_json")
        }


@flow.command()
@panel_option
@json_option
@click.option("--model", metavar="NAME", callback=_known_model, help="Instead of [gate] model.")
@click.option("--actnorm/--no-actnorm", default=None, help="Instead of [gate] actnorm; only realnvp may do without.")
@click.option("--epochs", type=click.IntRange(1, 10_000), help="Instead of [gate] epochs.")
@click.option("--lr", type=click.FloatRange(0, 1, min_open=True), help="Learning rate, instead of [gate] lr.")
@click.option("--members", type=click.IntRange(1, 32), help="Flows of the ensemble, instead of [gate] members.")
@click.option("--refit-days", type=click.FloatRange(min=0), help="Between dated refits, instead of [gate] refit_days.")
@click.option("--threads", type=click.IntRange(1, 256), help="Of torch, instead of [gate] threads.")
@click.option("--device", type=click.Choice(["cpu", "cuda", "auto"]), help="Instead of [gate] device.")
@click.pass_context
@recorded(FitOptions)
def fit(ctx: click.Context, asked: FitOptions) -> None:
    """Fit the flow on train, calibrate its gate on validation, and store both.

    A fit that is stopped (Ctrl-C) goes on from its last epoch when it is asked for again.
    """
    from agent.cli.plain_progress import plain_progress
    from agent.study.gates import gate_path, train_gate
    from agent.study.opening import open_data

    workspace = workspace_of(ctx)
    tell = plain_progress("fitting a flow: reading bars, then market states, then training")
    opened = open_data(workspace, asked.data_name)
    with progress_bar() as bar:
        task = bar.add_task("market states", total=None)

        def tick(epoch: int, epochs: int, nll_train: float, nll_validation: float) -> None:
            text = f"NLL {nll_train:.3f} train, {nll_validation:.3f} held out (nats)"
            bar.update(task, description=text, completed=epoch, total=epochs)
            tell(text, epoch, epochs)

        trained = train_gate(opened.whole, workspace, opened.name, tick, asked.asked(), opened.frozen)
    with stderr().status("what followed past states"):
        _prepare_signal(workspace, asked.data_name)
    facts = trained.summary()
    if asked.as_json:
        print_json({"checkpoint": str(gate_path(workspace, opened.name)), **facts})
        return
    for sentence in _fit_sentences(opened.name, trained):
        stdout().print(sentence, soft_wrap=True, markup=False)


def _prepare_signal(workspace: Workspace, data_name: str | None) -> None:
    """Keep what `flow signal` takes from the past, so that its first call need not wait for it."""
    from agent.flow.direction_study import history_of
    from agent.flow.opened import open_flow

    # A flow whose states are too few for a direction is a flow still: `flow signal` will say what is missing.
    with contextlib.suppress(InputError):
        history_of(open_flow(workspace, data_name), "fitted")


def _fit_sentences(name: str, gate: RegimeGate) -> list[str]:
    """Return what was fitted, how well, where its gate shuts, and what to do next."""
    density = gate.density
    flows = "one flow" if len(density.members) == 1 else f"{len(density.members)} flows"
    size = sum(p.numel() for p in density.flow.parameters())
    dated = "" if len(gate.fits) == 1 else f", the last of {len(gate.fits)} dated fits"
    return [
        f"The flow of {name} and its gate are fitted{dated}: {flows} ({density.flow.config.kind}, {size} "
        f"parameters) on {len(density.features)} features, of bars until {str(density.trained_until)[:16]}.",
        f"A state costs {format_number(density.nll_validation, 3)} nats on bars that it was not trained on, "
        f"{format_number(density.nll_train, 3)} on train: less is better, and the two should be near each other.",
        _gate_sentence(gate),
        *(f"Features: {note}." for note in density.notes),
        *_short_history(gate),
        f"Next: alphaglow flow eval --data {name} says what it notices, alphaglow flow backtest --data {name} whether "
        "its gate is worth more than a plain one. --json has all figures.",
    ]


def _short_history(gate: RegimeGate) -> list[str]:
    """Warn of a flow that has seen less than a year: seasons and falls that come once a year are unknown to it."""
    first, last = gate.fits[0].trained[0], gate.latest.trained[1]
    days = int((last - first).astype("timedelta64[D]").astype(int))
    if days >= _YEAR:
        return []
    return [
        f"Warning: it was trained on {days} days. What comes once a year is unknown to it, and unusual states will be "
        "called so too often: bring a year of bars or more."
    ]


def _gate_sentence(gate: RegimeGate) -> str:
    """Say what the gate does, and how often it did on the bars that it was calibrated on."""
    latest, rules = gate.latest, gate.rules
    limits, shut = latest.thresholds, format_number(latest.calibration_shut, 1, percent=True)
    whose = "the market" if rules.scope == "market" else "an asset"
    if rules.measure == "drawdown":
        aimed = format_number(math.exp(-limits.full), 2, percent=True)
        return (
            f"The gate holds the drawdown that the state of {whose} lets expect of the next day to {aimed}: exposure "
            f"is that over the forecast, {rules.exposure:.2f} on average over calibration, below a half in {shut}."
        )
    low, high = (format_number(edge, 2) for edge in limits.interval)
    what = "calm" if rules.measure == "volatility" else "likelihood"
    return (
        f"The gate shuts where the {what} of {whose}, averaged over {rules.window} bars, is below "
        f"{format_number(limits.threshold, 2)} nats (90 % interval {low} to {high}): in {shut} of calibration."
    )


@flow.command("eval")
@panel_option
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
        opened = open_flow(workspace_of(ctx), data_name, say)
    with stderr().status("planting anomalies"):
        found = evaluate_flow(opened, periods=periods)
    show_findings(ctx, found, as_json, f"{opened.name}-flow-eval.html")


@flow.command(cls=FactorCommand)
@click.argument("expressions", nargs=-1)
@panel_option
@json_option
@click.option("--shifts", default=200, show_default=True, type=click.IntRange(10, 10_000), help="Shifted gates.")
@click.option("--given", is_flag=True, help="Also gate by likelihood given volatility: a further small flow each fit.")
@click.pass_context
def backtest(
    ctx: click.Context, expressions: tuple[str, ...], data_name: str | None, as_json: bool, shifts: int, given: bool
) -> None:
    """Trade portfolios with and without the gate, beside shifted gates and a volatility gate.

    EXPRESSIONS are portfolios, beside the market and the latent directions. Without any, well-known factors are used.
    """
    from agent.flow.opened import open_flow
    from agent.flow.trading import trade_gates

    with stderr().status("reading states"):
        opened = open_flow(workspace_of(ctx), data_name, say)
    with progress_bar() as bar:
        task = bar.add_task("gates", total=None)

        def tick(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        found = trade_gates(opened, expressions, shifts=shifts, given=given, tick=tick)
    show_findings(ctx, found, as_json, f"{opened.name}-flow-backtest.html")


@flow.command()
@panel_option
@json_option
@click.option("--direction", type=click.Choice(["fitted", "first"]), default="fitted", show_default=True)
@click.option("--symbol", "symbols", metavar="A,B", help="Show these assets alone; all have their part in the gate.")
@click.pass_context
def signal(ctx: click.Context, data_name: str | None, as_json: bool, direction: Kind, symbols: str | None) -> None:
    """Say which way each asset's state points now, and how usual it is: long, short or no trade."""
    from agent.flow.direction_study import signals_now
    from agent.flow.opened import open_flow

    with stderr().status("reading states"):
        opened = open_flow(workspace_of(ctx), data_name, say)
        only = [part.strip() for part in (symbols or "").split(",") if part.strip()]
        found = signals_now(opened, direction, only=only)
    show_findings(ctx, found, as_json, f"{opened.name}-flow-signal.html")


@flow.command()
@panel_option
@json_option
@click.pass_context
def forecast(ctx: click.Context, data_name: str | None, as_json: bool) -> None:
    """Show the market's next day as a distribution with its tails, and whether that is better than GARCH and HAR."""
    from agent.flow.forecast_study import forecast_day
    from agent.study.opening import open_data

    opened = open_data(workspace_of(ctx), data_name, gate=False, note=say)
    with progress_bar() as bar:
        task = bar.add_task("fits, walking forward", total=None)
        found = forecast_day(opened, tick=lambda done, of: bar.update(task, completed=done, total=of))
    show_findings(ctx, found, as_json, f"{opened.name}-flow-forecast.html")


@flow.command()
@panel_option
@json_option
@click.option("--method", "methods", type=click.Choice(METHODS), multiple=True, help="Only these; may be repeated.")
@click.option(
    "--count", "counts", type=click.IntRange(2, 12), multiple=True, help="This many regimes; may be repeated."
)
@click.pass_context
def regimes(
    ctx: click.Context, data_name: str | None, as_json: bool, methods: tuple[Method, ...], counts: tuple[int, ...]
) -> None:
    """Find the market's regimes, name them, and store them: scorecards then show what a factor earns in each."""
    from agent.flow.opened import open_flow
    from agent.flow.regime_study import COUNTS, find_regimes

    with stderr().status("reading states"):
        opened = open_flow(workspace_of(ctx), data_name, say)
    with progress_bar() as bar:
        task = bar.add_task("regimes", total=None)

        def tick(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        found = find_regimes(opened, methods or METHODS, counts or COUNTS, tick=tick)
    show_findings(ctx, found, as_json, f"{opened.name}-flow-regimes.html")


@dataclass(frozen=True, slots=True)
class ScenarioOptions:
    """What `flow scenarios` was asked for."""

    data_name: str | None
    as_json: bool
    asset: str | None
    count: int
    steps: int
    temperature: float
    neighbours: int
    seed: int | None
    out: Path | None


@flow.command()
@panel_option
@json_option
@click.option("--asset", help="Draw paths from its newest state (default: the most traded one).")
@click.option(
    "--num", "count", default=1000, show_default=True, type=click.IntRange(100, 1_000_000), help="States, paths."
)
@click.option("--steps", default=24, show_default=True, type=click.IntRange(0, 10_000), help="Bars of a path; 0: none.")
@click.option("--temperature", default=1.0, show_default=True, type=float, help="Latents are multiplied by it.")
@click.option(
    "--neighbours", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Nearest past latents."
)
@click.option("--seed", type=click.IntRange(min=0), help="Instead of [loop] seed.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write states (or paths) as CSV.")
@click.pass_context
@recorded(ScenarioOptions)
def scenarios(ctx: click.Context, asked: ScenarioOptions) -> None:
    """Draw market states from the flow, and paths from the newest state on."""
    from agent.flow.opened import open_flow
    from agent.flow.scenario_study import Draws, draw_scenarios

    workspace = workspace_of(ctx)
    with stderr().status("drawing"):
        opened = open_flow(workspace, asked.data_name, say)
        seed = workspace.settings.loop.seed if asked.seed is None else asked.seed
        draws = Draws(asked.count, asked.steps, seed, asked.asset, asked.temperature, asked.neighbours)
        found = draw_scenarios(opened, draws, asked.out)
    show_findings(ctx, found, asked.as_json, f"{opened.name}-flow-scenarios.html")


@flow.command(cls=FactorCommand)
@click.argument("expressions", nargs=-1)
@panel_option
@json_option
@click.option(
    "--asset", "positions", multiple=True, help="A position in it; may be repeated (default: the most traded)."
)
@click.option("--neighbours", default=1500, show_default=True, type=click.IntRange(100, 100_000), help="Nearest dates.")
@click.option(
    "--level",
    "levels",
    multiple=True,
    type=click.FloatRange(0.5, 0.999, min_open=True),
    help="Of VaR and CVaR, such as 0.975; may be repeated (default: 0.95 and 0.99).",
)
@click.pass_context
def risk(
    ctx: click.Context,
    expressions: tuple[str, ...],
    data_name: str | None,
    as_json: bool,
    positions: tuple[str, ...],
    neighbours: int,
    levels: tuple[float, ...],
) -> None:
    """Forecast VaR and CVaR of positions and factor portfolios (EXPRESSIONS), and test the forecasts."""
    from agent.flow.opened import open_flow
    from agent.flow.risk_study import LEVELS, measure_risk

    with stderr().status("reading states"):
        opened = open_flow(workspace_of(ctx), data_name, say)
    with progress_bar() as bar:
        task = bar.add_task("risk", total=None)

        def tick(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        beyond = tuple(sorted({round(1.0 - level, 6) for level in levels}, reverse=True)) or LEVELS
        found = measure_risk(opened, expressions, positions, neighbours=neighbours, levels=beyond, tick=tick)
    show_findings(ctx, found, as_json, f"{opened.name}-flow-risk.html")


def show_findings(ctx: click.Context, found: Findings, as_json: bool, file: str) -> None:
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
        out.print(text_table(grid.title, grid.columns, grid.rows, left=grid.left))
        if grid.note:
            out.print(grid.note, soft_wrap=True, markup=False)
    for sentence in found.sentences:
        out.print(f"- {sentence}", soft_wrap=True, markup=False)
    stderr().print(f"pictures: {page}", soft_wrap=True, markup=False)
