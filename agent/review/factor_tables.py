"""Tables of a factor's page that are read off its curves and its record: falls, rules, relatives, expectations."""

from __future__ import annotations

import numpy as np

from agent.drawing.axes import DASH, format_number
from agent.review.charts import drawdown
from agent.review.review_records import Review
from agent.review.views import Row
from backtest.rule_words import rule_of

FALLS = ("Fall", "Depth", "Lowest", "Over", "Bars below the peak")
RULES = ("Rule", "Net score", "Net Sharpe", "Turnover a bar")


def drawdown_rows(review: Review, most: int = 5) -> list[Row]:
    """Return the deepest falls of the net curve, deepest first, from the peak to where it was reached again."""
    net = review.equity.get("net")
    if net is None or len(net) == 0:
        return []
    falls = np.nan_to_num(drawdown(np.asarray(net, dtype=np.float64)))
    below = falls < 0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], below, [False])).astype(np.int8)))
    spans = [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
    deepest = sorted(spans, key=lambda span: float(falls[span[0] : span[1]].min()))[:most]
    rows = []
    for place, (start, stop) in enumerate(deepest):
        lowest = start + int(falls[start:stop].argmin())
        over = _day(review, stop) if stop < len(falls) else "not yet"
        cells = (format_number(float(falls[lowest]), "percent"), _day(review, lowest), over, f"{stop - start:,}")
        rows.append(Row(f"{place + 1}. from {_day(review, max(start - 1, 0))}", _split(review, lowest), cells))
    return rows


def _day(review: Review, row: int) -> str:
    return str(review.times[row])[:10]


def _split(review: Review, row: int) -> str:
    if row < review.train_end:
        return "train"
    return "validation" if row >= review.validation_start else "embargo"


def rule_rows(review: Review) -> list[Row]:
    """Return the trading rules that were tried on train, that of the settings first; the chosen one is set off."""
    return [
        Row(
            str(rule_of(one)),
            "chosen" if str(rule_of(one)) == review.rule else "",
            (format_number(one.net_z), format_number(one.sharpe_net), format_number(one.turnover, "percent")),
            strong=str(rule_of(one)) == review.rule,
        )
        for one in review.tried_rules
    ]


def correlation_rows(review: Review) -> list[Row]:
    """Return accepted factors with the correlation of their returns, the nearest first."""
    return [Row("", "", (format_number(one.correlation),), code=one.text) for one in review.correlated]


def expectation_rows(review: Review) -> list[Row]:
    """Return what the writer expected in figures, beside what came on train."""
    styles = {"turnover a bar": "percent", "rank IC": "ic"}
    return [
        Row(one.label, "", tuple(format_number(x, styles.get(one.label, "score")) for x in (one.said, one.came)))
        for one in review.expected
    ]


def tested_rows(review: Review) -> list[Row]:
    """Return both tests of the verdict: mean, error, score, and the score that was needed among all trials."""
    rows = []
    for name, tested in review.tests.items():
        if not tested.bars:
            continue
        scale = 1e4 if name == "earns" else 100.0
        unit = "bp a bar" if name == "earns" else "% of a deviation a bar"
        among = tested.among or review.trials
        rows.append(
            Row(
                name,
                f"on {tested.decided_on or 'train and validation'}, {format_number(tested.bars, 'count')} bars",
                (
                    f"{format_number(scale * tested.mean)} ± {format_number(scale * tested.error)} {unit}",
                    format_number(tested.z),
                    format_number(tested.hurdle),
                    format_number(tested.adjusted_p, "probability"),
                    DASH if among is None else format_number(among, "count"),
                ),
            )
        )
    return rows


TESTS = ("Test", "Mean", "Score", "Score needed", "p among trials", "Trials")
