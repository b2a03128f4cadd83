"""Market regimes: bull and bear, calm and wild, liquid and thin, each determined from bars up to the decision."""

from __future__ import annotations

import numpy as np

from market.panel import BoolArray, FloatArray, Panel


def month_bars(panel: Panel) -> int:
    """Return how many bars a month has, at least 5 and at most a tenth of the panel."""
    return max(5, min(round(panel.bars_per_year / 12), len(panel.times) // 10))


def week_bars(panel: Panel) -> int:
    """Return how many bars a week has, at least 5."""
    return max(5, round(panel.bars_per_year / 52))


def close_returns(panel: Panel) -> FloatArray:
    """Return (T, N) simple returns from close to close; NaN where either is missing."""
    close = panel["close"]
    with np.errstate(all="ignore"):
        moves = np.vstack([np.full((1, close.shape[1]), np.nan), close[1:] / close[:-1] - 1.0])
    returns: FloatArray = np.where(np.isfinite(moves), moves, np.nan)
    return returns


def market_return(panel: Panel) -> FloatArray:
    """Return (T,) the mean return, close to close, of the assets of the universe; 0 where none has one."""
    returns = close_returns(panel)
    known = np.isfinite(returns) & panel.universe
    mean: FloatArray = np.where(known, returns, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return mean


def market_regimes(panel: Panel) -> dict[str, BoolArray]:
    """Return (T,) bars of each regime; a bar without enough history belongs to none of a pair.

    Bull and bear: the market's summed return over the last month is above or below 0. High and low volatility: its
    deviation over the last month is above or below the median of all such deviations so far. Low and high liquidity:
    the same of the money traded, against the median of the last year.
    """
    # Imported here: every command that opens data imports this module, and pandas is a third of a second.
    import pandas as pd

    month = month_bars(panel)
    market = pd.Series(market_return(panel))
    trend = market.rolling(month, min_periods=month).sum().to_numpy()
    deviation = market.rolling(month, min_periods=month).std()
    typical = deviation.expanding(min_periods=month).median()
    money = np.where(panel.universe, panel.money, np.nan)
    traded = pd.Series(np.log(np.maximum(np.nansum(money, axis=1), 1e-300))).rolling(month, min_periods=month).mean()
    usual = traded.rolling(12 * month, min_periods=month).median()
    with np.errstate(invalid="ignore"):
        wild = (deviation - typical).to_numpy()
        thick = (traded - usual).to_numpy()
        return {
            "bull": trend > 0,
            "bear": trend < 0,
            "high volatility": wild > 0,
            "low volatility": wild < 0,
            "high liquidity": thick > 0,
            "low liquidity": thick < 0,
        }
