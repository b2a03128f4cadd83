"""Variance, skewness, kurtosis, trends: statistics made of sums of powers over a window, in blocks like `kernels.sums`.

Powers are of distances u from a pivot, the first value of the newer block. The pivot lies in every window of its block,
so mean(u)^2 is at most the sum of squares about the mean: turning sums of powers into central moments loses no more
than a factor 1 + d of the rounding error, whatever the level of prices. A constant window has u = 0 throughout, and a
variance of exactly 0. Arrays that are kept have d + 1 rows, the last 0.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.panel import FloatArray

IntArray = NDArray[np.int64]

VAR, STD, ZSCORE, IR = range(4)
MOMENT1, MOMENT2, MOMENT3, MOMENT4, SKEW, KURT = range(6)
SLOPE, RESID, DECAY, RSQUARE = range(4)


@njit(cache=True, error_model="numpy", nogil=True)
def spreads(
    x: FloatArray, out: FloatArray, sums: FloatArray, work: FloatArray, clock: IntArray, share: FloatArray, mode: int
) -> None:
    """Variance (ddof 1), its root, z-score of the newest value, mean over deviation, of the last d values.

    `sums` is (2, d + 1, N): the newer block's values and the older one's sums, and sums of its squares. `work` is
    (3, N): the pivot, sum and sum of squares; `share` holds 1 / d and 1 / (d - 1).
    """
    rows, width = x.shape
    d = sums.shape[1] - 1
    kept, squares = sums[0], sums[1]
    pivot, one, two = work[0], work[1], work[2]
    part, less = share[0], share[1]
    for row in range(rows):
        place = clock[0]
        now, result = x[row], out[row]
        if place == 0:
            _begin_spread(now, kept, squares, work)
        raw = kept[place]
        older, older_square = kept[place + 1], squares[place + 1]
        # The variance goes where the result will be: what a mode needs beside it is at hand.
        for i in range(width):
            u = now[i] - pivot[i]
            first = one[i] + u
            second = two[i] + u * u
            one[i] = first
            two[i] = second
            raw[i] = now[i]
            first += older[i]
            second += older_square[i]
            result[i] = max(second - first * first * part, 0.0 * second) * less
        if mode == VAR:
            for i in range(width):
                result[i] = result[i] if abs(result[i]) < np.inf else np.nan
        elif mode == STD:
            for i in range(width):
                value = np.sqrt(result[i])
                result[i] = value if abs(value) < np.inf else np.nan
        elif mode == ZSCORE:
            for i in range(width):
                gap = (now[i] - pivot[i]) - (one[i] + older[i]) * part
                value = gap / np.sqrt(result[i])
                result[i] = value if 0.0 < result[i] < np.inf else np.nan
        else:
            for i in range(width):
                value = (pivot[i] + (one[i] + older[i]) * part) / np.sqrt(result[i])
                result[i] = value if result[i] > 0.0 and abs(value) < np.inf else np.nan
        clock[0] = place + 1 if place < d - 1 else 0


@njit(cache=True, error_model="numpy", nogil=True)
def _begin_spread(now: FloatArray, kept: FloatArray, squares: FloatArray, work: FloatArray) -> None:
    """Begin a block at `now`: the values of the last one become sums of u and of u u from each place to its end."""
    pivot = work[0]
    width = len(now)
    for i in range(width):
        pivot[i] = now[i]
    work[1:] = 0.0
    for back in range(len(kept) - 2, 0, -1):
        here, newer = kept[back], kept[back + 1]
        square, newer_square = squares[back], squares[back + 1]
        for i in range(width):
            u = here[i] - pivot[i]
            here[i] = u + newer[i]
            square[i] = u * u + newer_square[i]


@njit(cache=True, error_model="numpy", nogil=True)
def shapes(
    x: FloatArray,
    out: FloatArray,
    kept: FloatArray,
    powers: FloatArray,
    pivot: FloatArray,
    work: FloatArray,
    clock: IntArray,
    mode: int,
) -> None:
    """Skewness and excess kurtosis, corrected for bias, or a central moment (/ d) of order 1 to 4.

    `powers` is (3, d + 1, N): sums of the second to fourth powers of the older block; `work` is (8, N).
    """
    rows, width = x.shape
    d = kept.shape[0] - 1
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
        raw, older = kept[place], kept[place + 1]
        for i in range(width):
            raw[i] = now[i]
            first[i] = one[i] + older[i]
        for k in range(1, 4):
            whole, part, older = work[4 + k], work[k], powers[k - 1, place + 1]
            for i in range(width):
                whole[i] = part[i] + older[i]
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
    """From sums of powers about the pivot to mean powers about the mean, in place; the first is left as it is."""
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
def trends(x: FloatArray, out: FloatArray, sums: FloatArray, work: FloatArray, clock: IntArray, mode: int) -> None:
    """Slope on time a bar, newest residual, mean weighted 1..d to the newest, R squared, over the last d values.

    `sums` is (2, d + 1, N), for R squared (3, d + 1, N): the newer block's values and the older one's sums; sums of
    i u, where i counts from the oldest value of a sum; and, last, sums of squares. `work` is (5, N), its first row the
    pivot.
    """
    rows, width = x.shape
    d = sums.shape[1] - 1
    kept, ramps, squares = sums[0], sums[1], sums[-1]
    pivot, one, ramp, two, second = work[0], work[1], work[2], work[3], work[4]
    middle, spread, weights = 0.5 * (d - 1), d * (d * d - 1.0) / 12.0, 0.5 * d * (d + 1.0)
    for row in range(rows):
        place = clock[0]
        now, result = x[row], out[row]
        if place == 0:
            _begin_trend(now, sums, work, mode)
        raw, older, rising = kept[place], kept[place + 1], ramps[place + 1]
        if mode == RSQUARE:
            for i in range(width):
                u = now[i] - pivot[i]
                two[i] += u * u
                second[i] = two[i] + squares[place + 1, i]
        before = d - 1 - place
        # The sum of i u goes where the result will be.
        for i in range(width):
            u = now[i] - pivot[i]
            part = one[i] + u
            climb = ramp[i] + place * u
            one[i] = part
            ramp[i] = climb
            raw[i] = now[i]
            result[i] = climb + before * part + rising[i]
        if mode == DECAY:
            for i in range(width):
                value = pivot[i] + (result[i] + one[i] + older[i]) / weights
                result[i] = value if abs(value) < np.inf else np.nan
        elif mode == SLOPE:
            for i in range(width):
                value = (result[i] - middle * (one[i] + older[i])) / spread
                result[i] = value if abs(value) < np.inf else np.nan
        elif mode == RESID:
            for i in range(width):
                first = one[i] + older[i]
                tilt = (result[i] - middle * first) / spread
                value = (now[i] - pivot[i]) - first / d - tilt * (d - 1 - middle)
                result[i] = value if abs(value) < np.inf else np.nan
        else:
            _explained(one, older, second, result, d)
        clock[0] = place + 1 if place < d - 1 else 0


@njit(cache=True, error_model="numpy", nogil=True)
def _begin_trend(now: FloatArray, sums: FloatArray, work: FloatArray, mode: int) -> None:
    """Begin a block at `now`: the values of the last one become sums of u, i u and u u from each place to its end."""
    kept, ramps, squares = sums[0], sums[1], sums[-1]
    pivot = work[0]
    width = len(now)
    for i in range(width):
        pivot[i] = now[i]
    work[1:] = 0.0
    for back in range(len(kept) - 2, 0, -1):
        here, newer = kept[back], kept[back + 1]
        rising, newer_rising = ramps[back], ramps[back + 1]
        if mode == RSQUARE:
            for i in range(width):
                u = here[i] - pivot[i]
                squares[back, i] = squares[back + 1, i] + u * u
        for i in range(width):
            rising[i] = newer_rising[i] + newer[i]
            here[i] = newer[i] + (here[i] - pivot[i])


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
def _explained(one: FloatArray, older: FloatArray, second: FloatArray, result: FloatArray, d: int) -> None:
    """From the sum of i u in `result` and the sum of squares in `second` to R squared, in place."""
    middle, spread = 0.5 * (d - 1), d * (d * d - 1.0) / 12.0
    for i in range(len(result)):
        first = one[i] + older[i]
        cross = result[i] - middle * first
        square = second[i] - first * first / d
        value = min(1.0, cross * (cross / spread) / square)
        result[i] = value if square > 0.0 and abs(value) < np.inf else np.nan
