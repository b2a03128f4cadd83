"""How far luck goes: errors of Sharpe ratios, how long a record must be, and overfitting across many factors.

All Sharpe ratios are per bar, not annualised, and kurtosis is 3 for a normal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from backtest import metrics
from backtest.normal_law import ndtri
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
    return float(1.0 + factor * (ndtri(level) / (sharpe - benchmark)) ** 2)


def q_values(p_values: FloatArray, *, dependent: bool = False) -> FloatArray:
    """Return the smallest false discovery rate at which each would be a discovery (Benjamini & Hochberg 1995).

    With `dependent` they hold under any dependence (Benjamini & Yekutieli 2001). NaN stays NaN and does not count.
    """
    known = np.isfinite(p_values)
    found = np.full(p_values.shape, np.nan)
    if known.any():
        count = int(known.sum())
        harmonic = float((1.0 / np.arange(1, count + 1)).sum()) if dependent else 1.0
        found[known] = _benjamini_hochberg(p_values[known], harmonic)
    return found


def _benjamini_hochberg(p_values: FloatArray, factor: float) -> FloatArray:
    """Return q-values of finite p-values: p n / rank times a factor, rising with p, at most 1."""
    order = np.argsort(p_values)
    count = len(p_values)
    scaled = p_values[order] * (factor * count / np.arange(1, count + 1))
    rising = np.minimum.accumulate(scaled[::-1])[::-1]
    found = np.empty(count)
    found[order] = np.clip(rising, 0.0, 1.0)
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


@dataclass(frozen=True, eq=False)
class BlockSums:
    """Sums of one factor's returns, and of their squares, over the blocks that time is cut into."""

    sums: FloatArray
    squares: FloatArray


def block_edges(bars: int, blocks: int = _BLOCKS) -> NDArray[np.int64]:
    """Return where blocks begin and the last one ends.

    Raises
    ------
    InputError
        For an odd number of blocks, or fewer than two bars a block.
    """
    if blocks % 2 or blocks < 2:
        raise InputError(f"time is cut into an even number of blocks, not {blocks}")
    if bars < 2 * blocks:
        raise InputError(f"{bars} bars are too few for {blocks} blocks", "use more bars or fewer blocks")
    return np.linspace(0, bars, blocks + 1).astype(np.int64)


def block_sums(returns: FloatArray, edges: NDArray[np.int64]) -> BlockSums:
    """Sum a factor's returns (T,), none of them NaN, over blocks."""
    starts = edges[:-1]
    return BlockSums(np.add.reduceat(returns, starts), np.add.reduceat(returns**2, starts))


def overfitting(factors: Sequence[BlockSums], edges: NDArray[np.int64]) -> Overfitting:
    """Return the probability of backtest overfitting by combinatorially symmetric cross-validation.

    Bailey, Borwein, López de Prado & Zhu 2017: every way of choosing half of the blocks is a split, and what is best on
    one half is looked up on the other. Sharpe ratios of halves follow from sums over blocks, so any number of factors
    may be evaluated.

    Raises
    ------
    InputError
        For fewer than two factors.
    """
    if len(factors) < 2:
        raise InputError("overfitting is about choosing: it needs two factors or more")
    sums = np.stack([factor.sums for factor in factors], axis=1)
    squares = np.stack([factor.squares for factor in factors], axis=1)
    sizes = np.diff(edges).astype(np.float64)
    blocks = len(sizes)
    picks = list(combinations(range(blocks), blocks // 2))
    below, lost = 0, 0
    # A few million Sharpe ratios at a time.
    step = max(1, 2_000_000 // len(factors))
    for first in range(0, len(picks), step):
        half = np.zeros((len(picks[first : first + step]), blocks))
        for row, pick in enumerate(picks[first : first + step]):
            half[row, list(pick)] = 1.0
        inside, outside = (_sharpes(side, sums, squares, sizes) for side in (half, 1.0 - half))
        best = outside[np.arange(len(half)), inside.argmax(axis=1)][:, None]
        rank = (outside < best).sum(axis=1) + 0.5 * ((outside == best).sum(axis=1) + 1)
        below += int(np.sum(rank / (len(factors) + 1) <= 0.5))
        lost += int(np.sum(best < 0.0))
    return Overfitting(below / len(picks), lost / len(picks), len(picks), len(factors), int(edges[-1]))


def fingerprint_of(returns: FloatArray, blocks: int = 512) -> FloatArray:
    """Return sums of (T,) returns over blocks of time, less their mean and brought to length 1; nothing where flat.

    The inner product of two fingerprints of the same bars estimates the correlation of their returns, with a standard
    error of about 1 / sqrt(blocks): what it takes to compare a factor with thousands.
    """
    known = np.where(np.isfinite(returns), returns, 0.0)
    edges = np.linspace(0, len(known), min(blocks, len(known)) + 1).astype(np.int64)
    sums = np.add.reduceat(known, edges[:-1]) if len(known) else known
    sums = sums - sums.mean() if len(sums) else sums
    length = float(np.sqrt(sums @ sums))
    return sums / length if length > 1e-15 else np.zeros(0)


def _sharpes(half: FloatArray, sums: FloatArray, squares: FloatArray, sizes: FloatArray) -> FloatArray:
    """Return (splits, factors) Sharpe ratios of the blocks of each half; a factor that never moves has 0."""
    count = (half @ sizes)[:, None]
    mean = half @ sums / count
    variance = np.maximum(half @ squares / count - mean**2, 0.0) * count / (count - 1.0)
    moves = variance > 1e-30
    ratios: FloatArray = np.where(moves, mean / np.sqrt(np.where(moves, variance, 1.0)), 0.0)
    return ratios
