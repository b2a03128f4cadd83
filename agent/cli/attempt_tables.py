"""Tables of attempts and runs, for `mine`, `kb` and `demo`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from agent.cli.common import format_number, stdout, text_table
from agent.knowledge.attempt_figures import factor_order, net_score, traded_sharpe, train_of, verdict_of
from agent.knowledge.failed_tests import by_promise, count_failed, ended_why, failed_words

if TYPE_CHECKING:
    from rich.table import Table

    from agent.knowledge.knowledge_base import KnowledgeBase
    from agent.knowledge.listing import VerdictSince
    from agent.knowledge.records import AttemptRecord

# What fewer than a fifth of the attempts failed by is no reason to change anything.
_FIFTH = 5
FACTOR_COLUMNS = ("factor", "expression", "verdict", "pays", "nets", "Sharpe", "turnover")


def factor_rows(attempts: Sequence[AttemptRecord], later: Mapping[int, VerdictSince] | None = None) -> list[list[str]]:
    """Return one row a scored factor, best train Sharpe first; every figure is of the train split.

    Scores are of what it pays before costs and of what it nets: a mean over its standard error, as a normal score. The
    Sharpe ratio is net and, where there is a gate, behind it.

    `later` holds, by attempt, the verdicts that were given again: one that differs stands beside the first.
    """
    since = later or {}
    scored = [a for a in attempts if a.evaluation is not None]
    return [
        [
            (a.factor_id or "").removeprefix("factor:")[:10],
            a.canonical or a.text,
            since[a.id].beside(verdict_of(a)) if a.id in since else verdict_of(a),
            format_number(train_of(a).payoff_z, 1),
            format_number(net_score(train_of(a)), 1),
            format_number(traded_sharpe(train_of(a))),
            format_number(train_of(a).turnover, 1, percent=True),
        ]
        for a in sorted(scored, key=factor_order)
    ]


def factor_table(title: str, rows: Sequence[Sequence[str]]) -> Table:
    """Return a table of `factor_rows` in which the expression alone is folded."""
    drawn = text_table(title, FACTOR_COLUMNS, rows, left=3)
    drawn.box = None
    drawn.padding = (0, 1)
    for column in (drawn.columns[0], *drawn.columns[3:]):
        column.no_wrap = True
    drawn.columns[2].max_width = 13
    return drawn


def best_table(attempts: Sequence[AttemptRecord], run_id: str, *, limit: int = 10) -> Table:
    """Return the best factors of a run, each with its figures of train and the test that it failed.

    It fits 80 columns; where nothing was scored, it has what was tried last, with the reasons.
    """
    best = by_promise(attempts)
    shown = best[:limit] if best else list(attempts[-limit:])
    said = "Best" if best else "Last"
    title = (
        f"{said} {len(shown)} of {len(best or attempts)} factors of run {run_id}; on train, pays and nets are scores"
    )
    drawn = text_table(title, ["factor", "pays", "nets", "Sharpe", "verdict and reason"], [], left=1)
    drawn.columns[0].ratio, drawn.columns[4].ratio = 10, 11
    for column in drawn.columns[1:4]:
        column.no_wrap = True
    drawn.columns[4].justify = "left"
    for one in shown:
        train, full = train_of(one), one.stage != "screen"
        drawn.add_row(
            one.canonical or one.text or "–",
            format_number(train.payoff_z, 1),
            format_number(net_score(train), 1) if full else "–",
            format_number(traded_sharpe(train)) if full else "–",
            _verdict_and_reason(one),
        )
    return drawn


def _verdict_and_reason(one: AttemptRecord) -> str:
    """Return the test that was failed first, or the verdict, and why."""
    # The score stands in a column of its own.
    why = re.sub(r" \(score [^)]*\)", "", ended_why(one))
    return f"{failed_words(one)}: {why}" if why else failed_words(one)


def print_failed(attempts: Sequence[AttemptRecord]) -> None:
    """Print what the attempts of a run failed by, and what to try."""
    failed, out = count_failed(attempts), stdout()
    if not failed:
        return
    out.print("What the attempts failed by:")
    for one in failed:
        out.print(f"{one.count:>5}  {one.says}", soft_wrap=not out.is_terminal)
    often = [one.hint for one in failed[:2] if one.count * _FIFTH >= len(attempts)] or [failed[0].hint]
    out.print(f"What to try: {'; '.join(often)}", soft_wrap=not out.is_terminal)


def run_summary(knowledge: KnowledgeBase, run_id: str, outcome: str) -> dict[str, object]:
    """Return what a run did, counted from the knowledge base."""
    from agent.mining.feedback import COST
    from agent.mining.judge_skill import judge_skill
    from agent.mining.spending import bill
    from agent.study.settings import loop_of

    attempts = knowledge.attempts(run_id=run_id)
    totals = knowledge.calls_total(run_id)
    return {
        "run": run_id,
        "status": outcome,
        "attempts": len(attempts),
        "evaluated": sum(a.evaluation is not None for a in attempts),
        "accepted": sum(a.evaluation is not None and a.evaluation.accepted for a in attempts),
        "promising": sum(verdict_of(a) == "promising" for a in attempts),
        "untested": sum(verdict_of(a) == "untested" for a in attempts),
        "calls": totals.calls,
        "prompt_tokens": totals.prompt_tokens,
        "completion_tokens": totals.completion_tokens,
        "cost_usd": totals.cost_usd,
        "cost": "none (simulated)"
        if knowledge.get_run(run_id).simulated
        else "unknown (no price set)"
        if totals.cost_usd is None
        else f"${totals.cost_usd:.4f}",
        "judge": judge_skill(attempts).sentence(),
        "feedback": COST if loop_of(knowledge.get_run(run_id).config).feedback == "validation" else "",
        "bill": [asdict(line) for line in bill(knowledge.calls(run_id))],
        "factors": [
            {"factor": a.factor_id, "text": a.canonical, "verdict": verdict_of(a)}
            for a in attempts
            if a.evaluation is not None
        ],
    }


def bill_table(knowledge: KnowledgeBase, run_id: str) -> Table:
    """Return what a run's calls took, by round and agent."""
    from agent.mining.spending import bill

    rows = [
        [
            str(line.round),
            line.role,
            line.model,
            str(line.calls),
            str(line.prompt_tokens),
            str(line.completion_tokens),
            "unknown" if line.cost_usd is None else f"${line.cost_usd:.4f}",
        ]
        for line in bill(knowledge.calls(run_id))
    ]
    return text_table(
        "Bill", ["round", "agent", "model", "calls", "prompt tokens", "reply tokens", "cost"], rows, left=3
    )


def screening_summary(knowledge: KnowledgeBase, run_id: str, outcome: str) -> dict[str, object]:
    """Return what a screening did, counted from the knowledge base."""
    attempts = knowledge.attempts(run_id=run_id)
    full = [a for a in attempts if a.evaluation is not None and a.stage != "screen"]
    return {
        "run": run_id,
        "status": outcome,
        "attempts": len(attempts),
        "refused": sum(a.evaluation is None for a in attempts),
        "screened_out": sum(a.stage == "screen" for a in attempts),
        "in_full": len(full),
        "accepted": sum(a.evaluation is not None and a.evaluation.accepted for a in full),
        "factors": [
            {"factor": a.factor_id, "text": a.canonical, "verdict": verdict_of(a)}
            for a in sorted(full, key=factor_order)
        ],
    }
