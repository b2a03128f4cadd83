"""Factors side by side: one page with their curves, their figures by split, and how alike their returns are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

import numpy as np
from markupsafe import Markup

from agent.drawing import plots, svg
from agent.drawing.axes import DASH, format_number
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.review import charts
from agent.review.collect import review_factor, study_of_run
from agent.review.render import render_page, write_report
from agent.review.review_records import Review
from agent.review.views import Row, both_splits, simulated_notes, verdict_words
from agent.study.opening import Note, no_note
from agent.study.study import Study
from agent.study.workspace import Workspace
from market.errors import InputError
from market.panel import FloatArray

# More curves than these cannot be kept apart.
MOST = 6
_DASHES = ("", "7 4", "2 3", "9 3 2 3", "12 4", "1 3")
# (label, field of a segment, number style); each is shown on train and on validation.
_FIGURES = (
    ("Net return a year", "annual_return_net", "percent"),
    ("Net Sharpe ratio", "sharpe_net", "plain"),
    ("Its standard error", "sharpe_error", "plain"),
    ("Payoff score, before costs", "payoff_z", "plain"),
    ("Net score", "net_z", "plain"),
    ("Rank IC", "rank_ic", "ic"),
    ("Largest drawdown", "max_drawdown", "percent"),
    ("Turnover a bar", "turnover", "percent"),
    ("Costs a year", "cost_year", "percent"),
    ("Break-even cost, bp", "break_even_bp", "score"),
    ("Market beta", "beta", "plain"),
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Factors of one data set: their reviews, and (K, K) correlations of their gross returns on train."""

    reviews: Sequence[Review]
    correlations: FloatArray

    @property
    def names(self) -> list[str]:
        """A letter and the name of each, by which charts and tables speak of it."""
        return [f"{ascii_uppercase[k]} {one.name}" for k, one in enumerate(self.reviews)]

    def rows(self) -> list[Row]:
        """Return the table of figures: a row a figure, a cell a factor, train before validation."""
        rows = [
            Row("Verdict", "", tuple(verdict_words(one.verdict)[0] for one in self.reviews), strong=True),
            Row("First test that it failed", "", tuple(one.failed or DASH for one in self.reviews)),
            Row("Traded", "the rule chosen on train", tuple(one.rule or DASH for one in self.reviews)),
            Row("Half-life of the signal, bars", "train", tuple(_half_life(one) for one in self.reviews)),
        ]
        for label, key, style in _FIGURES:
            pairs = tuple(" / ".join(both_splits(one, key, style)) for one in self.reviews)
            rows.append(Row(label, "train / validation", pairs))
        return rows


def compare_reviews(reviews: Sequence[Review]) -> Comparison:
    """Return a comparison of reviews of one data set.

    Raises
    ------
    InputError
        For fewer than two, for more than `MOST`, and where they are not of the same bars.
    """
    if not 2 <= len(reviews) <= MOST:
        raise InputError(f"{len(reviews)} factors to compare", f"name 2 to {MOST}")
    first = reviews[0]
    for other in reviews[1:]:
        if other.panel.panel_id != first.panel.panel_id or not np.array_equal(other.times, first.times):
            raise InputError(
                f"{other.name} is of {other.panel.name}, {first.name} of {first.panel.name}, or of other bars of it",
                "compare factors that were scored on the same bars",
            )
    series = np.array([_gross(one)[: first.train_end] for one in reviews])
    with np.errstate(all="ignore"):
        correlations = np.corrcoef(np.nan_to_num(series))
    return Comparison(reviews, np.asarray(correlations, dtype=np.float64))


def write_comparison(comparison: Comparison, workspace: Workspace, output: Path | None = None) -> Path:
    """Write the page of a comparison to `output`, or among the reports of a workspace; return the file's path."""
    names = "-".join(one.factor_id.replace(":", "-")[:14] for one in comparison.reviews)
    path = output if output is not None else workspace.folder("reports") / f"compare-{names}.html"
    return write_report(render_comparison(comparison), path)


def compare_factors(
    workspace: Workspace,
    knowledge: KnowledgeBase,
    factors: Sequence[str],
    *,
    data: str | None = None,
    note: Note = no_note,
) -> Comparison:
    """Return the comparison of factors by ids or their first characters, for a page or a terminal.

    Each is computed afresh by the rules that its run recorded. No trial is counted: all were tried before. Errors are
    those of `compare_reviews`.
    """
    if not 2 <= len(factors) <= MOST:
        raise InputError(f"{len(factors)} factors to compare", f"name 2 to {MOST}")
    studies: dict[str, Study] = {}
    reviews = []
    for what in factors:
        record = knowledge.get_factor(what)
        run = knowledge.get_run(record.attempt.run_id)
        study = studies.get(run.id) or study_of_run(workspace, run, data, note)
        studies[run.id] = study
        reviews.append(review_factor(study, knowledge, record))
    return compare_reviews(reviews)


def render_comparison(comparison: Comparison) -> str:
    """Return the comparison as an HTML document, which needs nothing beside itself."""
    reviews = comparison.reviews
    first = reviews[0]
    notes = simulated_notes(first.simulated_market, any(one.simulated_llm for one in reviews))
    return render_page(
        "comparison.html",
        title=f"{len(reviews)} factors of {first.panel.name}",
        notes=notes,
        lead=_sentence(comparison),
        panel=first.panel,
        reviews=list(zip(comparison.names, reviews, strict=True)),
        columns=["", *comparison.names],
        rows=comparison.rows(),
        curves=Markup(_curves(comparison)),
        alike=Markup(_alike(comparison)),
    )


def _sentence(comparison: Comparison) -> str:
    accepted = [
        name for name, one in zip(comparison.names, comparison.reviews, strict=True) if one.verdict == "accepted"
    ]
    said = f"Accepted: {', '.join(accepted)}." if accepted else "None of them is accepted."
    best = max(range(len(comparison.reviews)), key=lambda k: _known(comparison.reviews[k].train.sharpe_net))
    said += (
        f" On train {comparison.names[best]} has the highest net Sharpe ratio, "
        f"{format_number(comparison.reviews[best].train.sharpe_net)}."
    )
    pairs = [
        (comparison.correlations[i, j], i, j)
        for i in range(len(comparison.reviews))
        for j in range(i)
        if math.isfinite(comparison.correlations[i, j])
    ]
    if pairs:
        most, i, j = max(pairs)
        pair = f"{ascii_uppercase[j]} and {ascii_uppercase[i]}"
        said += f" Most alike are {pair}: returns correlate by {format_number(most)}."
    return said


def _known(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def _half_life(review: Review) -> str:
    profile = review.profiles.get("train")
    return DASH if profile is None else format_number(profile.half_life, "score")


def _gross(review: Review) -> FloatArray:
    """Return (T,) gross returns a bar, from the compounded curve."""
    wealth = 1.0 + np.asarray(review.equity["gross"], dtype=np.float64)
    with np.errstate(all="ignore"):
        returns: FloatArray = wealth / np.concatenate(([1.0], wealth[:-1])) - 1.0
    return returns


def _curves(comparison: Comparison) -> str:
    first = comparison.reviews[0]
    lines = []
    for k, (name, one) in enumerate(zip(comparison.names, comparison.reviews, strict=True)):
        values = np.asarray(one.equity["net"], dtype=np.float64)
        end = format_number(values[-1], "percent", signed=True) if len(values) else ""
        lines.append(svg.Line(name, values, f"c{k % 6 + 1}", _DASHES[k % len(_DASHES)], end))
    chart = svg.LineChart(
        "Net returns",
        "Compounded return of each factor since the first bar, net of costs, ungated.",
        first.times,
        lines,
        spans=charts.segment_spans(first),
        percent=True,
        log=charts.wants_log(lines),
        height=290,
    )
    return svg.line_chart(chart)


def _alike(comparison: Comparison) -> str:
    names = comparison.names
    letters = [name[0] for name in names]
    return plots.heat_map(
        "Correlation of returns",
        "Of gross returns on train, each factor with each.",
        names,
        letters,
        comparison.correlations,
        width=svg.HALF,
    )
