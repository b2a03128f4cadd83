"""Well-known factors, so that a new one's return can be determined from theirs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backtest.bar_regimes import month_bars
from backtest.ic import default_lags
from backtest.market_rows import MarketRows, filled
from backtest.trading_rules import BacktestSpec
from backtest.weights import target_weights
from market.panel import FloatArray, Panel

NAMES = ("market", "momentum", "reversal", "volatility", "size")


@dataclass(frozen=True, eq=False)
class KnownFactors:
    """(T, K) returns a bar before costs, aligned like a backtest's, of the factors in `NAMES`."""

    returns: FloatArray


def known_factors(panel: Panel, market: MarketRows) -> KnownFactors:
    """Return what well-known factors earn between the fills.

    The market holds every asset of the universe in equal weights. The others are dollar-neutral by rank, gross 1:
    momentum by the last month's return but for its last day, reversal by minus the last day's return (at least five
    bars), volatility by minus the trailing volatility, size by minus the money traded over the last month.
    """
    import pandas as pd

    month = month_bars(panel)
    day = max(5, min(round(panel.bars_per_year / 365), month // 2))
    close = filled(panel["close"])
    # Imported here: what opens data imports this module, and pandas is a third of a second.

    money = pd.DataFrame(np.where(np.isfinite(panel["close"]), panel.money, np.nan))
    signals = (
        _ratio(_lag(close, day), _lag(close, month + day)),
        -_ratio(close, _lag(close, day)),
        -market.volatility,
        -money.rolling(month, min_periods=month // 2).mean().to_numpy(),
    )
    inside = panel.universe
    share = inside / np.maximum(inside.sum(axis=1, keepdims=True), 1)
    portfolios = [share, *(target_weights(np.where(inside, x, np.nan), BacktestSpec()) for x in signals)]
    returns = np.stack(
        [(np.where(market.tradable, weights, 0.0) * market.returns).sum(axis=1) for weights in portfolios], axis=1
    )
    return KnownFactors(returns)


def _lag(x: FloatArray, bars: int) -> FloatArray:
    out = np.full(x.shape, np.nan)
    out[bars:] = x[: len(x) - bars]
    return out


def _ratio(x: FloatArray, y: FloatArray) -> FloatArray:
    with np.errstate(all="ignore"):
        out = x / y - 1.0
    return np.where(np.isfinite(out), out, np.nan)


@dataclass(frozen=True)
class Attribution:
    """A regression of returns on known factors: alpha a bar, its t statistic (Newey-West), loadings, R squared."""

    alpha: float
    tstat: float
    loadings: tuple[float, ...]
    r_squared: float


def attribute(returns: FloatArray, factors: FloatArray) -> Attribution:
    """Regress (T,) returns on (T, K) factor returns and a constant, with Newey-West errors; NaN where undefined."""
    nothing = Attribution(float("nan"), float("nan"), (float("nan"),) * factors.shape[1], float("nan"))
    known = np.isfinite(returns) & np.isfinite(factors).all(axis=1)
    y, x = returns[known], np.column_stack([np.ones(int(known.sum())), factors[known]])
    n, k = x.shape
    if n < 10 * k or float(y.std()) < 1e-15:
        return nothing
    # A factor that never moves (one asset has no cross-section) would make the loadings arbitrary.
    moves = np.concatenate([[True], x[:, 1:].std(axis=0) > 1e-15])
    x = x[:, moves]
    inverse = np.linalg.pinv(x.T @ x)
    beta = inverse @ (x.T @ y)
    errors = y - x @ beta
    scores = x * errors[:, None]
    lags = default_lags(n)
    meat = scores.T @ scores
    for lag in range(1, lags + 1):
        cross = scores[lag:].T @ scores[:-lag]
        meat += (1.0 - lag / (lags + 1.0)) * (cross + cross.T)
    error = float(np.sqrt(max((inverse @ meat @ inverse)[0, 0], 0.0)))
    loadings = np.zeros(k)
    loadings[moves] = beta
    unexplained = float(errors @ errors) / float((y - y.mean()) @ (y - y.mean()))
    tstat = float(beta[0]) / error if error > 0 else float("nan")
    return Attribution(float(beta[0]), tstat, tuple(float(b) for b in loadings[1:]), 1.0 - unexplained)
