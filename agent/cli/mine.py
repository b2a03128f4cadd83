"""`alphaglow mine`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.asking_options import REQUEST_NAMES, request_of, request_options
from agent.cli.common import print_json, stderr, stdout, workspace_of
from agent.cli.running import GOING_ON, Asked, Conducted, Note, conduct, loop_options, say
from market.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.knowledge.knowledge_base import KnowledgeBase
    from agent.mining.session import Session

COMMANDS = {"mine": ("mine", 100, "Run the writer and judge loops.")}


@click.command()
@request_options
@loop_options
@click.option("--replay", type=click.Path(dir_okay=False, path_type=Path), help="Run a cassette again, offline.")
@click.option("--resume", metavar="RUN", help="Go on with this run; budgets given here replace its own.")
@click.option("--queue", is_flag=True, help="Only put the run into the queue: a worker does it (alphaglow worker).")
@click.pass_context
def mine(
    ctx: click.Context,
    /,
    replay: Path | None,
    resume: str | None,
    *,
    queue: bool,
    **options: Any,  # noqa: ANN401 - those of the loops
) -> None:
    """Run the writer and judge loops on a data set.

    Ctrl-C, or a file named STOP in the workspace, stops after the calls under way; `alphaglow mine --resume RUN`
    goes on. OpenAI's key is read from the environment variable OPENAI_API_KEY, another server's from the variable
    that [llm] key_env names. A model without a price needs --budget-tokens.

    --type, --lookback, --context and --fields bind every proposal of every round, and are recorded with the run: a
    proposal that breaks them goes back to the writer once, and is then refused with the reason.

    With --json, stdout has one JSON object a line as the run goes, each with its "event"; the last is the summary.
    """
    said = [options.pop(name) for name in ("kind", "lookback", "context", "only_fields")]
    asked, workspace = Asked.of(options), workspace_of(ctx)
    wishes = tuple(name for name, value in zip(REQUEST_NAMES, said, strict=True) if value is not None)
    if resume is None and replay is None:
        asked.require_model(workspace)
    with stderr().status("loading the loops, the engine and the data"):
        from agent.mining.session import replay_request, resume_run, start_run

    with workspace.knowledge() as knowledge:

        def begin(note: Note) -> Session:
            if resume is not None:
                also = (*wishes, *(() if replay is None else ("--replay",)))
                asked.refuse_all_but(GOING_ON, "--resume", "start a new run instead", also)
                bounds, record = asked.bounds(), asked.record
                return resume_run(
                    workspace, knowledge, resume, rounds=asked.rounds, bounds=bounds, record=record, note=note
                )
            if replay is not None:
                asked.refuse_all_but(("as_json", "cluster"), "--replay", "the cassette says all of it", wishes)
                return start_run(workspace, knowledge, replay_request(replay), note=note)
            return start_run(workspace, knowledge, asked.request(asked=request_of(*said)), note=note)

        if queue:
            _put_into_queue(knowledge, begin, asked)
            return
        if resume is not None:
            knowledge.require_free(knowledge.get_run(resume).id)
        found = conduct(workspace, begin, asked)
        if not found.summary(knowledge, "mine"):
            _tell(found, knowledge)


def _tell(found: Conducted, knowledge: KnowledgeBase) -> None:
    from agent.cli.attempt_tables import best_table, bill_table, print_failed, run_summary

    session, outcome, out = found.session, found.outcome, stdout()
    attempts = knowledge.attempts(run_id=session.run.id)
    out.print(best_table(attempts, session.run.id))
    print_failed(attempts)
    summary = run_summary(knowledge, session.run.id, outcome)
    out.print(
        f"run {session.run.id} {outcome}: {summary['attempts']} attempts, {summary['accepted']} accepted, "
        f"{summary['calls']} model calls, {summary['prompt_tokens']} + {summary['completion_tokens']} tokens, "
        f"cost {summary['cost']}",
        soft_wrap=not out.is_terminal,
    )
    if session.budget.lost or session.budget.uncounted:
        out.print(
            f"{session.budget.uncounted} calls came without token counts and {session.budget.lost} got no answer: "
            "they may have been billed, and counted at their worst against the budget",
            soft_wrap=not out.is_terminal,
        )
    if not session.simulated:
        out.print(bill_table(knowledge, session.run.id))
        if session.budget.cache_sentence():
            out.print(session.budget.cache_sentence(), soft_wrap=not out.is_terminal)
    out.print(str(summary["judge"]), soft_wrap=not out.is_terminal, markup=False)
    if summary["feedback"]:
        out.print(str(summary["feedback"]), soft_wrap=not out.is_terminal, markup=False)
    if session.simulated:
        out.print(f"The language model was simulated ({session.config.llm}).")
    if outcome != "finished":
        out.print(f"Go on with: alphaglow mine --resume {session.run.id}")
    out.print(f"Report: alphaglow report {session.run.id}")


def _put_into_queue(knowledge: KnowledgeBase, begin: Callable[[Note], Session], asked: Asked) -> None:
    """Record the run, checked as ever, and leave its work to a worker."""
    from agent.evidence.holdout import who

    if asked.record is not None or asked.cluster is not None:
        raise InputError(
            "--record and --cluster are said where the work is done, not where it is asked for",
            "say --cluster to the worker: alphaglow worker --cluster ADDRESS",
        )
    run = begin(say).run
    knowledge.enqueue(run.id, who())
    waiting = sum(one.state == "waiting" for one in knowledge.queue())
    if asked.as_json:
        print_json({"run": run.id, "waiting": waiting})
        return
    stdout().print(f"run {run.id} waits in the queue, {waiting} with it. Work on it: alphaglow worker")
