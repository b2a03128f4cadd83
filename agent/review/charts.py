"""The charts of a factor's review, from a `Review` to SVG text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.drawing import axes, bars, svg
from agent.review.review_records import EQUITY_LABELS, Review
from market.panel import FloatArray, TimeArray

# Okabe-Ito hues, which colour-blind readers can tell apart; the dash repeats the distinction in print.
_EQUITY_STYLE = {
    "gross": ("c6", "7 4"),
    "net": ("c1", ""),
    "gated": ("c3", ""),
    "vol_gate": ("c4", "2 3"),
    "random_gate": ("c5", "9 3 2 3"),
}
_SHUT_LEVELS = ((0.25, "shut3"), (0.5, "shut2"), (0.75, "shut1"))
# Wealth ratios past this hide everything but the best line on a linear scale.
LOG_RATIO = 6.0


def equity_chart(review: Review) -> str:
    """Draw the compounded return gross, net, gated and behind placebo gates, with gate shading."""
    lines = []
    for name in EQUITY_LABELS:
        if name in review.equity:
            values = np.asarray(review.equity[name], dtype=np.float64)
            css, dash = _EQUITY_STYLE[name]
            note = axes.format_number(values[-1], "percent", signed=True) if len(values) else ""
            lines.append(svg.Line(EQUITY_LABELS[name], values, css, dash, note))
    log = wants_log(lines)
    return svg.line_chart(
        svg.LineChart(
            title="Equity" + (", log scale" if log else ""),
            description="Compounded return since the first bar, on train and validation.",
            times=review.times,
            lines=lines,
            spans=[*segment_spans(review), *shut_spans(review.gate_exposure)],
            height=280,
            percent=True,
            log=log,
        )
    )


def wants_log(curves: Sequence[svg.Line]) -> bool:
    """Return whether compounded returns are so far apart that a linear scale hides all but the best."""
    limits = axes.finite_range([curve.values for curve in curves])
    return limits is not None and limits[0] > -1 and (1 + limits[1]) / (1 + limits[0]) > LOG_RATIO


def exposure_chart(review: Review) -> str:
    """Draw the mean exposure that the gate lets through."""
    if review.gate_exposure is None:
        return svg.empty_chart("Gate exposure", svg.WIDE, 110)
    # Bar by bar the gate opens and shuts too often to see; a page has room for some 240 values.
    window = len(review.times) // 240
    mean, label = np.asarray(review.gate_exposure, dtype=np.float64), "gate exposure, mean over assets"
    if window > 3:
        mean, _ = axes.rolling_mean(mean, window)
        label = f"{label} and {window_words(review.times, window)}"
    return svg.line_chart(
        svg.LineChart(
            title="Gate exposure",
            description="Mean over assets of the exposure that the gate lets through, 0 to 100 percent.",
            times=review.times,
            lines=[svg.Line(label, mean, "c3", fill=True)],
            spans=segment_spans(review, labels=False),
            height=110,
            percent=True,
            floor=0.0,
            ceiling=1.04,
        )
    )


def drawdown_chart(review: Review) -> str:
    """Draw how far below its peak the equity was, net and gated."""
    lines = []
    for name in ("net", "gated"):
        if name in review.equity:
            falls = drawdown(np.asarray(review.equity[name], dtype=np.float64))
            css, dash = _EQUITY_STYLE[name]
            limits = axes.finite_range([falls])
            note = axes.format_number(limits[0], "percent") if limits else ""
            lines.append(svg.Line(EQUITY_LABELS[name], falls, css, dash, f"worst {note}", fill=name == "net"))
    return svg.line_chart(
        svg.LineChart(
            title="Drawdown",
            description="Distance of the compounded equity from its last peak.",
            times=review.times,
            lines=lines,
            spans=segment_spans(review, labels=False),
            height=160,
            percent=True,
        )
    )


def drawdown(equity: FloatArray) -> FloatArray:
    """Return (T,) wealth / its running peak - 1 of a compounded return; the start counts as a peak."""
    wealth = 1.0 + np.where(np.isfinite(equity), equity, np.nan)
    if len(wealth) == 0 or np.isnan(wealth).all():
        return np.full(len(wealth), np.nan)
    peak = np.maximum(np.fmax.accumulate(wealth), 1.0)
    falls: FloatArray = wealth / peak - 1.0
    return falls


def turnover_chart(review: Review) -> str:
    """Draw the rolling mean of the share of the portfolio traded per bar."""
    window = rolling_window(len(review.times))
    mean, _ = axes.rolling_mean(np.asarray(review.turnover, dtype=np.float64), window)
    return svg.line_chart(
        svg.LineChart(
            title="Turnover",
            description=f"Share of the portfolio traded per bar, mean of {window} bars.",
            times=review.times,
            lines=[svg.Line(f"per bar, mean of {window_words(review.times, window)}", mean, "c2")],
            spans=segment_spans(review, labels=False),
            width=svg.HALF,
            height=250,
            percent=True,
        )
    )


def likelihood_chart(review: Review) -> str:
    """Draw the histogram of log-likelihoods with the gate's threshold."""
    histogram = review.likelihood
    if histogram is None:
        return svg.empty_chart("Likelihood", svg.HALF, 250)
    return bars.histogram(
        "Likelihood of the market state",
        "How usual each bar and asset was to the flow; left of the threshold the gate is (half) shut.",
        np.asarray(histogram.edges, dtype=np.float64),
        np.asarray(histogram.counts, dtype=np.float64),
        threshold=histogram.threshold,
        axis="what the gate judges, nats",
    )


def _segments(review: Review) -> list[tuple[int, int, str]]:
    count = len(review.times)
    bounds = (
        (0, min(review.train_end, count), "train"),
        (min(review.validation_start, count), min(review.validation_stop, count), "validation"),
    )
    return [segment for segment in bounds if segment[0] < segment[1]]


def segment_spans(review: Review, *, labels: bool = True) -> list[svg.Span]:
    """Return train, embargo and validation as spans."""
    spans = [
        svg.Span(start, stop, f"seg-{name}", name.upper() if labels else "") for start, stop, name in _segments(review)
    ]
    start, stop = min(review.train_end, len(review.times)), min(review.validation_start, len(review.times))
    if start < stop:
        spans.append(svg.Span(start, stop, "seg-embargo"))
    return spans


def shut_spans(exposure: FloatArray | None, *, buckets: int = 360) -> list[svg.Span]:
    """Return spans where the mean exposure of a bucket of bars is below 75, 50 or 25 %."""
    if exposure is None or len(exposure) == 0:
        return []
    values = np.where(np.isfinite(exposure), exposure, 1.0)
    edges = np.unique(np.linspace(0, len(values), buckets + 1).astype(np.int64))
    spans: list[svg.Span] = []
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        mean = float(values[start:stop].mean())
        css = next((name for level, name in _SHUT_LEVELS if mean < level), "")
        if not css:
            continue
        if spans and spans[-1].css == css and spans[-1].stop == start:
            start = spans.pop().start
        spans.append(svg.Span(start, stop, css))
    return spans


def rolling_window(count: int) -> int:
    """Return the smoothing window in bars: a fortieth of what is shown, at least 20."""
    return max(20, count // 40)


def window_words(times: TimeArray, window: int) -> str:
    """Return "600 bars (25 days)": the window, with the time it usually spans."""
    if len(times) < 2:
        return f"{window} bars"
    hours = float((times[-1] - times[0]) / np.timedelta64(1, "h")) / (len(times) - 1) * window
    if hours >= 48:
        return f"{window} bars ({hours / 24:,.0f} days)"
    return f"{window} bars ({hours:,.0f} hours)" if hours >= 2 else f"{window} bars ({hours * 60:,.0f} minutes)"
