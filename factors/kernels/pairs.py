"""Rolling statistics of two series, and recursive ones; see `factors.kernels.rolling` for the rules."""

from __future__ import annotations

import numpy as np
from numba import njit

from market.panel import FloatArray

CORR, COV, BETA = range(3)


@njit(cache=True)
def pairs(x: FloatArray, y: FloatArray, d: int, mode: int) -> FloatArray:
    """Correlation, covariance (ddof 1), or slope of `x` on `y`, over the last `d` pairs. (N, T) each."""
    rows, length = x.shape
    out = np.full((rows, length), np.nan)
    for row in range(rows):
        run = 0
        for t in range(length):
            run = run + 1 if np.isfinite(x[row, t]) and np.isfinite(y[row, t]) else 0
            if run < d or d < 2:
                continue
            sum_x = 0.0
            sum_y = 0.0
            low_x = x[row, t]
            high_x = x[row, t]
            low_y = y[row, t]
            high_y = y[row, t]
            for i in range(t - d + 1, t + 1):
                a = x[row, i]
                b = y[row, i]
                sum_x += a
                sum_y += b
                low_x = min(low_x, a)
                high_x = max(high_x, a)
                low_y = min(low_y, b)
                high_y = max(high_y, b)
            flat_x = low_x == high_x
            flat_y = low_y == high_y
            if flat_x or flat_y:
                if mode == COV or (mode == BETA and not flat_y):
                    out[row, t] = 0.0
                continue
            mean_x = sum_x / d
            mean_y = sum_y / d
            xx = 0.0
            yy = 0.0
            xy = 0.0
            for i in range(t - d + 1, t + 1):
                a = x[row, i] - mean_x
                b = y[row, i] - mean_y
                xx += a * a
                yy += b * b
                xy += a * b
            if mode == COV:
                out[row, t] = xy / (d - 1)
            elif mode == BETA:
                out[row, t] = xy / yy
            else:
                size = np.sqrt(xx) * np.sqrt(yy)
                if size > 0.0:
                    out[row, t] = min(1.0, max(-1.0, xy / size))
    return out


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
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
