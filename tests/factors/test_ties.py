"""Ties: values that are equal by definition share their rank, however rounding made them differ.

The oracle computes with fractions. The correlation of two windows of ranks is a fraction under a square root, so that
two of them can be compared exactly, by sign and square.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.stats

from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.panel import FloatArray, Panel
from tests.helpers import random_panel


def read(text: str) -> Expression:
    expression = parse(text)
    assert isinstance(expression, Expression), expression
    return expression


def exact_ranks(panel: Panel, field: str) -> list[list[Fraction]]:
    assets = panel.shape[1]
    return [[Fraction(int(2 * r), 2 * assets) for r in scipy.stats.rankdata(row)] for row in panel[field]]


def signed_square(x: list[Fraction], y: list[Fraction]) -> Fraction | None:
    """The correlation times its size: it orders correlations, and is a fraction."""
    n = len(x)
    mean_x, mean_y = sum(x, Fraction(0)) / n, sum(y, Fraction(0)) / n
    xy = sum(((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)), Fraction(0))
    xx = sum(((a - mean_x) ** 2 for a in x), Fraction(0))
    yy = sum(((b - mean_y) ** 2 for b in y), Fraction(0))
    if not xx or not yy:
        return None
    return xy * abs(xy) / (xx * yy)


def ranks_of(values: list[Fraction | None]) -> FloatArray:
    """Average ranks / count by exact comparison."""
    known = [value for value in values if value is not None]
    out = np.full(len(values), np.nan)
    for place, value in enumerate(values):
        if value is not None:
            below = sum(other < value for other in known)
            equal = sum(other == value for other in known)
            out[place] = (below + 0.5 * (equal + 1)) / len(known)
    return out


@pytest.mark.parametrize(("operator", "d", "least"), [("ts_corr", 3, 20), ("ts_corr", 4, 3), ("ts_cov", 5, 20)])
def test_ranks_of_correlated_ranks_are_those_of_exact_arithmetic(operator: str, d: int, least: int) -> None:
    """Few assets, short windows: ties in many bars, and each is decided as fractions decide it."""
    panel = random_panel(60, 14, 3)
    found = evaluate(read(f"cs_rank({operator}(cs_rank(close), cs_rank(volume), {d}))"), panel).values
    x, y = exact_ranks(panel, "close"), exact_ranks(panel, "volume")
    tied_bars = 0
    for t in range(d - 1, 60):
        row: list[Fraction | None] = []
        for i in range(14):
            a, b = ([r[s][i] for s in range(t - d + 1, t + 1)] for r in (x, y))
            if operator == "ts_corr":
                row.append(signed_square(a, b))
            else:
                mean_a, mean_b = sum(a, Fraction(0)) / d, sum(b, Fraction(0)) / d
                row.append(sum(((p - mean_a) * (q - mean_b) for p, q in zip(a, b, strict=True)), Fraction(0)))
        known = [value for value in row if value is not None]
        tied_bars += len(set(known)) < len(known)
        np.testing.assert_array_equal(found[t], ranks_of(row), err_msg=f"bar {t}")
    assert tied_bars >= least


def test_extremes_of_tied_correlations_take_the_newest() -> None:
    panel = random_panel(60, 12)
    steady = panel.with_fields({"x": np.tile(np.tile([1.0, 3.0, 2.0], 20)[:, None], (1, 12))})
    text = "ts_argmax(ts_corr(x, cs_rank(x) * 0.1 + x * 0.7, 6), 9)"
    expression = parse(text, fields=("close", "x"))
    assert isinstance(expression, Expression)
    values = evaluate(expression, steady).values[20:]
    # A series with itself in other units: every correlation is 1 but for rounding.
    assert (values == 0).all()


def test_the_backtests_ranks_tie_alike() -> None:
    from market.ranking import average_ranks

    row = np.array([[0.3, 0.1 + 0.2, 1.0, np.nan, 1.0 + 1e-11, 0.0, -0.0]])
    np.testing.assert_array_equal(average_ranks(row), [[3.5, 3.5, 5.0, np.nan, 6.0, 1.5, 1.5]])
