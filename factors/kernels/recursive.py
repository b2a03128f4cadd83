"""Statistics that carry a state along the bars of one asset. (N, T) to (N, T); what comes later never matters."""

from __future__ import annotations

import numpy as np
from numba import njit

from market.panel import FloatArray

CUM_SUM, CUM_MEAN, CUM_MAX, CUM_MIN, CUM_PRODUCT = range(5)


@njit(cache=True, error_model="numpy")
def recursive(x: FloatArray, alpha: float, warm: int) -> FloatArray:
    """Y = alpha x + (1 - alpha) y', from the first finite value on; restarts after a NaN. (N, T) to (N, T).

    NaN until `warm` finite values stand in a row.
    """
    rows, length = x.shape
    out = np.full((rows, length), np.nan)
    for row in range(rows):
        run = 0
        level = 0.0
        for t in range(length):
            value = x[row, t]
            if not np.isfinite(value):
                run = 0
                continue
            level = value if run == 0 else alpha * value + (1.0 - alpha) * level
            run += 1
            if run >= warm:
                out[row, t] = level
    return out


@njit(cache=True, error_model="numpy")
def since(c: FloatArray, d: int) -> FloatArray:
    """Bars since `c` was last non-zero, `d` if not in the last `d` bars; NaN until `d` finite values. (N, T)."""
    rows, length = c.shape
    out = np.full((rows, length), np.nan)
    for row in range(rows):
        run = 0
        age = d
        for t in range(length):
            value = c[row, t]
            if not np.isfinite(value):
                run = 0
                age = d
                continue
            run += 1
            age = 0 if value != 0.0 else min(age + 1, d)
            if run >= d:
                out[row, t] = age
    return out


@njit(cache=True, error_model="numpy")
def adaptive(x: FloatArray, d: int) -> FloatArray:
    """Kaufman's adaptive average: the weight follows the efficiency of the last `d` changes, squared.

    Starts at the d-th finite value in a row; NaN until there are `d` changes; restarts after a NaN.
    """
    rows, length = x.shape
    out = np.full((rows, length), np.nan)
    fast = 2.0 / 3.0
    slow = 2.0 / 31.0
    for row in range(rows):
        run = 0
        level = 0.0
        for t in range(length):
            value = x[row, t]
            run = run + 1 if np.isfinite(value) else 0
            if run == d:
                level = value
            if run <= d:
                continue
            path = 0.0
            for i in range(t - d + 1, t + 1):
                path += abs(x[row, i] - x[row, i - 1])
            efficiency = abs(value - x[row, t - d]) / path if path > 0.0 else 0.0
            weight = (efficiency * (fast - slow) + slow) ** 2
            level += weight * (value - level)
            out[row, t] = level
    return out


@njit(cache=True, error_model="numpy")
def backfill(x: FloatArray, d: int) -> FloatArray:
    """Newest finite value of the last `d` bars, the current one included."""
    rows, length = x.shape
    out = np.full((rows, length), np.nan)
    for row in range(rows):
        age = d
        known = np.nan
        for t in range(length):
            if np.isfinite(x[row, t]):
                known = x[row, t]
                age = 0
            else:
                age += 1
            if age < d:
                out[row, t] = known
    return out


@njit(cache=True, error_model="numpy")
def cumulative(x: FloatArray, mode: int) -> FloatArray:
    """Sum, mean, extremes or product of all finite values so far; NaN where the bar's own value is."""
    rows, length = x.shape
    out = np.full((rows, length), np.nan)
    for row in range(rows):
        count = 0
        level = 1.0 if mode == CUM_PRODUCT else 0.0
        for t in range(length):
            value = x[row, t]
            if not np.isfinite(value):
                continue
            count += 1
            if mode == CUM_PRODUCT:
                level *= value
            elif mode == CUM_MAX:
                level = value if count == 1 else max(level, value)
            elif mode == CUM_MIN:
                level = value if count == 1 else min(level, value)
            else:
                level += value
            out[row, t] = level / count if mode == CUM_MEAN else level
    return out


@njit(cache=True, error_model="numpy")
def strength(x: FloatArray, d: int) -> FloatArray:
    """Cutler's RSI: 100 gains / (gains + losses) over the last `d` changes; NaN when nothing moved. (N, T)."""
    rows, length = x.shape
    out = np.full((rows, length), np.nan)
    for row in range(rows):
        run = 0
        for t in range(length):
            run = run + 1 if np.isfinite(x[row, t]) else 0
            if run <= d:
                continue
            gains = 0.0
            losses = 0.0
            for i in range(t - d + 1, t + 1):
                change = x[row, i] - x[row, i - 1]
                if change > 0.0:
                    gains += change
                else:
                    losses -= change
            if gains + losses > 0.0:
                out[row, t] = 100.0 * gains / (gains + losses)
    return out
