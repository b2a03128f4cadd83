"""Statistics across assets at one bar. Arrays are (T, N); NaN takes no part and stays NaN."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.panel import FloatArray
from market.ranking import average_ranks, tied

DEMEAN, ZSCORE, MEAN = range(3)


def ranks(x: FloatArray) -> FloatArray:
    """Average rank over the bar's finite values / their count, in (0, 1]."""
    count = np.isfinite(x).sum(axis=1, keepdims=True)
    shares: FloatArray = average_ranks(x) / np.maximum(count, 1)
    return shares


@njit(cache=True, error_model="numpy")
def standards(x: FloatArray, groups: NDArray[np.int64], count: int, mode: int) -> FloatArray:
    """Mean, demeaned value or z-score (ddof 1) within groups; `groups` (T, N) holds codes 0..count-1, -1 for none."""
    length, width = x.shape
    out = np.full((length, width), np.nan)
    size = np.empty(count)
    mean = np.empty(count)
    low = np.empty(count)
    high = np.empty(count)
    square = np.empty(count)
    for t in range(length):
        size[:] = 0.0
        mean[:] = 0.0
        square[:] = 0.0
        low[:] = np.inf
        high[:] = -np.inf
        for i in range(width):
            g = groups[t, i]
            if g >= 0 and np.isfinite(x[t, i]):
                size[g] += 1.0
                mean[g] += x[t, i]
                low[g] = min(low[g], x[t, i])
                high[g] = max(high[g], x[t, i])
        for g in range(count):
            if size[g] > 0:
                mean[g] = low[g] if low[g] == high[g] else mean[g] / size[g]
        if mode == ZSCORE:
            for i in range(width):
                g = groups[t, i]
                if g >= 0 and np.isfinite(x[t, i]):
                    square[g] += (x[t, i] - mean[g]) ** 2
        for i in range(width):
            g = groups[t, i]
            if g < 0 or not np.isfinite(x[t, i]):
                continue
            if mode == MEAN:
                out[t, i] = mean[g]
            elif mode == DEMEAN:
                out[t, i] = x[t, i] - mean[g]
            elif size[g] > 1 and square[g] > 0.0:
                out[t, i] = (x[t, i] - mean[g]) / np.sqrt(square[g] / (size[g] - 1.0))
    return out


@njit(cache=True, error_model="numpy")
def winsorized(x: FloatArray, k: float) -> FloatArray:
    """Limit to mean +- k standard deviations (ddof 1) of the bar."""
    length, width = x.shape
    out = np.full((length, width), np.nan)
    for t in range(length):
        count = 0
        total = 0.0
        for i in range(width):
            if np.isfinite(x[t, i]):
                count += 1
                total += x[t, i]
        if count < 2:
            continue
        mean = total / count
        square = 0.0
        for i in range(width):
            if np.isfinite(x[t, i]):
                square += (x[t, i] - mean) ** 2
        reach = k * np.sqrt(square / (count - 1))
        for i in range(width):
            if np.isfinite(x[t, i]):
                out[t, i] = min(max(x[t, i], mean - reach), mean + reach)
    return out


@njit(cache=True, error_model="numpy")
def scaled(x: FloatArray) -> FloatArray:
    """Divide by the bar's sum of absolute values; NaN where that is 0."""
    length, width = x.shape
    out = np.full((length, width), np.nan)
    for t in range(length):
        total = 0.0
        for i in range(width):
            if np.isfinite(x[t, i]):
                total += abs(x[t, i])
        if total > 0.0:
            for i in range(width):
                out[t, i] = x[t, i] / total
    return out


@njit(cache=True, error_model="numpy")
def group_ranks(x: FloatArray, groups: NDArray[np.int64]) -> FloatArray:
    """Average rank within the asset's group / the group's count."""
    length, width = x.shape
    out = np.full((length, width), np.nan)
    for t in range(length):
        for i in range(width):
            if groups[t, i] < 0 or not np.isfinite(x[t, i]):
                continue
            below = 0
            equal = 0
            count = 0
            for j in range(width):
                if groups[t, j] == groups[t, i] and np.isfinite(x[t, j]):
                    count += 1
                    if tied(x[t, j], x[t, i]):
                        equal += 1
                    elif x[t, j] < x[t, i]:
                        below += 1
            out[t, i] = (below + 0.5 * (equal + 1)) / count
    return out


def buckets(x: FloatArray, n: int) -> FloatArray:
    """Which of `n` equal-sized parts of the bar's finite values each falls into, 0..n-1; ties stay together."""
    return np.clip(np.floor(_places(x) * n), 0, n - 1)


def top_bottom(x: FloatArray, share: float) -> FloatArray:
    """1 in the top `share` of the bar's finite values by rank, -1 in the bottom share, 0 between."""
    places = _places(x)
    # The margin keeps a place that is the bound but for rounding in the middle.
    marks = (places > 1.0 - share + 1e-9).astype(np.float64) - (places < share - 1e-9)
    return np.where(np.isfinite(x), marks, np.nan)


def _places(x: FloatArray) -> FloatArray:
    """(rank - 1/2) / count, in (0, 1): the middle of the slot that a value takes in its row."""
    count = np.isfinite(x).sum(axis=1, keepdims=True)
    places: FloatArray = (average_ranks(x) - 0.5) / np.maximum(count, 1)
    return places


@njit(cache=True, error_model="numpy")
def row_quantiles(x: FloatArray, level: float) -> FloatArray:
    """Quantile of the bar's finite values, interpolated linearly, wherever there is a value."""
    length, width = x.shape
    out = np.full((length, width), np.nan)
    for t in range(length):
        known = np.sort(x[t][np.isfinite(x[t])])
        if len(known) == 0:
            continue
        place = level * (len(known) - 1)
        lower = int(np.floor(place))
        upper = min(lower + 1, len(known) - 1)
        value = known[lower] + (place - lower) * (known[upper] - known[lower])
        for i in range(width):
            if np.isfinite(x[t, i]):
                out[t, i] = value
    return out


@njit(cache=True, error_model="numpy")
def residuals(y: FloatArray, x: FloatArray) -> FloatArray:
    """`y` less its least-squares fit on `x` and a constant over the bar; the mean alone where x is constant."""
    length, width = y.shape
    out = np.full((length, width), np.nan)
    for t in range(length):
        count = 0
        mean_x = 0.0
        mean_y = 0.0
        low = np.inf
        high = -np.inf
        for i in range(width):
            if np.isfinite(x[t, i]) and np.isfinite(y[t, i]):
                count += 1
                mean_x += x[t, i]
                mean_y += y[t, i]
                low = min(low, x[t, i])
                high = max(high, x[t, i])
        if count == 0:
            continue
        mean_x /= count
        mean_y /= count
        xx = 0.0
        xy = 0.0
        for i in range(width):
            if np.isfinite(x[t, i]) and np.isfinite(y[t, i]):
                xx += (x[t, i] - mean_x) ** 2
                xy += (x[t, i] - mean_x) * (y[t, i] - mean_y)
        slope = xy / xx if high > low and xx > 0.0 else 0.0
        for i in range(width):
            if np.isfinite(x[t, i]) and np.isfinite(y[t, i]):
                out[t, i] = y[t, i] - mean_y - slope * (x[t, i] - mean_x)
    return out
