"""`alphaglow optimise`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.common import (
    FactorCommand,
    data_option,
    json_option,
    number,
    print_json,
    require_positive,
    stderr,
    stdout,
    table,
    workspace_of,
)
from agent.cli.tables import run_summary, verdict_of
from market.errors import InputError

if TYPE_CHECKING:
    from agent.optimising import Improvement


@click.command(cls=FactorCommand)
@click.argument("factor", required=False)
@data_option
@click.option(
    "--llm",
    type=click.Choice(["mock", "openai"]),
    default="openai",
    show_default=True,
    help="mock: simulated, offline. openai: any OpenAI-compatible server.",
)
@click.option("--model", help="Model name to ask the server for.")
@click.option("--base-url", help="Server, such as http://localhost:11434/v1 (default: OpenAI's).")
@click.option("--rounds", type=click.IntRange(min=1), help="Rounds.")
@click.option("--candidates", type=click.IntRange(min=1), help="Candidates a round.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the run (and of the mock model).")
@click.option("--budget-usd", type=float, help="Stop before a call could spend more than this.")
@click.option(
    "--budget-tokens", type=click.IntRange(min=1), help="Stop before a call could take more tokens than this."
)
@click.option("--budget-calls", type=click.IntRange(min=1), help="Stop before making more calls than this.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Write every exchange to a cassette.")
@click.option("--no-judge", is_flag=True, help="Score what can be read and is new, unjudged.")
@click.option("--no-gate", is_flag=True, help="Without a regime gate.")
@click.option("--resume", metavar="RUN", help="Go on with this run.")
@json_option
@click.pass_context
def optimise(
    ctx: click.Context,
    factor: str | None,
    data_name: str | None,
    llm: str,
    model: str | None,
    base_url: str | None,
    rounds: int | None,
    candidates: int | None,
    seed: int | None,
    budget_usd: float | None,
    budget_tokens: int | None,
    budget_calls: int | None,
    record: Path | None,
    no_judge: bool,
    no_gate: bool,
    resume: str | None,
    as_json: bool,
) -> None:
    """Improve FACTOR, a text or an id of the knowledge base, one respect at a time.

    Volume that confirms it, division by volatility, smoothing, neutralising, a condition, other windows: what earns its
    keep is tried more, and the best of the line is built upon. Every try counts as a trial.
    """
    from agent.cli.mine import drive
    from agent.llm.budget import Bounds
    from agent.mining import MineRequest, resume_run, start_run
    from agent.optimising import improvement

    require_positive("--budget-usd", budget_usd)
    bounds = Bounds(budget_calls, budget_usd, budget_tokens)
    workspace = workspace_of(ctx)
    with workspace.knowledge() as knowledge:
        if resume is not None:
            if factor is not None or data_name is not None:
                raise InputError("the factor and the data cannot change on --resume", "start a new run instead")
            session = resume_run(workspace, knowledge, resume, rounds=rounds, bounds=bounds, record=record)
            if not session.config.get("improve"):
                raise InputError(f"{session.run.id} improves nothing", f"alphaglow mine --resume {session.run.id}")
        elif factor is None:
            raise InputError("which factor? name its text or its id", "alphaglow kb list shows ids")
        else:
            request = MineRequest(
                data=data_name,
                llm=llm,
                model=model,
                base_url=base_url,
                rounds=rounds,
                candidates=candidates,
                seed=seed,
                bounds=bounds,
                gate=not no_gate,
                judge=False if no_judge else None,
                improve=factor,
                record=record,
            )
            session = start_run(workspace, knowledge, request, note=stderr().print)
        if not as_json:
            stderr().print(f"run {session.run.id}")
            if session.expected is not None:
                stderr().print(session.expected.sentence())
        outcome = drive(session, workspace.root / "STOP")
        found = improvement(session.run.id, str(session.config["improve"]), session.study, knowledge)
        if as_json:
            print_json({**run_summary(knowledge, session.run.id, outcome), "improvement": found.to_dict()})
            return
        _print(found)
        if session.simulated:
            stdout().print("The language model was simulated (mock).")
        if outcome != "finished":
            stdout().print(f"Go on with: alphaglow optimise --resume {session.run.id}")
        stdout().print(f"Report: alphaglow report {session.run.id}")


def _print(found: Improvement) -> None:
    from agent.lessons import train_figure
    from agent.optimising import shown

    names = ("rank_ic", "ic_tstat", "sharpe_net", "sharpe_gated", "turnover")
    rows = [
        [
            "given" if attempt is found.given else str(attempt.claims.get("theme") or attempt.claims.get("operation")),
            attempt.canonical or "",
            verdict_of(attempt),
            *(number(train_figure(attempt, name), 4 if name == "rank_ic" else 2) for name in names),
        ]
        for attempt in shown(found)
    ]
    columns = ["change", "expression", "verdict", "rank IC", "t", "Sharpe net", "gated", "turnover"]
    stdout().print(table("The given factor and the best of its line, on train", columns, rows, left=3))
    stdout().print(found.sentence(), soft_wrap=True, markup=False)
