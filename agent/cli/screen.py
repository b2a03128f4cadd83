"""`alphaglow screen`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.attempt_tables import attempts_table, screening_summary
from agent.cli.common import (
    data_option,
    graceful_stop,
    json_option,
    print_json,
    progress_bar,
    stderr,
    stdout,
    workspace_of,
)
from agent.cli.running import say
from market.errors import InputError

if TYPE_CHECKING:
    from agent.knowledge.knowledge_base import KnowledgeBase

COMMANDS = {"screen": ("screen", 70, "Quick-score many factors, score the best in full.")}


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@data_option
@click.option("--random", "drawn", type=click.IntRange(min=1), help="Draw this many expressions instead of FILE.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of --random.")
@click.option("--keep", type=click.IntRange(min=0), default=20, show_default=True, help="How many to score in full.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="Expressions at once.")
@click.option("--resume", metavar="RUN", help="Go on with this screening.")
@json_option
@click.pass_context
def screen(
    ctx: click.Context,
    file: Path | None,
    data_name: str | None,
    drawn: int | None,
    seed: int,
    keep: int,
    threads: int,
    resume: str | None,
    as_json: bool,
) -> None:
    """Quick-score many factors on train, and score the best in full.

    FILE has one expression a line (- is stdin; lines that begin with # are remarks). Every expression is recorded and
    counts as a trial. Ctrl-C stops; `alphaglow screen --resume RUN` goes on.
    """
    from agent.knowledge.run_config import RunConfig
    from agent.mining.screening import Screening, draw_texts, listed, require_cross_section, run_screening
    from agent.study.opening import RecordedRules, open_data

    workspace = workspace_of(ctx)
    with workspace.knowledge() as knowledge:
        if resume is not None:
            if file is not None or drawn is not None or data_name is not None:
                raise InputError("FILE, --random and --data cannot change on --resume", "start a new screening instead")
            run = knowledge.get_run(resume)
            if run.config.kind != "screen":
                raise InputError(f"{run.id} is not a screening", f"go on with: alphaglow mine --resume {run.id}")
            keep = run.config.keep
        elif (file is None) == (drawn is None):
            raise InputError("what to screen? name a FILE of expressions, or say --random N")
        rules = None if resume is None else RecordedRules.of_run(run)
        opened = open_data(workspace, data_name, rules, note=say)
        study = opened.study
        require_cross_section(study)
        if resume is None:
            texts = _lines(file) if file is not None else draw_texts(study, drawn or 0, seed)
            knowledge.register_dataset(opened.whole)
            config = RunConfig(kind="screen", data=opened.name, llm="none", keep=keep, rules=opened.recorded())
            run = knowledge.create_run(study.dataset, config, seed)
        stored = listed(knowledge, run.id, lambda: texts)
        if not as_json:
            stderr().print(f"run {run.id}: {len(stored)} expressions")
        with progress_bar() as bar, graceful_stop("stopping; Ctrl-C again to stop at once") as stop:
            task = bar.add_task("reading", total=len(stored))
            outcome = run_screening(
                Screening(
                    study, knowledge, run, stored, keep, threads, stop,
                    lambda what, done, of: bar.update(task, description=what, completed=done, total=of),
                )
            )  # fmt: skip
        summary = screening_summary(knowledge, run.id, outcome)
        if as_json:
            print_json(summary)
            return
        _print_screening(knowledge, run.id, outcome, summary, len(stored))


def _print_screening(
    knowledge: KnowledgeBase, run_id: str, outcome: str, summary: dict[str, object], count: int
) -> None:
    """Print the factors that were scored in full, and what became of the rest."""
    stdout().print(attempts_table(knowledge, run_id))
    stdout().print(
        f"run {run_id} {outcome}: {summary['attempts']} of {count} recorded, {summary['refused']} not scored,"
        f" {summary['screened_out']} left at their quick score, {summary['in_full']} scored in full, "
        f"{summary['accepted']} accepted",
        soft_wrap=True,
    )
    if outcome != "finished":
        stdout().print(f"Go on with: alphaglow screen --resume {run_id}")


def _lines(file: Path) -> list[str]:
    try:
        with click.open_file(str(file), encoding="utf-8") as stream:
            lines = [line.strip() for line in stream]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {file}: {error}", "it has one expression a line, as UTF-8 text") from error
    texts = [line for line in lines if line and not line.startswith("#")]
    if not texts:
        raise InputError(f"{file} has no expressions", "write one a line")
    return texts
