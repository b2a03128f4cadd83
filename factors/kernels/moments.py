"""Variance, skewness, kurtosis, trends: statistics made of sums of powers over a window, in blocks like `kernels.sums`.

Powers are of distances u from a pivot, the first value of the newer block. The pivot lies in every window of its block,
so mean(u)^2 is at most the sum of squares about the mean: turning sums of powers into central moments loses no more
than a factor 1 + d of the rounding error, whatever the level of prices. A constant window has u = 0 throughout, and a
variance of exactly 0.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.panel import FloatArray

VAR, STD, ZSCORE, IR = range(4)
MOMENT1, MOMENT2, MOMENT3, MOMENT4, SKEW, KURT = range(6)
SLOPE, RESID, DECAY, RSQUARE = range(4)


@njit(cache=True, error_model="numpy", nogil=True)
def spreads(
    x: FloatArray,
    out: FloatArray,
    kept: FloatArray,
    squares: FloatArray,
    pivot: FloatArray,
    work: FloatArray,
    clock: NDArray[np.int64],
    share: FloatArray,
    mode: int,
) -> None:
    """Variance (ddof 1), its root, z-score of the newest value, mean over deviation, of the last d values.

    `work` is (4, N); `share` holds 1 / d and 1 / (d - 1).
    """
    rows, width = x.shape
    d = kept.shape[0]
    one, two, first, second = work[0], work[1], work[2], work[3]
    part, less = share[0], share[1]
    for row in range(rows):
        place = clock[0]
        now = x[row]
        result = out[row]
        if place == 0:
            for i in range(width):
                pivot[i] = now[i]
                one[i] = 0.0
                two[i] = 0.0
                first[i] = 0.0
                second[i] = 0.0
            for back in range(d - 1, 0, -1):
                here = kept[back]
                square = squares[back]
                for i in range(width):
                    u = here[i] - pivot[i]
                    first[i] += u
                    second[i] += u * u
                    here[i] = first[i]
                    square[i] = second[i]
        raw = kept[place]
        for i in range(width):
            u = now[i] - pivot[i]
            one[i] += u
            two[i] += u * u
            raw[i] = now[i]
        if place < d - 1:
            older = kept[place + 1]
            older_square = squares[place + 1]
            for i in range(width):
                first[i] = one[i] + older[i]
                second[i] = two[i] + older_square[i]
        else:
            for i in range(width):
                first[i] = one[i]
                second[i] = two[i]
        if mode == VAR:
            for i in range(width):
                value = max(second[i] - first[i] * first[i] * part, 0.0 * second[i]) * less
                result[i] = value if abs(value) < np.inf else np.nan
        elif mode == STD:
            for i in range(width):
                value = np.sqrt(max(second[i] - first[i] * first[i] * part, 0.0 * second[i]) * less)
                result[i] = value if abs(value) < np.inf else np.nan
        elif mode == ZSCORE:
            for i in range(width):
                value = (second[i] - first[i] * first[i] * part) * less
                mean = first[i] * part
                result[i] = (now[i] - pivot[i] - mean) / np.sqrt(value) if 0.0 < value < np.inf else np.nan
        else:
            for i in range(width):
                value = (second[i] - first[i] * first[i] * part) * less
                mean = (pivot[i] + first[i] * part) / np.sqrt(value)
                result[i] = mean if value > 0.0 and abs(mean) < np.inf else np.nan
        clock[0] = place + 1 if place < d - 1 else 0


@njit(cache=True, error_model="numpy", nogil=True)
def shapes(
    x: FloatArray,
    out: FloatArray,
    kept: FloatArray,
    powers: FloatArray,
    pivot: FloatArray,
    work: FloatArray,
    clock: NDArray[np.int64],
    mode: int,
) -> None:
    """Skewness and excess kurtosis, corrected for bias, or a central moment (/ d) of order 1 to 4.

    `powers` is (3, d, N): sums of the second to fourth powers of the older block; `work` is (8, N).
    """
    rows, width = x.shape
    d = kept.shape[0]
    one, two, three, four = work[0], work[1], work[2], work[3]
    first, second, third, fourth = work[4], work[5], work[6], work[7]
    for row in range(rows):
        place = clock[0]
        now = x[row]
        if place == 0:
            for i in range(width):
                pivot[i] = now[i]
            work[:] = 0.0
            for back in range(d - 1, 0, -1):
                here = kept[back]
                _add_powers(here, pivot, first, second, third, fourth)
                for i in range(width):
                    here[i] = first[i]
                for k in range(3):
                    power = powers[k, back]
                    sums = work[5 + k]
                    for i in range(width):
                        power[i] = sums[i]
        _add_powers(now, pivot, one, two, three, four)
        raw = kept[place]
        for i in range(width):
            raw[i] = now[i]
        for k in range(4):
            whole = work[4 + k]
            part = work[k]
            if place < d - 1:
                older = kept[place + 1] if k == 0 else powers[k - 1, place + 1]
                for i in range(width):
                    whole[i] = part[i] + older[i]
            else:
                for i in range(width):
                    whole[i] = part[i]
        _centre(first, second, third, fourth, 1.0 / d)
        _shape(second, third, fourth, out[row], d, mode)
        clock[0] = place + 1 if place < d - 1 else 0


@njit(cache=True, error_model="numpy", nogil=True)
def _add_powers(
    x: FloatArray, pivot: FloatArray, one: FloatArray, two: FloatArray, three: FloatArray, four: FloatArray
) -> None:
    # Two loops: one over six arrays would not become vectors.
    for i in range(len(x)):
        u = x[i] - pivot[i]
        one[i] += u
        two[i] += u * u
    for i in range(len(x)):
        u = x[i] - pivot[i]
        square = u * u
        three[i] += square * u
        four[i] += square * square


@njit(cache=True, error_model="numpy", nogil=True)
def _centre(one: FloatArray, two: FloatArray, three: FloatArray, four: FloatArray, part: float) -> None:
    """From sums of powers about the pivot to mean powers about the mean, in place; the first becomes NaN or 0."""
    for i in range(len(one)):
        a, b, c = one[i] * part, two[i] * part, three[i] * part
        four[i] = four[i] * part - 4.0 * a * c + 6.0 * a * a * b - 3.0 * a * a * a * a
    for i in range(len(one)):
        a, b = one[i] * part, two[i] * part
        three[i] = three[i] * part - 3.0 * a * b + 2.0 * a * a * a
        two[i] = b - a * a


@njit(cache=True, error_model="numpy", nogil=True)
def _shape(two: FloatArray, three: FloatArray, four: FloatArray, result: FloatArray, d: int, mode: int) -> None:
    """From central moments to the statistic that is asked."""
    if mode == SKEW:
        bias = np.sqrt(d * (d - 1.0)) / (d - 2.0)
        for i in range(len(result)):
            value = three[i] / (two[i] * np.sqrt(two[i])) * bias
            result[i] = value if two[i] > 0.0 and abs(value) < np.inf else np.nan
    elif mode == KURT:
        bias = (d - 1.0) / ((d - 2.0) * (d - 3.0))
        for i in range(len(result)):
            value = bias * ((d + 1.0) * (four[i] / (two[i] * two[i]) - 3.0) + 6.0)
            result[i] = value if two[i] > 0.0 and abs(value) < np.inf else np.nan
    else:
        for i in range(len(result)):
            value = three[i]
            if mode == MOMENT1:
                value = 0.0 * two[i]
            elif mode == MOMENT2:
                value = max(two[i], 0.0 * two[i])
            elif mode == MOMENT4:
                value = max(four[i], 0.0 * four[i])
            result[i] = value if abs(value) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def trends(
    x: FloatArray,
    out: FloatArray,
    kept: FloatArray,
    ramps: FloatArray,
    squares: FloatArray,
    pivot: FloatArray,
    work: FloatArray,
    clock: NDArray[np.int64],
    mode: int,
) -> None:
    """Slope on time a bar, newest residual, mean weighted 1..d to the newest, R squared, over the last d values.

    `ramps` holds sums of i u, where i counts from the oldest value of a sum; `squares` is used for R squared only, and
    may have no rows otherwise. `work` is (6, N).
    """
    rows, width = x.shape
    d = kept.shape[0]
    one, ramp, two = work[0], work[1], work[2]
    first, slope, second = work[3], work[4], work[5]
    middle = 0.5 * (d - 1)
    spread = d * (d * d - 1.0) / 12.0
    weights = 0.5 * d * (d + 1.0)
    for row in range(rows):
        place = clock[0]
        now = x[row]
        result = out[row]
        if place == 0:
            for i in range(width):
                pivot[i] = now[i]
            work[:] = 0.0
            for back in range(d - 1, 0, -1):
                here = kept[back]
                rising = ramps[back]
                if mode == RSQUARE:
                    for i in range(width):
                        u = here[i] - pivot[i]
                        second[i] += u * u
                        squares[back, i] = second[i]
                for i in range(width):
                    slope[i] += first[i]
                    first[i] += here[i] - pivot[i]
                    here[i] = first[i]
                    rising[i] = slope[i]
        raw = kept[place]
        for i in range(width):
            u = now[i] - pivot[i]
            one[i] += u
            ramp[i] += place * u
            raw[i] = now[i]
        if mode == RSQUARE:
            for i in range(width):
                u = now[i] - pivot[i]
                two[i] += u * u
                second[i] = two[i]
        before = d - 1 - place
        if place < d - 1:
            older = kept[place + 1]
            rising = ramps[place + 1]
            for i in range(width):
                first[i] = one[i] + older[i]
                slope[i] = ramp[i] + before * one[i] + rising[i]
            if mode == RSQUARE:
                for i in range(width):
                    second[i] += squares[place + 1, i]
        else:
            for i in range(width):
                first[i] = one[i]
                slope[i] = ramp[i]
        if mode == DECAY:
            for i in range(width):
                value = pivot[i] + (slope[i] + first[i]) / weights
                result[i] = value if abs(value) < np.inf else np.nan
        elif mode == SLOPE:
            for i in range(width):
                value = (slope[i] - middle * first[i]) / spread
                result[i] = value if abs(value) < np.inf else np.nan
        elif mode == RESID:
            for i in range(width):
                tilt = (slope[i] - middle * first[i]) / spread
                value = (now[i] - pivot[i]) - first[i] / d - tilt * (d - 1 - middle)
                result[i] = value if abs(value) < np.inf else np.nan
        else:
            for i in range(width):
                cross = slope[i] - middle * first[i]
                square = second[i] - first[i] * first[i] / d
                value = min(1.0, cross * (cross / spread) / square)
                result[i] = value if square > 0.0 and abs(value) < np.inf else np.nan
        clock[0] = place + 1 if place < d - 1 else 0
