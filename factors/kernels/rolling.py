"""Rolling statistics of one series.

Each value is computed from its own window, never from a running total: what lies outside the window cannot change it
by a bit, and cancellation cannot build up. A window with a NaN, or not yet full, gives NaN.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from market.panel import FloatArray
from market.ranking import tied

SUM, MEAN, STD, VAR, SKEW, KURT, ZSCORE, IR, MAD, PRODUCT = range(10)
MIN, MAX, ARGMIN, ARGMAX, RANK, SCALE = range(6)
SLOPE, RSQUARE, RESID = range(3)


@njit(cache=True, error_model="numpy")
def moments(x: FloatArray, d: int, mode: int) -> FloatArray:
    """Sum, mean, product and central moments of the last `d` values; two passes a window. (N, T) to (N, T)."""
    rows, length = x.shape
    out = np.full((rows, length), np.nan)
    for row in range(rows):
        run = 0
        for t in range(length):
            run = run + 1 if np.isfinite(x[row, t]) else 0
            if run < d:
                continue
            if mode == PRODUCT:
                product = 1.0
                for i in range(t - d + 1, t + 1):
                    product *= x[row, i]
                out[row, t] = product
                continue
            total = 0.0
            low = x[row, t]
            high = x[row, t]
            for i in range(t - d + 1, t + 1):
                value = x[row, i]
                total += value
                low = min(low, value)
                high = max(high, value)
            if mode == SUM:
                out[row, t] = total
                continue
            # The mean of equal numbers is that number; dividing would leave a rounding error as false variance.
            mean = low if low == high else total / d
            if mode == MEAN:
                out[row, t] = mean
                continue
            size = 0.0
            m2 = 0.0
            m3 = 0.0
            m4 = 0.0
            for i in range(t - d + 1, t + 1):
                gap = x[row, i] - mean
                square = gap * gap
                size += abs(gap)
                m2 += square
                m3 += square * gap
                m4 += square * square
            if mode == MAD:
                out[row, t] = size / d
                continue
            if d < 2:
                continue
            variance = m2 / (d - 1)
            if mode == VAR:
                out[row, t] = variance
            elif mode == STD:
                out[row, t] = np.sqrt(variance)
            elif variance > 0.0:
                if mode == ZSCORE:
                    out[row, t] = (x[row, t] - mean) / np.sqrt(variance)
                elif mode == IR:
                    out[row, t] = mean / np.sqrt(variance)
                elif mode == SKEW and d > 2:
                    spread = m2 / d
                    out[row, t] = (m3 / d) / spread**1.5 * np.sqrt(d * (d - 1.0)) / (d - 2.0)
                elif mode == KURT and d > 3:
                    spread = m2 / d
                    raw = (m4 / d) / (spread * spread) - 3.0
                    out[row, t] = (d - 1.0) / ((d - 2.0) * (d - 3.0)) * ((d + 1.0) * raw + 6.0)
    return out


@njit(cache=True, error_model="numpy")
def orders(x: FloatArray, d: int, mode: int) -> FloatArray:
    """Extremes, their age, and the rank of the newest value in its window. (N, T) to (N, T)."""
    rows, length = x.shape
    out = np.full((rows, length), np.nan)
    for row in range(rows):
        run = 0
        for t in range(length):
            newest = x[row, t]
            run = run + 1 if np.isfinite(newest) else 0
            if run < d:
                continue
            if mode == RANK:
                below = 0
                equal = 0
                for i in range(t - d + 1, t + 1):
                    if tied(x[row, i], newest):
                        equal += 1
                    elif x[row, i] < newest:
                        below += 1
                out[row, t] = (below + 0.5 * (equal + 1)) / d
                continue
            low = newest
            high = newest
            low_age = 0
            high_age = 0
            # From the newest back, so that a tie keeps the newest; what differs by rounding is a tie.
            low_mark = newest
            high_mark = newest
            for age in range(1, d):
                value = x[row, t - age]
                low = min(low, value)
                high = max(high, value)
                if value < low_mark and not tied(value, low_mark):
                    low_mark = value
                    low_age = age
                if value > high_mark and not tied(value, high_mark):
                    high_mark = value
                    high_age = age
            if mode == MIN:
                out[row, t] = low
            elif mode == MAX:
                out[row, t] = high
            elif mode == ARGMIN:
                out[row, t] = low_age
            elif mode == ARGMAX:
                out[row, t] = high_age
            elif high > low:
                out[row, t] = (newest - low) / (high - low)
    return out


@njit(cache=True, error_model="numpy")
def quantiles(x: FloatArray, d: int, level: float) -> FloatArray:
    """Quantile of the last `d` values, interpolated linearly, from a window kept sorted. (N, T) to (N, T)."""
    rows, length = x.shape
    out = np.full((rows, length), np.nan)
    window = np.empty(d)
    place = level * (d - 1)
    lower = int(np.floor(place))
    upper = min(lower + 1, d - 1)
    share = place - lower
    for row in range(rows):
        count = 0
        for t in range(length):
            value = x[row, t]
            if not np.isfinite(value):
                count = 0
                continue
            if count == d:
                leaving = np.searchsorted(window, x[row, t - d])
                for i in range(leaving, d - 1):
                    window[i] = window[i + 1]
                count -= 1
            entering = np.searchsorted(window[:count], value)
            for i in range(count, entering, -1):
                window[i] = window[i - 1]
            window[entering] = value
            count += 1
            if count == d:
                out[row, t] = window[lower] + share * (window[upper] - window[lower])
    return out


@njit(cache=True, error_model="numpy")
def weighted(x: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted mean; ``weights[0]`` belongs to the newest value and they sum to 1. (N, T) to (N, T)."""
    rows, length = x.shape
    d = len(weights)
    out = np.full((rows, length), np.nan)
    for row in range(rows):
        run = 0
        for t in range(length):
            run = run + 1 if np.isfinite(x[row, t]) else 0
            if run < d:
                continue
            total = 0.0
            for age in range(d):
                total += weights[age] * x[row, t - age]
            out[row, t] = total
    return out


@njit(cache=True, error_model="numpy")
def trends(x: FloatArray, d: int, mode: int) -> FloatArray:
    """Least squares of the last `d` values on time: slope a bar, R squared, newest residual. (N, T) to (N, T)."""
    rows, length = x.shape
    out = np.full((rows, length), np.nan)
    middle = 0.5 * (d - 1)
    spread = d * (d * d - 1.0) / 12.0
    for row in range(rows):
        run = 0
        for t in range(length):
            run = run + 1 if np.isfinite(x[row, t]) else 0
            if run < d:
                continue
            first = t - d + 1
            total = 0.0
            low = x[row, t]
            high = x[row, t]
            for i in range(d):
                value = x[row, first + i]
                total += value
                low = min(low, value)
                high = max(high, value)
            if low == high:
                if mode != RSQUARE:
                    out[row, t] = 0.0
                continue
            mean = total / d
            cross = 0.0
            square = 0.0
            for i in range(d):
                gap = x[row, first + i] - mean
                cross += (i - middle) * gap
                square += gap * gap
            slope = cross / spread
            if mode == SLOPE:
                out[row, t] = slope
            elif mode == RSQUARE:
                out[row, t] = min(1.0, slope * cross / square)
            else:
                out[row, t] = x[row, t] - mean - slope * (d - 1 - middle)
    return out


@njit(cache=True, error_model="numpy")
def central_moment(x: FloatArray, d: int, order: int) -> FloatArray:
    """Mean of (x - mean)^order over the last `d` values. (N, T) to (N, T)."""
    rows, length = x.shape
    out = np.full((rows, length), np.nan)
    for row in range(rows):
        run = 0
        for t in range(length):
            run = run + 1 if np.isfinite(x[row, t]) else 0
            if run < d:
                continue
            total = 0.0
            low = x[row, t]
            high = x[row, t]
            for i in range(t - d + 1, t + 1):
                total += x[row, i]
                low = min(low, x[row, i])
                high = max(high, x[row, i])
            if low == high or order == 1:
                out[row, t] = 0.0
                continue
            mean = total / d
            power = 0.0
            for i in range(t - d + 1, t + 1):
                power += (x[row, i] - mean) ** order
            out[row, t] = power / d
    return out
