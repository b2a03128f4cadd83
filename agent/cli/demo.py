"""`alphaglow demo`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.attempt_tables import best_table, run_summary
from agent.cli.common import json_option, print_json, progress_bar, stderr, stdout
from agent.cli.running import drive
from market.errors import InputError

COMMANDS = {"demo": ("demo", 200, "Run the offline demo: simulated market, simulated model.")}


@click.command()
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"), show_default=True
)
@click.option(
    "--seed", default=3, show_default=True, type=click.IntRange(min=0), help="Of the market and of the model."
)
@click.option("--rounds", default=8, show_default=True, type=click.IntRange(min=1))
@click.option("--candidates", default=12, show_default=True, type=click.IntRange(min=1))
@json_option
@click.pass_context
def demo(ctx: click.Context, folder: Path, seed: int, rounds: int, candidates: int, as_json: bool) -> None:
    """Run everything offline: a simulated market, a trained gate, a simulated model, a report.

    The demo's workspace is made again each time.
    """
    if ctx.find_root().obj is not None:
        # That of -w may be a person's own, and the demo's is removed before each time.
        raise InputError("the demo makes a workspace of its own, not that of -w", "say where: alphaglow demo --dir DIR")
    from agent.cli.demo_stages import conclude, prepare, train_demo_gate

    note = stderr().print
    note("alphaglow demo: the market is simulated, the language model is simulated (mock).")
    with stderr().status("simulating a market of 12 assets, one year of hourly bars"):
        stage = prepare(folder, seed=seed, rounds=rounds, candidates=candidates)
    note(f"planted signal: {stage.truth}, with its sign broken in {stage.crash_hours} crash hours")
    with progress_bar() as bar:
        task = bar.add_task("market state", total=None)

        def tick(epoch: int, epochs: int, nll_train: float, nll_validation: float) -> None:
            text = f"GLOW: NLL {nll_train:.2f} train, {nll_validation:.2f} validation (nats)"
            bar.update(task, description=text, completed=epoch, total=epochs)

        train_demo_gate(stage, tick)
    with stage.workspace.knowledge() as knowledge:
        session = stage.session(knowledge, note=note)
        outcome = drive(session)
        with stderr().status("drawing the report"):
            ending = conclude(stage, session, knowledge)
        summary = {
            **run_summary(knowledge, session.run.id, outcome),
            "simulated": {"market": True, "llm": True},
            "truth": stage.truth,
            "report": str(ending.report),
            "conclusion": ending.sentence,
            "agreement": ending.agreement,
            "seconds": ending.seconds,
        }
        if as_json:
            print_json(summary)
            return
        out = stdout()
        out.print(best_table(knowledge.attempts(run_id=session.run.id), session.run.id))
    out.print(
        f"{summary['attempts']} attempts, {summary['evaluated']} scored, {summary['accepted']} accepted; "
        f"{summary['calls']} simulated model calls; "
        + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in ending.seconds.items()),
        soft_wrap=True,
    )
    out.print(f"Report: {ending.report}", soft_wrap=True)
    out.print(ending.sentence, soft_wrap=True)
    out.print("Market and language model were simulated: nothing here says anything about a real market.")
