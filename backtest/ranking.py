"""Ranks and rank correlations across assets, vectorised over bars."""

from __future__ import annotations

import numpy as np
from numba import njit

from market.panel import FloatArray


@njit(cache=True)
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
            while end + 1 < count and x[t, order[end + 1]] == x[t, order[start]]:
                end += 1
            for i in range(start, end + 1):
                out[t, order[i]] = 0.5 * (start + end) + 1.0
            start = end + 1
    return out


def correlate_rows(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return (T,) Pearson correlation of each row over its common finite values; NaN where a side is constant."""
    common = np.isfinite(x) & np.isfinite(y)
    count = common.sum(axis=1)
    with np.errstate(all="ignore"):
        sides = []
        for side in (x, y):
            filled = np.where(common, side, 0.0)
            sides.append(np.where(common, filled - (filled.sum(axis=1) / count)[:, None], 0.0))
        xx, yy = ((side * side).sum(axis=1) for side in sides)
        xy = (sides[0] * sides[1]).sum(axis=1)
        result = xy / np.sqrt(xx * yy)
    # Ranks of up to 10^4 assets differ by halves: anything smaller is rounding.
    return np.where((count > 1) & (xx > 1e-9) & (yy > 1e-9), np.clip(result, -1.0, 1.0), np.nan)
