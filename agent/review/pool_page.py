"""What the page of a pool says beside its signal's review: members, what each adds, how they go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from agent.drawing import axes, plots, svg
from agent.drawing.axes import format_number
from agent.review import charts
from agent.review.review_records import Review
from agent.review.views import Row, verdict_words
from backtest.figures import SEGMENTS
from backtest.result_types import Figures
from market.panel import FloatArray

# The heaviest members stand open, and more of them in pictures; all are one click away.
BEST = 10
MAX_DRAWN = 20
_LONGEST = 42


@dataclass(frozen=True)
class MemberRow:
    """A member: by itself (`alone`), and the pool without it (`rest`), both by segment; `rest` empty where none is."""

    factor_id: str
    name: str
    text: str
    verdict: str
    weight: float
    alone: Mapping[str, Figures]
    rest: Mapping[str, Figures]


@dataclass(frozen=True)
class Rival:
    """What the pool is compared with, by segment."""

    label: str
    note: str
    figures: Mapping[str, Figures]


@dataclass(frozen=True, eq=False)
class PoolReview:
    """A pool, ready to be drawn.

    Attributes
    ----------
    review
        Its combined signal, as any factor's.
    members
        Heaviest first.
    rivals
        The pool itself first, then what it is compared with.
    correlations
        (K, K) of members' returns before costs on train, in the order of `members`.
    curves
        Label to (T,) compounded return net of costs, ungated; the pool first.
    notes
        What weakens it, in sentences.
    facts
        How it was fitted: name to value.
    """

    review: Review
    members: Sequence[MemberRow]
    rivals: Sequence[Rival]
    correlations: FloatArray
    curves: Mapping[str, FloatArray]
    notes: Sequence[str]
    facts: Mapping[str, str]


_STYLES = (("c1", ""), ("c2", "7 4"), ("c3", "2 3"))
_SHOWN = (("rank_ic", "ic"), ("sharpe_net", "plain"), ("dsr", "probability"))


# Of the figures by which pools are compared, each on train and on validation.
FIGURES = tuple(
    f"{label}, {part}" for label in ("Rank IC", "Net Sharpe", "Deflated Sharpe") for part in ("train", "valid.")
)
RIVALS = (*FIGURES, "Total return, train", "Total return, valid.")
ALONE = tuple(f"{label} alone, {part}" for label in ("Rank IC", "Sharpe", "DSR") for part in ("train", "valid."))


def pool_context(pool: PoolReview) -> dict[str, object]:
    """Return what the template lays out."""
    own = pool.rivals[0].figures
    members = [
        Row(
            m.name or m.factor_id,
            m.factor_id if m.name else "",
            (verdict_words(m.verdict)[0], format_number(m.weight, "percent", signed=True), *_cells(m.alone)),
            code=m.text,
            tone=verdict_words(m.verdict)[2],
        )
        for m in pool.members
    ]
    return {
        "figure_columns": FIGURES,
        "rival_columns": RIVALS,
        "alone_columns": ALONE,
        "rival_rows": [
            Row(r.label, r.note, _cells(r.figures) + _totals(r.figures), i == 0) for i, r in enumerate(pool.rivals)
        ],
        "members": members[:BEST],
        "all_members": members if len(members) > BEST else (),
        "idle": sum(m.weight == 0.0 for m in pool.members),
        "adds": [Row(m.name or m.text, m.text if m.name else "", _differences(own, m.rest)) for m in pool.members],
        "adds_chart": Markup(adds_chart(pool)),
        "alike_chart": Markup(alike_chart(pool)),
        "hidden": max(0, len(pool.members) - MAX_DRAWN),
        "sentence": rival_sentence(pool),
        "curve_chart": Markup(curve_chart(pool)),
    }


def _short_names(members: Sequence[MemberRow]) -> list[str]:
    """Return a number and the beginning of the name of each member, by which charts and tables speak of it."""
    names = [m.name or m.text for m in members]
    return [f"{k + 1} {name if len(name) <= _LONGEST else name[: _LONGEST - 1] + '…'}" for k, name in enumerate(names)]


def adds_chart(pool: PoolReview) -> str:
    """Draw how much net Sharpe ratio each of the heaviest members adds, on train and on validation."""
    own = pool.rivals[0].figures
    rows = [
        (
            name,
            [own[part].sharpe_net - m.rest[part].sharpe_net if part in m.rest else float("nan") for part in SEGMENTS],
        )
        for name, m in list(zip(_short_names(pool.members), pool.members, strict=True))[:MAX_DRAWN]
    ]
    series = [("train", "c1"), ("validation", "c2")]
    return plots.dot_plot(
        "What each member adds",
        "Net Sharpe ratio of the pool less without the member.",
        rows,
        series,
        axis="net Sharpe",
    )


def alike_chart(pool: PoolReview) -> str:
    """Draw the correlations of the heaviest members' returns; nothing of one member alone."""
    shown = min(len(pool.members), MAX_DRAWN)
    if shown < 2:
        return ""
    return plots.heat_map(
        "How members go together",
        "Correlation of returns on train, before costs.",
        _short_names(pool.members[:shown]),
        [str(k + 1) for k in range(shown)],
        np.asarray(pool.correlations)[:shown, :shown],
    )


def _cells(figures: Mapping[str, Figures]) -> tuple[str, ...]:
    """Return cells in the order rank IC, Sharpe, DSR, each train before validation."""
    return tuple(
        format_number(getattr(figures[part], key), style) if part in figures else axes.DASH
        for key, style in _SHOWN
        for part in SEGMENTS
    )


def _totals(figures: Mapping[str, Figures]) -> tuple[str, ...]:
    """Return cells of the total return, net of costs, of train and of validation."""
    found = (figures[part].total_return if part in figures else float("nan") for part in SEGMENTS)
    return tuple(format_number(one, "percent", signed=True) for one in found)


def _differences(own: Mapping[str, Figures], rest: Mapping[str, Figures]) -> tuple[str, ...]:
    """Return what the pool has over itself without a member."""
    return tuple(
        format_number(
            getattr(own[part], key) - getattr(rest[part], key), "ic" if key == "rank_ic" else "plain", signed=True
        )
        if part in rest
        else axes.DASH
        for key, _ in _SHOWN
        for part in SEGMENTS
    )


def rival_sentence(pool: PoolReview) -> tuple[str, str]:
    """Return (sentence, CSS class): whether combining, and combining like this, paid on validation."""
    own = pool.rivals[0].figures["validation"].sharpe_net
    others = {r.label: r.figures["validation"].sharpe_net for r in pool.rivals[1:]}
    if not others:
        return "There is nothing to compare it with.", "other"
    if not np.isfinite(own):
        return "Its Sharpe ratio on validation is undefined.", "other"
    comparisons = [
        f"{'above' if own > value else 'not above'} {label[0].lower() + label[1:]} ({format_number(value)})"
        for label, value in others.items()
    ]
    beaten = sum(own > value for value in others.values())
    css = "accepted" if beaten == len(others) else "promising" if beaten else "rejected"
    return (
        f"On validation its net Sharpe ratio is {format_number(own)}: {' and '.join(comparisons)}. One stretch of time "
        "decides little: its standard error stands in the scorecard.",
        css,
    )


def curve_chart(pool: PoolReview) -> str:
    """Draw the pool beside its rivals, net of costs."""
    lines = [
        svg.Line(label, np.asarray(values), *style, note=axes.format_number(values[-1], "percent", signed=True))
        for (label, values), style in zip(pool.curves.items(), _STYLES, strict=False)
    ]
    log = charts.wants_log(lines)
    return svg.line_chart(
        svg.LineChart(
            title="Pool and rivals" + (", log scale" if log else ""),
            description="Compounded return net of costs, ungated, of the pool, equal weights and the best member.",
            times=pool.review.times,
            lines=lines,
            spans=charts.segment_spans(pool.review),
            height=300,
            percent=True,
            log=log,
        )
    )
