"""What the page of a run says: the best by what they would earn and why they failed, how the search went, its cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from agent.drawing import plots, svg
from agent.drawing.axes import DASH, format_number
from agent.review.review_records import FactorRow, LedgerRow, LessonRow, RunReview, whole_sum
from agent.review.views import Row, Tile, verdict_words

# Rows that stand open; the others are one click away.
BEST = 10
_LONGEST_REASON = 150
COLUMNS = (
    "Factor",
    "Verdict",
    "Failed test, and why",
    "Net Sharpe, train",
    "Net a year, train",
    "Payoff score, train",
    "Turnover a bar, train",
    "Net Sharpe, valid.",
    "Round",
)
_VERDICT_STYLE = (("accepted", "c3"), ("promising", "c1"), ("untested", "c5"), ("rejected", "c2"))


def run_sentence(run: RunReview) -> str:
    """Say what came of the run: what was accepted or the best, what it nets, and what most others failed by."""
    attempts = run.funnel[0].count if run.funnel else len(run.factors)
    accepted = [row for row in run.factors if row.verdict == "accepted"]
    said = f"{len(run.factors)} of {attempts} attempts were scored, {len(accepted) or 'none'} accepted."
    if run.factors:
        best = run.factors[0]
        error = f" ± {format_number(best.train.sharpe_error)}" if math.isfinite(best.train.sharpe_error) else ""
        ratio = format_number(best.train.sharpe_net)
        said += f" The best, {best.name or best.text}, has a net Sharpe ratio of {ratio}{error} on train"
        if best.verdict in ("accepted", "promising"):
            said += f" and {format_number(best.validation.sharpe_net)} on validation"
        said += "."
    failed = Counter(row.failed for row in run.factors if row.failed)
    if failed:
        test, count = failed.most_common(1)[0]
        said += f" Most frequent reason to refuse one: {test} ({count} of {len(run.factors)})."
    return said


def run_tiles(run: RunReview) -> list[Tile]:
    """Return the headline figures of a run."""
    attempts = run.funnel[0].count if run.funnel else len(run.factors)
    accepted = sum(row.verdict == "accepted" for row in run.factors)
    total = ledger_total(run.ledger)
    seconds = math.fsum(run.seconds.values())
    return [
        Tile("Attempts", format_number(attempts, "count"), f"{format_number(run.rounds, 'count')} rounds"),
        Tile("Scored", format_number(len(run.factors), "count"), "reached the backtest"),
        Tile("Accepted", format_number(accepted, "count"), "passed the evidence rules"),
        Tile("Model calls", format_number(total.calls, "count"), "simulated" if run.simulated_llm else "journalled"),
        Tile("Cost", "none" if run.simulated_llm else dollars(total.cost_usd), "of model calls"),
        Tile("Wall time", f"{seconds:,.0f} s" if run.seconds else DASH, "from first to last"),
    ]


def factor_rows(rows: Sequence[FactorRow]) -> list[Row]:
    """Return the scored attempts as rows of `COLUMNS`."""
    return [
        Row(
            row.name or row.factor_id,
            f"{row.factor_id}{f' · {row.theme}' if row.theme else ''}",
            (
                _short_verdict(row.verdict).capitalize(),
                _why(row),
                format_number(row.train.sharpe_net),
                format_number(row.train.annual_return_net, "percent"),
                format_number(row.train.payoff_z),
                format_number(row.train.turnover, "percent"),
                format_number(row.validation.sharpe_net),
                str(row.round),
            ),
            code=row.text,
            tone=verdict_words(row.verdict)[2],
        )
        for row in rows
    ]


def _why(row: FactorRow) -> str:
    if row.verdict == "accepted":
        return DASH
    reason = " ".join(row.reason.split())
    if len(reason) > _LONGEST_REASON:
        reason = reason[:_LONGEST_REASON].rsplit(" ", 1)[0] + "…"
    return ": ".join(part for part in (row.failed, reason) if part) or DASH


def payoff_plot(rows: Sequence[FactorRow]) -> str:
    """Draw each scored attempt by what it pays before costs and what it trades, on train."""
    kinds = []
    for verdict, css in _VERDICT_STYLE:
        mine = [row for row in rows if row.verdict == verdict]
        x = np.array([row.train.turnover for row in mine], dtype=np.float64)
        y = np.array([row.train.payoff_z for row in mine], dtype=np.float64)
        kinds.append(plots.Points(_short_verdict(verdict), css, x, y, [row.name or row.text for row in mine]))
    return plots.scatter(
        plots.Scatter(
            "Payoff against turnover",
            "Each scored attempt by its turnover a bar and its payoff score before costs, both on train.",
            kinds,
            x_title="turnover a bar, train",
            y_title="payoff score before costs, train",
            x_percent=True,
            x_log=True,
        )
    )


def _short_verdict(verdict: str) -> str:
    return {"promising": "promising", "untested": "passes on train"}.get(verdict, verdict)


def learning_plot(rows: Sequence[FactorRow]) -> str:
    """Draw the net score on train of each scored attempt by its round, and the best so far."""
    rounds = sorted({row.round for row in rows})
    kinds = []
    for verdict, css in _VERDICT_STYLE:
        mine = [row for row in rows if row.verdict == verdict]
        x = np.array([row.round for row in mine], dtype=np.float64)
        y = np.array([row.train.net_z for row in mine], dtype=np.float64)
        kinds.append(plots.Points(_short_verdict(verdict), css, x, y, [row.name or row.text for row in mine]))
    best, tops = -math.inf, []
    for number in rounds:
        found = [row.train.net_z for row in rows if row.round == number and math.isfinite(row.train.net_z)]
        best = max([best, *found])
        tops.append(best if math.isfinite(best) else math.nan)
    steps = (np.array(rounds, dtype=np.float64), np.array(tops, dtype=np.float64)) if len(rounds) > 1 else None
    return plots.scatter(
        plots.Scatter(
            "What each round found",
            "Net score on train of each scored attempt, by round, with the best up to each round.",
            kinds,
            x_title="round",
            y_title="net score, train",
            x_whole=True,
            steps=steps,
            steps_label="best so far",
            width=svg.HALF,
        )
    )


def grouped_lessons(lessons: Sequence[LessonRow]) -> tuple[int, list[tuple[str, list[LessonRow]]]]:
    """Return the last round that taught something, and its lessons by kind; (0, []) without any."""
    if not lessons:
        return 0, []
    last = max(lesson.round for lesson in lessons)
    kinds: dict[str, list[LessonRow]] = {}
    for lesson in lessons:
        if lesson.round == last:
            kinds.setdefault(lesson.kind, []).append(lesson)
    return last, list(kinds.items())


def dollars(cost: float | None) -> str:
    """Return a cost; an unknown one is "unknown", never 0."""
    return "unknown" if cost is None or not math.isfinite(cost) else f"${cost:,.4f}"


def ledger_total(rows: Sequence[LedgerRow]) -> LedgerRow:
    """Return the sums; a sum over anything unknown is unknown."""
    return LedgerRow(
        role="total",
        model="",
        calls=sum(row.calls for row in rows),
        prompt_tokens=whole_sum([row.prompt_tokens for row in rows]),
        completion_tokens=whole_sum([row.completion_tokens for row in rows]),
        cost_usd=whole_sum([row.cost_usd for row in rows]),
        latency_s=math.fsum(row.latency_s for row in rows),
    )


def ledger_rows(run: RunReview) -> list[Row]:
    """Return the calls by role and model, and their total."""

    def cells(row: LedgerRow) -> tuple[str, ...]:
        return (
            format_number(row.calls, "count"),
            *(
                "unknown" if tokens is None else format_number(tokens, "count")
                for tokens in (row.prompt_tokens, row.completion_tokens)
            ),
            "none" if run.simulated_llm else dollars(row.cost_usd),
            format_number(row.latency_s),
        )

    rows = [Row(row.role, row.model, cells(row)) for row in run.ledger]
    return [*rows, Row("Total", "", cells(ledger_total(run.ledger)), strong=True)] if rows else []
