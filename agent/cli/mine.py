"""`alphaglow mine`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.common import (
    data_option,
    graceful_stop,
    progress_bar,
    require_positive,
    stderr,
    stdout,
    workspace_of,
)
from agent.cli.tables import attempts_table, bill_table, run_summary
from market.errors import InputError

if TYPE_CHECKING:
    from agent.cli.events import Lines
    from agent.knowledge.records import NewCall
    from agent.mining import Session


@click.command()
@data_option
@click.option(
    "--llm",
    type=click.Choice(["mock", "openai"]),
    help="mock: simulated, offline. openai: any OpenAI-compatible server.",
)
@click.option("--model", help="Model name to ask the server for.")
@click.option("--base-url", help="Server, such as http://localhost:11434/v1 (default: OpenAI's).")
@click.option(
    "--api", type=click.Choice(["chat", "responses"]), help="How the server is asked (default: chat, which all know)."
)
@click.option("--rounds", type=click.IntRange(min=1), help="Outer rounds.")
@click.option("--candidates", type=click.IntRange(min=1), help="Candidates a round.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the run (and of the mock model).")
@click.option("--fallback", multiple=True, metavar="MODEL", help="Ask this one when the model can no longer answer.")
@click.option("--budget-usd", type=float, help="Stop before a call could spend more than this.")
@click.option(
    "--budget-tokens", type=click.IntRange(min=1), help="Stop before a call could take more tokens than this."
)
@click.option("--budget-calls", type=click.IntRange(min=1), help="Stop before making more calls than this.")
@click.option("--budget-minutes", type=float, help="Stop after this long.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Write every exchange to a cassette.")
@click.option("--replay", type=click.Path(dir_okay=False, path_type=Path), help="Run a cassette again, offline.")
@click.option("--no-judge", is_flag=True, help="Score what can be read and is new, unjudged.")
@click.option("--no-gate", is_flag=True, help="Mine without a regime gate.")
@click.option("--resume", metavar="RUN", help="Go on with this run; budgets given here replace its own.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object an event; the last is the summary.")
@click.pass_context
def mine(
    ctx: click.Context,
    data_name: str | None,
    llm: str | None,
    model: str | None,
    base_url: str | None,
    api: str | None,
    rounds: int | None,
    candidates: int | None,
    seed: int | None,
    fallback: tuple[str, ...],
    budget_usd: float | None,
    budget_tokens: int | None,
    budget_calls: int | None,
    budget_minutes: float | None,
    record: Path | None,
    replay: Path | None,
    no_judge: bool,
    no_gate: bool,
    resume: str | None,
    as_json: bool,
) -> None:
    """Run the writer and judge loops on a data set.

    Ctrl-C, or a file named STOP in the workspace, stops after the calls under way; `alphaglow mine --resume RUN`
    goes on. The key for a real model is read from the environment variable OPENAI_API_KEY. A model without a price
    needs --budget-tokens.

    With --json, stdout has one JSON object a line as the run goes, each with its "event"; the last is the summary.
    """
    from agent.cli.events import Lines
    from agent.llm.budget import Bounds
    from agent.mining import MineRequest, replay_request, resume_run, start_run

    require_positive("--budget-usd", budget_usd)
    require_positive("--budget-minutes", budget_minutes)
    seconds = None if budget_minutes is None else 60.0 * budget_minutes
    bounds = Bounds(budget_calls, budget_usd, budget_tokens, seconds)
    workspace = workspace_of(ctx)
    notes: list[str] = []
    lines = Lines(told=_note) if as_json else None

    def note(text: str) -> None:
        notes.append(text)
        _note(text)

    with workspace.knowledge() as knowledge:
        if resume is not None:
            clash = [
                n
                for n, v in [
                    ("--data", data_name),
                    ("--llm", llm),
                    ("--model", model),
                    ("--base-url", base_url),
                    ("--api", api),
                    ("--no-judge", no_judge or None),
                    ("--no-gate", no_gate or None),
                    ("--seed", seed),
                    ("--candidates", candidates),
                    ("--fallback", fallback or None),
                    ("--replay", replay),
                ]
                if v is not None
            ]
            if clash:
                raise InputError(f"{', '.join(clash)} cannot change on --resume", "start a new run instead")
            session = resume_run(workspace, knowledge, resume, rounds=rounds, bounds=bounds, record=record)
        elif replay is not None:
            given = {
                "--data": data_name,
                "--llm": llm,
                "--model": model,
                "--api": api,
                "--seed": seed,
                "--rounds": rounds,
            }
            if clash := [name for name, value in given.items() if value is not None]:
                raise InputError(f"{', '.join(clash)} cannot change on --replay", "the cassette says all of it")
            session = start_run(workspace, knowledge, replay_request(replay), note=note)
        else:
            request = MineRequest(
                data=data_name,
                llm=llm or "openai",
                model=model,
                base_url=base_url,
                api=api,
                rounds=rounds,
                candidates=candidates,
                seed=seed,
                bounds=bounds,
                fallback=fallback,
                gate=not no_gate,
                judge=False if no_judge else None,
                record=record,
            )
            session = start_run(workspace, knowledge, request, note=note)
        if lines is not None:
            lines.begin(session)
            for text in notes:
                lines.say("note", text=text)
        else:
            stderr().print(f"run {session.run.id}")
            if session.expected is not None:
                stderr().print(session.expected.sentence())
        outcome = drive(session, workspace.root / "STOP", lines)
        if lines is not None:
            lines.say("summary", **run_summary(knowledge, session.run.id, outcome))
            if outcome != "finished":
                _note(f"go on with: alphaglow mine --resume {session.run.id}")
            return
        stdout().print(attempts_table(knowledge, session.run.id))
        summary = run_summary(knowledge, session.run.id, outcome)
        stdout().print(
            f"run {session.run.id} {outcome}: {summary['attempts']} attempts, {summary['accepted']} accepted, "
            f"{summary['calls']} model calls, {summary['prompt_tokens']} + {summary['completion_tokens']} tokens, "
            f"cost {summary['cost']}",
            soft_wrap=True,
        )
        if session.budget.lost or session.budget.uncounted:
            stdout().print(
                f"{session.budget.uncounted} calls came without token counts and {session.budget.lost} got no answer: "
                "they may have been billed, and counted at their worst against the budget",
                soft_wrap=True,
            )
        if not session.simulated:
            stdout().print(bill_table(knowledge, session.run.id))
        stdout().print(str(summary["judge"]), soft_wrap=True, markup=False)
        if session.simulated:
            stdout().print("The language model was simulated (mock).")
        if outcome != "finished":
            stdout().print(f"Go on with: alphaglow mine --resume {session.run.id}")
        stdout().print(f"Report: alphaglow report {session.run.id}")


def _note(text: str) -> None:
    stderr().print(text, soft_wrap=True, markup=False)


def drive(session: Session, stop_file: Path | None = None, lines: Lines | None = None) -> str:
    """Run a mining session; the first Ctrl-C asks it to stop, the second insists.

    A `stop_file` asks as well, as long as it is there, and so do `lines` that nobody reads any more. A terminal shows a
    live line; elsewhere each event is a line.
    """
    from agent.cli.live import Live
    from agent.loop import Event

    err = stderr()
    live = Live(session.budget, session.total, before=session.done)
    with progress_bar() as bar, graceful_stop() as asked:

        def stop() -> bool:
            unread = lines is not None and lines.closed
            return asked() or unread or (stop_file is not None and stop_file.exists())

        task = bar.add_task("starting", total=session.total, completed=session.done)

        def show(event: Event, _total: int) -> None:
            live.take(event)
            if lines is not None:
                lines.take(event, session)
            if event.kind == "note":
                err.print(event.text, soft_wrap=True, markup=False)
            elif not err.is_terminal:
                live.plain(event, err)
            bar.update(task, description=live.line(), completed=live.before + live.done)

        def heard(call: NewCall) -> None:
            if lines is not None:
                lines.call(call)

        outcome: str = asyncio.run(session.go(stop, show, heard))
    return outcome
