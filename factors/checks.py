"""Checks around evaluating a factor: its cost, whether its values can be traded, and that it sees no future."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np

from factors.engine import evaluate
from factors.measure import estimate_work
from factors.tree import Expression, Signal
from market.errors import Rejection
from market.panel import BoolArray, FloatArray, Panel

MIN_FINITE = 0.2
# Share of bars on which all assets have one value, from which on there is nothing to trade.
MOST_TIED = 0.95


def check_cost(expression: Expression, panel: Panel, *, seconds: float, gigabytes: float) -> Rejection | None:
    """Return why an expression is too costly to evaluate on `panel`, by its estimate, or None."""
    need = estimate_work(expression.root, *panel.shape)
    if need.seconds > seconds:
        return Rejection(
            "check",
            "too_costly",
            f"the factor needs about {need.seconds:.0f} s on this data, at most {seconds:g} s are allowed",
            "shorten the windows or drop a part",
        )
    if need.bytes > gigabytes * 1e9:
        return Rejection(
            "check",
            "too_costly",
            f"the factor needs about {need.bytes / 1e9:.1f} GB on this data, at most {gigabytes:g} GB are allowed",
            "simplify it",
        )
    return None


def check_signal(signal: Signal, panel: Panel, *, stop: int | None = None) -> Rejection | None:
    """Return why a signal cannot be traded at all, or None: only NaN, sparse, or constant.

    With `stop`, as the bars before it show it: a search that may not see validation asks of train alone.
    """
    return check_values(signal.values, panel, signal.expression.lookback, signal.expression.fields, stop=stop)


def check_values(
    values: FloatArray, panel: Panel, lookback: int = 0, fields: Collection[str] = (), *, stop: int | None = None
) -> Rejection | None:
    """Return why a signal's values (T, N) cannot be traded at all, or None; `fields` are what they were made of."""
    values = np.where(panel.universe, values, np.nan)[:stop]
    first = min(lookback, len(values) - 1)
    after, traded = values[first:], panel.universe[:stop][first:]
    finite = np.isfinite(after)
    if not finite.any():
        # Data of closes alone have no volume, high or low.
        absent = [name for name in fields if name in panel.fields and np.isnan(panel[name]).all()]
        hint = "look for a division by zero, a log of negatives, or too long windows"
        hint = f"these data have no {', '.join(sorted(absent))}" if absent else hint
        return Rejection("evaluate", "all_nan", "the factor is NaN everywhere", hint)
    share = finite.sum() / max(int(traded.sum()), 1)
    if share < MIN_FINITE:
        return Rejection(
            "evaluate",
            "mostly_nan",
            _few_values(finite, traded),
            "conditions or gaps leave too little",
        )
    known = after[finite]
    if known.max() - known.min() <= 1e-12 * max(1.0, float(np.abs(known).max())):
        return Rejection("evaluate", "constant", f"the factor is constant ({known[0]:g})", "it cannot rank anything")
    return _same_for_all(after, finite) if panel.shape[1] > 1 else None


def _few_values(finite: BoolArray, traded: BoolArray) -> str:
    """Say on how many bars, and there for how many assets, there are values."""
    bars, with_assets = finite.any(axis=1), traded.any(axis=1)
    there = finite.sum(axis=1)[bars] / traded.sum(axis=1)[bars]
    return (
        f"the factor has values on {_percent(bars.sum() / with_assets.sum())} of the bars after warm-up, "
        f"and on those for {_percent(there.mean())} of the assets"
    )


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{100 * share:.1g}%"


def _same_for_all(values: FloatArray, finite: BoolArray) -> Rejection | None:
    several = finite.sum(axis=1) > 1
    if not several.any():
        return None
    high = np.where(finite, values, -np.inf)[several].max(axis=1)
    low = np.where(finite, values, np.inf)[several].min(axis=1)
    same = float((high - low <= 1e-12 * np.maximum(np.abs(high), np.abs(low))).mean())
    if same < MOST_TIED:
        return None
    return Rejection(
        "evaluate",
        "constant",
        f"the factor has one value for all assets on {same:.0%} of the bars",
        "it cannot rank anything there: compare assets, or loosen its conditions",
    )


def check_truncation(expression: Expression, panel: Panel, cuts: Sequence[int]) -> Rejection | None:
    """Return a rejection if values on the first k bars change when later bars are added, for any k in `cuts`."""
    return changed_by_later_bars(lambda part: evaluate(expression, part).values, panel, cuts, "expression")


def changed_by_later_bars(
    values_of: Callable[[Panel], FloatArray], panel: Panel, cuts: Sequence[int], what: str
) -> Rejection | None:
    """Return a rejection if (T, N) values on the first k bars change when later bars are added, for any k in `cuts`.

    `what` names what is valued, for the report of a defect.
    """
    whole = values_of(panel)
    for cut in cuts:
        part = values_of(panel.rows(0, cut))
        same = (part == whole[:cut]) | (np.isnan(part) & np.isnan(whole[:cut]))
        if not same.all():
            bar, asset = np.argwhere(~same)[0]
            return Rejection(
                "evidence",
                "look_ahead",
                f"values of past bars change when later bars are added (bar {bar}, {panel.assets[asset]})",
                f"this is a defect of alphaglow: please report the {what}",
            )
    return None
