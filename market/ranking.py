"""Average ranks across assets, for the language and the backtest alike: a tie means the same in both."""

from __future__ import annotations

import numpy as np
from numba import njit

from market.panel import FloatArray

# Two values tie when they differ by no more than this share of the larger one. Equal by definition, they may differ
# by rounding: the correlation of two windows of ranks takes few values, and which of two equal ones comes out larger
# in the last bit must not decide a rank.
TIE = 1e-12


@njit(cache=True, error_model="numpy")
def tied(a: float, b: float) -> bool:
    """Whether `a` and `b` are equal but for rounding."""
    return bool(abs(a - b) <= TIE * max(abs(a), abs(b)))


@njit(cache=True, error_model="numpy")
def average_ranks(x: FloatArray) -> FloatArray:
    """Average rank (1..count) of each finite value of a bar; NaN stays NaN. (T, N) to (T, N)."""
    length, width = x.shape
    out = np.full((length, width), np.nan)
    for t in range(length):
        order = np.argsort(x[t])
        count = 0
        for i in range(width):
            if np.isfinite(x[t, i]):
                count += 1
        start = 0
        while start < count:
            end = start
            while end + 1 < count and tied(x[t, order[end + 1]], x[t, order[start]]):
                end += 1
            for i in range(start, end + 1):
                out[t, order[i]] = 0.5 * (start + end) + 1.0
            start = end + 1
    return out
