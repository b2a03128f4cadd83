"""Rolling statistics of two series; see `factors.kernels.rolling` for the rules.

What is 0, 1 or -1 but for rounding is made so: co-movements below 1e-12 of the two spreads are none.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from market.panel import FloatArray

CORR, COV, BETA = range(3)
_SNAP = 1e-12


@njit(cache=True, error_model="numpy")
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
            size = np.sqrt(xx) * np.sqrt(yy)
            if abs(xy) <= _SNAP * size:
                xy = 0.0
            if mode == COV:
                out[row, t] = xy / (d - 1)
            elif mode == BETA:
                out[row, t] = xy / yy
            elif size > 0.0:
                share = xy / size
                out[row, t] = np.sign(share) if abs(share) > 1.0 - _SNAP else share
    return out
