"""Checks around evaluating a factor: its cost, whether its values can be traded, and that it sees no future."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from factors.engine import evaluate
from factors.measure import estimate_work
from factors.tree import Expression, Signal
from market.errors import Rejection
from market.panel import FloatArray, Panel

MIN_FINITE = 0.2


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


def check_signal(signal: Signal, panel: Panel) -> Rejection | None:
    """Return why a signal cannot be traded at all, or None: only NaN, mostly NaN, or constant."""
    values = np.where(panel.universe, signal.values, np.nan)
    after = values[min(signal.expression.lookback, len(values) - 1) :]
    traded = panel.universe[-len(after) :]
    finite = np.isfinite(after)
    if not finite.any():
        # Data of closes alone have no volume, high or low.
        absent = [name for name in signal.expression.fields if name in panel.fields and np.isnan(panel[name]).all()]
        hint = "look for a division by zero, a log of negatives, or too long windows"
        hint = f"these data have no {', '.join(sorted(absent))}" if absent else hint
        return Rejection("evaluate", "all_nan", "the factor is NaN everywhere", hint)
    share = finite.sum() / max(int(traded.sum()), 1)
    if share < MIN_FINITE:
        return Rejection(
            "evaluate",
            "mostly_nan",
            f"the factor is NaN for {1 - share:.0%} of the bars after warm-up",
            "conditions or gaps leave too little",
        )
    known = after[finite]
    if known.max() - known.min() <= 1e-12 * max(1.0, float(np.abs(known).max())):
        return Rejection("evaluate", "constant", f"the factor is constant ({known[0]:g})", "it cannot rank anything")
    return None


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
