"""Terms of a signal as phrases: what stands behind a term, and whether it is higher than that of the other assets."""

from __future__ import annotations

import numpy as np

from factors.tree import Call, Expression, Field, Node, Number

# These keep or turn the order of the assets at a bar, and so which of them stands above the average.
_ORDERED = frozenset({"cs_rank", "cs_zscore", "cs_demean", "cs_scale"})
_OVER_TIME = frozenset({"ts_mean", "ts_ema", "ts_sum", "ts_decay_linear"})
_CHANGES = frozenset({"ts_returns", "ts_delta"})


def reason_in_words(expression: Expression, value: float, bar: np.timedelta64, *, relative: bool) -> str | None:
    """Return what a term says of an asset, in a phrase; None for a term that no phrase is known for.

    Parameters
    ----------
    value
        The term: less its mean over the assets where the portfolio compares assets (`relative`), else as it is.
    bar
        Length of a bar.

    Examples
    --------
    `cs_rank(ts_mean(sentiment, 72))`, positive, on hourly bars: "news of the last 3 days is better than that of the
    average asset".
    """
    node, sign = _inner(expression.root)
    high = value * sign > 0
    if value == 0 or not np.isfinite(value):
        return None
    return _news(node, bar, relative, high=high) or _prices(node, bar, relative, high=high)


def _inner(node: Node) -> tuple[Node, int]:
    """Return what a term orders assets by, and -1 where it turns the order."""
    if isinstance(node, Call):
        if node.op == "neg":
            found, sign = _inner(node.args[0])
            return found, -sign
        if node.op in _ORDERED:
            return _inner(node.args[0])
        if node.op in ("mul", "div"):
            first, second = node.args
            if isinstance(second, Number) and second.value:
                found, sign = _inner(first)
                return found, sign if second.value > 0 else -sign
            if node.op == "mul" and isinstance(first, Number) and first.value:
                found, sign = _inner(second)
                return found, sign if first.value > 0 else -sign
    return node, 1


def _news(node: Node, bar: np.timedelta64, relative: bool, *, high: bool) -> str | None:
    found = _smoothed(node)
    if found is None or found[0] not in ("sentiment", "sentiment_surprise", "news_count"):
        return None
    name, bars = found
    when = "the newest news" if bars is None else f"news of the last {_span(bars, bar)}"
    if name == "sentiment_surprise":
        if relative:
            than = "better" if high else "worse"
            return f"{when}, beside what is usual for it, is {than} than that of the average asset"
        return f"{when} is {'better' if high else 'worse'} than usual for it"
    if name == "sentiment":
        if relative:
            return f"{when} is {'better' if high else 'worse'} than that of the average asset"
        return f"{when} is {'good' if high else 'bad'}"
    if not relative:
        return None
    past = "now" if bars is None else f"in the last {_span(bars, bar)}"
    return f"{'more' if high else 'less'} is written about it {past} than about the average asset"


def _prices(node: Node, bar: np.timedelta64, relative: bool, *, high: bool) -> str | None:
    if not isinstance(node, Call):
        return None
    if node.op in _CHANGES and isinstance(node.args[0], Field) and node.args[0].name == "close":
        bars = _bars(node.args[1])
        if bars is None:
            return None
        if not relative:
            return f"its price {'rose' if high else 'fell'} over the last {_span(bars, bar)}"
        if node.op == "ts_returns":
            return f"its price did {'better' if high else 'worse'} over the last {_span(bars, bar)} than the average"
    if node.op == "div" and relative:
        over, under = (_smoothed(arg) for arg in node.args)
        if over and under and over[0] == under[0] == "volume" and (over[1] or 1) < (under[1] or 1):
            now = "of the last bar" if over[1] is None else f"of the last {_span(over[1], bar)}"
            word = "higher" if high else "lower"
            return f"its volume {now}, beside that of {_span(under[1] or 1, bar)}, is {word} than that of the average"
    return None


def _smoothed(node: Node) -> tuple[str, int | None] | None:
    """Return a field and the bars over which it is averaged; None for the bars of a bare field."""
    if isinstance(node, Call) and node.op == "ts_backfill":
        return _smoothed(node.args[0])
    if isinstance(node, Field):
        return node.name, None
    if isinstance(node, Call) and node.op in _OVER_TIME:
        inner, bars = _smoothed(node.args[0]), _bars(node.args[1])
        if inner is not None and inner[1] is None and bars is not None:
            return inner[0], bars
    return None


def _bars(node: Node) -> int | None:
    return int(node.value) if isinstance(node, Number) else None


def _span(bars: int, bar: np.timedelta64) -> str:
    """Return a number of bars as a time: in days where they are whole, else in hours, minutes or bars."""
    length = bars * bar
    for unit, name in (
        (np.timedelta64(1, "D"), "day"),
        (np.timedelta64(1, "h"), "hour"),
        (np.timedelta64(1, "m"), "minute"),
    ):
        if length >= unit and length % unit == np.timedelta64(0, "ns"):
            count = int(length // unit)
            return name if count == 1 else f"{count} {name}s"
    return f"{bars} bars"
