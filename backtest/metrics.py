"""Performance figures of a series of returns per bar.

Every function takes simple returns (T,), ignores NaN, and gives NaN where the figure is undefined.
"""

from __future__ import annotations

import numpy as np

from market.panel import FloatArray


def _known(returns: FloatArray) -> FloatArray:
    return returns[np.isfinite(returns)]


def sharpe(returns: FloatArray, bars_per_year: float) -> float:
    """Mean over standard deviation (ddof 1), annualised by the square root of the bars in a year; no risk-free rate."""
    x = _known(returns)
    if len(x) < 2:
        return float("nan")
    deviation = float(x.std(ddof=1))
    return float(x.mean()) / deviation * float(np.sqrt(bars_per_year)) if deviation > 1e-15 else float("nan")


def sortino(returns: FloatArray, bars_per_year: float) -> float:
    """Mean over downside deviation: the root mean square of negative returns over ALL bars (target 0), annualised."""
    x = _known(returns)
    if len(x) < 2:
        return float("nan")
    downside = float(np.sqrt(np.mean(np.minimum(x, 0.0) ** 2)))
    return float(x.mean()) / downside * float(np.sqrt(bars_per_year)) if downside > 1e-15 else float("nan")


def wealth(returns: FloatArray) -> FloatArray:
    """Return (T,) compounded wealth, starting from 1; a NaN return earns nothing, ruin stays at 0."""
    growth = np.maximum(1.0 + np.where(np.isfinite(returns), returns, 0.0), 0.0)
    return np.cumprod(growth, dtype=np.float64)


def max_drawdown(returns: FloatArray) -> float:
    """Largest fall of compounded wealth from an earlier peak (the start counts), as a positive fraction."""
    if len(_known(returns)) == 0:
        return float("nan")
    curve = np.concatenate([[1.0], wealth(returns)])
    return float(np.max(1.0 - curve / np.maximum.accumulate(curve)))


def annual_return(returns: FloatArray, bars_per_year: float) -> float:
    """Compounded return a year; -1 after ruin."""
    if len(_known(returns)) == 0:
        return float("nan")
    final = float(wealth(returns)[-1])
    years = len(returns) / bars_per_year
    return float(np.expm1(np.log(final) / years)) if final > 0 else -1.0


def calmar(returns: FloatArray, bars_per_year: float) -> float:
    """Annual return over maximum drawdown."""
    fall = max_drawdown(returns)
    return annual_return(returns, bars_per_year) / fall if fall > 1e-15 else float("nan")


def hit_rate(returns: FloatArray) -> float:
    """Share of bars with a gain among those with a gain or a loss."""
    x = _known(returns)
    moved = int(np.sum(x != 0))
    return float(np.sum(x > 0)) / moved if moved else float("nan")


def profit_factor(returns: FloatArray) -> float:
    """Sum of gains over sum of losses."""
    x = _known(returns)
    losses = float(-x[x < 0].sum())
    return float(x[x > 0].sum()) / losses if losses > 0 else float("nan")


def skewness(returns: FloatArray) -> float:
    """Third standardised moment (not bias-corrected, as the Sharpe statistics use it)."""
    x = _known(returns)
    deviation = float(x.std()) if len(x) else 0.0
    return float(np.mean((x - x.mean()) ** 3)) / deviation**3 if deviation > 1e-15 else float("nan")


def kurtosis(returns: FloatArray) -> float:
    """Fourth standardised moment, 3 for a normal (not excess, as the Sharpe statistics use it)."""
    x = _known(returns)
    deviation = float(x.std()) if len(x) else 0.0
    return float(np.mean((x - x.mean()) ** 4)) / deviation**4 if deviation > 1e-15 else float("nan")
