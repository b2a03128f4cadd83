"""`alphaglow kb list`: runs and factors, the best of many; or the library of published factors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from agent.cli.common import json_line, json_option, print_json, stdout, text_table, workspace_of

if TYPE_CHECKING:
    from agent.knowledge.listing import Listing
    from agent.knowledge.records import AttemptRecord


@click.command("list")
@click.option("--run", "run_id", help="Only this run.")
@click.option("--all", "everything", is_flag=True, help="Also attempts that were sorted out.")
@click.option("--library", is_flag=True, help="The published factors instead.")
@click.option(
    "--limit", default=200, show_default=True, type=click.IntRange(min=1), help="Rows of each table; --json has all."
)
@json_option
@click.pass_context
def list_(ctx: click.Context, run_id: str | None, everything: bool, library: bool, limit: int, as_json: bool) -> None:
    """List what is known: runs and factors, or the library of published ones."""
    with workspace_of(ctx).listing() as knowledge:
        if library:
            _list_library(knowledge, as_json=as_json)
            return
        run = knowledge.get_run(run_id).id if run_id else None
        if as_json:
            _print_all(knowledge, run, everything=everything)
        else:
            _print_tables(knowledge, run, limit, everything=everything)


def _list_library(knowledge: Listing, *, as_json: bool) -> None:
    entries = knowledge.library()
    if as_json:
        print_json([entry.to_dict() for entry in entries])
        return
    rows = [[e.name, e.source, e.canonical or f"refused: {e.message}"] for e in entries]
    stdout().print(text_table(f"{len(rows)} published factors", ["name", "source", "expression"], rows, left=3))


def _print_all(knowledge: Listing, run: str | None, *, everything: bool) -> None:
    """Print one JSON document, an attempt at a time: there may be more than memory holds."""
    from agent.knowledge.paging import attempt_pages

    runs = json_line([r.to_dict() for r in knowledge.runs() if run is None or r.id == run])
    sys.stdout.write(f'{{"runs": {runs}, "attempts": [')
    between = ""
    with knowledge.asking() as ask:
        for page in attempt_pages(ask, run):
            for attempt in page:
                if everything or attempt.evaluation is not None:
                    sys.stdout.write(between + json_line(attempt.to_dict()))
                    between = ", "
    click.echo("]}")


def _print_tables(knowledge: Listing, run: str | None, limit: int, *, everything: bool) -> None:
    from agent.cli.attempt_tables import factor_rows, factor_table
    from agent.knowledge.paging import best_scored, count_attempts, newest_runs, newest_unscored

    out = stdout()
    with knowledge.asking() as ask:
        listed, there = newest_runs(ask, limit)
        _, screened = count_attempts(ask, run)
        # The first page tells whether there is more.
        best = best_scored(ask, limit + 1, run, screened=everything)
        unscored = newest_unscored(ask, limit + 1, run) if everything else []
    runs = [[r.id, r.created, r.status, r.config.data, r.config.model or r.config.kind] for r in listed]
    more = f" (the newest {len(runs):,} of {there:,}: --limit)" if there > len(runs) else ""
    columns = ["run", "started (UTC)", "status", "data", "model or kind"]
    out.print(text_table(f"Runs{more}", columns, runs, left=5))
    rows = factor_rows(best[:limit], knowledge.later_verdicts())
    more = f" (the best {limit:,}: --limit)" if len(best) > limit else ""
    out.print(factor_table(f"Factors; on train, pays and nets are scores{more}", rows))
    if screened and not everything:
        out.print(f"{screened} left at their quick score are not shown (--all shows them)")
    if everything:
        _print_unscored(unscored, limit)


def _print_unscored(attempts: list[AttemptRecord], limit: int) -> None:
    from agent.knowledge.attempt_figures import verdict_of

    rest = [
        [str(a.id), verdict_of(a), a.text, (a.message or "").splitlines()[0] if a.message else ""]
        for a in attempts[-limit:]
    ]
    more = f" (the newest {limit:,}: --limit)" if len(attempts) > limit else ""
    stdout().print(text_table(f"Not scored{more}", ["attempt", "ended at", "text", "reason"], rest, left=4))
