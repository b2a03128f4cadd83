"""How long a signal lasts: what its positions pay as they age, and how fast its order of assets changes."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.ic import centred_rows
from backtest.mean_test import mean_test
from backtest.result_types import DecayPoint
from market.panel import FloatArray

LAGS = (0, 1, 2, 4, 8, 16, 32, 64, 128)


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def _aged(weights: FloatArray, risk: NDArray[np.float32], lags: NDArray[np.int64], start: int) -> FloatArray:
    """Return (2, lags, T) what weights of `lag` bars ago pay, and how alike they are to those of now; NaN: unknown."""
    length = len(weights)
    out = np.full((2, len(lags), length), np.nan)
    for place in range(len(lags)):
        lag = lags[place]
        for t in range(start + lag, length):
            paid = own = other = shared = 0.0
            for i in range(weights.shape[1]):
                old, new = weights[t - lag, i], weights[t, i]
                paid += old * risk[t, i]
                own += new * new
                other += old * old
                shared += new * old
            if other > 0.0:
                out[0, place, t] = paid
                if own > 0.0:
                    out[1, place, t] = shared / np.sqrt(own * other)
    return out


def decay_of(
    ranks: FloatArray, risk: NDArray[np.float32], part: slice, lags: tuple[int, ...] = LAGS
) -> tuple[tuple[DecayPoint, ...], float]:
    """Return what a signal's positions pay as they age, and the signal's half-life in bars, over a segment.

    Positions are rank weights of size 1, paid in residual returns over risk (T, N), as in `backtest.payoff`; a position
    of age `lag` was decided that many bars before the one whose return it is paid, within the segment. The half-life is
    the age at which the order of assets is still half alike (cross-sectional correlation of ranks 0.5), interpolated in
    the logarithm of ages; infinite where it is beyond the longest age, NaN where unknown.
    """
    centred = centred_rows(ranks[part])
    sizes = np.abs(centred).sum(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        weights = np.where(sizes > 1e-9, centred / sizes, 0.0)
    length = len(weights) - 2
    known = np.array([lag for lag in lags if lag < length // 4], dtype=np.int64)
    if not len(known):
        return (), math.nan
    paid, alike = _aged(np.ascontiguousarray(weights[:length]), risk[part][:length], known, 0)
    points = []
    for lag, series in zip(known.tolist(), paid, strict=True):
        found = mean_test(series)
        points.append(DecayPoint(lag, found.mean, found.error, found.z))
    return tuple(points), _half_life(known, alike)


def _half_life(lags: NDArray[np.int64], alike: FloatArray) -> float:
    """Return the age at which likeness (lags, T) falls to half, interpolated."""
    before = 0.0, 1.0
    for lag, row in zip(lags.tolist(), alike, strict=True):
        known = row[np.isfinite(row)]
        if lag == 0:
            continue
        if not len(known):
            return math.nan
        now = float(known.mean())
        if now <= 0.5:
            share = (before[1] - 0.5) / (before[1] - now)
            # From age 0 to 1 the logarithm of 1 + age is as good.
            low, high = math.log1p(before[0]), math.log1p(lag)
            return math.expm1(low + share * (high - low))
        before = lag, now
    return math.inf if len(lags) > 1 else math.nan
