"""What the factor page says, in words and rows; the templates only lay it out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from agent.drawing.axes import DASH, MONTHS, format_number
from agent.review.review_records import Review
from backtest.metrics import LEAST_BARS
from backtest.result_types import SegmentScore, SliceScore

# (label, what it means, SegmentScore field, number style); only what is listed here is ever printed.
SCORECARD: tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...] = (
    (
        "Prediction",
        (
            ("Payoff score", "mean payoff before costs over its standard error", "payoff_z", "plain"),
            ("Net score", "mean net return over its standard error", "net_z", "plain"),
            ("Rank IC", "mean Spearman correlation per bar with the return traded", "rank_ic", "ic"),
            ("IC", "mean Pearson correlation per bar", "ic", "ic"),
            ("ICIR", "mean rank IC / its standard deviation", "ic_ir", "ic"),
            ("IC t-statistic", "Newey–West", "ic_tstat", "plain"),
            ("Rank autocorrelation", "of the signal with the bar before", "autocorrelation", "plain"),
            ("Monotonicity", "of returns over signal quantiles; 1 rises all the way", "monotonicity", "plain"),
        ),
    ),
    (
        "Performance",
        (
            ("Sharpe, gross", "annualised, before costs", "sharpe_gross", "plain"),
            ("Sharpe, net", "annualised, after all costs", "sharpe_net", "plain"),
            ("Its standard error", "skew- and kurtosis-aware", "sharpe_error", "plain"),
            ("Sortino, net", "annualised, downside deviation only", "sortino", "plain"),
            ("Calmar, net", "annual return / largest drawdown", "calmar", "plain"),
            ("Annual return, net", "after all costs", "annual_return_net", "percent"),
            ("Hit rate", "share of bars that earned", "hit_rate", "percent"),
            ("Profit factor", "gains / losses", "profit_factor", "plain"),
        ),
    ),
    (
        "Risk",
        (
            ("Largest drawdown, net", "peak to trough", "max_drawdown", "percent"),
            ("Longest drawdown", "bars below an earlier peak", "drawdown_bars", "count"),
            ("Tail ratio", "95th percentile / size of the 5th", "tail_ratio", "plain"),
            ("VaR 95 %", "loss per bar exceeded in 5 % of bars", "var_95", "percent"),
            ("CVaR 95 %", "mean of those losses", "cvar_95", "percent"),
            ("Market beta", "of net returns", "beta", "plain"),
            ("Alpha, annual", "left after known factors", "alpha", "percent"),
            ("Alpha t-statistic", "Newey–West", "alpha_tstat", "plain"),
            ("Skewness", "of net returns per bar", "skew", "plain"),
            ("Kurtosis", "of net returns per bar", "kurt", "plain"),
        ),
    ),
    (
        "Trading",
        (
            ("Turnover", "mean share of the portfolio traded per bar", "turnover", "percent"),
            ("Costs, annual", "fees, slippage, borrow and impact", "cost_year", "percent"),
            ("Break-even cost", "bp of traded notional at which nothing is earned", "break_even_bp", "plain"),
            ("Capacity", "capital at which impact halves the net Sharpe ratio", "capacity", "count"),
            ("Positions opened", "or turned", "trades", "count"),
            ("Duration, bars", "mean of a position", "duration", "plain"),
            (
                "Sharpe per bar, net",
                "not annualised; what the deflated Sharpe ratio tests",
                "per_bar_sharpe_net",
                "ic",
            ),
            ("Bars", "in the segment", "n_bars", "count"),
        ),
    ),
)
_GATES = (
    ("Ungated", "every bar traded at full size", "sharpe_net", "annual_return_net"),
    ("GLOW gate", "exposure by the flow's likelihood", "sharpe_gated", "annual_return_gated"),
    ("Volatility gate", "same mean exposure, cut where volatility is high", "sharpe_vol_gated", ""),
    ("Random gate", "same mean exposure, at random times", "sharpe_random_gated", ""),
)
_VERDICTS = {
    "accepted": ("Accepted", "✓"),
    "promising": ("Promising, not proven", "~"),
    "untested": ("Passes on train, not tested on validation", "?"),
    "rejected": ("Rejected", "✕"),
}
# Share of circularly shifted gates that a gate must beat before its gain counts as more than luck.
_SHIFT_BAR = 0.95


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: label, explanation, and its cells as text; `strong` sets it off.

    `code` is an expression below the label, `tone` a CSS class of the first cell.
    """

    label: str
    note: str
    cells: tuple[str, ...]
    strong: bool = False
    code: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline figure with what stands under it."""

    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class MonthCell:
    """A month's return as text, with a CSS class for its tint."""

    text: str
    css: str


def verdict_words(verdict: str) -> tuple[str, str, str]:
    """Return (words, symbol, CSS class) of a verdict; an unknown one is shown as it is."""
    words, symbol = _VERDICTS.get(verdict, (verdict or "not judged", "·"))
    return words, symbol, verdict if verdict in _VERDICTS else "other"


def both_splits(review: Review, key: str, style: str) -> tuple[str, str]:
    """Return a figure on train and on validation."""
    return format_number(getattr(review.train, key), style), format_number(getattr(review.validation, key), style)


def scorecard_rows(review: Review) -> list[tuple[str, list[Row]]]:
    """Return the groups of the scorecard with train and validation side by side."""
    return [
        (
            group,
            [
                Row(label, note, both_splits(review, key, style), key == "sharpe_net")
                for label, note, key, style in rows
            ],
        )
        for group, rows in SCORECARD
    ]


def admission_rows(review: Review) -> list[Row]:
    """Return each gate of the policy with its numbers, its bar and whether it was passed."""
    rows = []
    for gate in review.gates:
        numbers = ", ".join(f"{name} {format_number(value, 'ic')}" for name, value in gate.numbers.items())
        verdict = "passed" if gate.passed else "failed"
        rows.append(Row(gate.gate.replace("_", " "), "", (gate.bar, numbers, verdict)))
    return rows


def slice_rows(review: Review, kind: Literal["years", "regimes"]) -> list[Row]:
    """Return rank IC and net Sharpe of each year or regime, train and validation."""
    found = {
        part: {one.name: one for one in getattr(review.profiles[part], kind)} if part in review.profiles else {}
        for part in ("train", "validation")
    }
    rows = []
    for name in dict.fromkeys([*found["train"], *found["validation"]]):
        cells: list[str] = []
        for part in ("train", "validation"):
            one = found[part].get(name)
            cells += [DASH] * 3 if one is None else [
                format_number(one.bars, "count"), format_number(one.rank_ic, "ic"), _with_error(one)
            ]  # fmt: skip
        rows.append(Row(name, "", tuple(cells)))
    return rows


def _with_error(one: SliceScore) -> str:
    """Return a Sharpe ratio with its standard error; of few bars, which older scorecards have ratios of, none."""
    if one.bars < LEAST_BARS:
        return DASH
    error = f" ± {format_number(one.sharpe_error)}" if math.isfinite(one.sharpe_error) else ""
    return format_number(one.sharpe_net) + error


def loading_rows(review: Review) -> list[Row]:
    """Return loadings of net returns on known factors, train and validation."""
    found = [review.profiles[part].loadings if part in review.profiles else {} for part in ("train", "validation")]
    return [
        Row(name, "", tuple(format_number(loadings.get(name, math.nan)) for loadings in found))
        for name in dict.fromkeys([*found[0], *found[1]])
    ]


def segment_span(segment: SegmentScore) -> str:
    """Return "start – end" of a segment as days, or nothing when either is unknown."""
    start, end = segment.start[:10], segment.end[:10]
    return f"{start} – {end}" if start and end else ""


def gate_rows(review: Review) -> list[Row]:
    """Return gated beside ungated beside the placebo gates, on train and validation."""
    return [
        Row(
            label,
            note,
            (
                format_number(getattr(review.train, sharpe)),
                format_number(getattr(review.validation, sharpe)),
                format_number(getattr(review.train, annual), "percent") if annual else DASH,
                format_number(getattr(review.validation, annual), "percent") if annual else DASH,
            ),
            sharpe == "sharpe_gated",
        )
        for label, note, sharpe, annual in _GATES
    ]


def gate_facts(review: Review) -> list[Row]:
    """Return mean exposure and the share of shifted gates beaten, train and validation."""
    facts = (
        ("Mean exposure", "of the GLOW gate", "mean_exposure"),
        (
            "Shifted gates beaten",
            "share of circular shifts of the same gate with a lower Sharpe",
            "shift_percentile",
        ),
    )
    return [Row(label, note, both_splits(review, key, "percent")) for label, note, key in facts]


def gate_conclusion(review: Review) -> tuple[str, str]:
    """Return (sentence, CSS class): whether the gate earns its place on validation."""
    segment = review.validation
    net, gated = segment.sharpe_net, segment.sharpe_gated
    if not math.isfinite(gated):
        return (
            "No gate was applied: every figure is ungated. A neutral portfolio has no fall to be kept out of.",
            "other",
        )
    if not math.isfinite(net):
        return "The ungated Sharpe ratio is undefined, so the gate can't be compared.", "other"
    pair = f"Sharpe {format_number(gated)} gated against {format_number(net)} ungated"
    if gated <= net:
        return f"On validation the gate does not earn its place: {pair}.", "rejected"
    rivals = {"volatility gate": segment.sharpe_vol_gated, "random gate": segment.sharpe_random_gated}
    missing = [name for name, value in rivals.items() if not math.isfinite(value)]
    better = [f"a {name} reaches {format_number(value)}" for name, value in rivals.items() if value >= gated]
    if better:
        return f"On validation the gate is not proven: {pair}, but {' and '.join(better)}.", "promising"
    share = segment.shift_percentile
    if missing or not math.isfinite(share):
        return f"On validation the gate helps ({pair}), but not every placebo gate could be run.", "promising"
    beaten = f"{format_number(share, 'share')} of shifted gates"
    if share < _SHIFT_BAR:
        return (
            f"On validation the gate is not proven: {pair}, but it beats only {beaten}; that can be luck.",
            "promising",
        )
    return (
        f"On validation the gate earns its place: {pair}, above both placebo gates and {beaten}.",
        "accepted",
    )


def headline(review: Review) -> str:
    """Return the verdict's own sentence; of earlier policies, which have none, the figures behind it."""
    if review.sentence:
        return f"{review.sentence[0].upper()}{review.sentence[1:]}."
    validation = review.validation
    parts = [
        f"validation Sharpe {format_number(validation.sharpe_net)} after costs",
        f"{format_number(validation.sharpe_gated)} behind the gate"
        if math.isfinite(validation.sharpe_gated)
        else "no gate",
        f"rank IC {format_number(validation.rank_ic, 'ic')}",
    ]
    if review.dsr is not None and math.isfinite(review.dsr):
        after = f" after {format_number(review.trials, 'count')} trials" if review.trials is not None else ""
        parts.append(f"deflated Sharpe ratio {format_number(review.dsr, 'probability')}{after}")
    text = ", ".join(parts)
    return text[0].upper() + text[1:] + "."


def monthly_returns(review: Review, *, years: int = 15) -> list[tuple[str, list[MonthCell], MonthCell]]:
    """Return (year, twelve months, whole year) net returns, the latest `years`; empty under two months."""
    net = review.equity.get("net")
    if net is None or len(net) == 0:
        return []
    months = review.times.astype("datetime64[M]").astype(np.int64)
    last = np.flatnonzero(np.append(np.diff(months) != 0, True))
    if len(last) < 2:
        return []
    wealth = 1.0 + np.asarray(net, dtype=np.float64)[last]
    before = np.concatenate(([1.0], wealth[:-1]))
    with np.errstate(all="ignore"):
        growth = np.where(before > 0, wealth / before, np.nan)
    by_year: dict[int, dict[int, float]] = {}
    for month, value in zip(months[last].tolist(), growth.tolist(), strict=True):
        by_year.setdefault(1970 + month // 12, {})[month % 12] = value
    table = []
    for year in sorted(by_year)[-years:]:
        by_month = by_year[year]
        whole = math.prod(by_month.values()) - 1.0
        cells = [_tinted(by_month[m] - 1.0) if m in by_month else MonthCell("", "") for m in range(12)]
        table.append((str(year), cells, _tinted(whole)))
    return table


def _tinted(value: float) -> MonthCell:
    if not math.isfinite(value):
        return MonthCell(DASH, "")
    depth = 1 + (abs(value) >= 0.02) + (abs(value) >= 0.05)
    return MonthCell(format_number(value, "percent"), f"{'up' if value >= 0 else 'down'}{depth}")


def month_names() -> tuple[str, ...]:
    """Return the column heads of the monthly table."""
    return MONTHS


def simulated_notes(market: bool, llm: bool) -> list[str]:
    """Return what must be said when prices or models aren't real."""
    notes = []
    if market:
        notes.append(
            "Simulated market: a seeded program generated these prices. "
            "Nothing here says what any real market would pay."
        )
    if llm:
        notes.append(
            "Simulated language model: a program played writer and judge. No language model was asked; the program "
            "made up the rationales and critiques."
        )
    return notes
