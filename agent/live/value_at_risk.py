"""Value at risk of a portfolio at its newest bar: past returns, scaled by volatility now over then.

Of the methods of `alphaglow flow risk` this is the one whose losses are beyond it as often as meant, and it needs no
flow.
"""

from __future__ import annotations

import numpy as np

from backtest.risk_tests import tail_risk
from factors.parse import parse
from factors.tree import Expression
from market.errors import Rejection
from market.panel import FloatArray, Panel

LEVEL = 0.05
_MOST, _LEAST, _CUT = 5000, 250, 25.0


def volatility_expression(panel: Panel) -> Expression:
    """Return the volatility of a bar that returns are scaled by."""
    expression = parse("ts_std(returns, 20)", fields=("returns", *panel.fields), bar=panel.bar)
    assert not isinstance(expression, Rejection)
    return expression


class LiveRisk:
    """Scenarios of the next bar: returns of past bars in deviations of their asset.

    An asset without a return at a past bar moves there as the mean of those with one.
    """

    def __init__(self, close: FloatArray, volatility: FloatArray) -> None:
        keep = slice(max(0, len(close) - _MOST - 1), None)
        self._close, self._volatility = close[-1], volatility[-1]
        with np.errstate(all="ignore"):
            shocks = (close[keep][1:] / close[keep][:-1] - 1.0) / volatility[keep][:-1]
        made = [_filled(row) for row in shocks]
        self._shocks = [row for row in made if row is not None]

    def step(self, close: FloatArray, volatility: FloatArray) -> None:
        """Take the closes and volatilities (N,) of the next bar."""
        with np.errstate(all="ignore"):
            row = _filled((close / self._close - 1.0) / self._volatility)
        if row is not None:
            self._shocks.append(row)
            del self._shocks[:-_MOST]
        self._close, self._volatility = close, volatility

    def value_at_risk(self, weights: FloatArray) -> float:
        """Return the loss of a bar that 5 % of scenarios exceed, a fraction of capital; NaN below 250 of them."""
        if len(self._shocks) < _LEAST:
            return float("nan")
        load = weights * np.where(np.isfinite(self._volatility), self._volatility, 0.0)
        value, _ = tail_risk((np.stack(self._shocks) @ load)[None], LEVEL)
        return float(value[0])


def _filled(row: FloatArray) -> FloatArray | None:
    known = np.isfinite(row)
    if not known.any():
        return None
    cut = np.clip(row, -_CUT, _CUT)
    return np.where(known, cut, cut[known].mean())
