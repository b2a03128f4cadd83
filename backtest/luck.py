"""How far luck goes: errors of Sharpe ratios, how long a record must be, and overfitting across many factors.

All Sharpe ratios are per bar, not annualised, and kurtosis is 3 for a normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from scipy.stats import false_discovery_control, norm, rankdata

from backtest import metrics
from market.errors import InputError
from market.panel import FloatArray

_BLOCKS = 16


def sharpe_variance_factor(sharpe: float, skew: float, kurt: float) -> float:
    """Return n - 1 times the variance of an estimated Sharpe ratio: 1 - skew SR + (kurt - 1) / 4 SR^2.

    Mertens 2002; for normal returns it is Lo's (2002) 1 + SR^2 / 2. NaN where the moments are impossible.
    """
    factor = 1.0 - skew * sharpe + (kurt - 1.0) / 4.0 * sharpe**2
    return factor if math.isfinite(factor) and factor > 0 else float("nan")


def sharpe_standard_error(returns: FloatArray) -> float:
    """Return the standard error of the Sharpe ratio of a series of returns, per bar; NaN is left out."""
    known = returns[np.isfinite(returns)]
    sharpe = metrics.sharpe(known, 1.0)
    factor = sharpe_variance_factor(sharpe, metrics.skewness(known), metrics.kurtosis(known))
    return math.sqrt(factor / (len(known) - 1)) if len(known) > 1 else float("nan")


def min_track_record(sharpe: float, skew: float, kurt: float, *, benchmark: float = 0.0, level: float = 0.95) -> float:
    """Return how many bars make a Sharpe ratio above `benchmark` believable at `level`.

    Bailey & López de Prado 2012, eq. 13. Infinite where the ratio is not above the benchmark, NaN where undefined.
    """
    factor = sharpe_variance_factor(sharpe, skew, kurt)
    if not math.isfinite(factor):
        return float("nan")
    if sharpe <= benchmark:
        return math.inf
    return float(1.0 + factor * (norm.ppf(level) / (sharpe - benchmark)) ** 2)


def q_values(p_values: FloatArray) -> FloatArray:
    """Return the smallest false discovery rate at which each would be a discovery (Benjamini & Hochberg 1995).

    NaN stays NaN and does not count.
    """
    known = np.isfinite(p_values)
    found = np.full(p_values.shape, np.nan)
    if known.any():
        found[known] = false_discovery_control(p_values[known], method="bh")
    return found


@dataclass(frozen=True)
class Overfitting:
    """What choosing the best of several factors on one half of time says about the other half.

    Attributes
    ----------
    probability
        Share of splits in which the best factor of one half is below the median of the other (PBO).
    loss
        Share of splits in which it loses money there.
    splits, factors, bars
        What it rests on.
    """

    probability: float
    loss: float
    splits: int
    factors: int
    bars: int


def overfitting(returns: FloatArray, *, blocks: int = _BLOCKS) -> Overfitting:
    """Return the probability of backtest overfitting by combinatorially symmetric cross-validation.

    Bailey, Borwein, López de Prado & Zhu 2017. Time is cut into `blocks`, and every way of choosing half of them is a
    split.

    Parameters
    ----------
    returns
        (T, factors) net returns per bar; bars where any is NaN are left out.

    Raises
    ------
    InputError
        For fewer than two factors, an odd number of blocks, or fewer than two bars a block.
    """
    known = returns[np.isfinite(returns).all(axis=1)]
    bars, factors = known.shape
    if factors < 2:
        raise InputError("overfitting is about choosing: it needs two factors or more")
    if blocks % 2 or blocks < 2:
        raise InputError(f"time is cut into an even number of blocks, not {blocks}")
    if bars < 2 * blocks:
        raise InputError(f"{bars} bars are too few for {blocks} blocks", "use more bars or fewer blocks")
    edges = np.linspace(0, bars, blocks + 1).astype(int)
    parts = [known[a:b] for a, b in pairwise(edges)]
    # A half's Sharpe ratios follow from sums over its blocks.
    sums = np.stack([part.sum(axis=0) for part in parts])
    squares = np.stack([(part**2).sum(axis=0) for part in parts])
    sizes = np.array([len(part) for part in parts], dtype=np.float64)
    chosen = np.zeros((math.comb(blocks, blocks // 2), blocks))
    for row, pick in enumerate(combinations(range(blocks), blocks // 2)):
        chosen[row, list(pick)] = 1.0
    inside, outside = (_sharpes(half, sums, squares, sizes) for half in (chosen, 1.0 - chosen))
    best = inside.argmax(axis=1)
    rows = np.arange(len(chosen))
    places = rankdata(outside, axis=1)[rows, best] / (factors + 1)
    return Overfitting(
        probability=float(np.mean(places <= 0.5)),
        loss=float(np.mean(outside[rows, best] < 0.0)),
        splits=len(chosen),
        factors=factors,
        bars=bars,
    )


def _sharpes(half: FloatArray, sums: FloatArray, squares: FloatArray, sizes: FloatArray) -> FloatArray:
    """Return (splits, factors) Sharpe ratios of the blocks of each half; a factor that never moves has 0."""
    count = (half @ sizes)[:, None]
    mean = half @ sums / count
    variance = np.maximum(half @ squares / count - mean**2, 0.0) * count / (count - 1.0)
    moves = variance > 1e-30
    ratios: FloatArray = np.where(moves, mean / np.sqrt(np.where(moves, variance, 1.0)), 0.0)
    return ratios
