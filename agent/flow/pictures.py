"""Pictures of what the flow finds: gates in rows of dots, what is noticed as a tinted grid, risk by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.drawing import plots
from market.panel import BoolArray, FloatArray, TimeArray

# (heading, SVG, caption), as `agent.review.findings.Findings` takes them.
Picture = tuple[str, str, str]
_COLOURS = ("c6", "c1", "c2", "c3", "c5", "c4")


def gate_dots(values: Sequence[Mapping[str, Any]], own: str) -> Picture:
    """Draw each portfolio's net Sharpe ratio without a gate, under it, under shifted ones and under volatility's."""
    rows = [
        (str(row["portfolio"]), [float(row[key]) for key in ("ungated", "gated", "shifted", "tradable")])
        for row in values
        if row["gate"] == own
    ]
    series = [
        ("no gate", "c6"),
        (f"the {own}'s gate", "c1"),
        ("the same gate at other times", "c5"),
        ("a volatility gate", "c2"),
    ]
    drawn = plots.dot_plot(
        "What gates are worth",
        "Net Sharpe ratio a year of each portfolio, without a gate and under three.",
        rows,
        series,
        axis="net Sharpe ratio a year",
    )
    caption = "Right of the grey dot a gate helps; only what is right of “other times” as well is owed to its timing."
    return "What gates are worth", drawn, caption


def noticed_map(anomalies: Sequence[Mapping[str, object]]) -> Picture:
    """Draw how well each score notices each kind of planted anomaly, over eight altered bars."""
    kinds = list(dict.fromkeys(str(row["kind"]) for row in anomalies))
    scores = list(dict.fromkeys(str(row["score"]) for row in anomalies))
    # An anomaly of one bar has no window.
    found = {
        (row["score"], row["kind"]): one if np.isfinite(one := float(str(row["auroc_window"]))) else row["auroc_bar"]
        for row in anomalies
    }
    values = np.array([[found.get((score, kind), np.nan) for kind in kinds] for score in scores], dtype=np.float64)
    drawn = plots.heat_map(
        "What is noticed", "AUROC of each score on each kind of planted anomaly.", scores, kinds, values, middle=0.5
    )
    caption = (
        "AUROC over eight altered bars, or over one where no more are altered: how often an altered state scores as "
        "stranger than an ordinary one. 0.5 is "
        "blind, 1 never errs; the other colour is worse than blind."
    )
    return "What each score notices", drawn, caption


def regime_areas(times: TimeArray, names: Sequence[str], inside: Sequence[BoolArray], bars: int) -> str:
    """Draw the share of each regime over the last `bars` bars, stacked; `inside` (T,) of each."""
    return plots.stacked_areas(
        "Share of each regime",
        f"Over the last {bars} bars, stacked to the whole.",
        times,
        [(name, rolling_share(member, bars)) for name, member in zip(names, inside, strict=True)],
    )


def rolling_share(inside: BoolArray, bars: int) -> FloatArray:
    """Return (T,) the share of the last `bars` bars that are inside; of fewer at the start."""
    total = np.concatenate([[0.0], np.cumsum(inside)])
    ends = np.arange(1, len(inside) + 1)
    starts = np.maximum(ends - bars, 0)
    share: FloatArray = (total[ends] - total[starts]) / (ends - starts)
    return share


def risk_dots(now: Sequence[Mapping[str, Any]], key: str, label: str) -> Picture:
    """Draw a figure of risk at the newest bar, a row a portfolio and a dot a method."""
    portfolios = list(dict.fromkeys(str(row["portfolio"]) for row in now))
    methods = list(dict.fromkeys(str(row["method"]) for row in now))
    found = {(row["portfolio"], row["method"]): 100.0 * float(row[key]) for row in now}
    rows = [(name, [found.get((name, method), np.nan) for method in methods]) for name in portfolios]
    series = [(method, _COLOURS[k % len(_COLOURS)]) for k, method in enumerate(methods)]
    drawn = plots.dot_plot(
        f"{label} of the next bar", "A row a portfolio, a dot a method.", rows, series, axis=f"{label}, % of capital"
    )
    caption = "Methods that are far apart say that the figure is not known well; which to trust is below, in the tests."
    return f"{label} of the next bar, by method", drawn, caption
