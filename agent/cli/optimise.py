"""`alphaglow optimise`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import FactorCommand, format_number, stdout, text_table, workspace_of
from agent.cli.running import GOING_ON, Asked, Note, conduct, loop_options
from market.errors import InputError

if TYPE_CHECKING:
    from agent.mining.optimising import Improvement
    from agent.mining.session import Session

COMMANDS = {"optimise": ("optimise", 110, "Improve one factor, one respect at a time.")}


@click.command(cls=FactorCommand)
@click.argument("factor", required=False)
@loop_options
@click.option("--resume", metavar="RUN", help="Go on with this run; budgets given here replace its own.")
@click.pass_context
def optimise(ctx: click.Context, /, factor: str | None, resume: str | None, **options: Any) -> None:  # noqa: ANN401
    """Improve FACTOR, a text or an id of the knowledge base, one respect at a time.

    Volume that confirms it, division by volatility, smoothing, neutralising, a condition, other windows: what earns its
    keep is tried more, and the best of the line is built upon. Every try counts as a trial.
    """
    asked, workspace = Asked.of(options), workspace_of(ctx)
    if resume is None:
        asked.require_model(workspace)
    from agent.mining.optimising import improvement
    from agent.mining.session import resume_run, start_run

    with workspace.knowledge() as knowledge:

        def begin(note: Note) -> Session:
            if resume is not None:
                asked.refuse_all_but(
                    GOING_ON, "--resume", "start a new run instead", () if factor is None else ("FACTOR",)
                )
                bounds, record = asked.bounds(), asked.record
                session = resume_run(
                    workspace, knowledge, resume, rounds=asked.rounds, bounds=bounds, record=record, note=note
                )
                if not session.config.improve:
                    raise InputError(f"{session.run.id} improves nothing", f"alphaglow mine --resume {session.run.id}")
                return session
            if factor is None:
                raise InputError("which factor? name its text or its id", "alphaglow kb list shows ids")
            return start_run(workspace, knowledge, asked.request(improve=factor), note=note)

        run = conduct(workspace, begin, asked)
        session = run.session
        found = improvement(session.run.id, session.config.improve, session.study, knowledge)
        if run.summary(knowledge, "optimise", improvement=found.to_dict()):
            return
        _print_trail(found)
        _print(found)
        if session.simulated:
            stdout().print(f"The language model was simulated ({session.config.llm}).")
        if run.outcome != "finished":
            stdout().print(f"Go on with: alphaglow optimise --resume {session.run.id}")
        stdout().print(f"Report: alphaglow report {session.run.id}")


# Steps of the trail that are printed; --json has all of them.
_STEPS = 30
_LONGEST_REASON = 90


def _print_trail(found: Improvement) -> None:
    """Print every try in the order in which it came: what was changed and why, and what came of it."""
    from agent.untrusted.quoting import one_line

    steps = found.trail
    if len(steps) > _STEPS:
        kept = {id(s) for s in steps if s.best} | {id(s) for s in steps[-_STEPS:]}
        steps = tuple(s for s in steps if id(s) in kept)[-_STEPS:]
    rows = [
        [
            f"{step.iteration}.{step.slot}",
            step.change + (" *" if step.best else ""),
            one_line(step.why)[:_LONGEST_REASON],
            step.factor,
            step.rule,
            format_number(step.sharpe_net),
            format_number(step.payoff_z, 1),
            step.verdict,
        ]
        for step in steps
    ]
    title = f"Trail: {len(steps)} of {len(found.trail)} steps; * netted more on train than all before it"
    columns = ["step", "change", "why", "factor", "rule", "Sharpe net", "payoff score", "verdict"]
    stdout().print(text_table(title, columns, rows, left=5))


def _print(found: Improvement) -> None:
    from agent.knowledge.attempt_figures import train_of, verdict_of
    from agent.mining.optimising import shown

    names = ("rank_ic", "ic_tstat", "sharpe_net", "sharpe_gated", "turnover")
    rows = [
        [
            "given" if attempt is found.given else attempt.claims.theme or attempt.claims.operation,
            attempt.canonical or "",
            verdict_of(attempt),
            *(format_number(getattr(train_of(attempt), name), 4 if name == "rank_ic" else 2) for name in names),
        ]
        for attempt in shown(found)
    ]
    columns = ["change", "expression", "verdict", "rank IC", "t", "Sharpe net", "gated", "turnover"]
    stdout().print(text_table("The given factor and the best of its line, on train", columns, rows, left=3))
    stdout().print(found.sentence(), soft_wrap=True, markup=False)
