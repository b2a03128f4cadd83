"""What Sharpe ratio to expect of a factor from now on: its own, drawn towards those of all factors that were tried.

An estimated ratio is the true one plus an error of known size; the true ones of all factors are taken as normal, with a
mean and a spread that the estimates themselves tell (empirical Bayes: Efron & Morris 1973). The best of many is drawn
back most, for much of what made it the best is its error. The spread among true ratios is not fixed at its likeliest
value but averaged over (restricted likelihood, flat in the spread: Gelman 2006), so that the interval is honest where
few factors were tried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from backtest.luck import sharpe_variance_factor
from backtest.result_types import SegmentScore
from market.panel import FloatArray

# Fewer effective factors than this tell nothing of how true ratios are spread.
LEAST_FACTORS = 10.0
_GRID = 200
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Ratio:
    """An estimated Sharpe ratio and its standard error, both per bar."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class ShrunkSharpe:
    """What to expect of a factor; NaN where too few factors are known. All ratios are in the unit of the estimates.

    Attributes
    ----------
    raw
        The estimate.
    mean, low, high
        Mean of the true ratio given all estimates, and the interval that holds it with a probability of 90 %.
    factors
        How many effective factors its prior rests on, clones counted once.
    """

    raw: float
    mean: float
    low: float
    high: float
    factors: float

    def scaled(self, factor: float) -> ShrunkSharpe:
        """Return the same in another unit: per year with the square root of the bars in one."""
        return ShrunkSharpe(self.raw * factor, self.mean * factor, self.low * factor, self.high * factor, self.factors)


def net_ratio(train: SegmentScore, validation: SegmentScore) -> Ratio:
    """Return the net Sharpe ratio a bar over train and validation, as far as they were scored, and its error.

    Moments that were not kept, as of quick scores, are taken as those of a normal.
    """
    parts = [part for part in (train, validation) if math.isfinite(part.per_bar_sharpe_net) and part.n_bars > 1]
    bars = sum(part.n_bars for part in parts)
    if not bars:
        return Ratio(NAN, NAN)
    value = sum(part.n_bars * part.per_bar_sharpe_net for part in parts) / bars
    skew = sum(part.n_bars * _finite(part.skew, 0.0) for part in parts) / bars
    kurt = sum(part.n_bars * _finite(part.kurt, 3.0) for part in parts) / bars
    spread = sharpe_variance_factor(value, skew, kurt)
    return Ratio(value, math.sqrt(spread / (bars - 1)) if bars > 1 else NAN)


def payoff_ratio(train: SegmentScore, validation: SegmentScore) -> Ratio:
    """Return the mean payoff a bar, before costs, in deviations of a bar that allow for autocorrelation; and its error.

    NaN where no payoff was scored.
    """
    parts = [part for part in (train, validation) if math.isfinite(part.payoff_z) and part.n_bars > 1]
    bars = sum(part.n_bars for part in parts)
    if not bars:
        return Ratio(NAN, NAN)
    return Ratio(sum(part.payoff_z * math.sqrt(part.n_bars) for part in parts) / bars, 1.0 / math.sqrt(bars))


def _finite(value: float, otherwise: float) -> float:
    return value if math.isfinite(value) else otherwise


def shrink(own: Ratio, values: FloatArray, errors: FloatArray, weights: FloatArray) -> ShrunkSharpe:
    """Return what to expect of a factor, given estimates (N,) of others on the same data and their errors (N,).

    `weights` (N,) count clones: each of k factors that are one effective trial has 1 / k.
    """
    known = np.isfinite(values) & np.isfinite(errors) & (errors > 0) & (weights > 0)
    # The factor itself is one of those whose spread is estimated.
    s = np.append(values[known], own.value)
    variance = np.append(errors[known], own.error) ** 2
    w = np.append(weights[known], 1.0)
    count = float(w.sum())
    if not (math.isfinite(own.value) and own.error > 0) or count < LEAST_FACTORS:
        return ShrunkSharpe(own.value, NAN, NAN, NAN, count)
    spreads = np.linspace(0.0, 3.0 * float(np.sqrt(np.average((s - np.average(s, weights=w)) ** 2, weights=w))), _GRID)
    totals = variance[None, :] + spreads[:, None] ** 2
    precision = (w / totals).sum(axis=1)
    centre = (w * s / totals).sum(axis=1) / precision
    likelihood = -0.5 * (w * (np.log(totals) + (s - centre[:, None]) ** 2 / totals)).sum(axis=1)
    likelihood -= 0.5 * np.log(precision)
    chance = np.exp(likelihood - likelihood.max())
    chance /= chance.sum()
    drawn = own.error**2 / totals[:, -1]
    means = drawn * centre + (1.0 - drawn) * own.value
    deviations = np.sqrt((1.0 - drawn) * own.error**2 + drawn**2 / precision)
    low, high = (_quantile(means, deviations, chance, level) for level in (0.05, 0.95))
    return ShrunkSharpe(own.value, float(chance @ means), low, high, count)


def _normal_share(scores: FloatArray) -> FloatArray:
    """Return the share of a normal below scores (N,): of few, and without SciPy, which takes long to import."""
    return np.array([0.5 * math.erfc(-score / math.sqrt(2.0)) for score in scores.tolist()], dtype=np.float64)


def _quantile(means: FloatArray, deviations: FloatArray, chance: FloatArray, level: float) -> float:
    """Return a quantile of a mixture of normals, by bisection."""
    low = float((means - 9.0 * deviations).min())
    high = float((means + 9.0 * deviations).max())
    for _ in range(60):
        middle = 0.5 * (low + high)
        below = float(chance @ _normal_share((middle - means) / deviations))
        low, high = (middle, high) if below < level else (low, middle)
    return 0.5 * (low + high)
