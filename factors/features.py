"""The 16 features of a market state, each written in our own language.

The list follows the documents alphaglow started from, but for four definitions. Taken literally, the features hold
exact copies of each other, and a density on a lower-dimensional surface has no finite likelihood:

- ``momentum_k`` as close / close k bars ago - 1 equals the sum of returns but for compounding. Here
  ``momentum_10`` is that return measured in units of its own volatility, and ``momentum_20`` is the gap between a
  fast and a slow mean.
- ``|body| + upper shadow + lower shadow = 1`` when all three are divided by the bar's own range. Here the lower shadow
  is divided by the average true range instead.
- ``vol_ratio`` of the two volatilities is a function of the two. Here it is the ratio of mean ranges.

Positive, skewed features are taken in logs before they are standardised.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: its name, its expression, and what differs from the usual definition."""

    name: str
    text: str
    note: str = ""


# Those that tell how wild the market is.
VOLATILITY = ("volatility_5", "volatility_20", "atr_norm")

STATE_FEATURES: tuple[Feature, ...] = (
    Feature("return_1", "returns"),
    Feature("return_5", "ts_sum(returns, 5)"),
    Feature("return_10", "ts_sum(returns, 10)"),
    Feature("return_20", "ts_sum(returns, 20)"),
    Feature("volatility_5", "log(ts_std(returns, 5))", "log: volatility is positive and skewed"),
    Feature("volatility_20", "log(ts_std(returns, 20))", "log: volatility is positive and skewed"),
    Feature(
        "vol_ratio",
        "ts_mean(high - low, 5) / ts_mean(high - low, 20)",
        "of ranges: the ratio of the two volatilities is an exact copy of their log difference",
    ),
    Feature("momentum_10", "ts_returns(close, 10) / ts_std(returns, 20)", "in units of volatility"),
    Feature("momentum_20", "ts_mean(close, 5) / ts_mean(close, 20) - 1", "gap of a fast and a slow mean"),
    Feature("volume_ratio", "log(volume / ts_mean(volume, 20))", "log: volume is positive and skewed"),
    Feature("price_position", "(close - ts_min(low, 20)) / (ts_max(high, 20) - ts_min(low, 20))"),
    Feature("body_ratio", "(close - open) / (high - low)"),
    Feature("upper_shadow", "(high - max(open, close)) / (high - low)"),
    Feature("lower_shadow", "(min(open, close) - low) / atr(high, low, close, 14)", "over the average true range"),
    Feature("atr_norm", "log(atr(high, low, close, 14) / close)", "log: the range is positive and skewed"),
    Feature("rsi", "rsi(close, 14)"),
)
