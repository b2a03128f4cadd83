"""Charts of what a factor predicts: payoffs and quantiles over time, and how both fade with age and horizon."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agent.drawing import axes, bars, svg
from agent.review.charts import rolling_window, segment_spans, window_words
from agent.review.review_records import Review
from market.panel import FloatArray

# From the lowest quantile to the highest; the ends are drawn in full, what lies between is dashed.
_QUANTILE_STYLE = (("c2", ""), ("c5", "2 3"), ("c6", "7 4"), ("c3", "2 3"), ("c1", ""))


def ic_chart(review: Review) -> str:
    """Draw the rolling mean of the rank IC with two standard errors, and its mean on each split."""
    return rolling_chart(
        review, np.asarray(review.ic, dtype=np.float64), ("Rank IC over time", "Rank IC per bar"), style="ic"
    )


def payoff_chart(review: Review) -> str:
    """Draw the rolling mean of the payoff a bar with two standard errors, and its mean on each split."""
    if review.payoffs is None:
        return svg.empty_chart("Payoff over time", svg.WIDE, 200)
    return rolling_chart(
        review, np.asarray(review.payoffs, dtype=np.float64), ("Payoff over time", "Payoff before costs"), style="ic"
    )


def rolling_chart(review: Review, series: FloatArray, words: tuple[str, str], *, style: str) -> str:
    """Draw the rolling mean of a (T,) series, its error, and its mean on each split; `words` are title and subject."""
    window = rolling_window(len(review.times))
    mean, error = axes.rolling_mean(series, window)
    levels, spans = [], segment_spans(review)
    for place, span in enumerate(spans):
        known = series[span.start : span.stop]
        known = known[np.isfinite(known)]
        if known.size and span.label:
            levels.append((span.start, span.stop, float(known.mean())))
            label = f"{span.label}, mean {axes.format_number(float(known.mean()), style)}"
            spans[place] = replace(span, label=label)
    title, subject = words
    return svg.line_chart(
        svg.LineChart(
            title=title,
            description=f"{subject}: mean over the last {window} bars, with a band of two standard errors.",
            times=review.times,
            lines=[svg.Line(f"mean of {window_words(review.times, window)}, ± 2 standard errors", mean, "c1")],
            ribbons=[svg.Ribbon(mean - 2 * error, mean + 2 * error, "c1")],
            spans=spans,
            references=levels,
            height=200,
        )
    )


def quantile_curves_chart(review: Review) -> str:
    """Draw the summed return of each quantile of the signal less that of the mean over quantiles, before costs.

    Sums, and not products: a quantile is held anew at each bar, and what lies between them is what a portfolio earns.
    """
    if review.quantile_returns is None:
        return svg.empty_chart("Quantiles over time", svg.WIDE, 200)
    returns = np.asarray(review.quantile_returns, dtype=np.float64)
    count = returns.shape[1]
    with np.errstate(all="ignore"):
        # Only bars on which each quantile has a return, so that all are summed over the same bars.
        whole = np.isfinite(returns).all(axis=1, keepdims=True)
        centred = np.where(whole, returns - returns.mean(axis=1, keepdims=True), 0.0)
    sums = np.cumsum(centred, axis=0)
    lines = []
    for k in range(count):
        css, dash = _QUANTILE_STYLE[k % len(_QUANTILE_STYLE)]
        name = "lowest" if k == 0 else "highest" if k == count - 1 else f"Q{k + 1}"
        end = axes.format_number(float(sums[-1, k]), "percent", signed=True) if len(sums) else ""
        lines.append(svg.Line(name, sums[:, k], css, dash, end))
    return svg.line_chart(
        svg.LineChart(
            title="Quantiles over time",
            description="Summed return of each quantile of the signal, less the mean over all, before costs.",
            times=review.times,
            lines=lines,
            spans=segment_spans(review),
            height=240,
            percent=True,
        )
    )


def decay_chart(review: Review) -> str:
    """Draw what positions pay as they age, on train and validation."""
    found = [
        {point.lag: point.payoff for point in review.profiles[part].decay} if part in review.profiles else {}
        for part in ("train", "validation")
    ]
    lags = sorted({*found[0], *found[1]})
    series = [
        (name, [values.get(lag, float("nan")) for lag in lags], css)
        for name, values, css in zip(("train", "validation"), found, ("c1", "c2"), strict=True)
        if values
    ]
    return bars.bar_chart(
        "Payoff by age of the position",
        "What positions pay a bar, by how many bars ago they were taken.",
        [str(lag) for lag in lags],
        series,
        axis="age of the position, bars",
    )


def horizon_chart(review: Review) -> str:
    """Draw the mean rank IC by bars ahead, on train and validation."""
    found = [
        {one.horizon: one.mean for one in review.profiles[part].horizons} if part in review.profiles else {}
        for part in ("train", "validation")
    ]
    horizons = sorted({*found[0], *found[1]})
    train, validation = ([means.get(h, float("nan")) for h in horizons] for means in found)
    return bars.bar_chart(
        "Rank IC by horizon",
        "Mean rank IC with the return over the next bars.",
        [str(h) for h in horizons],
        _two(train, validation, bool(found[1])),
        axis="bars ahead",
    )


def quantile_chart(review: Review) -> str:
    """Draw the mean forward return by signal quantile, lowest first."""
    train, validation = (
        list(review.profiles[part].quantiles) if part in review.profiles else [] for part in ("train", "validation")
    )
    count = max(len(train), len(validation))
    labels = [f"Q{k + 1}" for k in range(count)]
    if count:
        labels[0] += " low"
        labels[-1] = f"Q{count} high"
    return bars.bar_chart(
        "Return by quantile",
        "Mean return over the next bar of assets grouped by signal.",
        labels,
        _two(train, validation, bool(validation)),
        percent=True,
        axis="signal quantile",
    )


def _two(train: list[float], validation: list[float], both: bool) -> list[tuple[str, list[float], str]]:
    """Return the bars' series: two when validation has its own, else one over everything shown."""
    if both:
        return [("train", train, "c1"), ("validation", validation, "c2")]
    return [("train and validation", train, "c1")]
