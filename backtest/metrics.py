"""Performance figures of a series of returns per bar.

Every function takes simple returns (T,), ignores NaN, and gives NaN where the figure is undefined.
"""

from __future__ import annotations

import numpy as np

from market.panel import FloatArray

# A ratio of mean to deviation over fewer bars than this says nothing, however large it is.
LEAST_BARS = 30


def _known(returns: FloatArray) -> FloatArray:
    return returns[np.isfinite(returns)]


def sharpe(returns: FloatArray, bars_per_year: float) -> float:
    """Mean over standard deviation (ddof 1), annualised by the square root of the bars in a year; no risk-free rate.

    NaN below `LEAST_BARS` returns.
    """
    x = _known(returns)
    if len(x) < LEAST_BARS:
        return float("nan")
    deviation = float(x.std(ddof=1))
    return float(x.mean()) / deviation * float(np.sqrt(bars_per_year)) if deviation > 1e-15 else float("nan")


def sortino(returns: FloatArray, bars_per_year: float) -> float:
    """Mean over downside deviation: the root mean square of negative returns over ALL bars (target 0), annualised.

    NaN below `LEAST_BARS` returns.
    """
    x = _known(returns)
    if len(x) < LEAST_BARS:
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
    if not deviation > 1e-15:
        return float("nan")
    gap = x - x.mean()
    return float((gap * gap) @ gap) / len(x) / deviation**3


def kurtosis(returns: FloatArray) -> float:
    """Fourth standardised moment, 3 for a normal (not excess, as the Sharpe statistics use it)."""
    x = _known(returns)
    deviation = float(x.std()) if len(x) else 0.0
    if not deviation > 1e-15:
        return float("nan")
    square = (x - x.mean()) ** 2
    return float(square @ square) / len(x) / deviation**4


def drawdown_bars(returns: FloatArray) -> int:
    """Longest stretch of bars below an earlier peak of compounded wealth, recovered or not."""
    curve = np.concatenate([[1.0], wealth(returns)])
    at_peak = np.flatnonzero(curve >= np.maximum.accumulate(curve))
    return int(np.max(np.diff(np.append(at_peak, len(curve))) - 1, initial=0))


def tail_ratio(returns: FloatArray) -> float:
    """95th percentile over the size of the 5th."""
    x = _known(returns)
    if len(x) == 0:
        return float("nan")
    low, high = np.quantile(x, [0.05, 0.95])
    return float(abs(high) / abs(low)) if low != 0 else float("nan")


def value_at_risk(returns: FloatArray, level: float = 0.05) -> float:
    """Loss a bar that is exceeded with probability `level`, historically; positive is a loss."""
    x = _known(returns)
    return -float(np.quantile(x, level)) if len(x) else float("nan")


def expected_shortfall(returns: FloatArray, level: float = 0.05) -> float:
    """Mean loss a bar of those at least as bad as the value at risk (CVaR); positive is a loss."""
    x = _known(returns)
    if len(x) == 0:
        return float("nan")
    return -float(x[x <= np.quantile(x, level)].mean())


def break_even_bp(before_trading: FloatArray, turnover: FloatArray) -> float:
    """Basis points of traded notional at which the mean return is 0; `before_trading` (T,) is net of all but trading.

    NaN without turnover; negative where nothing is earned even for free.
    """
    known = np.isfinite(before_trading)
    traded = float(turnover[known].sum())
    return float(before_trading[known].sum()) / traded * 1e4 if traded > 0 else float("nan")


def capacity(before_impact: FloatArray, impact: FloatArray) -> float:
    """Capital at which the Sharpe ratio is half of what it is for a small one; NaN where that is not positive.

    `before_impact` (T,) are net returns for a capital too small to move prices, `impact` (T,) what impact takes of them
    for a capital of 1; it grows with the square root of the capital. Infinite where there is none.
    """
    known = np.isfinite(before_impact) & np.isfinite(impact)
    a, k = before_impact[known], impact[known]
    if len(a) < 2 or not a.mean() > 0 or not a.var() > 0:
        return float("nan")
    if not k.mean() > 0:
        return float("inf")
    spread, tied, own = np.cov(a, k)[0, 0], np.cov(a, k)[0, 1], np.cov(a, k)[1, 1]
    # (mean(a) - s mean(k))^2 = r^2 (var(a) - 2 s cov(a, k) + s^2 var(k)), r half the ratio, s the root of the capital.
    half = 0.25 * float(a.mean()) ** 2 / float(spread)
    equation = [
        float(k.mean()) ** 2 - half * float(own),
        -2.0 * float(a.mean() * k.mean()) + 2.0 * half * float(tied),
        float(a.mean()) ** 2 - half * float(spread),
    ]
    roots = np.roots(equation)
    below = float(a.mean() / k.mean())
    fit = [float(r.real) for r in roots if abs(r.imag) < 1e-9 and 0 < r.real <= below]
    return min(fit) ** 2 if fit else float("nan")
