"""Spearman's rank correlation of two short series, without the cost of importing ``scipy.stats``."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from market.panel import FloatArray


def ranks_of(values: ArrayLike) -> FloatArray:
    """Return the ranks 1 to n of n finite values; equal values share the average of their ranks."""
    _, place, count = np.unique(np.asarray(values, dtype=float), return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: FloatArray = (last - (count - 1) / 2.0)[place]
    return ranks


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Return Spearman's rank correlation of two series of finite values; both must vary."""
    return float(np.corrcoef(ranks_of(one), ranks_of(other))[0, 1])


def correlation_p_value(correlation: float, count: int) -> float:
    """Return the two-sided p-value of a rank correlation over `count` pairs, by Student's t with count - 2 degrees.

    This is the approximation that ``scipy.stats.spearmanr`` uses; it needs at least three pairs.
    """
    from scipy.special import stdtr

    freedom = count - 2
    rest = (1.0 + correlation) * (1.0 - correlation)
    if rest <= 0:
        return 0.0
    return float(2.0 * stdtr(freedom, -abs(correlation) * math.sqrt(freedom / rest)))
